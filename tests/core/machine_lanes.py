"""What becomes of lanes in random lives: they come, close and go; part of ``test_machine``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule
from reference_lanes import is_served

from raysched.core.events import (
    LaneClosing,
    LaneLost,
    LaneOpened,
    LanesCounted,
    NodeDrained,
    NodeResumed,
)
from raysched.core.model import MAIN, LaneId, NodeId, PoolCount, PoolName, UserId

GPU = PoolName("gpu")
LANES = tuple(LaneId(f"lane{number}") for number in range(4))
NODES = (NodeId("here"), NodeId("there"))
TO_BE_MET = {
    *(f"{kind} {how}" for kind in ("LaneClosing", "LaneLost") for how in (True, False)),
    *(f"{kind} {how}" for kind in ("NodeDrained", "NodeResumed") for how in (True, False)),
    "a lane closes with a run in it",
    "a lane of a pool opens",
    "work waits for a lane of its pool beside idle ones",
    "work waits for a pool that nobody serves",
    "work waits while all lanes close",
}


class Lanes:
    """Rules of a life; what it tells is judged there."""

    model: Any
    met: Any
    tell: Callable[..., bool]
    clock: Callable[..., float]
    forget_flights: Callable[..., None]
    has_pools: bool

    def open(self, lanes: Sequence[LaneId]) -> None:
        """Every other lane is of another pool, in lives that have pools."""
        for lane in lanes:
            pool = GPU if self.has_pools and LANES.index(lane) % 2 else MAIN
            opened = LaneOpened(self.clock(), lane, NODES[LANES.index(lane) // 2], pool)
            self.met["a lane of a pool opens"] += self.tell(opened) and pool != MAIN

    @rule(lost=st.sets(st.sampled_from(LANES)), lanes=st.sampled_from((0, 1, 2, 3, 4, 4)))
    def lanes_come_and_go(self, lost: set[LaneId], lanes: int) -> None:
        """A node dies with several lanes at once, then the pools are sized anew."""
        at = self.clock()
        for lane in sorted(lost) + list(LANES[lanes:]):
            self.forget_flights(lane)
            self.tell(LaneLost(at, lane, "gone"))
        self.open(LANES[:lanes])
        self.tell(LanesCounted(at, 4, lanes))
        if self.has_pools:
            gpu = PoolCount(GPU, 2, 0, "1 GPU") if lanes else PoolCount(GPU, 0, 0)  # keeps none
            self.tell(LanesCounted(at, 4, lanes, (PoolCount(MAIN, 2, lanes), gpu)))
            waits = any(turns[GPU].ready for turns in self.model.branches.values())
            self.met["work waits for a pool that nobody serves"] += waits and not is_served(
                self.model, GPU
            )

    @rule(lanes=st.sets(st.sampled_from(LANES), min_size=1, max_size=2))
    def lanes_close(self, lanes: set[LaneId]) -> None:
        """Those of a node that is drained, at work or not."""
        for lane in sorted(lanes):
            busy = any(run.lane == lane for run in self.model.runs.values())
            closes = self.tell(LaneClosing(self.clock(), lane, "drained"))
            self.met["a lane closes with a run in it"] += closes and busy
        waits = any(map(self.model.has_unit, self.model.open()))
        all_close = bool(self.model.lanes) and set(self.model.closing) == set(self.model.lanes)
        self.met["work waits while all lanes close"] += waits and all_close

    @precondition(lambda self: self.model.closing)
    @rule()
    def a_lane_that_is_to_go_is_given_back(self) -> None:
        still = [run.lane for run in self.model.runs.values()]
        for lane in [lane for lane in self.model.closing if lane not in still]:
            self.tell(LaneLost(self.clock(), LaneId(lane), "given back"))

    @rule(node=st.sampled_from(NODES), drained=st.booleans())
    def a_node_is_drained_or_resumed(self, node: NodeId, drained: bool) -> None:
        told = NodeDrained if drained else NodeResumed
        for _ in range(2):  # the operator says so twice
            self.tell(told(self.clock(), UserId("local"), node))

    def waits_beside_idle(self) -> bool:
        """Whether lanes of one pool are idle while work of the other could go, had it a lane."""
        ready = {pool for pool, turns in self.model.users.items() if turns.ready}
        return bool(self.model.idle()) and any(not self.model.idle(pool) for pool in ready)
