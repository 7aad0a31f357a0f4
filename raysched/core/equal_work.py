"""Equal work of one user is done by one job at a time; who comes later waits for it.

Two plans of one user with the same ``work`` compute the same chunks. Workers find in that user's
store what is done already; what is in here keeps two jobs from doing it at the same moment. A job
is at work from its plan on, until it has ended, failed an attempt or been cancelled. Only a job at
work is waited for and none at work waits, so nobody waits in a circle; the jobs it follows have
succeeded, so it never needs one that waits for it.

All of this is inside one user: no other's job is looked at, waited for or released (I13).
"""

from __future__ import annotations

from raysched.core.model import PLAN, JobId
from raysched.core.state import Job, State
from raysched.core.step import Step
from raysched.core.transitions import Cause, move


def work_of(job: Job) -> str:
    """What the job's chunks compute, once it is planned; "" equals nobody's."""
    return job.progress.plan.work if job.progress is not None else ""


def at_hand(state: State, job: Job) -> JobId | None:
    """The user's other job that is at work on the same; of several the one submitted first."""
    here = state.users[job.user].at_work.get(work_of(job))
    if not here:
        return None
    others = [name for name in here if name != job.id]
    return min(others, key=lambda name: state.jobs[name].order, default=None)


def begin(state: State, job: Job) -> None:
    """A job is at work from here on: equal ones wait for it."""
    work = work_of(job)
    if work:
        state.users[job.user].at_work.setdefault(work, {})[job.id] = {}


def wait(state: State, job: Job, name: JobId, step: Step) -> None:
    """Go back to waiting, until the job of that name is no longer at work; then plan again.

    The job stays the current one of its branch, without a run, a lane or a place under the cap. It
    stays in its attempt: nothing has failed.
    """
    leave(state, job, step)
    move(job, Cause.EQUAL_WORK_AT_HAND)
    job.stage = PLAN
    job.awaits = name
    state.users[job.user].at_work[work_of(job)][name][job.id] = None


def stop_waiting(state: State, job: Job) -> None:
    """A job that ends waits for nobody."""
    assert job.awaits is not None, "only who waits can stop"
    del state.users[job.user].at_work[work_of(job)][job.awaits][job.id]
    job.awaits = None


def leave(state: State, job: Job, step: Step) -> None:
    """A job is no longer at work, however it left: those that waited for it are planned again.

    If it succeeded they find its result. If it failed, waits for its retry or is cancelled, the
    first of them to be planned goes to work on what is left, and the others wait for that one, as
    does this one at its next attempt: nobody sits out another's back-off. A job that is parked, or
    whose user's tenure is over, is still at work, since it goes on with its next chunk: those that
    wait are of the same user and would get no lane before it either.
    """
    work = work_of(job)
    at_work = state.users[job.user].at_work
    here = at_work.get(work)
    if here is None or job.id not in here:
        return
    waiting = [state.jobs[name] for name in here.pop(job.id)]
    if not here:
        del at_work[work]
    for other in sorted(waiting, key=lambda other: other.order):
        other.awaits = None
        step.touch(other)
