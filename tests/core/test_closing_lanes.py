"""A lane that is to go: what runs in it ends and counts, and nothing new starts there."""

from __future__ import annotations

from world import cluster, states

from raysched.core.commands import ReleaseLane
from raysched.core.events import ChunkFinished, LaneOpened, NodeDrained, NodeResumed
from raysched.core.model import LOCAL_USER, LaneId, NodeId, Reason, Stage
from raysched.testing import FakeCluster, job

FIRST, SECOND = LaneId("lane-0"), LaneId("lane-1")


def chunks_in(c: FakeCluster, lane: LaneId) -> list[int]:
    return [
        each.unit.chunk
        for each in c.started
        if each.lane == lane and each.unit.stage is Stage.SEGMENT
    ]


def at_work(lanes: int = 2) -> FakeCluster:
    """A job of ten chunks, with one in each lane."""
    c = cluster(lanes=lanes)
    c.chunks = lambda _: (2,) * 10
    c.submit("ann", job("a"))
    c.run(2)
    assert len(c.core.runs()) == lanes
    return c


def test_a_lane_that_is_idle_is_given_back_at_once_and_gets_nothing() -> None:
    c = cluster(lanes=2)
    assert c.close_lane(SECOND) == [ReleaseLane(SECOND)]
    c.submit("ann", job("a"))
    assert {each.lane for each in c.started} == {FIRST}
    c.run()
    assert (states(c), list(c.core.state.lanes)) == ({"a": "succeeded"}, [FIRST])


def test_what_runs_in_a_closing_lane_ends_and_counts_and_then_the_lane_is_given_back() -> None:
    c = at_work()
    before = len(c.started)
    assert c.close_lane(FIRST) == []
    c.run(0.5)
    assert FIRST in c.core.state.lanes
    c.run()
    assert {each.lane for each in c.started[before:]} == {SECOND}
    assert list(c.core.state.lanes) == [SECOND]
    done = [event for event in c.history if isinstance(event, ChunkFinished)]
    assert (states(c), len(done)) == ({"a": "succeeded"}, 10)
    assert c.core.state.jobs[c.started[0].unit.job].losses == {}


def test_a_closing_lane_that_dies_loses_its_unit_which_runs_again_elsewhere() -> None:
    c = at_work()
    c.close_lane(FIRST)
    (chunk,) = chunks_in(c, FIRST)
    assert c.lose_lane(FIRST) == []
    c.run()
    assert chunk in chunks_in(c, SECOND)
    assert (states(c), c.core.state.closing) == ({"a": "succeeded"}, {})


def test_while_all_lanes_close_whoever_waits_is_told_that_none_is_open() -> None:
    c = at_work()
    c.close_lane(FIRST)
    c.close_lane(SECOND)
    c.submit("bob", job("b"))
    told = c.view("b").explanation
    assert told.reason is Reason.WAITING_FOR_LANE
    assert told.sentence.startswith("waiting for a lane: none is open")
    c.run()
    assert states(c) == {"a": "segmenting", "b": "waiting"}
    c.tell(LaneOpened(c.now, SECOND, NodeId("new")))
    c.run()
    assert states(c) == {"a": "succeeded", "b": "succeeded"}


def test_closing_twice_and_closing_what_is_gone_change_nothing() -> None:
    c = at_work()
    c.close_lane(FIRST)
    revision = c.core.revision
    assert c.close_lane(FIRST) == []
    assert c.close_lane("no lane") == []
    assert c.core.revision == revision


def test_a_new_life_begins_with_the_lanes_that_it_finds() -> None:
    c = at_work()
    c.close_lane(FIRST)
    c.restart()
    assert (c.core.state.closing, len(c.core.runs())) == ({}, 2)


def test_a_drained_node_is_remembered_until_it_is_resumed_also_by_the_next_life() -> None:
    c = cluster()
    node = NodeId("n1")
    c.tell(NodeDrained(5.0, LOCAL_USER, node))
    c.tell(NodeDrained(6.0, LOCAL_USER, node))
    c.restart()
    assert c.core.state.drained_nodes == {node: 5.0}
    c.tell(NodeResumed(7.0, LOCAL_USER, node))
    revision = c.core.revision
    c.tell(NodeResumed(8.0, LOCAL_USER, node))
    assert (c.core.state.drained_nodes, c.core.revision) == ({}, revision)
