"""Faults seen in systems that answer the same brief: none of them may come back."""

from __future__ import annotations

from dataclasses import replace

import pytest

from raysched.core.events import (
    ChunkFinished,
    JobCancelRequested,
    RunFailed,
    RunLost,
    TimePassed,
)
from raysched.core.invariants import check
from raysched.core.limits import Limits
from raysched.core.model import Failure, JobId, JobState, Stage, UserId
from raysched.errors import NotFound
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
    assert {command.unit.job for command in c.started} == {"a"}
    assert c.view("b").state is JobState.WAITING


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


# --- faults that no system has shown yet, but that the bug zoo keeps ------------------------------


def test_a_revived_job_does_not_start_beside_a_later_one_of_its_branch() -> None:
    c = cluster(lanes=4, max_retries=0)
    c.submit("ann", job("early"))
    c.submit("ann", job("later"))
    (run,) = c.core.runs()
    c.tell(RunFailed(1.0, run, 1.0, Failure("boom", "it broke", "fix it"), True))
    while c.view("later").state is not JobState.SEGMENTING:
        c.tick()
    assert c.core.state.idle
    c.retry("early")
    assert {run.unit.job for run in c.core.runs().values()} == {"later"}
    c.run()
    assert c.view("early").ended_at == (c.view("later").ended_at or 0.0) + 4.0


def test_a_chunk_that_is_lost_runs_again_and_counts_once() -> None:
    c = cluster(lanes=2)
    c.submit("ann", job("a"))
    c.tick()
    lost, _ = c.core.runs().values()
    c.lose_lane(lost.lane)
    c.run(1)
    assert lost.unit in {run.unit for run in c.core.runs().values()}
    late = ChunkFinished(c.now, lost.run, 1.0, 1000, 0, "late")
    assert c.tell(late) == []
    c.run()
    chunks = [command.unit.chunk for command in c.started if command.unit.stage is Stage.SEGMENT]
    assert chunks == [0, 1, 0, 2]
    assert (c.view("a").state, c.view("a").chunks_done) == (JobState.SUCCEEDED, 3)
    assert c.core.state.jobs[JobId("a")].progress.cells == 30  # type: ignore[union-attr]


def test_a_report_that_comes_twice_counts_once() -> None:
    c = cluster(lanes=2)
    c.submit("ann", job("a"))
    c.tick()
    chunk = next(run for run in c.core.runs().values() if run.unit.stage is Stage.SEGMENT)
    report = ChunkFinished(c.now, chunk.run, 1.0, 10, 0, "sum")
    assert len(c.tell(report)) == 1  # the lane takes the next chunk
    assert c.tell(report) == []
    assert (c.view("a").chunks_done, c.view("a").cells) == (1, 10)


def test_a_unit_that_kills_every_worker_does_not_run_for_ever() -> None:
    c = cluster(max_losses_per_unit=3, max_retries=1)
    c.answer = lambda command, now: (1.0, RunLost(now + 1, command.run, "killed"))
    c.submit("ann", job("a"))
    c.run(most=100)
    assert (c.view("a").state, len(c.started)) == (JobState.FAILED, 2 * 4)


def test_no_chunk_starts_after_a_cancel_was_acknowledged() -> None:
    c = cluster(lanes=2)
    c.submit("ann", job("a"))
    c.tick()
    c.cancel("a")
    begun = len(c.started)
    c.run()
    assert (len(c.started), c.view("a").state) == (begun, JobState.CANCELLED)


def test_a_request_that_is_sent_twice_is_one_workflow() -> None:
    c = cluster()
    c.submit("ann", job("a"), key="once")
    c.submit("ann", replace(job("a"), job=JobId("another id")), key="once")
    assert [view.job for view in c.core.jobs_of(None, c.now)] == ["a"]
