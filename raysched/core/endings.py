"""The end of more than a job: a workflow or all of a user's is cancelled, what ended is deleted.

As in ``requests`` each event has a check and an apply. What is deleted leaves memory and every
view at once. Its files go after that: ``State.removals`` says which jobs' may still be there, and
the command to remove them is given again at each start until ``FilesRemoved`` was heard.

What is in the archive alone is deleted by the names that whoever asks has found there; of it the
core knows the digests of keys, and from then on what was deleted.
"""
# ruff: noqa: ARG001 - handlers share one signature

from __future__ import annotations

from collections.abc import Iterable

from raysched.core.commands import RemoveFiles
from raysched.core.events import (
    AllCancelRequested,
    FilesRemoved,
    JobCancelRequested,
    ResultsDeleted,
    WorkflowCancelRequested,
    WorkflowDeleted,
)
from raysched.core.model import CANCELLING, JobId, JobState, UserId, WorkflowId
from raysched.core.requests import apply_cancel, find_job
from raysched.core.retirement import is_retired, key_digest
from raysched.core.state import State, Workflow
from raysched.core.step import Step
from raysched.errors import Conflict, NotFound


def find_workflow(state: State, user: UserId | None, name: WorkflowId) -> Workflow:
    """A workflow of the user's (None: of anybody's). Raises ``NotFound``, also for another's."""
    workflow = state.workflows.get(name)
    if workflow is None or (user is not None and workflow.user != user):
        raise NotFound(
            f"There is no workflow {name}.",
            remedy="List your jobs with `raysched status`.",
            workflow=name,
        )
    return workflow


# --- cancel ---------------------------------------------------------------------------------------


def check_workflow_cancel(state: State, event: WorkflowCancelRequested) -> bool:
    """Nothing to do for what is cancelled or stopping; what has ended otherwise refuses."""
    workflow = find_workflow(state, event.user, event.workflow)
    if event.workflow in state.unfinished:
        return _may_cancel(state, workflow.jobs)
    if any(state.jobs[name].state is JobState.CANCELLED for name in workflow.jobs):
        return False
    raise Conflict(
        f"All jobs of workflow {event.workflow} have ended already.",
        remedy="Nothing is left to cancel; results stay as they are.",
        workflow=event.workflow,
    )


def apply_workflow_cancel(state: State, event: WorkflowCancelRequested, step: Step) -> None:
    """Cancel what has not ended."""
    cancel_jobs(state, state.workflows[event.workflow].jobs, step)


def check_all_cancel(state: State, event: AllCancelRequested) -> bool:
    """A user who has nothing unfinished has nothing to cancel, which is no mistake."""
    user = state.users.get(event.user)
    return user is not None and _may_cancel(state, user.open)


def apply_all_cancel(state: State, event: AllCancelRequested, step: Step) -> None:
    """Cancel what has not ended."""
    cancel_jobs(state, state.users[event.user].open, step)


def _may_cancel(state: State, names: Iterable[JobId]) -> bool:
    states = (state.jobs[name].state for name in names)
    return any(not each.is_final and each is not CANCELLING for each in states)


def cancel_jobs(state: State, names: Iterable[JobId], step: Step) -> None:
    """Cancel those of one user's jobs that have not ended, given in order of submission.

    The last first: a job that others follow would skip them, and these are cancelled too.
    """
    for name in reversed(list(names)):
        job = state.jobs[name]
        if not job.state.is_final and job.state is not CANCELLING:
            apply_cancel(state, JobCancelRequested(state.now, job.user, name), step)


# --- delete ---------------------------------------------------------------------------------------


def check_workflow_deleted(state: State, event: WorkflowDeleted) -> bool:
    """Only what has ended can be deleted; deleting twice is harmless."""
    user = state.users.get(event.user)
    if user is not None and event.workflow in user.deleted:
        return False
    if user is not None and event.key and is_retired(user, event.key):
        return True
    find_workflow(state, event.user, event.workflow)
    if left := state.unfinished.get(event.workflow):
        raise Conflict(
            f"Workflow {event.workflow} has not ended: {left} of its jobs are left.",
            remedy="Cancel it first, and delete it when its jobs have ended.",
            workflow=event.workflow,
            unfinished=left,
        )
    return True


def apply_workflow_deleted(state: State, event: WorkflowDeleted, step: Step) -> None:
    """Forget the workflow, but for its name and its key: neither starts work again."""
    user = state.users[event.user]
    workflow = state.workflows.pop(event.workflow, None)
    if workflow is None:
        key, jobs = key_digest(event.key), event.jobs
        user.retired_keys.discard(key)
        user.jobs_retired -= len(jobs)
    else:
        key, jobs = key_digest(workflow.key), workflow.jobs
        del user.keys[workflow.key]
        del user.ended[event.workflow]
        user.jobs_ended -= len(jobs)
        for name in jobs:
            del user.jobs[name]
            del state.jobs[name]
    user.deleted[event.workflow] = None
    user.deleted_keys.add(key)
    for name in jobs:
        user.cleared.pop(name, None)
    step.workflows[event.workflow] = event.user
    _remove(state, jobs, step)


def check_results_deleted(state: State, event: ResultsDeleted) -> bool:
    """Only of a job that has ended; deleting twice is harmless."""
    user = state.users.get(event.user)
    if user is not None and event.job in user.cleared:
        return False
    if user is not None and event.retired and user.jobs_retired > 0:
        return True
    job = find_job(state, event.user, event.job)
    if not job.state.is_final:
        raise Conflict(
            f"Job {job.id} is {job.state}: its results are not deleted before it has ended.",
            remedy="Cancel it first.",
            job=job.id,
            state=job.state.value,
        )
    return True


def apply_results_deleted(state: State, event: ResultsDeleted, step: Step) -> None:
    """The job stays where it is known, and says that its results are deleted."""
    state.users[event.user].cleared[event.job] = state.now
    step.jobs[event.job] = event.user
    _remove(state, (event.job,), step)


def _remove(state: State, jobs: tuple[JobId, ...], step: Step) -> None:
    state.removals.update(dict.fromkeys(jobs))
    step.commands.append(RemoveFiles(jobs))


def check_removed(state: State, event: FilesRemoved) -> bool:
    """Whether that was waited for."""
    return any(name in state.removals for name in event.jobs)


def apply_removed(state: State, event: FilesRemoved, step: Step) -> None:
    """Nothing of these is left to remove."""
    for name in event.jobs:
        state.removals.pop(name, None)
