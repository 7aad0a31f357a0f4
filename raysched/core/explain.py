"""Why a job is not computing now, as enum, sentence, position and expected time.

Reads only. A sentence may name the reader's own jobs and branches; of others it gives numbers,
never names (I13).
"""
# ruff: noqa: ARG001 - the explanations of states share one signature

from __future__ import annotations

from collections.abc import Callable

from raysched.core.admission import wait_bound_s
from raysched.core.dispatch import rate_s
from raysched.core.model import JobId, JobState, PoolName, Reason, Stage
from raysched.core.state import Job, Pool, Run, State
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
    gone = "; its results were deleted" if job.id in state.users[job.user].cleared else ""
    if job.progress is not None and not job.progress.plan.chunk_tiles and not job.cells:
        # a kind without chunks, or a slide without tissue
        return Explanation(Reason.DONE, f"done{gone}")
    used = (
        ", those of an equal job" if job.progress is not None and job.progress.plan.reused else ""
    )
    failed = job.progress.tiles_failed if job.progress is not None else 0
    how = f"succeeded with {_count(failed, 'failed tile')}" if failed else "done"
    return Explanation(Reason.DONE, f"{how}: {_count(job.cells, 'cell')}{used}{gone}")


def _failed(state: State, job: Job, now: float) -> Explanation:
    cause = job.failure.message if job.failure is not None else "no cause was given"
    return Explanation(Reason.FAILED, f"failed after {_count(job.tries, 'attempt')}: {cause}")


def _cancelled(state: State, job: Job, now: float) -> Explanation:
    is_gone = job.id in state.users[job.user].cleared
    rest = "was deleted" if is_gone else "stays readable"
    return Explanation(Reason.CANCELLED, f"cancelled; what was finished before {rest}")


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
    if state.paused_at is not None:
        return _paused(state.paused_at, now)
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
    """The job's own measure once it has one, else that of its kind. A job that reuses what an equal
    one has done has none: it did not compute most of it."""
    progress = job.progress
    measured = progress is not None and not progress.plan.reused and progress.seconds > 0
    if progress is not None and measured and progress.tiles_done:
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
    """The first gate that is shut, in the order in which a job goes through them; but first of all
    that of the operator, behind whom everybody waits."""
    if state.paused_at is not None:
        return _paused(state.paused_at, now)
    branch = state.users[job.user].branches[job.spec.branch]
    head = branch.head()
    if head is not None and head != job.id:
        return _behind_in_branch(state, job, head, now)
    if job.unmet:
        return _behind_dependencies(state, job)
    if job.awaits is not None:
        return _behind_equal_work(state, state.jobs[job.awaits])
    if state.is_held(job):
        return Explanation(
            Reason.WAITING_FOR_ACCOUNT, "waiting: its user is disabled, so nothing new begins"
        )
    if job.user in state.queue:
        return _behind_in_queue(state, job, now)
    if job.user in state.yielding:
        position = len(state.queue) + 1
        wait = "waits" if position == 2 else "wait"
        return Explanation(
            Reason.WAITING_FOR_SLOT,
            f"parked: your slot's {_about(state.limits.slot_tenure_s)} are used up and "
            f"{_count(position - 1, 'user')} {wait}; you queue again when your runs have ended",
            position=position,
            eta_s=wait_bound_s(state, position, now),
        )
    if not (opened := _lanes_open(state, job.spec.pool)):
        why = _lanes_missing(state, job, opened) or _none_open(state, job)
        return Explanation(Reason.WAITING_FOR_LANE, f"waiting for a lane{_of_pool(job)}: {why}")
    return _in_turn(state, job, now)


def _lanes_open(state: State, name: PoolName) -> int:
    """Lanes of a pool that take work."""
    if len(state.pools) == 1:
        return len(state.lanes) - len(state.closing)
    lanes = (lane for lane, site in state.sites.items() if site.pool == name)
    return sum(lane not in state.closing for lane in lanes)


def _of_pool(job: Job) -> str:
    """Whose lane, where there are lanes of several kinds."""
    return f" of pool {job.spec.pool}" if job.spec.pool else ""


def _none_open(state: State, job: Job) -> str:
    """Why no lane of a job's pool is open, although there is room, or none is wanted."""
    pool = state.pools.get(job.spec.pool)
    if state.lanes_wanted:
        if pool is None or not pool.is_known:
            return (
                "there is no such pool any more; the operator can set it up again, or cancel this"
            )
        if not pool.wanted:
            return "none is kept while nobody needs it; one is asked for"
    return "none is open, the cluster is starting"


def _lanes_missing(state: State, job: Job, opened: int) -> str | None:
    """How many lanes are open of how many, when the cluster has no room for more."""
    pool = state.pools.get(job.spec.pool)
    if pool is None or opened >= pool.wanted or pool.room >= pool.wanted:
        return None
    if pool.lacks:
        return (
            f"each takes {pool.lacks}, which no node has; where no autoscaler starts one that has "
            "it, the operator can add it, or make the lanes smaller"
        )
    are = "is" if opened == 1 else "are"
    wanted = _count(pool.wanted, "lane")
    return f"{opened} of {wanted} {are} open: the cluster has room for {pool.room}"


def _paused(since: float, now: float) -> Explanation:
    return Explanation(
        Reason.WAITING_FOR_OPERATOR,
        f"paused by the operator {_about(now - since)} ago: what runs ends, nothing new starts",
    )


def _behind_in_branch(state: State, job: Job, head: JobId, now: float) -> Explanation:
    """What keeps the first in line is what keeps all of it. How long those behind the first will
    take is not known before their plans: only whoever is next is told a time."""
    line = state.users[job.user].branches[job.spec.branch].line
    first = state.jobs[head]
    ahead = line.rank(job.order) + (first.order > job.order)
    return Explanation(
        Reason.WAITING_FOR_BRANCH,
        f"waiting in branch {job.spec.branch}: {_nth(ahead + 1)} in line; "
        f"first is job {head}: {explain(state, first, now).sentence}",
        position=ahead + 1,
        eta_s=eta_s(state, first) if ahead == 1 else None,
    )


def _behind_dependencies(state: State, job: Job) -> Explanation:
    first = next(iter(job.unmet))
    more = f" and {len(job.unmet) - 1} more" if len(job.unmet) > 1 else ""
    return Explanation(
        Reason.WAITING_FOR_DEPENDENCY,
        f"waiting for job {first} ({_word(state.jobs[first].state)}){more} to succeed",
        eta_s=_last_s([eta_s(state, state.jobs[name]) for name in job.unmet]),
    )


def _behind_equal_work(state: State, other: Job) -> Explanation:
    return Explanation(
        Reason.WAITING_FOR_EQUAL_WORK,
        f"waiting for job {other.id} ({_word(other.state)}), which computes the same: "
        "its results will be used",
        eta_s=eta_s(state, other),
    )


def _last_s(times: list[float | None]) -> float | None:
    """The latest time, when all are known."""
    known = [at for at in times if at is not None]
    return max(known) if len(known) == len(times) else None


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
    pool, mine = state.pools[job.spec.pool], state.users[job.user].turns[job.spec.pool]
    users, own = pool.turns.rank(job.user), mine.rank(job.spec.branch)
    ahead = users + own
    cap, lanes = state.limits.max_running_jobs, _lanes_open(state, pool.name)
    if job.id == pool.parking:
        return Explanation(
            Reason.WAITING_FOR_TURN,
            "parked between two chunks: it is another job's turn",
            position=ahead + 1,
            eta_s=_turn_s(state, pool, ahead, now),
        )
    first = f", after {_others(users, own)}" if ahead else ""
    if len(pool.running) >= cap:
        return Explanation(
            Reason.WAITING_FOR_RUNNING_CAP,
            f"{_nth(ahead + 1)} to go{first}: waiting until one of the {_count(cap, 'job')} that "
            f"may run at once makes room",
            position=ahead + 1,
            eta_s=_room_s(state, pool, ahead, now),
        )
    if not ahead:
        which = ("the lane" if lanes == 1 else f"one of {lanes} lanes") + _of_pool(job)
        missing = _lanes_missing(state, job, lanes)
        why = f"; {missing}" if missing else ""
        return Explanation(
            Reason.WAITING_FOR_LANE,
            f"next to go: waiting for {which} to finish its chunk{why}",
            position=1,
            eta_s=_turn_s(state, pool, 0, now),
        )
    return Explanation(
        Reason.WAITING_FOR_TURN,
        f"waiting for its turn at {_count(lanes, 'lane')}{_of_pool(job)}: {_nth(ahead + 1)} to "
        f"go{first}",
        position=ahead + 1,
        eta_s=_turn_s(state, pool, ahead, now),
    )


def _others(users: int, own: int) -> str:
    """Who goes first, in numbers."""
    branches = "1 branch of your own" if own == 1 else f"{own} branches of your own"
    told = [_count(users, "other user")] if users else []
    return " and ".join([*told, branches] if own else told)


def _runs_in(state: State, pool: Pool) -> list[Run]:
    """The runs in flight in a pool's lanes."""
    return [run for run in state.runs.values() if state.sites[run.lane].pool == pool.name]


def _turn_s(state: State, pool: Pool, ahead: int, now: float) -> float | None:
    """When a lane is probably free after ``ahead`` others took one each: runs of the usual length
    end one after another, spread over the lanes."""
    runs = _runs_in(state, pool)
    if not runs:
        return None
    first = min(run.left_s(now) for run in runs)
    return max(0.0, first) + ahead * _usual_s(runs) / (len(runs) + len(pool.idle))


def _room_s(state: State, pool: Pool, ahead: int, now: float) -> float | None:
    """When a job probably leaves the cap: the parked one, or one that has no unit to go on with,
    at the end of its last run; each of the ``ahead`` others has to wait for one more."""
    leaving = [
        max(state.runs[run].left_s(now) for run in job.runs)
        for job in (state.jobs[name] for name in pool.running)
        if job.id == pool.parking or not job.has_unit()
    ]
    if not leaving:
        return None
    return max(0.0, min(leaving)) + ahead * _usual_s(_runs_in(state, pool))


def _usual_s(runs: list[Run]) -> float:
    """The mean estimate of runs in flight, of which there is at least one."""
    return sum(run.est_s for run in runs) / len(runs)


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
