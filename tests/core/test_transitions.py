"""The transition table: every edge can be taken, every other move raises and changes nothing."""

from __future__ import annotations

import itertools

import pytest

from raysched.core.events import MppMissed, RunFailed, RunStopped, SchedulerStarted, SlidePlanned
from raysched.core.invariants import check
from raysched.core.limits import Limits
from raysched.core.model import (
    BranchName,
    Failure,
    JobId,
    JobSpec,
    JobState,
    PlanFacts,
    RunId,
    Stage,
    UserId,
    WorkflowId,
)
from raysched.core.state import Job
from raysched.core.transitions import TABLE, Cause, diagram, move
from raysched.errors import IllegalMove
from raysched.testing import FakeCluster, job

S = JobState
AT_WORK = (S.PLANNING, S.SEGMENTING, S.ASSEMBLING, S.PUBLISHING)


def a_job(state: JobState) -> Job:
    spec = JobSpec(JobId("a"), BranchName("x"), "k", "{}")
    return Job(spec, UserId("ann"), WorkflowId("w"), 1, 0.0, state=state)


def cluster_at(state: JobState, max_retries: int = 2) -> FakeCluster:
    """A cluster whose job ``a`` (followed by ``b``) is in the given state with a run in flight."""
    c = FakeCluster(Limits(max_retries=max_retries), lanes=1, after_event=check)
    c.submit("ann", job("a"), job("b"))
    while c.view("a").state is not state:
        assert c.tick()
    return c


def in_flight(c: FakeCluster) -> RunId:
    return next(iter(c.core.runs()))


def fail(c: FakeCluster) -> None:
    c.tell(RunFailed(c.now, in_flight(c), 1.0, Failure("boom", "it broke", "fix it"), True))


@pytest.mark.parametrize(("state", "cause"), list(itertools.product(JobState, Cause)))
def test_a_job_moves_along_edges_of_the_table_only(state: JobState, cause: Cause) -> None:
    moved = a_job(state)
    if (state, cause) in TABLE:
        move(moved, cause)
        assert moved == a_job(TABLE[state, cause][0])
    else:
        with pytest.raises(IllegalMove, match=f"Job a is {state} and has no move for {cause}"):
            move(moved, cause)
        assert moved == a_job(state)


def test_every_state_but_waiting_is_entered_by_an_edge_and_success_and_cancel_absorb() -> None:
    assert {target for target, _ in TABLE.values()} == set(JobState)
    left = {source for source, _ in TABLE}
    assert set(JobState) - left == {S.SUCCEEDED, S.CANCELLED}
    assert {cause for _, cause in TABLE} == set(Cause)


def test_each_edge_has_a_reason_and_the_diagram_shows_it() -> None:
    drawn = diagram()
    assert drawn.startswith("stateDiagram-v2\n    [*] --> waiting: submitted\n")
    for (source, cause), (target, reason) in TABLE.items():
        assert reason
        (line,) = [x for x in drawn.splitlines() if x.startswith(f"    {source} --> {target}: ")]
        assert cause.value.replace("_", " ") in line


# --- every edge is taken by some events: those of a job that goes well are in test_rules ----------


@pytest.mark.parametrize("state", AT_WORK)
def test_work_that_fails_waits_for_a_retry_and_then_waits_for_its_turn(state: JobState) -> None:
    c = cluster_at(state)
    fail(c)
    assert c.view("a").state is S.RETRY_WAITING
    c.lose_lane("lane-0")
    c.run()
    assert c.view("a").state is S.WAITING


@pytest.mark.parametrize("state", AT_WORK)
def test_work_that_fails_for_good_is_failed_and_skips_then_a_retry_revives(state: JobState) -> None:
    c = cluster_at(state, max_retries=0)
    fail(c)
    assert (c.view("a").state, c.view("b").state) == (S.FAILED, S.SKIPPED)
    c.lose_lane("lane-0")
    c.retry("a")
    assert (c.view("a").state, c.view("b").state) == (S.WAITING, S.WAITING)


@pytest.mark.parametrize("state", AT_WORK)
def test_work_that_is_cancelled_in_flight_is_cancelled_when_it_has_stopped(state: JobState) -> None:
    c = cluster_at(state)
    c.cancel("a")
    assert c.view("a").state is S.CANCELLING
    c.tell(RunStopped(c.now, in_flight(c), 0.1))
    assert c.view("a").state is S.CANCELLED


@pytest.mark.parametrize("state", AT_WORK)
def test_work_that_is_cancelled_while_nothing_is_in_flight_is_cancelled_at_once(
    state: JobState,
) -> None:
    c = cluster_at(state)
    c.lose_lane("lane-0")
    assert c.view("a").state is state
    assert c.cancel("a") == []
    assert c.view("a").state is S.CANCELLED


@pytest.mark.parametrize("state", AT_WORK)
def test_a_cancel_that_a_restart_interrupts_is_done(state: JobState) -> None:
    c = cluster_at(state)
    c.cancel("a")
    c.restart()
    assert (c.view("a").state, c.view("b").state) == (S.CANCELLED, S.SKIPPED)


@pytest.mark.parametrize("state", AT_WORK)
def test_a_failure_that_a_restart_interrupts_is_carried_out(state: JobState) -> None:
    c = FakeCluster(Limits(max_retries=0), lanes=2, after_event=check)
    c.submit("ann", job("a"), job("b"))
    while c.view("a").state is not state:
        assert c.tick()
    fail(c)
    c.restart()
    assert (c.view("a").state, c.view("b").state) == (S.FAILED, S.SKIPPED)


def test_waiting_for_an_answer_and_for_a_retry_can_be_cancelled() -> None:
    c = cluster_at(S.PLANNING)
    c.tell(MppMissed(c.now, in_flight(c), "how large is a pixel?"))
    assert c.view("a").state is S.NEEDS_MPP
    c.cancel("a")
    assert (c.view("a").state, c.view("a").question) == (S.CANCELLED, None)
    c = cluster_at(S.PLANNING)
    fail(c)
    c.cancel("a")
    assert c.view("a").state is S.CANCELLED


def test_a_plan_whose_chunks_are_all_done_goes_on_to_assemble() -> None:
    c = cluster_at(S.ASSEMBLING)
    fail(c)
    while c.view("a").state is not S.ASSEMBLING:
        assert c.tick()
    stages = [command.unit.stage for command in c.started]
    assert stages.count(Stage.SEGMENT) == 3
    assert c.view("a").attempt == 2


def test_a_new_plan_that_differs_begins_from_nothing() -> None:
    c = cluster_at(S.ASSEMBLING)
    fail(c)
    while c.view("a").state is not S.PLANNING:
        assert c.tick()
    c.tell(SlidePlanned(c.now, in_flight(c), 1.0, PlanFacts("another plan", (2, 2))))
    view = c.view("a")
    assert (view.chunks_done, view.chunks_total, view.tiles_total, view.cells) == (0, 2, 4, 0)


@pytest.mark.parametrize("state", [S.SEGMENTING, S.ASSEMBLING, S.PUBLISHING])
def test_a_report_of_another_stage_raises_and_changes_nothing(state: JobState) -> None:
    c = cluster_at(state)
    before = repr(c.core.state)
    with pytest.raises(IllegalMove, match="got a MppMissed"):
        c.tell(MppMissed(c.now, in_flight(c), "how large?"))
    assert repr(c.core.state) == before


def test_an_epoch_that_does_not_grow_is_refused() -> None:
    c = cluster_at(S.PLANNING)
    before = repr(c.core.state)
    with pytest.raises(IllegalMove, match="Epoch 1 does not follow epoch 1"):
        c.tell(SchedulerStarted(c.now, 1))
    assert repr(c.core.state) == before
