"""The picture of the queue: who holds slots, who waits, what each has."""

from __future__ import annotations

from raysched.core.events import ClusterPaused, UserWeighted
from raysched.core.limits import Limits
from raysched.core.model import LOCAL_USER, UserId
from raysched.core.overview import overview
from raysched.core.picture import Holder, Picture, Stake, Waiter, picture
from raysched.testing import FakeCluster, job

ANN, BOB, CID = UserId("ann"), UserId("bob"), UserId("cid")


def seen(c: FakeCluster) -> Picture:
    return picture(c.core.state, c.now)


def test_it_shows_holders_with_their_lanes_and_waiters_in_the_order_of_the_queue() -> None:
    c = FakeCluster(Limits(max_active_users=1), lanes=2)
    c.submit("ann", job("a1"), job("a2", "b"))
    c.now = 5.0
    c.submit("cid", job("c"))
    c.submit("bob", job("b"))
    found = seen(c)
    assert found.held == (Holder(ANN, 0.0, parked=False, lanes=2, jobs_running=2),)
    assert found.waiting == (Waiter(CID, 5.0), Waiter(BOB, 5.0))
    assert [found.rank_of(name) for name in (ANN, BOB, CID)] == [None, 2, 1]
    assert (found.share_used_by(ANN), found.share_used_by(BOB)) == (1.0, 0.0)
    assert found.stakes == {ANN: Stake(2, 1.0), BOB: Stake(1, 1.0), CID: Stake(1, 1.0)}


def test_shares_follow_weights_and_who_has_no_slot_is_told_what_one_would_bring() -> None:
    c = FakeCluster(Limits(max_active_users=1), lanes=1)
    c.tell(UserWeighted(0.0, CID, 3.0))
    c.submit("ann", job("a"))
    found = seen(c)
    assert (found.share_of(ANN), found.share_of(BOB), found.share_of(CID)) == (1.0, 0.5, 0.75)


def test_who_has_used_up_the_tenure_while_others_wait_is_parked() -> None:
    c = FakeCluster(Limits(max_active_users=1, slot_tenure_s=10), lanes=1, chunks=lambda _: (100,))
    c.submit("ann", job("a"))
    c.submit("bob", job("b"))
    c.run(15)
    assert [(each.user, each.parked) for each in seen(c).held] == [(ANN, True)]


def test_two_pictures_are_equal_when_they_look_the_same_whenever_they_were_taken() -> None:
    c = FakeCluster(Limits(max_active_users=1), lanes=1)
    c.submit("ann", job("a"))
    first = seen(c)
    c.tick()  # planned; the next unit takes the same lane
    assert seen(c) == first
    assert seen(c).revision > first.revision
    c.tell(ClusterPaused(c.now, LOCAL_USER))
    assert seen(c) != first


def test_its_numbers_are_those_of_the_overview() -> None:
    c = FakeCluster(Limits(max_active_users=2), lanes=3)
    for user in ("ann", "bob", "cid", "dan"):
        c.submit(user, *(job(f"{user}{n}", f"b{n % 2}") for n in range(5)))
    for _ in range(40):
        c.tick()
        of_all, found = overview(c.core.state, 100), seen(c)
        numbers = ("slots", "lanes_open", "lanes_busy", "jobs_open", "jobs_running", "paused_at")
        assert [getattr(found, name) for name in numbers] == [
            getattr(of_all, name) for name in numbers
        ]
        loads = {load.user: load for load in of_all.users}
        for each in found.held:
            load = loads[each.user]
            assert (each.since, each.lanes, each.jobs_running, each.parked) == (
                *(load.slot_since, load.lanes, load.jobs_running, load.parked),
            )
            assert found.share_of(each.user) == load.share
        assert [each.user for each in found.waiting] == [
            load.user for load in of_all.users if load.queue_rank is not None
        ]


def test_every_finished_chunk_shows_its_job_with_what_is_done_by_then() -> None:
    """So that whoever watches needs not ask: each such event is told."""
    c = FakeCluster(lanes=1, chunks=lambda _: (1, 2, 3))
    c.submit("ann", job("a"))
    told = []
    while c.tick():
        assert "a" in c.core.shown.jobs
        view = c.view("a")
        told.append((view.tiles_done, view.cells))
        if 0 < view.tiles_done < 6:
            assert view.eta_s is not None
            assert view.tiles_per_s is not None
    assert [each for each in dict.fromkeys(told) if each[0]] == [(1, 10), (3, 20), (6, 30)]
