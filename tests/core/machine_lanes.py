"""What becomes of lanes in random lives: they come, close and go; part of ``test_machine``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from raysched.core.events import (
    LaneClosing,
    LaneLost,
    LaneOpened,
    LanesCounted,
    NodeDrained,
    NodeResumed,
)
from raysched.core.model import LaneId, NodeId, UserId

LANES = tuple(LaneId(f"lane{number}") for number in range(4))
NODES = (NodeId("here"), NodeId("there"))
TO_BE_MET = {
    *(f"{kind} {how}" for kind in ("LaneClosing", "LaneLost") for how in (True, False)),
    *(f"{kind} {how}" for kind in ("NodeDrained", "NodeResumed") for how in (True, False)),
    "a lane closes with a run in it",
    "work waits while all lanes close",
}


class Lanes:
    """Rules of a life; what it tells is judged there."""

    model: Any
    met: Any
    tell: Callable[..., bool]
    clock: Callable[..., float]
    forget_flights: Callable[..., None]

    @rule(lost=st.sets(st.sampled_from(LANES)), lanes=st.sampled_from((0, 1, 2, 3, 4, 4)))
    def lanes_come_and_go(self, lost: set[LaneId], lanes: int) -> None:
        """A node dies with several lanes at once, then the pool is sized anew."""
        at = self.clock()
        for lane in sorted(lost) + list(LANES[lanes:]):
            self.forget_flights(lane)
            self.tell(LaneLost(at, lane, "gone"))
        for lane in LANES[:lanes]:
            self.tell(LaneOpened(at, lane))
        self.tell(LanesCounted(at, 4, lanes))

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
