"""Work prefers a lane on a node that has its slide, and waits for none."""

from __future__ import annotations

from dataclasses import replace

from world import cluster, states

from raysched.core.events import LaneLost, LaneOpened
from raysched.core.locality import MOST_SLIDES
from raysched.core.model import JobSpec, LaneId, NodeId
from raysched.testing import FakeCluster, job

NODES = ("left", "right")


def two_nodes(lanes: int = 2) -> FakeCluster:
    """So many lanes on each of two nodes."""
    c = cluster(lanes=0)
    for node in NODES:
        for number in range(lanes):
            c.tell(LaneOpened(c.now, LaneId(f"{node} {number}"), NodeId(node)))
    return c


def of_slide(name: str, slide: str, branch: str = "main") -> JobSpec:
    return replace(job(name, branch), slide=slide)


def nodes_of(c: FakeCluster, name: str) -> list[str]:
    return [each.lane.split()[0] for each in c.started if each.unit.job == name]


def test_chunks_prefer_an_idle_lane_on_a_node_that_has_the_slide() -> None:
    c = two_nodes()
    c.chunks = lambda _: (1,)
    c.submit("ann", of_slide("first", "lung"))
    c.run()
    (home,) = set(nodes_of(c, "first"))
    away = next(node for node in NODES if node != home)
    # the lanes used last are now on the other node
    c.tell(LaneLost(c.now, LaneId(f"{away} 0"), "moved"))
    c.tell(LaneOpened(c.now, LaneId(f"{away} 0"), NodeId(away)))
    c.submit("ann", of_slide("other", "skin"))
    c.run()
    assert set(nodes_of(c, "other")) == {away}
    c.submit("ann", of_slide("again", "lung"))
    c.run()
    assert set(nodes_of(c, "again")) == {home}


def test_no_lane_idles_because_the_slide_is_elsewhere() -> None:
    c = two_nodes()
    c.chunks = lambda _: (1,) * 8
    c.submit("ann", of_slide("first", "lung"))
    c.run(1.5)
    assert len(c.core.runs()) == 4
    c.run()
    assert (states(c), set(nodes_of(c, "first"))) == ({"first": "succeeded"}, set(NODES))


def test_whose_turn_it_is_does_not_depend_on_where_slides_are() -> None:
    c = two_nodes(lanes=1)
    c.chunks = lambda _: (1,) * 50
    c.submit("ann", of_slide("a", "lung"))
    c.submit("bob", of_slide("b", "skin"))
    c.run(60)
    done = {name: c.view(name).chunks_done for name in "ab"}
    assert abs(done["a"] - done["b"]) <= 2


def test_a_node_without_lanes_is_forgotten() -> None:
    c = two_nodes(lanes=1)
    c.submit("ann", of_slide("a", "lung"))
    c.run()
    assert set(c.core.state.staged["lung"]) == {NodeId(node) for node in NODES}
    for node in NODES:
        c.tell(LaneLost(c.now, LaneId(f"{node} 0"), "its node is gone"))
    assert c.core.state.staged == {}


def test_a_node_that_went_while_no_scheduler_lived_is_forgotten_with_the_next_lane() -> None:
    c = two_nodes(lanes=1)
    c.submit("ann", of_slide("a", "lung"))
    c.run()
    c.restart()
    for number in range(2):
        c.tell(LaneOpened(c.now, LaneId(f"left {number}"), NodeId("left")))
    c.tell(LaneLost(c.now, LaneId("left 1"), "given back"))
    assert c.core.state.staged == {"lung": {NodeId("left"): None}}


def test_the_slides_worked_on_last_are_remembered_and_no_more() -> None:
    c = two_nodes(lanes=1)
    c.after_event = lambda _: None
    c.chunks = lambda _: ()
    for number in range(MOST_SLIDES + 5):
        c.submit("ann", of_slide(f"job{number}", f"slide{number}"))
        c.run()
    known = list(c.core.state.staged)
    assert (len(known), known[-1]) == (MOST_SLIDES, f"slide{MOST_SLIDES + 4}")
    assert "slide0" not in known


def test_lanes_of_an_older_journal_are_on_no_known_node_and_work_all_the_same() -> None:
    c = cluster(lanes=2)
    c.submit("ann", of_slide("a", "lung"))
    c.run()
    assert (states(c), c.core.state.staged) == ({"a": "succeeded"}, {})
