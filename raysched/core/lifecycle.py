"""How a job ends, fails, is skipped, is revived and begins a new attempt.

Called by the handlers of events and by the cycle; all moves of a job that reach further than the
job itself are in here.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from heapq import heappush

from raysched.core import equal_work
from raysched.core.commands import StopRun
from raysched.core.graph import culprit, reach
from raysched.core.model import (
    FAILED,
    PLAN,
    SEGMENT,
    SUCCEEDED,
    WAITING,
    Failure,
    JobId,
)
from raysched.core.state import Job, Run, State, Verdict
from raysched.core.step import Step
from raysched.core.transitions import Cause, move


def stop_runs(state: State, job: Job, step: Step) -> None:
    """Tell the job's runs in flight to stop, each once."""
    for name in job.runs:
        run = state.runs[name]
        if not run.told_to_stop:
            state.runs[name] = run._replace(told_to_stop=True)
            step.commands.append(StopRun(name, job.id))


def return_unit(job: Job, run: Run) -> None:
    """Put a unit that was not done back among those to do."""
    if run.unit.stage is SEGMENT and job.progress is not None:
        heappush(job.progress.pending, run.unit.chunk)


def fail_attempt(state: State, job: Job, failure: Failure, retryable: bool, step: Step) -> None:
    """Decide how a failed attempt goes on, stop its other runs, and carry it out once they end."""
    assert job.verdict is None, "the first failure of an attempt decides"
    job.verdict = Verdict(failure, retryable and job.tries <= state.limits.max_retries)
    stop_runs(state, job, step)
    if not job.runs:
        carry_out_verdict(state, job, step)


def carry_out_verdict(state: State, job: Job, step: Step) -> None:
    """Nothing of the failed attempt is in flight any more: wait for the next one, or fail."""
    assert job.verdict is not None, "only a failed attempt has a verdict to carry out"
    verdict, job.verdict = job.verdict, None
    job.failure = verdict.failure
    if not verdict.retry:
        end(state, job, Cause.ATTEMPTS_SPENT, step)
        return
    move(job, Cause.ATTEMPT_FAILED)
    job.retry_at = state.now + backoff_s(state, job.tries)
    insort(state.alarms, (job.retry_at, job.order, job.id))
    step.touch(job)
    equal_work.leave(state, job, step)


def backoff_s(state: State, tries: int) -> float:
    """How long to wait after the given number of failed tries: doubling, up to a limit."""
    doubled = state.limits.retry_backoff_s * 2.0 ** min(tries - 1, 60)
    return min(doubled, state.limits.retry_backoff_max_s)


def drop_alarm(state: State, job: Job) -> None:
    """Forget the end of a back-off."""
    if job.retry_at is not None:
        entry = (job.retry_at, job.order, job.id)
        del state.alarms[bisect_left(state.alarms, entry)]
        job.retry_at = None


def begin_new_attempt(state: State, job: Job, step: Step) -> None:
    """The back-off is over. What is done stays, in case the new plan is the old one."""
    drop_alarm(state, job)
    move(job, Cause.BACKOFF_OVER)
    job.tries += 1
    _renew(job)
    step.touch(job)


def _renew(job: Job) -> None:
    job.attempt += 1
    job.stage = PLAN
    job.losses = {}
    job.too_large = {}


def end(state: State, job: Job, cause: Cause, step: Step) -> None:
    """Move a job to a final state, and let those that waited for it know."""
    move(job, cause)
    _leave(state, job, step)
    if job.state is SUCCEEDED:
        state.totals.latency_s += state.now - job.submitted_at
        for name in job.dependents:
            follower = state.jobs[name]
            follower.unmet.pop(job.id, None)
            step.touch(follower)
        job.failure = None
    else:
        _skip_followers(state, job, step)
    if job.state is not FAILED and job.progress is not None:
        job.progress.pending = []
    equal_work.leave(state, job, step)


def _leave(state: State, job: Job, step: Step) -> None:
    """A job that is final stands in no line."""
    drop_alarm(state, job)
    if job.awaits is not None:
        equal_work.stop_waiting(state, job)
    job.ended_at = state.now
    ended = state.totals.ended
    ended[job.state] = ended.get(job.state, 0) + 1
    job.question = None
    job.verdict = None
    name, user = job.spec.job, state.users[job.user]
    branch = state.branch_of(job)
    branch.line.leave(job.order, name)
    if branch.current == name:
        branch.current = None
    del user.open[name]
    left = state.unfinished[job.workflow] - 1
    if left:
        state.unfinished[job.workflow] = left
    else:
        del state.unfinished[job.workflow]
        user.ended[job.workflow] = None
        user.jobs_ended += len(state.workflows[job.workflow].jobs)
        step.crowded[job.user] = None
    step.touch(job)


def _skip_followers(state: State, root: Job, step: Step) -> None:
    """Failure is local: it reaches what needs this job, and nothing else."""
    for job in reach(root, state.jobs, lambda other: other.state is WAITING):
        move(job, Cause.PREREQUISITE_ENDED)
        job.skipped_by = root.id
        _leave(state, job, step)


def revivable(state: State, root: Job) -> tuple[list[Job], dict[JobId, JobId]]:
    """Of what ``root`` had skipped: the jobs that its retry revives, and for the others the job
    that keeps them skipped from now on, because it failed or was cancelled as well."""
    skipped = reach(root, state.jobs, lambda other: other.skipped_by == root.id)
    forgiven: dict[JobId, object] = {root.id: None, **{job.id: None for job in skipped}}
    kept: dict[JobId, JobId] = {}
    for seed in skipped:
        to_blame = culprit(seed, state.jobs, forgiven)
        if to_blame is None or seed.id in kept:
            continue
        kept[seed.id] = to_blame
        for job in reach(seed, state.jobs, lambda other: other.skipped_by == root.id):
            kept.setdefault(job.id, to_blame)
    return [job for job in skipped if job.id not in kept], kept


def revive(state: State, root: Job, step: Step) -> None:
    """A person retries a failed job: it and what it had skipped stand in their old places."""
    revived, kept = revivable(state, root)
    for name, to_blame in kept.items():
        state.jobs[name].skipped_by = to_blame
        step.show(state.jobs[name])
    move(root, Cause.RETRY_ASKED)
    root.tries = 1
    _renew(root)
    for job in revived:
        move(job, Cause.PREREQUISITE_RETRIED)
        job.skipped_by = None
    user = state.users[root.user]
    if root.workflow in user.ended:
        del user.ended[root.workflow]
        user.jobs_ended -= len(state.workflows[root.workflow].jobs)
    back = 1 + len(revived)
    state.unfinished[root.workflow] = state.unfinished.get(root.workflow, 0) + back
    for job in [root, *revived]:
        job.ended_at = None
        if user.cleared.pop(job.id, None) is not None:  # its files are gone: nothing is done
            job.progress, job.cells = None, 0
        user.open[job.id] = None
        state.branch_of(job).line.join(job.order, job.id)
        step.touch(job)
