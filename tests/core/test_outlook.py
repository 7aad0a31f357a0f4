"""The view of everything, and what would become of a submission: computed from the state alone."""

from __future__ import annotations

import pytest

from raysched.core.events import UserWeighted, WorkflowSubmitted
from raysched.core.limits import Limits
from raysched.core.model import JobSpec, UserId, WorkflowId
from raysched.core.outlook import JobCost, Outlook, outlook
from raysched.core.overview import overview
from raysched.errors import InvalidWorkflow, LimitReached
from raysched.testing import FakeCluster, job

TWO_CHUNKS = JobCost(plan_s=1.0, segment_s=8.0, assemble_s=2.0, publish_s=1.0, chunks=2)


def asked(cluster: FakeCluster, *jobs: JobSpec, user: str = "ann") -> Outlook:
    event = WorkflowSubmitted(cluster.now, UserId(user), "new", WorkflowId("new"), "new", jobs)
    before = cluster.core.revision
    found = outlook(cluster.core.state, event, [TWO_CHUNKS] * len(jobs), cluster.now)
    assert cluster.core.revision == before
    return found


def test_with_all_lanes_idle_it_begins_now_and_ends_when_the_stages_are_done() -> None:
    found = asked(FakeCluster(lanes=2), job("a"))
    assert found == Outlook(0.0, 1 + 4 + 2 + 1, 2.0, 2, 1.0, None, 0.0)
    assert asked(FakeCluster(lanes=1), job("a")).ends_in_s == 12.0


def test_jobs_of_a_branch_follow_each_other_and_branches_share_the_lanes() -> None:
    cluster = FakeCluster(lanes=2)
    assert asked(cluster, job("a"), job("b")).ends_in_s == 16.0
    assert asked(cluster, job("a", "one"), job("b", "two")).ends_in_s == 12.0
    chained = asked(cluster, job("b", "two", after=["a"]), job("a", "one"))
    assert chained.ends_in_s == 24.0


def test_ones_own_unfinished_jobs_come_first() -> None:
    cluster = FakeCluster(lanes=2)
    cluster.submit("ann", job("old"))
    found = asked(cluster, job("a"))
    assert found.backlog_s == TWO_CHUNKS.lane_s  # it has no plan yet
    assert found.starts_in_s == pytest.approx(12 / 2)
    assert found.ends_in_s == pytest.approx(12 / 2 + 8)


def test_a_user_among_others_has_the_lanes_of_their_weight() -> None:
    cluster = FakeCluster(lanes=3)
    cluster.submit("bob", job("b"))
    cluster.tell(UserWeighted(cluster.now, UserId("ann"), 2.0))
    found = asked(cluster, job("a"))
    assert (found.share, found.lanes) == (pytest.approx(2 / 3), pytest.approx(2.0))


def test_without_a_slot_the_wait_for_one_comes_first() -> None:
    limits = Limits(max_active_users=1, slot_tenure_s=100.0)
    cluster = FakeCluster(limits, lanes=1, chunks=lambda _: (1,) * 500)
    cluster.submit("bob", job("b"))
    cluster.submit("cat", job("c"))
    found = asked(cluster, job("a"))
    assert found.queue_rank == 2
    assert found.starts_in_s is not None
    assert found.starts_in_s >= 200.0
    held = FakeCluster(Limits(max_active_users=1, slot_tenure_s=0.0), lanes=1)
    held.submit("bob", job("b"))
    assert asked(held, job("a")).starts_in_s is None


def test_without_a_lane_no_time_is_told() -> None:
    found = asked(FakeCluster(lanes=0), job("a"))
    assert (found.starts_in_s, found.ends_in_s, found.lanes) == (None, None, 0.0)


def test_what_submitting_refuses_is_refused() -> None:
    cluster = FakeCluster(Limits(max_jobs_per_user=1))
    with pytest.raises(LimitReached):
        asked(cluster, job("a"), job("b"))
    with pytest.raises(InvalidWorkflow):
        asked(cluster, job("a", after=["a"]))


def test_the_view_shows_who_has_what_and_cuts_lists_not_numbers() -> None:
    cluster = FakeCluster(Limits(max_active_users=2, slot_tenure_s=600.0), lanes=2)
    for name in ("ann", "bob", "cat", "dan"):
        cluster.submit(name, *(job(f"{name}{number}") for number in range(3)))
    seen = overview(cluster.core.state, 10)
    assert [(each.user, each.queue_rank) for each in seen.users] == [
        *(("ann", None), ("bob", None), ("cat", 1), ("dan", 2))
    ]
    ann = seen.users[0]
    assert (ann.slot_since, ann.jobs_open, ann.jobs_running) == (0.0, 3, 1)
    assert (ann.share, ann.share_used, ann.lanes) == (0.5, 0.5, 1)
    assert [(each.user, each.jobs_open, each.head) for each in seen.branches] == [
        (name, 3, f"{name}0") for name in ("ann", "bob", "cat", "dan")
    ]
    works = [each.run for each in seen.lanes]
    assert [work and (work.user, work.job, work.stage.value) for work in works] == [
        *(("bob", "bob0", "plan"), ("ann", "ann0", "plan"))
    ]
    assert (seen.slots_held, seen.users_queued, seen.users_busy) == (2, 2, 4)
    assert (seen.jobs_open, seen.jobs_running, seen.branches_open) == (12, 2, 4)
    cut = overview(cluster.core.state, 1)
    assert (len(cut.users), len(cut.branches), len(cut.lanes)) == (1, 1, 1)
    assert (cut.users_busy, cut.branches_open, cut.lanes_open) == (4, 4, 2)


def test_an_idle_scheduler_has_idle_lanes_and_nobody() -> None:
    seen = overview(FakeCluster(lanes=2).core.state, 10)
    assert [each.run for each in seen.lanes] == [None, None]
    assert (seen.users, seen.branches, seen.jobs_open) == ((), (), 0)
