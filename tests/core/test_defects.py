"""Faults seen in systems that answer the same brief: none of them may come back."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import pytest

from raysched.core.commands import RunUnit
from raysched.core.events import (
    ChunkFinished,
    Event,
    JobCancelRequested,
    MppMissed,
    RunFailed,
    RunLost,
    SchedulerStarted,
    TimePassed,
    WorkflowSubmitted,
)
from raysched.core.invariants import check
from raysched.core.limits import Limits
from raysched.core.model import MAIN, Failure, JobId, JobState, Stage, UserId, WorkflowId
from raysched.errors import Conflict, NotFound
from raysched.testing import FakeCluster, job

BROKEN = Failure("boom", "it broke", "fix it")


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
    c.tell(RunFailed(1.0, run, 1.0, BROKEN, True))
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
    c.tell(RunFailed(1.0, run, 1.0, BROKEN, True))
    while c.view("later").state is not JobState.SEGMENTING:
        c.tick()
    assert c.core.state.pools[MAIN].idle
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


@pytest.mark.parametrize(
    ("stage", "report"),
    [*product(Stage, ["success", "failure", "loss"]), (Stage.PLAN, "question")],
)
def test_whatever_a_run_reports_after_the_cancel_its_job_is_cancelled(
    stage: Stage, report: str
) -> None:
    c = cluster(lanes=1)
    c.submit("ann", job("a"))
    while c.started[-1].unit.stage is not stage:
        c.tick()
    command, at = c.started[-1], c.now + 1.0
    c.cancel("a")
    reports: dict[str, Event] = {
        "success": c.succeed(command, c.now)[1],
        "failure": RunFailed(at, command.run, 1.0, BROKEN, True),
        "loss": RunLost(at, command.run, "killed"),
        "question": MppMissed(at, command.run, "how large is a pixel?"),
    }
    c.tell(reports[report])
    assert (c.view("a").state, c.view("a").chunks_done) == (
        JobState.CANCELLED,
        0 if stage in (Stage.PLAN, Stage.SEGMENT) else 3,
    )


def test_a_grandchild_of_two_failed_jobs_is_kept_skipped_by_the_one_that_is_not_retried() -> None:
    c = cluster(max_retries=0)

    def answer(command: RunUnit, now: float) -> tuple[float, Event]:
        if command.unit.job in ("p", "q") and command.unit.attempt == 1:
            return 1.0, RunFailed(now + 1, command.run, 1.0, BROKEN, False)
        return c.succeed(command, now)

    c.answer = answer
    c.submit(
        "ann",
        job("p", "v"),
        job("q", "w"),
        job("child", "x", after=["p", "q"]),
        job("grandchild", "y", after=["child"]),
    )
    c.run()
    c.retry("p")
    said = [c.view(name).explanation.sentence for name in ("child", "grandchild")]
    assert [words.split(";")[0] for words in said] == ["skipped because job q failed"] * 2
    c.retry("q")
    c.run()
    assert {view.state for view in c.core.jobs_of(None, c.now)} == {JobState.SUCCEEDED}


def test_ways_that_part_and_meet_again_are_no_cycle() -> None:
    c = cluster()
    c.submit(
        "ann",
        job("top", "v", after=["left", "right"]),
        job("left", "w", after=["bottom"]),
        job("right", "x", after=["bottom"]),
        job("bottom", "y"),
    )
    c.run()
    assert {view.state for view in c.core.jobs_of(None, c.now)} == {JobState.SUCCEEDED}


def test_an_answer_for_the_pixel_size_counts_once() -> None:
    c = cluster(lanes=1)
    c.submit("ann", job("a"))
    (run,) = c.core.runs()
    c.tell(MppMissed(1.0, run, "how large is a pixel?"))
    assert len(c.say_mpp("a", 0.25)) == 1
    before = repr(c.core.state)
    assert c.say_mpp("a", 0.25) == []
    with pytest.raises(Conflict, match="Job a is planning and does not ask for a pixel size"):
        c.say_mpp("a", 0.5)
    assert repr(c.core.state) == before


def test_the_id_of_a_workflow_is_given_once() -> None:
    c = cluster()
    taken = c.submit("ann", job("a"))
    again = WorkflowSubmitted(0.0, UserId("bob"), "key", WorkflowId(taken), "another", (job("b"),))
    with pytest.raises(Conflict, match=f"There is a workflow {taken} already"):
        c.tell(again)
    assert [view.job for view in c.core.jobs_of(None, c.now)] == ["a"]


def test_a_job_can_be_retried_after_the_limit_on_the_size_of_new_workflows_was_lowered() -> None:
    c = cluster(max_jobs_per_workflow=2, max_retries=0)
    c.submit("ann", job("a"), job("b"))
    (run,) = c.core.runs()
    c.tell(RunFailed(1.0, run, 1.0, BROKEN, True))
    c.tell(SchedulerStarted(1.0, 2, Limits(max_jobs_per_workflow=1)))
    c.retry("a")
    assert [c.view(name).state for name in "ab"] == [JobState.WAITING, JobState.WAITING]
