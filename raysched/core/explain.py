"""Why a job is not computing now, as enum, sentence, position and expected time.

Reads only. A sentence may name the reader's own jobs and branches; of others it gives numbers,
never names (I13).
"""
# ruff: noqa: ARG001 - the explanations of states share one signature

from __future__ import annotations

from collections.abc import Callable

from raysched.core.admission import wait_bound_s
from raysched.core.dispatch import rate_s
from raysched.core.model import JobId, JobState, Reason, Stage
from raysched.core.state import Job, State
from raysched.core.views import Explanation


def explain(state: State, job: Job, now: float) -> Explanation:
    """The first thing that keeps a job from computing, or what it does or how it ended."""
    told = _BY_STATE.get(job.state)
    if told is not None:
        return told(state, job, now)
    if job.verdict is not None:
        after = "then it is tried again" if job.verdict.retry else "then it has failed"
        return Explanation(
            Reason.STOPPING,
            f"stopping after a failure ({job.verdict.failure.message}): "
            f"{_count(len(job.runs), 'run')} must end, {after}",
        )
    if job.runs:
        return _computing(state, job)
    return _waiting(state, job, now)


# --- by state -------------------------------------------------------------------------------------


def _done(state: State, job: Job, now: float) -> Explanation:
    return Explanation(Reason.DONE, f"done: {_count(job.cells, 'cell')}")


def _failed(state: State, job: Job, now: float) -> Explanation:
    cause = job.failure.message if job.failure is not None else "no cause was given"
    return Explanation(Reason.FAILED, f"failed after {_count(job.tries, 'attempt')}: {cause}")


def _cancelled(state: State, job: Job, now: float) -> Explanation:
    return Explanation(Reason.CANCELLED, "cancelled; what was finished before stays readable")


def _skipped(state: State, job: Job, now: float) -> Explanation:
    root = state.jobs[job.skipped_by] if job.skipped_by is not None else job
    if root.state is JobState.FAILED:
        sentence = f"skipped because job {root.id} failed; retrying that job revives this one"
    else:
        sentence = f"skipped because job {root.id} was {root.state}"
    return Explanation(Reason.SKIPPED, sentence)


def _stopping(state: State, job: Job, now: float) -> Explanation:
    return Explanation(
        Reason.STOPPING, f"stopping as asked: {_count(len(job.runs), 'run')} must end"
    )


def _retrying(state: State, job: Job, now: float) -> Explanation:
    left_s = max(0.0, (job.retry_at or now) - now)
    cause = job.failure.message if job.failure is not None else "no cause was given"
    return Explanation(
        Reason.WAITING_FOR_RETRY,
        f"attempt {job.tries + 1} of {state.limits.max_retries + 1} begins in "
        f"{_about(left_s)}; the last one failed: {cause}",
        eta_s=left_s,
    )


def _asking(state: State, job: Job, now: float) -> Explanation:
    return Explanation(
        Reason.WAITING_FOR_MPP, f"waiting for your answer: {job.question or 'what is the mpp?'}"
    )


_BY_STATE: dict[JobState, Callable[[State, Job, float], Explanation]] = {
    JobState.SUCCEEDED: _done,
    JobState.FAILED: _failed,
    JobState.CANCELLED: _cancelled,
    JobState.SKIPPED: _skipped,
    JobState.CANCELLING: _stopping,
    JobState.RETRY_WAITING: _retrying,
    JobState.NEEDS_MPP: _asking,
}


# --- at work --------------------------------------------------------------------------------------


def _computing(state: State, job: Job) -> Explanation:
    eta = eta_s(state, job)
    progress = job.progress
    if job.state is not JobState.SEGMENTING or progress is None:
        return Explanation(Reason.COMPUTING, _word(job.state), eta_s=eta)
    return Explanation(
        Reason.COMPUTING,
        f"segmenting: {progress.chunks_done} of {_count(len(progress.plan.chunk_tiles), 'chunk')} "
        f"done, {len(job.runs)} in flight",
        eta_s=eta,
    )


def seconds_per_tile(state: State, job: Job) -> float:
    """The job's own measure once it has one, else that of its kind."""
    progress = job.progress
    if progress is not None and progress.tiles_done and progress.seconds > 0:
        return progress.seconds / progress.tiles_done
    return rate_s(state, job.spec.kind, Stage.SEGMENT)


def eta_s(state: State, job: Job) -> float | None:
    """Seconds of work left over the lanes the job has now; None before the plan and at rest."""
    if job.progress is None or not job.runs:
        return None
    kind, left_s = job.spec.kind, 0.0
    if job.state is JobState.SEGMENTING:
        tiles = sum(job.progress.plan.chunk_tiles) - job.progress.tiles_done
        left_s = tiles * seconds_per_tile(state, job) / len(job.runs)
    if job.state in (JobState.SEGMENTING, JobState.ASSEMBLING):
        left_s += rate_s(state, kind, Stage.ASSEMBLE)
    return left_s + rate_s(state, kind, Stage.PUBLISH)


# --- waiting --------------------------------------------------------------------------------------


def _waiting(state: State, job: Job, now: float) -> Explanation:
    """The first gate that is shut, in the order in which a job goes through them."""
    branch = state.users[job.user].branches[job.spec.branch]
    head = branch.head()
    if head is not None and head != job.id:
        return _behind_in_branch(state, job, head)
    if job.unmet:
        return _behind_dependencies(state, job)
    if job.user in state.queue:
        return _behind_in_queue(state, job, now)
    if job.user in state.yielding:
        return Explanation(
            Reason.WAITING_FOR_SLOT,
            f"parked: your slot's {_about(state.limits.slot_tenure_s)} are used up and "
            f"{_count(len(state.queue), 'user')} wait; you queue again when your runs have ended",
        )
    if not state.lanes:
        return Explanation(
            Reason.WAITING_FOR_LANE, "waiting for a lane: none is open, the cluster is starting"
        )
    return _in_turn(state, job, now)


def _behind_in_branch(state: State, job: Job, head: JobId) -> Explanation:
    line = state.users[job.user].branches[job.spec.branch].line
    ahead = line.rank(job.order) + (state.jobs[head].order > job.order)
    return Explanation(
        Reason.WAITING_FOR_BRANCH,
        f"waiting in branch {job.spec.branch}: {_nth(ahead + 1)} in line, "
        f"job {head} is {_word(state.jobs[head].state)}",
        position=ahead + 1,
    )


def _behind_dependencies(state: State, job: Job) -> Explanation:
    first = next(iter(job.unmet))
    more = f" and {len(job.unmet) - 1} more" if len(job.unmet) > 1 else ""
    return Explanation(
        Reason.WAITING_FOR_DEPENDENCY,
        f"waiting for job {first} ({_word(state.jobs[first].state)}){more} to succeed",
    )


def _behind_in_queue(state: State, job: Job, now: float) -> Explanation:
    position = list(state.queue).index(job.user) + 1
    bound = wait_bound_s(state, position, now)
    about = f", about {_about(bound)}" if bound is not None else ""
    return Explanation(
        Reason.WAITING_FOR_SLOT,
        f"waiting for a slot: {_nth(position)} of {len(state.queue)}{about}; "
        f"the slots are held by {_count(len(state.slots), 'user')}",
        position=position,
        eta_s=bound,
    )


def _in_turn(state: State, job: Job, now: float) -> Explanation:
    """Everything is there but an idle lane, or room under the cap."""
    cap = state.limits.max_running_jobs
    if job.id == state.parking:
        return Explanation(
            Reason.WAITING_FOR_TURN, "parked between two chunks: it is another job's turn"
        )
    if len(state.running) >= cap:
        return Explanation(
            Reason.WAITING_FOR_RUNNING_CAP,
            f"waiting for one of the {cap} jobs that may run at once to reach a chunk's end",
            eta_s=_next_end_s(state, now),
        )
    users, own = state.turns.rank(job.user), state.users[job.user].turns.rank(job.spec.branch)
    lanes = _count(len(state.lanes), "lane")
    if users + own == 0:
        return Explanation(
            Reason.WAITING_FOR_LANE,
            f"next to go: waiting for one of {lanes} to finish its chunk",
            position=1,
            eta_s=_next_end_s(state, now),
        )
    return Explanation(
        Reason.WAITING_FOR_TURN,
        f"waiting for its turn at {lanes}: {_count(users, 'user')} and {own} of your own "
        f"branches go first",
        position=users + own + 1,
    )


def _next_end_s(state: State, now: float) -> float | None:
    """When the next run probably ends, by its estimate."""
    ends = (run.started_at + run.est_s - now for run in state.runs.values())
    return max(0.0, min(ends, default=0.0)) if state.runs else None


# --- words ----------------------------------------------------------------------------------------


def _count(number: int, word: str) -> str:
    return f"{number:,} {word}" if number == 1 else f"{number:,} {word}s"


def _word(state: JobState) -> str:
    return state.value.replace("_", " ")


def _nth(number: int) -> str:
    teen = 10 <= number % 100 <= 20
    return f"{number}{'th' if teen else {1: 'st', 2: 'nd', 3: 'rd'}.get(number % 10, 'th')}"


def _about(seconds: float) -> str:
    if seconds < 90:
        return f"{max(0, round(seconds))} s"
    if seconds < 90 * 60:
        return f"{round(seconds / 60)} min"
    return f"{seconds / 3600:.1f} h"
