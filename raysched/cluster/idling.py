"""Which lanes have had nothing to do for long, so that nodes that nobody needs can go."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from raysched.cluster.groups import Group
from raysched.core.model import LaneId, PoolName
from raysched.core.state import State


class Idling:
    """Remembers since when each lane was idle whenever it was looked at."""

    def __init__(self) -> None:
        self._since: dict[PoolName, dict[LaneId, float]] = {}

    def noted(self, name: PoolName, state: State, now: float) -> dict[LaneId, float]:
        """The lanes of a pool that are idle now, with how long they were, in seconds. The core
        gives work to the one used last: those that nobody needs are never used in between."""
        pool = state.pools.get(name)
        before = self._since.get(name, {})
        idle = pool.idle if pool is not None else {}
        since = self._since[name] = {lane: before.get(lane, now) for lane in idle}
        return {lane: now - at for lane, at in since.items()}


def quietest(lanes: Iterable[LaneId], groups: Mapping[LaneId, Group], home: str) -> list[LaneId]:
    """Lanes in the order in which to give them back: first of nodes with the fewest lanes, so
    that whole nodes get free; last of ``home``, which holds the scheduler and stays."""
    on_node: dict[str, int] = {}
    for group in groups.values():
        on_node[group.node] = on_node.get(group.node, 0) + 1
    known = [lane for lane in lanes if lane in groups]
    nodes = {lane: groups[lane].node for lane in known}
    return sorted(known, key=lambda x: (nodes[x] == home, on_node[nodes[x]], nodes[x]))


def unneeded(
    idle: Mapping[LaneId, float], after_s: float, groups: Mapping[LaneId, Group], home: str
) -> list[LaneId]:
    """Lanes that were idle for long enough (``idle``: how long, in seconds), in the order in which
    to give them back. One that should go after another which is idle, but not for so long, waits
    for that as long again: what the quietest node does now and then keeps no other lane."""
    found, wanted_s = list[LaneId](), after_s
    for lane in quietest(idle, groups, home):
        if idle[lane] >= wanted_s:
            found.append(lane)
        else:
            wanted_s = 2 * after_s
    return found


def lanes_busy(state: State, name: PoolName) -> int:
    """Lanes of a pool in which something runs, but for those that are to go."""
    lanes = (run.lane for run in state.runs.values() if run.lane not in state.closing)
    return sum(state.sites[lane].pool == name for lane in lanes)
