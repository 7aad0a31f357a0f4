"""Faults seen in systems that answer the same brief: none of them may come back."""

from __future__ import annotations

import pytest

from raysched.core.events import JobCancelRequested, RunFailed, SchedulerStarted, TimePassed
from raysched.core.invariants import check
from raysched.core.limits import Limits
from raysched.core.model import Failure, JobId, JobState, UserId
from raysched.errors import LimitReached, NotFound
from raysched.testing import FakeCluster, job


def cluster(lanes: int = 4, **limits: float) -> FakeCluster:
    return FakeCluster(Limits(**limits), lanes=lanes, after_event=check)  # type: ignore[arg-type]


def test_two_tenants_branches_of_one_name_do_not_wait_for_each_other() -> None:
    c = cluster()
    c.submit("ann", job("a", "main"))
    c.submit("bob", job("b", "main"))
    assert (c.view("a").started_at, c.view("b").started_at) == (0.0, 0.0)


def test_two_queued_jobs_of_a_branch_do_not_start_together() -> None:
    c = cluster(lanes=0)
    c.submit("ann", job("a"), job("b"))
    for number in range(4):
        c.lanes = number
        c.restart()
    begun = [name for name in "ab" if c.view(name).state is not JobState.WAITING]
    assert begun == ["a"]


def test_children_of_a_failed_parent_do_not_wait_for_ever() -> None:
    c = cluster(max_retries=0)
    c.submit("ann", job("parent", "x"), job("child", "y", after=["parent"]))
    (run,) = c.core.runs()
    c.tell(RunFailed(1.0, run, 1.0, Failure("boom", "it broke", "fix it"), True))
    assert c.view("child").state is JobState.SKIPPED


def test_a_worker_that_dies_does_not_leave_its_job_running_for_ever() -> None:
    c = cluster(lanes=1)
    c.submit("ann", job("a"))
    c.lose_lane("lane-0")
    assert c.view("a").explanation.sentence.startswith("waiting for a lane")
    c.restart()
    c.run()
    assert c.view("a").state is JobState.SUCCEEDED


def test_the_head_of_the_queue_is_not_queued_again_on_each_tick() -> None:
    c = cluster(max_active_users=1)
    for user in ("ann", "bob", "cyd"):
        c.submit(user, job(f"of {user}"))
    for at in range(10):
        c.tell(TimePassed(float(at) / 100))
        c.submit("bob", job(f"more of bob {at}"))
    assert list(c.core.state.queue.items()) == [("bob", 0.0), ("cyd", 0.0)]


def test_a_user_is_not_released_after_a_timeout_while_a_job_runs() -> None:
    c = cluster(max_active_users=1, slot_tenure_s=5)
    c.submit("ann", job("a"))
    c.submit("bob", job("b"))
    c.tell(TimePassed(1000.0))  # the plan of a has not reported
    assert list(c.core.state.slots) == ["ann"]
    assert c.view("b").started_at is None


def test_dependencies_that_point_forward_are_kept() -> None:
    c = cluster()
    c.submit("ann", job("second", "x", after=["first"]), job("first", "y"))
    c.run()
    assert c.view("second").started_at == c.view("first").ended_at


def test_nobody_clears_the_jobs_of_another() -> None:
    c = cluster()
    c.submit("ann", job("a"))
    with pytest.raises(NotFound):
        c.tell(JobCancelRequested(0.0, UserId("bob"), JobId("a")))
    assert c.view("a").state is JobState.PLANNING


@pytest.mark.xfail(
    strict=True, raises=LimitReached, reason="a retry is held to max_jobs_per_workflow"
)
def test_a_job_can_be_retried_after_the_limit_on_the_size_of_new_workflows_was_lowered() -> None:
    c = cluster(max_jobs_per_workflow=2, max_retries=0)
    c.submit("ann", job("a"), job("b"))
    (run,) = c.core.runs()
    c.tell(RunFailed(1.0, run, 1.0, Failure("boom", "it broke", "fix it"), True))
    c.tell(SchedulerStarted(1.0, 2, Limits(max_jobs_per_workflow=1)))
    c.retry("a")
    assert [c.view(name).state for name in "ab"] == [JobState.WAITING, JobState.WAITING]
