"""How many lanes each pool is to have: from what the nodes have and the work that waits. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from raysched.cluster.nodes import Node
from raysched.config import PoolSettings
from raysched.core.model import MAIN, NodeId, PoolCount, PoolName

Shapes = Mapping[PoolName, PoolSettings]


@dataclass(frozen=True, slots=True)
class Demand:
    """Of a pool: lanes at work, and units that would start at once had they a lane. ``is_some``:
    whether anybody has work for it, with a slot or without."""

    busy: int = 0
    waiting: int = 0
    is_some: bool = False


def bundle(shape: PoolSettings) -> dict[str, float]:
    """What one lane takes of the cluster."""
    wanted = {"CPU": shape.lane_cpus, "GPU": shape.lane_gpus}
    return {name: amount for name, amount in wanted.items() if amount}


def counts(
    shapes: Shapes,
    nodes: Sequence[Node],
    demand: Mapping[PoolName, Demand],
) -> dict[PoolName, PoolCount]:
    """What each pool is to have and what there is room for, in the order of the pools: what one
    takes the next ones lack, and the last has what is left."""
    left = {node.node: dict(node.resources) for node in nodes}
    found = {}
    for name, shape in shapes.items():
        each, not_on = bundle(shape), shunned(shapes, shape, nodes)
        open_to = {node: there for node, there in left.items() if node not in not_on}
        room = sum(_places(there, each) for there in open_to.values())
        wanted = _wanted(shape, room, demand.get(name, Demand()))
        lacks = "" if room else _lacks(each, nodes)
        found[name] = PoolCount(name, wanted, room, lacks)
        _take(open_to, each, min(wanted, room))
    return found


def shunned(shapes: Shapes, shape: PoolSettings, nodes: Sequence[Node]) -> frozenset[NodeId]:
    """The nodes that lanes of a shape without GPUs keep off, while there is room elsewhere: those
    with GPUs, where an elastic pool asks for such nodes and gives them back. A lane that lies there
    would keep the node from going."""
    if shape.lane_gpus or not any(is_elastic(each) and each.lane_gpus for each in shapes.values()):
        return frozenset()
    with_gpus = frozenset(each.node for each in nodes if each.resources.get("GPU"))
    others = [each for each in nodes if each.node not in with_gpus]
    is_room = any(_places(each.resources, bundle(shape)) for each in others)
    return with_gpus if is_room else frozenset()


def totals(found: Mapping[PoolName, PoolCount]) -> tuple[int, int, tuple[PoolCount, ...]]:
    """Wanted and room of all together, then of each, unless there is one alone."""
    pools = () if list(found) == [MAIN] and not found[MAIN].lacks else tuple(found.values())
    return sum(each.wanted for each in found.values()), sum(x.room for x in found.values()), pools


def is_elastic(shape: PoolSettings) -> bool:
    """Whether lanes are asked for, and given back, as work comes and goes."""
    return shape.most_lanes is not None


def kept(shape: PoolSettings) -> int:
    """How many lanes an elastic pool keeps with nothing to do."""
    return 1 if shape.lanes is None else shape.lanes


def lasting(shapes: Shapes, opened: Mapping[PoolName, int]) -> int:
    """How many of the lanes that are open will stay when nothing is to do."""
    return sum(
        min(number, kept(shapes[name])) if name in shapes and is_elastic(shapes[name]) else number
        for name, number in opened.items()
    )


def _wanted(shape: PoolSettings, room: int, demand: Demand) -> int:
    if shape.most_lanes is None:
        return shape.lanes or max(1, room)
    least = max(kept(shape), 1 if demand.is_some else 0)
    return min(shape.most_lanes, max(least, demand.busy + demand.waiting))


def _places(there: Mapping[str, float], each: Mapping[str, float]) -> int:
    """How many bundles fit into what a node has: one never lies on two nodes."""
    few = 1e-9  # so that 0.3 holds 0.1 three times
    return min(math.floor(there.get(name, 0.0) / amount + few) for name, amount in each.items())


def _take(left: Mapping[NodeId, dict[str, float]], each: Mapping[str, float], lanes: int) -> None:
    """Put lanes one by one where most room is, as Ray spreads them."""
    for _ in range(lanes):
        there = max(left.values(), key=lambda node: _places(node, each))
        for name, amount in each.items():
            there[name] -= amount


def _lacks(each: Mapping[str, float], nodes: Sequence[Node]) -> str:
    """The resources of which no node has enough, or, where each is on some node, all of them;
    nothing where a node has them and another pool takes them."""
    if any(_places(node.resources, each) for node in nodes):
        return ""
    scarce = [n for n, amount in each.items() if all(x.resources.get(n, 0) < amount for x in nodes)]
    return " and ".join(f"{each[name]:g} {name}" for name in scarce or each)
