"""What the naive model knows of lanes: they come, close and go; and of nodes that are drained."""

from __future__ import annotations

from typing import TYPE_CHECKING, get_args

from reference_seen import same

from raysched.core.commands import ReleaseLane
from raysched.core.events import (
    Event,
    LaneClosing,
    LaneLost,
    LaneOpened,
    LanesCounted,
    NodeDrained,
    NodeResumed,
)
from raysched.core.model import MAIN
from raysched.core.state import State

if TYPE_CHECKING:
    from reference import Reference
    from reference_facts import Facts, JobFacts

OfLanes = LaneOpened | LaneClosing | LaneLost | LanesCounted | NodeDrained | NodeResumed


def is_of_lanes(event: Event) -> bool:
    """Whether this module says what an event does."""
    return isinstance(event, get_args(OfLanes))


def is_news(model: Reference, event: Event) -> bool:
    """As ``Facts.answer``, for the events of this module: none is ever refused."""
    match event:
        case LaneOpened(lane=lane):
            return lane not in model.lanes
        case LaneClosing(lane=lane):
            return lane in model.lanes and lane not in model.closing
        case LaneLost(lane=lane):
            return lane in model.lanes
        case LanesCounted():
            return counts(event) != model.counted
        case NodeDrained(node=node):
            return node not in model.drained_nodes
        case NodeResumed(node=node):
            return node in model.drained_nodes
    raise AssertionError(event)


def follow(model: Reference, event: Event) -> None:
    """What an event does."""
    match event:
        case LaneOpened(lane=lane, pool=pool, node=node):
            model.lanes.append(lane)
            model.pool_of[lane], model.node_of[lane] = pool, node
        case LaneClosing(lane=lane):
            model.closing.append(lane)
        case LaneLost(lane=lane):
            for name in [name for name, run in model.runs.items() if run.lane == lane]:
                model.lose(name)
            model.lanes.remove(lane)
            model.closing = [other for other in model.closing if other != lane]
            still = {model.node_of[other] for other in model.lanes}
            model.staged = {slide: nodes & still for slide, nodes in model.staged.items()}
        case LanesCounted():
            model.counted = counts(event)
        case NodeDrained(node=node):
            model.drained_nodes.append(node)
        case NodeResumed(node=node):
            model.drained_nodes.remove(node)


def counts(event: LanesCounted) -> tuple[int, int, dict[str, tuple[int, int, str]]]:
    """Totals, and the numbers of each pool that there is; without any they are the main pool's."""
    pools = {each.pool: (each.wanted, each.room, each.lacks) for each in event.pools}
    return event.wanted, event.room, pools or {MAIN: (event.wanted, event.room, "")}


def is_served(model: Facts, pool: str) -> bool:
    """Lanes of the main pool come again; those of another are there, or told to be possible."""
    wanted, _, lacks = model.counted[2].get(pool, (0, 0, ""))
    there = [x for x in model.lanes if model.pool_of[x] == pool and x not in model.closing]
    is_hopeless = model.counted[0] > 0 and (wanted == 0 or lacks != "")
    return pool == MAIN or bool(there) or not is_hopeless


def judge(model: Reference, event: Event, busy: list[str], given_back: list[ReleaseLane]) -> None:
    """Given back is what is to go, once what ran there (``busy``) has ended, or if nothing ran."""
    still = [run.lane for run in model.runs.values()]
    at_rest = [lane for lane in model.closing if lane not in still]
    asked = event.lane if isinstance(event, LaneClosing) else None
    free = [lane for lane in at_rest if lane in busy or lane == asked]
    same("lanes given back", free, [each.lane for each in given_back])


def is_near(model: Reference, job: JobFacts, lane: str) -> bool:
    """Whether a lane is on a node that has the job's slide, or none that is idle is."""
    near = {x for x in model.idle(job.spec.pool) if model.node_of[x] in staged_on(model, job)}
    return lane in near or not near


def staged_on(model: Reference, job: JobFacts) -> set[str]:
    """The nodes that have a job's slide."""
    return model.staged.get(job.spec.slide, set())


def compare(model: Reference, state: State) -> None:
    """Raise what the core has otherwise."""
    idle = {lane for pool in state.pools.values() for lane in pool.idle}
    same("lanes", [sorted(model.lanes), model.idle()], [sorted(state.lanes), idle])
    pools = {lane: model.pool_of[lane] for lane in model.lanes}
    same("sites", pools, {lane: site.pool for lane, site in state.sites.items()})
    closing = [model.closing, model.drained_nodes]
    same("closing", closing, [list(state.closing), list(state.drained_nodes)])
    staged = {slide: set(nodes) for slide, nodes in state.staged.items()}
    same("staged", {slide: nodes for slide, nodes in model.staged.items() if nodes}, staged)
    known = [pool for pool in state.pools.values() if pool.is_known]
    told = {pool.name: (pool.wanted, pool.room, pool.lacks) for pool in known}
    same("lanes counted", model.counted, (state.lanes_wanted, state.lanes_room, told))
