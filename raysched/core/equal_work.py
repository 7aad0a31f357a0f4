"""Equal work of one user is done by one job at a time, until it is done; the others wait for it.

Two plans of one user with the same ``work`` compute the same chunks. Workers find in that user's
store what is done already; what is in here keeps two jobs from doing it at the same moment. Once a
job has succeeded all of it is in the store, so from then on nobody waits for that work. A job
is at work from its plan on, until it has ended, failed an attempt or been cancelled. Only a job at
work is waited for and none at work waits, so nobody waits in a circle; the jobs it follows have
succeeded, so it never needs one that waits for it.

All of this is inside one user: no other's job is looked at, waited for or released (I13).
"""

from __future__ import annotations

from itertools import islice

from raysched.core.model import PLAN, SUCCEEDED, JobId
from raysched.core.state import Job, State, User
from raysched.core.step import Step
from raysched.core.transitions import Cause, move


def work_of(job: Job) -> str:
    """What the job's chunks compute, once it is planned; "" equals nobody's."""
    return job.progress.plan.work if job.progress is not None else ""


def at_hand(state: State, job: Job) -> JobId | None:
    """The user's other job that is at work on the same, unless that is done; of several the one
    submitted first."""
    user, work = state.users[job.user], work_of(job)
    here = user.at_work.get(work)
    if not here or work in user.done_work:
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

    If it succeeded the work is done: they, and those that wait for another at work on it, find what
    they need and go on side by side. If it failed, waits for its retry or is cancelled, the first
    of them to be planned goes to work on what is left, and the others wait for that one, as does
    this one at its next attempt: nobody sits out another's back-off. A job that is parked, or whose
    user's tenure is over, is still at work, since it goes on with its next chunk: those that wait
    are of the same user and would get no lane before it either.
    """
    work, user = work_of(job), state.users[job.user]
    here = user.at_work.get(work)
    if here is None or job.id not in here:
        return
    waiting = here.pop(job.id)
    is_done = job.state is SUCCEEDED and state.limits.max_done_work_per_user > 0
    if is_done:
        for more in here.values():
            waiting |= more
            more.clear()
    if not here:
        del user.at_work[work]
    if is_done:
        _remember(user, work, state.limits.max_done_work_per_user)
    for other in sorted((state.jobs[name] for name in waiting), key=lambda other: other.order):
        other.awaits = None
        step.touch(other)


def _remember(user: User, work: str, most: int) -> None:
    """The work is done; forget the oldest that is too much.

    It may be forgotten, as the store may lose it, because it only says that waiting is of no use:
    without it one job goes first again and finds the work done, with it work that is lost is done
    twice. Work that jobs are at stays, since of what nobody has done one does it at a time (I15).
    """
    done = user.done_work
    done[work] = None
    done.move_to_end(work)
    at_rest = (name for name in done if name not in user.at_work)
    for name in list(islice(at_rest, max(0, len(done) - most))):
        del done[name]
