"""Whole workflows and all of a user's work are cancelled; what has ended is deleted, for good."""

from __future__ import annotations

import pytest
from world import cluster, failing, states

from raysched.core.commands import RemoveFiles
from raysched.core.events import (
    AllCancelRequested,
    Event,
    FilesRemoved,
    ResultsDeleted,
    SchedulerStarted,
    WorkflowCancelRequested,
    WorkflowDeleted,
)
from raysched.core.model import JobId, UserId, WorkflowId
from raysched.core.scheduler import Scheduler
from raysched.errors import Conflict, NotFound
from raysched.testing import FakeCluster, job

ANN, BOB = UserId("ann"), UserId("bob")


def cancel_workflow(c: FakeCluster, name: str, user: UserId = ANN) -> None:
    c.tell(WorkflowCancelRequested(c.now, user, WorkflowId(name)))


def delete(c: FakeCluster, name: str, user: UserId = ANN) -> None:
    c.tell(WorkflowDeleted(c.now, user, WorkflowId(name)))


def delete_results(c: FakeCluster, name: str, user: UserId = ANN) -> list[RemoveFiles]:
    told = c.tell(ResultsDeleted(c.now, user, JobId(name)))
    return [command for command in told if isinstance(command, RemoveFiles)]


def changed(c: FakeCluster, event: Event) -> bool:
    before = c.core.revision
    c.tell(event)
    return c.core.revision != before


# --- cancel ---------------------------------------------------------------------------------------


def test_a_workflow_is_cancelled_whole_and_no_other_with_it() -> None:
    c = cluster(lanes=1)
    mine = c.submit("ann", job("a"), job("b"), job("c", "y", after=["b"]))
    c.submit("ann", job("d"))
    c.run(1.5)
    started = len(c.started)
    cancel_workflow(c, mine)
    assert states(c) == {"a": "cancelling", "b": "cancelled", "c": "cancelled", "d": "waiting"}
    c.run()
    assert states(c)["a"] == "cancelled"
    assert states(c)["d"] == "succeeded"
    assert {command.unit.job for command in c.started[started:]} == {"d"}


def test_cancelling_a_workflow_twice_is_harmless_and_one_that_has_ended_refuses() -> None:
    c = cluster()
    mine = c.submit("ann", job("a"), job("b", "y"))
    c.run(1.5)
    again = WorkflowCancelRequested(c.now, ANN, mine)
    assert changed(c, again)
    assert not changed(c, again)
    c.run()
    assert not changed(c, again)
    other = c.submit("ann", job("c"))
    c.run()
    with pytest.raises(Conflict, match="have ended already"):
        cancel_workflow(c, other)


def test_all_of_a_users_unfinished_work_is_cancelled_at_once_and_nobody_elses() -> None:
    c = cluster(lanes=1)
    c.submit("ann", job("a"), job("b"))
    c.submit("ann", job("c", "y"))
    c.submit("bob", job("d"))
    c.run(1.5)
    assert changed(c, AllCancelRequested(c.now, ANN))
    assert not changed(c, AllCancelRequested(c.now, ANN))
    c.run()
    assert states(c) == {"a": "cancelled", "b": "cancelled", "c": "cancelled", "d": "succeeded"}
    assert not changed(c, AllCancelRequested(c.now, ANN))
    assert not changed(c, AllCancelRequested(c.now, UserId("nobody yet")))


def test_another_users_workflow_is_not_there() -> None:
    c = cluster()
    mine = c.submit("ann", job("a"))
    with pytest.raises(NotFound, match=f"There is no workflow {mine}"):
        cancel_workflow(c, mine, BOB)
    c.run()
    with pytest.raises(NotFound, match=f"There is no workflow {mine}"):
        delete(c, mine, BOB)
    with pytest.raises(NotFound, match="There is no job a"):
        delete_results(c, "a", BOB)


# --- delete a workflow ----------------------------------------------------------------------------


def test_a_workflow_is_deleted_only_when_all_its_jobs_have_ended() -> None:
    c = cluster(lanes=1)
    mine = c.submit("ann", job("a"), job("b"))
    c.run(1.5)
    with pytest.raises(Conflict, match="2 of its jobs are left"):
        delete(c, mine)
    cancel_workflow(c, mine)
    c.run()
    delete(c, mine)
    assert states(c) == {}
    with pytest.raises(NotFound):
        c.view("a")
    assert c.core.has_deleted(ANN, mine)


def test_the_key_of_a_deleted_workflow_is_known_and_never_starts_work_again() -> None:
    c = cluster()
    mine = c.submit("ann", job("a"), key="key")
    c.run()
    delete(c, mine)
    started = len(c.started)
    with pytest.raises(Conflict, match="was deleted"):
        c.submit("ann", job("again"), key="key")
    assert len(c.started) == started
    c.submit("bob", job("bobs"), key="key")
    assert states(c) == {"bobs": "planning"}


def test_deleting_twice_is_harmless() -> None:
    c = cluster()
    mine = c.submit("ann", job("a"))
    c.run()
    delete(c, mine)
    assert not changed(c, WorkflowDeleted(c.now, ANN, mine))


def test_a_workflow_in_the_archive_is_deleted_by_the_names_found_there() -> None:
    c = cluster(max_ended_jobs_per_user=1)
    old = c.submit("ann", job("a"), key="key")
    for name in "bc":
        c.submit("ann", job(name))
        c.run()
    assert list(states(c)) == ["c"]
    with pytest.raises(NotFound):
        delete(c, old)
    archived = WorkflowDeleted(c.now, ANN, old, "key", (JobId("a"),))
    told = c.tell(archived)
    assert told == [RemoveFiles((JobId("a"),))]
    assert not changed(c, archived)
    with pytest.raises(Conflict, match="was deleted"):
        c.submit("ann", job("again"), key="key")
    assert c.core.has_retired(ANN)  # b is there still


def test_a_key_that_is_not_the_users_deletes_nothing() -> None:
    c = cluster(max_ended_jobs_per_user=1)
    old = c.submit("ann", job("a"), key="key")
    c.submit("ann", job("b"))
    c.run()
    with pytest.raises(NotFound):
        c.tell(WorkflowDeleted(c.now, BOB, old, "key", (JobId("a"),)))


# --- delete results -------------------------------------------------------------------------------


def test_the_results_of_a_job_are_deleted_and_the_job_stays_and_says_so() -> None:
    c = cluster()
    c.submit("ann", job("a"))
    c.run()
    assert delete_results(c, "a") == [RemoveFiles((JobId("a"),))]
    view = c.view("a")
    assert (view.state, view.results_deleted_at, view.cells) == ("succeeded", c.now, 30)
    assert view.explanation.sentence == "done: 30 cells; its results were deleted"
    assert delete_results(c, "a") == []


def test_the_results_of_a_job_that_has_not_ended_are_not_deleted() -> None:
    c = cluster()
    c.submit("ann", job("a"))
    c.run(1.5)
    with pytest.raises(Conflict, match="before it has ended"):
        delete_results(c, "a")
    c.cancel("a")
    c.run()
    assert delete_results(c, "a") == [RemoveFiles((JobId("a"),))]
    assert c.view("a").explanation.sentence == "cancelled; what was finished before was deleted"


def test_results_of_a_job_in_the_archive_are_deleted_and_its_view_says_so() -> None:
    c = cluster(max_ended_jobs_per_user=1)
    for name in "ab":
        c.submit("ann", job(name))
        c.run()
    with pytest.raises(NotFound):
        delete_results(c, "a")
    assert changed(c, ResultsDeleted(c.now, ANN, JobId("a"), retired=True))
    (kept,) = c.retired
    old = Scheduler.of_retired(kept, c.core.cleared_by(ANN))
    assert old.job_view(ANN, JobId("a"), c.now).results_deleted_at == c.now


def test_a_failed_job_whose_files_were_deleted_begins_from_nothing_when_it_is_retried() -> None:
    c = cluster(max_retries=0)
    answers = iter([False, True])

    def answer(command, now):  # type: ignore[no-untyped-def]
        from raysched.core.events import RunFailed
        from raysched.core.model import Failure, Stage

        if command.unit.stage is Stage.ASSEMBLE and not next(answers):
            return 1.0, RunFailed(now + 1, command.run, 1.0, Failure("b", "b", "b"), False)
        return c.succeed(command, now)

    c.answer = answer
    c.submit("ann", job("a"))
    c.run()
    assert (c.view("a").state, c.view("a").chunks_done) == ("failed", 3)
    delete_results(c, "a")
    with pytest.raises(Conflict, match="are being removed"):
        c.retry("a")
    c.run()
    before = len(c.started)
    c.retry("a")
    c.run()
    stages = [command.unit.stage.value for command in c.started[before:]]
    assert stages == ["plan", "segment", "segment", "segment", "assemble", "publish"]
    assert (c.view("a").state, c.view("a").results_deleted_at) == ("succeeded", None)


# --- the files ------------------------------------------------------------------------------------


def test_files_are_removed_again_after_a_restart_until_that_is_done() -> None:
    c = cluster()
    mine = c.submit("ann", job("a"), job("b", "y"))
    c.run()
    delete(c, mine)
    both = (JobId("a"), JobId("b"))
    again = c.tell(SchedulerStarted(c.now, c.core.epoch + 1))
    assert RemoveFiles(both) in again
    assert changed(c, FilesRemoved(c.now, both))
    assert not changed(c, FilesRemoved(c.now, both))
    last = c.tell(SchedulerStarted(c.now, c.core.epoch + 1))
    assert [each for each in last if isinstance(each, RemoveFiles)] == []


def test_what_is_deleted_is_told_to_its_owner() -> None:
    c = cluster()
    mine = c.submit("ann", job("a"))
    c.run()
    delete_results(c, "a")
    assert dict(c.core.shown.jobs) == {"a": "ann"}
    delete(c, mine)
    assert dict(c.core.shown.deleted) == {mine: "ann"}


def test_deleting_is_replayed_from_the_journal() -> None:
    c = cluster(max_ended_jobs_per_user=1, max_retries=0)
    failing(c, "b")
    old = c.submit("ann", job("a"), key="key")
    c.run()
    c.submit("ann", job("b", "y"))
    c.run()
    delete_results(c, "b")
    c.tell(WorkflowDeleted(c.now, ANN, old, "key", (JobId("a"),)))
    c.run()
    again = Scheduler(c.limits)
    for event, decision in zip(c.history, c.decisions, strict=True):
        again.handle(event, decision)
    assert again.state == c.core.state
    assert again.state.removals == {}
