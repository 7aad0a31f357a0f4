"""What the naive model knows of pauses and drains, of cancelling much at once, and of deleting."""

from __future__ import annotations

from typing import TYPE_CHECKING, get_args

from reference_facts import S
from reference_seen import same

from raysched.core.commands import RemoveFiles
from raysched.core.events import (
    AllCancelRequested,
    ClusterDrained,
    ClusterPaused,
    ClusterResumed,
    Event,
    FilesRemoved,
    ResultsDeleted,
    SchedulerStarted,
    WorkflowCancelRequested,
    WorkflowDeleted,
    WorkflowSubmitted,
)
from raysched.errors import Conflict, NotFound, RayschedError

if TYPE_CHECKING:
    from reference import Reference
    from reference_facts import Facts, JobFacts

Ending = (
    WorkflowCancelRequested
    | AllCancelRequested
    | WorkflowDeleted
    | ResultsDeleted
    | FilesRemoved
    | ClusterPaused
    | ClusterDrained
    | ClusterResumed
)


def is_ending(event: Event) -> bool:
    """Whether this module says what an event does."""
    return isinstance(event, get_args(Ending))


def submission(facts: Facts, workflow: str, user: str) -> WorkflowSubmitted | None:
    """Of a workflow that is in memory."""
    mine = [e for e in facts.asked.values() if e.workflow == workflow and e.user == user]
    return next((e for e in mine if e not in facts.retired and e not in facts.deleted), None)


def jobs_of(facts: Facts, event: WorkflowSubmitted) -> list[JobFacts]:
    return [facts.jobs[spec.job] for spec in event.jobs]


def can_cancel(job: JobFacts) -> bool:
    return not job.state.is_final and job.state is not S.CANCELLING


def answer(facts: Facts, event: Event) -> type[RayschedError] | bool:
    """As ``Facts.answer``, for the events of this module."""
    match event:
        case ClusterPaused():
            return not facts.paused
        case ClusterDrained():
            return not facts.drained
        case ClusterResumed():
            return facts.paused or facts.drained
        case FilesRemoved(jobs=jobs):
            return any(name in facts.removals for name in jobs)
        case AllCancelRequested(user=user):
            return any(can_cancel(job) for job in facts.open() if job.user == user)
        case WorkflowCancelRequested():
            return _answer_cancel(facts, event)
        case WorkflowDeleted():
            return _answer_delete(facts, event)
        case ResultsDeleted():
            return _answer_results(facts, event)
    raise AssertionError(event)


def _answer_results(facts: Facts, event: ResultsDeleted) -> type[RayschedError] | bool:
    job = facts.jobs.get(event.job)
    if (event.user, event.job) in facts.cleared:
        return False
    if job is None or job.user != event.user:
        return NotFound
    return job.state.is_final or Conflict


def _answer_cancel(facts: Facts, event: WorkflowCancelRequested) -> type[RayschedError] | bool:
    found = submission(facts, event.workflow, event.user)
    if found is None:
        return NotFound
    jobs = jobs_of(facts, found)
    stopped = any(job.state in (S.CANCELLED, S.CANCELLING) for job in jobs)
    is_open = any(not job.state.is_final for job in jobs)
    return any(map(can_cancel, jobs)) or (not stopped and not is_open and Conflict)


def _answer_delete(facts: Facts, event: WorkflowDeleted) -> type[RayschedError] | bool:
    named = [
        e for e in facts.asked.values() if (e.workflow, e.user) == (event.workflow, event.user)
    ]
    if any(e in facts.deleted for e in named):
        return False
    if any(e in facts.retired and e.key == event.key for e in named):
        return True
    found = submission(facts, event.workflow, event.user)
    if found is None:
        return NotFound
    return all(job.state.is_final for job in jobs_of(facts, found)) or Conflict


def follow(model: Reference, event: Event) -> None:
    """Follow one that was taken in."""
    match event:
        case ClusterPaused():
            model.paused = True
        case ClusterDrained():
            model.drained = True
        case ClusterResumed():
            model.paused = model.drained = False
        case FilesRemoved(jobs=jobs):
            model.removals = [name for name in model.removals if name not in jobs]
        case AllCancelRequested(user=user):
            cancel(model, [job for job in model.open() if job.user == user])
        case WorkflowCancelRequested(user=user, workflow=workflow):
            found = submission(model, workflow, user)
            assert found is not None
            cancel(model, jobs_of(model, found))
        case ResultsDeleted(user=user, job=name):
            model.cleared.append((user, name))
            model.removals.append(name)
        case WorkflowDeleted(user=user, workflow=workflow):
            found = submission(model, workflow, user)
            if found is None:
                named = [e for e in model.retired if (e.workflow, e.user) == (workflow, user)]
                found = named[0]
                model.retired.remove(found)
            else:
                model.ended.remove(found)
            for spec in found.jobs:
                model.jobs.pop(spec.job, None)
                model.cleared = [each for each in model.cleared if each != (user, spec.job)]
                model.removals += [spec.job] if spec.job not in model.removals else []
            model.deleted.append(found)


def cancel(model: Reference, jobs: list[JobFacts]) -> None:
    """As if each had been cancelled, the last first."""
    for job in sorted(jobs, key=lambda job: -job.order):
        if can_cancel(job):
            model.cancel(job)


def judge_removals(model: Reference, event: Event, told: list[RemoveFiles]) -> None:
    """Files go when they are deleted, and again after a restart that came in between."""
    wanted: tuple[str, ...] = ()
    if isinstance(event, ResultsDeleted):
        wanted = (event.job,)
    elif isinstance(event, WorkflowDeleted):
        wanted = tuple(spec.job for spec in model.deleted[-1].jobs)
    elif isinstance(event, SchedulerStarted):
        wanted = tuple(model.removals)
    same("what is removed", [wanted] if wanted else [], [each.jobs for each in told])


def begin_from_nothing(model: Reference, jobs: list[JobFacts]) -> None:
    """What had its results deleted has nothing done when it is tried again."""
    for job in jobs:
        if (job.user, job.spec.job) in model.cleared:
            model.cleared.remove((job.user, job.spec.job))
            job.plan, job.done = None, {}
