"""What people ask for: submit, cancel, retry, say the pixel size.

Each event has a check and an apply. A check reads only: it raises what the person should read, or
says whether there is anything to do. An apply writes and cannot refuse.
"""

from __future__ import annotations

from collections.abc import Sequence

from raysched.core import equal_work
from raysched.core.events import (
    JobCancelRequested,
    JobRetryRequested,
    MppAnswered,
    UserWeighted,
    WorkflowSubmitted,
)
from raysched.core.graph import check_graph, neighbours
from raysched.core.lifecycle import end, revivable, revive, stop_runs
from raysched.core.model import CANCELLING, FAILED, JobId, JobSpec, JobState, UserId
from raysched.core.retirement import is_deleted, is_retired
from raysched.core.state import Job, State, Workflow
from raysched.core.step import Step
from raysched.core.transitions import Cause, move
from raysched.errors import (
    Conflict,
    Draining,
    Forbidden,
    InvalidSetting,
    LimitReached,
    NotFound,
)

MPP_MIN_UM = 0.08
MPP_MAX_UM = 2.0
"""Plausible um per level-0 pixel: beyond 100x oil, or coarser than 5x, is a
wrong number rather than a slide."""
WEIGHT_MIN = 0.01
WEIGHT_MAX = 100.0
"""Beyond these a user would have next to nothing, or leave next to nothing to the others."""


def find_job(state: State, user: UserId | None, name: JobId) -> Job:
    """A job of the user's (None: of anybody's). Raises ``NotFound``, also for another user's."""
    job = state.jobs.get(name)
    if job is None or (user is not None and job.user != user):
        raise NotFound(
            f"There is no job {name}.", remedy="List your jobs with `raysched status`.", job=name
        )
    return job


# --- submit ---------------------------------------------------------------------------------------


def check_submitted(state: State, event: WorkflowSubmitted) -> bool:
    """Refuse whole, or say whether this is not merely the same request again."""
    owner = state.users.get(event.user)
    if owner is not None and is_retired(owner, event.key):
        return False
    if owner is not None and is_deleted(owner, event.key):
        raise Conflict(
            f"The workflow of the idempotency key {event.key} was deleted.",
            remedy="Use a new key to submit the work again.",
            key=event.key,
        )
    known = owner.keys.get(event.key) if owner is not None else None
    if known is not None:
        workflow = state.workflows[known]
        specs = [state.jobs[name].spec for name in workflow.jobs]
        if asks_the_same(workflow.digest, specs, event.digest, event.jobs):
            return False
        raise Conflict(
            f"The idempotency key {event.key} was used for another workflow already.",
            remedy="Use a new key for a new workflow.",
            key=event.key,
            workflow=known,
        )
    if event.workflow in state.workflows or (owner and event.workflow in owner.deleted):
        raise Conflict(
            f"There is a workflow {event.workflow} already.", remedy="Give it an id of its own."
        )
    check_graph(event.jobs, lambda name: name in state.jobs or name in state.removals)
    _check_size(state, len(event.jobs))
    _check_room(state, event.user, len(event.jobs))
    return True


def asks_the_same(
    digest: str, jobs: Sequence[JobSpec], other_digest: str, other_jobs: Sequence[JobSpec]
) -> bool:
    """Whether two submissions ask for the same: by their digests, else job by job."""
    if digest and other_digest:
        return digest == other_digest
    return _shape(jobs) == _shape(other_jobs)


def _shape(jobs: Sequence[JobSpec]) -> list[tuple[object, ...]]:
    """The jobs by value, with places instead of ids."""
    place: dict[JobId, object] = {spec.job: index for index, spec in enumerate(jobs)}
    return [
        (spec.branch, spec.kind, spec.request, [place.get(name, name) for name in spec.depends_on])
        for spec in jobs
    ]


def _check_size(state: State, jobs: int) -> None:
    most = state.limits.max_jobs_per_workflow
    if jobs > most:
        raise LimitReached(
            f"A workflow may have {most} jobs, not {jobs}.",
            remedy="Split it into several workflows.",
            limit=most,
        )


def _check_room(state: State, name: UserId, more: int) -> None:
    if state.identities.is_shut(name):
        raise Forbidden(
            f"The user {name} is disabled or deleted: nothing new is taken in.",
            remedy="Ask an administrator to enable it.",
        )
    if state.drained_at is not None:
        raise Draining(
            "The operator is draining the cluster: no new work is taken in.",
            remedy="Ask again later, with the same idempotency key; what was taken in goes on.",
        )
    most = state.identities.most_jobs(name, state.limits.max_jobs_per_user)
    user = state.users.get(name)
    have = len(user.open) if user is not None else 0
    if have + more > most:
        raise LimitReached(
            f"You have {have} unfinished jobs; {more} more would pass the limit of {most}.",
            remedy="Wait until some have finished, or cancel some.",
            limit=most,
            unfinished=have,
        )


def apply_submitted(state: State, event: WorkflowSubmitted, step: Step) -> None:
    """Take in a workflow and its jobs."""
    user = state.user(event.user)
    names = tuple(spec.job for spec in event.jobs)
    state.workflows[event.workflow] = Workflow(
        event.workflow, event.user, event.key, event.name, state.now, names, event.digest
    )
    user.keys[event.key] = event.workflow
    state.unfinished[event.workflow] = len(names)
    jobs = []
    for spec, before in neighbours(event.jobs):
        state.jobs_submitted += 1
        job = Job(
            spec=spec,
            user=event.user,
            workflow=event.workflow,
            order=state.jobs_submitted,
            submitted_at=state.now,
            before=before,
            unmet=dict.fromkeys(spec.depends_on),
        )
        jobs.append(job)
        state.jobs[job.id] = job
        user.jobs[job.id] = None
        user.open[job.id] = None
        if before is not None:
            state.jobs[before].after = job.id
        state.branch_of(job).line.join(job.order, job.id)
        step.touch(job)
    for job in jobs:  # after all are known: a dependency may stand further on in the list
        for name in job.unmet:
            state.jobs[name].dependents.append(job.id)


# --- cancel ---------------------------------------------------------------------------------------


def check_cancel(state: State, event: JobCancelRequested) -> bool:
    """Nothing to do for a job that is cancelled or stopping; any other final state refuses."""
    job = find_job(state, event.user, event.job)
    if job.state in (JobState.CANCELLED, CANCELLING):
        return False
    if job.state.is_final:
        raise Conflict(
            f"Job {job.id} has {job.state} already.",
            remedy="Nothing is left to cancel; its results stay as they are.",
            job=job.id,
            state=job.state.value,
        )
    return True


def apply_cancel(state: State, event: JobCancelRequested, step: Step) -> None:
    """End a job at rest; stop the runs of one at work, which ends when the last has reported."""
    job = state.jobs[event.job]
    if not job.runs:
        end(state, job, Cause.CANCELLED_AT_REST, step)
        return
    move(job, Cause.CANCEL_ASKED)
    stop_runs(state, job, step)
    step.touch(job)
    equal_work.leave(state, job, step)


# --- retry ----------------------------------------------------------------------------------------


def check_retry(state: State, event: JobRetryRequested) -> bool:
    """Only a failed job is retried, and only if it and what it revives find room."""
    job = find_job(state, event.user, event.job)
    if event.key and event.key in (job.retry_key, *job.earlier_retry_keys):
        return False
    if job.state is JobState.SKIPPED and job.skipped_by is not None:
        raise Conflict(
            f"Job {job.id} was skipped because of job {job.skipped_by}.",
            remedy=f"Retry job {job.skipped_by} if it failed, or submit the work again.",
            job=job.id,
            skipped_by=job.skipped_by,
        )
    if job.state is not FAILED:
        raise Conflict(
            f"Job {job.id} is {job.state}; only a failed job can be retried.",
            remedy=_instead_of_retrying(job),
            job=job.id,
            state=job.state.value,
        )
    revived, _ = revivable(state, job)
    for each in (job, *revived):
        if each.id in state.removals:
            raise Conflict(
                f"The files of job {each.id} are being removed.",
                remedy="Ask again in a moment.",
                job=each.id,
            )
    _check_room(state, event.user, 1 + len(revived))
    return True


def _instead_of_retrying(job: Job) -> str:
    if job.state.is_final:
        return "Submit it again to run it once more."
    if job.state is JobState.NEEDS_MPP:
        return f"Answer its question: `raysched answer {job.id} --mpp X`."
    return f"Wait for it, or cancel it: `raysched explain {job.id}` says where it is."


def apply_retry(state: State, event: JobRetryRequested, step: Step) -> None:
    """Try a failed job again, with all its attempts."""
    job = state.jobs[event.job]
    if job.retry_key:
        job.earlier_retry_keys += (job.retry_key,)
    job.retry_key = event.key
    revive(state, job, step)


# --- the pixel size -------------------------------------------------------------------------------


def check_mpp(state: State, event: MppAnswered) -> bool:
    """The answer must be plausible, and must have been asked for."""
    job = find_job(state, event.user, event.job)
    if not MPP_MIN_UM <= event.mpp <= MPP_MAX_UM:
        raise InvalidSetting(
            f"A pixel size of {event.mpp} um per pixel is not plausible.",
            remedy=f"Give a value between {MPP_MIN_UM} and {MPP_MAX_UM}, for example 0.25 for 40x.",
            mpp=event.mpp,
        )
    if job.state is not JobState.NEEDS_MPP:
        if job.mpp == event.mpp:
            return False  # the same answer again
        raise Conflict(
            f"Job {job.id} is {job.state} and does not ask for a pixel size.",
            remedy="Cancel it and submit it again with another mpp to change that.",
            job=job.id,
            state=job.state.value,
        )
    return True


def apply_mpp(state: State, event: MppAnswered, step: Step) -> None:
    """Plan again, with the pixel size."""
    job = state.jobs[event.job]
    move(job, Cause.MPP_ANSWERED)
    job.mpp = event.mpp
    job.question = None
    step.touch(job)


# --- shares ---------------------------------------------------------------------------------------


def check_weighted(state: State, event: UserWeighted) -> bool:
    """A weight must leave something for everybody."""
    if not WEIGHT_MIN <= event.weight <= WEIGHT_MAX:
        raise InvalidSetting(
            f"A weight of {event.weight} is out of range.",
            remedy=f"Give a value between {WEIGHT_MIN} and {WEIGHT_MAX:g}; 1 is the usual share.",
            weight=str(event.weight),
        )
    user = state.users.get(event.user)
    return user is None or user.weight != event.weight


def apply_weighted(state: State, event: UserWeighted, step: Step) -> None:
    """What the user is charged from now on is divided by the new weight."""
    state.user(event.user).weight = event.weight
    step.users[event.user] = None
