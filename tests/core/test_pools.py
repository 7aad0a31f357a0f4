"""Lanes of several shapes: work runs in those of its own pool, and waits for no other's."""

from __future__ import annotations

import pytest
from world import cluster, states

from raysched.core.demand import is_waited_for
from raysched.core.events import ClusterPaused, LaneOpened, LanesCounted
from raysched.core.model import LOCAL_USER, MAIN, SOMEWHERE, LaneId, PoolCount, PoolName, Reason
from raysched.testing import FakeCluster, job

GPU = PoolName("gpu")
FAST = LaneId("fast")


def with_gpu(c: FakeCluster, lane: LaneId = FAST) -> FakeCluster:
    """One lane more, of the pool gpu."""
    c.tell(LaneOpened(c.now, lane, SOMEWHERE, GPU))
    return c


def lanes_of(c: FakeCluster, name: str) -> set[str]:
    return {each.lane for each in c.started if each.unit.job == name}


def seconds_by(c: FakeCluster, pool: PoolName) -> dict[str, int]:
    """Chunks of each job in the lanes of a pool, so far."""
    found: dict[str, int] = {}
    for each in c.started:
        if c.core.state.sites[each.lane].pool == pool:
            found[each.unit.job] = found.get(each.unit.job, 0) + 1
    return found


def test_all_units_of_a_job_run_in_lanes_of_its_pool() -> None:
    c = with_gpu(cluster(lanes=2))
    c.submit("ann", job("plain"), job("deep", "y", pool=GPU))
    c.run()
    assert states(c) == {"plain": "succeeded", "deep": "succeeded"}
    assert (lanes_of(c, "deep"), lanes_of(c, "plain")) == ({FAST}, {"lane-0", "lane-1"})


def test_work_of_one_pool_waits_while_lanes_of_another_are_idle_and_says_for_which() -> None:
    c = with_gpu(cluster(lanes=2))
    c.submit("ann", job("first", pool=GPU))
    c.submit("bob", job("second", pool=GPU), job("third", "y", pool=GPU))
    c.run(0.5)
    told = c.view("second").explanation
    assert told.reason is Reason.WAITING_FOR_LANE
    assert told.sentence == "next to go: waiting for the lane of pool gpu to finish its chunk"
    assert c.view("third").explanation.sentence == (
        "waiting for its turn at 1 lane of pool gpu: 2nd to go, after 1 branch of your own"
    )
    assert len(c.core.state.pools[MAIN].idle) == 2
    c.run()
    assert set(states(c).values()) == {"succeeded"}


def test_a_branch_may_go_on_in_another_pool_when_its_head_ends() -> None:
    c = with_gpu(cluster(lanes=1))
    c.submit("ann", job("deep", pool=GPU), job("plain"), job("deep again", pool=GPU))
    c.run()
    assert set(states(c).values()) == {"succeeded"}
    assert (lanes_of(c, "plain"), lanes_of(c, "deep again")) == ({"lane-0"}, {FAST})


def test_a_branch_does_not_stay_in_turn_in_the_pool_of_a_job_that_was_cancelled() -> None:
    c = with_gpu(cluster(lanes=1))
    c.submit("bob", job("giant"), job("deep giant", "y", pool=GPU))
    c.submit("ann", job("deep", pool=GPU))
    c.submit("ann", job("plain"))
    c.cancel("deep")
    c.run(1.2)
    assert lanes_of(c, "plain") <= {"lane-0"}
    c.run()
    assert (lanes_of(c, "deep"), lanes_of(c, "plain")) == (set(), {"lane-0"})


def test_a_users_share_of_one_pool_does_not_depend_on_what_they_use_of_another() -> None:
    """Were seconds of all pools added up, cyd would get no lane of the gpu pool for as long as
    their many cheap lanes are ahead; and a newcomer would begin where those of the slow pool are,
    and have all lanes of the fast one."""
    c = with_gpu(cluster(lanes=8, max_running_jobs=9))
    c.chunks = lambda _: (1,) * 2000
    c.submit("ann", job("ann deep", pool=GPU))
    c.submit("cyd", job("cyd plain"))
    c.run(100)
    c.submit("cyd", job("cyd deep", "y", pool=GPU))
    c.submit("bob", job("bob plain"))
    begun = len(c.started)
    c.run(40)
    c.started = c.started[begun:]
    deep, plain = seconds_by(c, GPU), seconds_by(c, MAIN)
    assert deep["cyd deep"] == pytest.approx(deep["ann deep"], abs=2)
    assert plain["bob plain"] == pytest.approx(plain["cyd plain"], abs=8)


def test_the_cap_and_who_is_parked_are_of_each_pool() -> None:
    c = with_gpu(cluster(lanes=2, max_running_jobs=1))
    c.submit("ann", job("giant"), job("deep giant", "y", pool=GPU))
    c.run(3)
    c.submit("bob", job("tiny"), job("deep tiny", "y", pool=GPU))
    assert {len(pool.running) for pool in c.core.state.pools.values()} == {1}
    assert c.core.state.jobs_running() == 2
    c.run()
    assert set(states(c).values()) == {"succeeded"}


def test_whoever_waits_is_told_which_resource_no_node_has() -> None:
    c = cluster(lanes=2)
    counts = (PoolCount(MAIN, 2, 2), PoolCount(GPU, 1, 0, "1 GPU"))
    c.tell(LanesCounted(c.now, 3, 2, counts))
    c.submit("ann", job("deep", pool=GPU))
    told = c.view("deep").explanation
    assert told.reason is Reason.WAITING_FOR_LANE
    assert told.sentence == (
        "waiting for a lane of pool gpu: each takes 1 GPU, which no node has; where no autoscaler "
        "starts one that has it, the operator can add it, or make the lanes smaller"
    )


def test_whoever_waits_is_told_when_the_pool_was_taken_away() -> None:
    c = cluster(lanes=2)
    c.tell(LanesCounted(c.now, 2, 2))
    c.submit("ann", job("deep", pool=GPU))
    assert c.view("deep").explanation.sentence == (
        "waiting for a lane of pool gpu: there is no such pool any more; the operator can set it "
        "up again, or cancel this"
    )


def test_a_pool_that_keeps_no_lane_is_not_taken_for_one_that_was_taken_away() -> None:
    c = cluster(lanes=2)
    none_kept = (PoolCount(MAIN, 2, 2), PoolCount(GPU, 0, 0))
    c.tell(LanesCounted(c.now, 2, 2))
    revision = c.core.revision
    c.tell(LanesCounted(c.now, 2, 2, none_kept))
    assert c.core.revision == revision + 1
    assert not is_waited_for(c.core.state, GPU)
    c.submit("ann", job("deep", pool=GPU))
    assert c.view("deep").explanation.sentence == (
        "waiting for a lane of pool gpu: none is kept while nobody needs it; one is asked for"
    )
    assert list(c.core.state.slots) == []
    assert is_waited_for(c.core.state, GPU)
    c.tell(LanesCounted(c.now, 3, 2, (none_kept[0], PoolCount(GPU, 1, 0, "1 GPU"))))
    assert is_waited_for(c.core.state, GPU)
    with_gpu(c)
    c.run()
    assert states(c) == {"deep": "succeeded"}
    assert not is_waited_for(c.core.state, GPU)


def test_what_a_pause_keeps_back_asks_for_no_lane() -> None:
    c = cluster(lanes=2)
    c.tell(LanesCounted(c.now, 2, 2, (PoolCount(MAIN, 2, 2), PoolCount(GPU, 0, 0))))
    c.submit("ann", job("deep", pool=GPU))
    c.tell(ClusterPaused(c.now, LOCAL_USER))
    assert not is_waited_for(c.core.state, GPU)


def test_whoever_waits_for_lanes_that_cannot_come_holds_no_slot() -> None:
    """A slot would be kept from those whose lanes are idle, until a node of that kind comes."""
    c = cluster(lanes=1, max_active_users=1)
    c.submit("ann", job("deep", pool=GPU))
    assert list(c.core.state.slots) == ["ann"]
    counts = (PoolCount(MAIN, 1, 1), PoolCount(GPU, 1, 0, "1 GPU"))
    c.tell(LanesCounted(c.now, 2, 1, counts))
    assert list(c.core.state.slots) == []
    c.submit("bob", job("plain"))
    assert list(c.core.state.slots) == ["bob"]
    c.run()
    assert states(c) == {"deep": "waiting", "plain": "succeeded"}
    assert "no node has" in c.view("deep").explanation.sentence
    with_gpu(c)
    assert list(c.core.state.slots) == ["ann"]
    c.lose_lane(FAST)
    assert list(c.core.state.slots) == []
    c.tell(LanesCounted(c.now, 2, 2, (counts[0], PoolCount(GPU, 1, 1))))
    assert list(c.core.state.slots) == ["ann"]
    c.restart()
    assert list(c.core.state.slots) == ["ann"]
    with_gpu(c)
    c.run()
    assert states(c) == {"deep": "succeeded", "plain": "succeeded"}


def test_only_numbers_that_have_changed_are_news_also_of_a_pool() -> None:
    c = cluster(lanes=2)
    counts = (PoolCount(MAIN, 2, 2), PoolCount(GPU, 1, 0, "1 GPU"))
    c.tell(LanesCounted(c.now, 3, 2, counts))
    revision = c.core.revision
    c.tell(LanesCounted(c.now, 3, 2, counts))
    assert c.core.revision == revision
    c.tell(LanesCounted(c.now, 3, 2, (counts[0], PoolCount(GPU, 1, 0, "2 GPU"))))
    assert c.core.revision == revision + 1


def test_a_replay_by_decisions_gives_the_same_state_with_pools() -> None:
    c = with_gpu(with_gpu(cluster(lanes=2, max_running_jobs=1)), LaneId("fast too"))
    c.chunks = lambda _: (1, 3) * 5
    c.submit("ann", job("giant"), job("deep giant", "y", pool=GPU))
    c.run(3)
    c.submit("bob", job("tiny"), job("deep tiny", "y", pool=GPU))
    c.run()
    assert any(len(decision.parking) > 1 for decision in c.decisions)
    again = type(c.core)(c.limits)
    for event, decision in zip(c.history, c.decisions, strict=True):
        again.handle(event, decision)
    assert again.state == c.core.state
