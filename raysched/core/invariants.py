"""Recomputes naively what the core keeps as indexes, and the invariants of ARCHITECTURE.md.

For tests and simulations: ``check`` reads the whole state, so it costs as much as the state is
large. Each failure names its invariant.
"""

from __future__ import annotations

import math

from raysched.core.fairness import FairQueue
from raysched.core.graph import leaders
from raysched.core.locality import MOST_SLIDES
from raysched.core.model import BranchName, JobId, JobState, PoolName, Stage, UserId, WorkflowId
from raysched.core.retirement import is_deleted, is_retired
from raysched.core.scheduler import Scheduler
from raysched.core.state import Job, Pool, Progress, State

_STAGE_OF = {
    JobState.PLANNING: Stage.PLAN,
    JobState.SEGMENTING: Stage.SEGMENT,
    JobState.ASSEMBLING: Stage.ASSEMBLE,
    JobState.PUBLISHING: Stage.PUBLISH,
}
_BEGUN = frozenset({*_STAGE_OF, JobState.CANCELLING, JobState.RETRY_WAITING, JobState.NEEDS_MPP})
_AT_WORK = frozenset({JobState.SEGMENTING, JobState.ASSEMBLING, JobState.PUBLISHING})
_ENDED_BADLY = frozenset({JobState.FAILED, JobState.CANCELLED, JobState.SKIPPED})


NO_TURNS: FairQueue[BranchName] = FairQueue()


def check(scheduler: Scheduler) -> None:
    """Raise ``AssertionError`` naming the first invariant that does not hold."""
    state = scheduler.state
    _check_jobs(state)
    _check_runs_and_lanes(state)
    _check_branches(state)
    _check_order(state)
    _check_equal_work(state)
    _check_caps(state)
    _check_admission(state)
    _check_turns(state)
    _check_alarms(state)
    _check_nothing_idles(state)
    _check_identities(state)
    _check_operator(state)
    _check_deleted(state)


def _hold(condition: bool, name: str, *facts: object) -> None:
    if not condition:
        raise AssertionError(f"{name}: {' '.join(map(str, facts))}")


def _open_jobs(state: State) -> list[Job]:
    return [job for job in state.jobs.values() if not job.state.is_final]


def _check_jobs(state: State) -> None:
    """I1: every acknowledged job is known once, and its parts agree with its state."""
    submitted = [name for workflow in state.workflows.values() for name in workflow.jobs]
    _hold(submitted == list(state.jobs), "I1 every submitted job is known once")
    for name, user in state.users.items():
        mine = [job for job in state.jobs.values() if job.user == name]
        _hold(list(user.jobs) == [job.id for job in mine], "I1 jobs of", name)
        _check_ended(state, name, mine)
        still = {job.id for job in mine if not job.state.is_final}
        _hold(set(user.open) == still, "I1 open jobs of", name)
    for job in state.jobs.values():
        _hold((job.ended_at is not None) == job.state.is_final, "I1 end of", job.id, job.state)
        _hold((job.skipped_by is not None) == (job.state is JobState.SKIPPED), "I1 skip", job.id)
        _hold((job.question is None) == (job.state is not JobState.NEEDS_MPP), "I1 mpp", job.id)
        _hold(not (job.state.is_final and job.runs), "I1 a final job has runs", job.id)
        _hold(not (job.state is JobState.CANCELLING and not job.runs), "I1 stuck", job.id)
        _hold(job.verdict is None or bool(job.runs), "I1 a verdict is not carried out", job.id)
        stage = _STAGE_OF.get(job.state)
        _hold(stage is None or stage is job.stage, "I1 stage of", job.id, job.stage, job.state)
        _check_progress(state, job)


def _check_ended(state: State, name: UserId, mine: list[Job]) -> None:
    """I2: a key is known for ever; what has ended leaves memory whole, the oldest first."""
    user = state.users[name]
    workflows = [each for each in state.workflows.values() if each.user == name]
    _hold(user.keys == {each.key: each.workflow for each in workflows}, "I2 keys of", name)
    _hold(not any(is_retired(user, key) for key in user.keys), "I2 a key is known twice", name)
    open_in: dict[WorkflowId, int] = {}
    for job in mine:
        if not job.state.is_final:
            open_in[job.workflow] = open_in.get(job.workflow, 0) + 1
    kept = {each.workflow: state.unfinished.get(each.workflow, 0) for each in workflows}
    _hold({w: n for w, n in kept.items() if n} == open_in, "index unfinished of", name)
    ended = {each.workflow: len(each.jobs) for each in workflows if each.workflow not in open_in}
    _hold(set(user.ended) == set(ended), "index ended of", name)
    _hold(user.jobs_ended == sum(ended.values()), "index jobs ended of", name)
    crowded = user.jobs_ended > state.limits.max_ended_jobs_per_user and len(ended) > 1
    _hold(not crowded, "ended jobs stay in memory", name, user.jobs_ended)


def _check_progress(state: State, job: Job) -> None:
    """Chunks are done, in flight or pending: each in one of the three."""
    progress = job.progress
    if progress is None or job.state in (JobState.CANCELLED, JobState.CANCELLING):
        return
    flying = [state.runs[run].unit.chunk for run in job.runs if job.stage is Stage.SEGMENT]
    todo = [*progress.pending, *flying]
    total = len(progress.plan.chunk_tiles)
    _hold(len(set(todo)) == len(todo), "I1 a chunk goes twice", job.id, todo)
    _hold(progress.chunks_done + len(todo) == total, "I1 chunks of", job.id, todo)
    _hold(job.state is not JobState.SUCCEEDED or not todo, "I1 done with chunks left", job.id)
    _hold(not progress.holes.keys() & set(todo), "I19 holes of what is not done", job.id, todo)
    _check_failed_tiles(job, progress)


def _check_failed_tiles(job: Job, progress: Progress) -> None:
    """I19: with more failed tiles than may be a job goes no further, and each is known by chunk."""
    known = sum(failed for failed, _ in progress.holes.values())
    _hold(known == progress.tiles_failed, "I19 failed tiles of", job.id, known)
    may_fail = progress.plan.may_fail
    goes_on = job.state in (*_AT_WORK, JobState.SUCCEEDED) and job.verdict is None
    too_many = may_fail is not None and progress.tiles_failed > may_fail
    _hold(not (goes_on and too_many), "I19 goes on with failed tiles", job.id, may_fail)


def _check_runs_and_lanes(state: State) -> None:
    for name, run in state.runs.items():
        job = state.jobs[run.unit.job]
        _hold(name == run.run and state.lanes.get(run.lane) == name, "I6 one lane per run", name)
        _hold(run.unit.attempt == job.attempt, "I3 a run of an old attempt", name)
        _hold(run.unit.stage is job.stage, "I3 a run of another stage", name)
        stopping = job.state is JobState.CANCELLING or job.verdict is not None
        _hold(run.told_to_stop == stopping, "I14 told to stop", name)
    _hold(
        sorted(run for run in state.lanes.values() if run) == sorted(state.runs),
        "I6 lanes and runs agree",
    )
    _check_pools(state)
    _hold(set(state.closing) <= set(state.lanes), "I20 closing and gone", list(state.closing))
    for run in state.runs.values():
        late = run.started_at > state.closing.get(run.lane, math.inf)
        _hold(not late, "I20 started in a lane that is to go", run.run, run.lane)
    for job in state.jobs.values():
        mine = {run.run for run in state.runs.values() if run.unit.job == job.id}
        _hold(set(job.runs) == mine, "index runs of", job.id)
        single = job.stage is not Stage.SEGMENT
        _hold(not (single and len(mine) > 1), "I10 a stage runs twice at once", job.id)
    for who, user in state.users.items():
        mine = {run.run for run in state.runs.values() if state.jobs[run.unit.job].user == who}
        _hold(set(user.runs) == mine, "index runs of", who)


def _check_pools(state: State) -> None:
    """I21: a unit runs in a lane of its job's pool; each pool knows what is its own."""
    _hold(set(state.sites) == set(state.lanes), "index sites")
    _hold(len(state.staged) <= MOST_SLIDES, "staged slides are bounded", len(state.staged))
    _hold(all(state.staged.values()), "staged nowhere")
    for run in state.runs.values():
        is_own = state.sites[run.lane].pool == state.jobs[run.unit.job].spec.pool
        _hold(is_own, "I21 runs in a lane of another pool", run.run, run.lane)
    free = [x for x, run in state.lanes.items() if run is None and x not in state.closing]
    for name, pool in state.pools.items():
        mine = {lane for lane in free if state.sites[lane].pool == name}
        _hold(pool.name == name and set(pool.idle) == mine, "index idle of", name)
        jobs = {run.unit.job for run in state.runs.values()}
        jobs = {job for job in jobs if state.jobs[job].spec.pool == name}
        _hold(set(pool.running) == jobs, "index running of", name)


def _check_branches(state: State) -> None:
    """I4, I7: one job of a branch at a time, in order of submission."""
    lines: dict[tuple[UserId, BranchName], list[Job]] = {}
    for job in sorted(_open_jobs(state), key=lambda job: job.order):
        lines.setdefault((job.user, job.spec.branch), []).append(job)
    kept = {
        (name, b): branch for name, u in state.users.items() for b, branch in u.branches.items()
    }
    _hold(set(kept) == set(lines), "index branches")
    for key, line in lines.items():
        branch = kept[key]
        _hold(branch.line.jobs() == [job.id for job in line], "I7 line of", key)
        begun = [job.id for job in line if job.state in _BEGUN]
        _hold(len(begun) <= 1, "I4 serial within a branch", key, begun)
        _hold(not begun or begun == [branch.current], "I4 current", key, begun)
        _hold(branch.current in {None, *branch.line.jobs()}, "I4 current has ended", key)


def _check_order(state: State) -> None:
    """I5, I8: what a job follows has succeeded before it begins; a failure skips what follows."""
    for job in state.jobs.values():
        ahead = [state.jobs[name] for name in leaders(job)]
        succeeded = all(other.state is JobState.SUCCEEDED for other in ahead)
        begun = job.state in _BEGUN or job.state in (JobState.SUCCEEDED, JobState.FAILED)
        _hold(not begun or succeeded, "I5 began before what it follows", job.id)
        unmet = {
            name for name in job.spec.depends_on if state.jobs[name].state is not JobState.SUCCEEDED
        }
        _hold(set(job.unmet) == unmet, "index unmet of", job.id)
        bad = [other.skipped_by or other.id for other in ahead if other.state in _ENDED_BADLY]
        _hold(
            not (bad and job.state is JobState.WAITING),
            "I8 waits for ever",
            job.id,
            bad,
        )
        if job.skipped_by is not None:
            _hold(job.skipped_by in bad, "I8 skipped without cause", job.id, job.skipped_by, bad)
            root = state.jobs[job.skipped_by].state
            _hold(root in (JobState.FAILED, JobState.CANCELLED), "I8 cause", job.id, root)


def _check_equal_work(state: State) -> None:
    """I15: of a user's jobs of equal work that nobody has done yet one computes; who waits for it
    stands where it stood."""
    for name, user in state.users.items():
        mine = [state.jobs[job] for job in user.jobs]
        at_work: dict[str, dict[JobId, dict[JobId, None]]] = {}
        for job in mine:
            if job.state in _AT_WORK and (work := _work(job)):
                waiting = [other.id for other in mine if other.awaits == job.id]
                at_work.setdefault(work, {})[job.id] = dict.fromkeys(waiting)
        _hold(user.at_work == at_work, "index at work of", name, user.at_work, at_work)
        for work, jobs in at_work.items():
            computing = [job for job in jobs if state.jobs[job].state is JobState.SEGMENTING]
            alone = len(computing) <= 1 or work in user.done_work
            _hold(alone, "I15 equal work is done twice at once", work, computing)
        for job in mine:
            if job.awaits is not None:
                branch = state.users[name].branches[job.spec.branch]
                _hold(branch.current == job.id, "I4 who waits for equal work is current", job.id)
                _hold(job.state is JobState.WAITING, "I15 waits at work", job.id, job.state)
                _hold(job.awaits in at_work.get(_work(job), {}), "I15 waits for ever", job.id)
                _hold(_work(job) not in user.done_work, "I15 waits for what is done", job.id)


def _work(job: Job) -> str:
    return job.progress.plan.work if job.progress is not None else ""


def _check_caps(state: State) -> None:
    """I6: caps hold."""
    limits = state.limits
    _hold(len(state.slots) <= limits.max_active_users, "I6 slots", list(state.slots))
    for pool in state.pools.values():
        _hold(len(pool.running) <= limits.max_running_jobs, "I6 running", list(pool.running))
    for name, user in state.users.items():
        _hold(not user.runs or name in state.slots, "I6 runs without a slot", name)


def _ready_branches(state: State, name: UserId, pool: PoolName | None = None) -> set[BranchName]:
    """Branches whose head has a unit (in that pool), found the long way."""
    found = set()
    for branch_name, branch in state.users[name].branches.items():
        line = [state.jobs[job] for job in branch.line.jobs()]
        head = next((job for job in line if job.id == branch.current), line[0])
        fits = pool in (None, head.spec.pool)
        if fits and _has_unit(state, head) and not _is_held(state, head):
            found.add(branch_name)
    return found


def _is_held(state: State, job: Job) -> bool:
    account = state.identities.accounts.get(job.user)
    is_open = account is None or (account.disabled_at, account.deleted_at) == (None, None)
    return not is_open and job.state is JobState.WAITING and job.started_at is None


def _check_identities(state: State) -> None:
    """I16: a key is somebody's and opens no more than its user may; of the deleted nothing is left
    to be done and nothing opens."""
    accounts, keys = state.identities.accounts, state.identities.keys
    for name, key in keys.items():
        _hold(key.user in accounts, "I16 a key without an account", name)
        _hold(accounts[key.user].role.covers(key.role), "I16 a key beyond its user", name)
        parent = keys.get(key.parent) if key.parent is not None else None
        is_held_up = parent is not None and parent.revoked_at is None
        _hold(key.parent is None or is_held_up, "I16 a session without its key", name)
        is_gone = accounts[key.user].deleted_at is not None
        _hold(not is_gone or key.revoked_at is not None, "I16 a key of the deleted", name)
    for who, account in accounts.items():
        user = state.users.get(who)
        if account.deleted_at is not None and user is not None:
            still = {state.jobs[name].state for name in user.open}
            _hold(still <= {JobState.CANCELLING}, "I16 work of the deleted", who, still)


def _check_operator(state: State) -> None:
    """I17: while the operator has paused the cluster nothing starts."""
    if state.paused_at is not None:
        late = [run.run for run in state.runs.values() if run.started_at > state.paused_at]
        _hold(not late, "I17 started while paused", late)
        _hold(not state.parked(), "I17 parked while paused", state.parked())


def _check_deleted(state: State) -> None:
    """I18: what is deleted is not there, its key is known, and only files of the ended go."""
    for name, user in state.users.items():
        there = [each for each in user.keys.values() if each in user.deleted]
        _hold(not there, "I18 deleted and there", name, there)
        _hold(len(user.deleted) == len(user.deleted_keys), "I18 keys of the deleted", name)
        _hold(not user.deleted_keys & user.retired_keys, "I18 deleted and retired", name)
        _hold(not any(is_deleted(user, key) for key in user.keys), "I18 a key is known", name)
        _hold(not user.cleared.keys() & user.open.keys(), "I18 cleared and open", name)
    for job in state.removals:
        known = state.jobs.get(job)
        _hold(known is None or known.state.is_final, "I18 files of the living", job)


def _has_unit(state: State, job: Job) -> bool:
    flying = [run for run in state.runs.values() if run.unit.job == job.id]
    if job.verdict is not None:
        return False
    if job.state is JobState.WAITING:
        met = all(state.jobs[name].state is JobState.SUCCEEDED for name in job.spec.depends_on)
        return met and job.awaits is None
    if job.state is JobState.SEGMENTING:
        return job.progress is not None and len(job.progress.pending) > 0
    return job.state in _STAGE_OF and not flying


def _check_admission(state: State) -> None:
    """I7: whoever could run and has no slot is in the queue, once; a free slot is given away."""
    served = [pool for pool in state.pools if state.is_served(pool)]
    eligible = {
        name for name in state.users if any(_ready_branches(state, name, pool) for pool in served)
    }
    _hold(set(state.queue) == eligible - set(state.slots), "I7 the queue", list(state.queue))
    busy = {name for name, user in state.users.items() if user.runs}
    _hold(set(state.slots) <= eligible | busy, "I7 an idle user holds a slot", list(state.slots))
    free = state.limits.max_active_users - len(state.slots)
    _hold(not (free > 0 and state.queue), "I7 a slot is free while users wait")
    since = list(state.slots.values())
    _hold(since == sorted(since), "I7 slots are in order of admission", dict(state.slots))


def _check_turns(state: State) -> None:
    yielding: list[UserId] = []
    tenure_s = state.limits.slot_tenure_s
    if tenure_s > 0:
        over = [name for name, since in state.slots.items() if since + tenure_s <= state.now]
        yielding = over[: len(state.queue)]
    _hold(list(state.yielding) == yielding, "index yielding", list(state.yielding), yielding)
    for pool in state.pools.values():
        _check_turns_in(state, pool, yielding)


def _check_turns_in(state: State, pool: Pool, yielding: list[UserId]) -> None:
    ready: set[UserId] = set()
    for name, user in state.users.items():
        branches, own = _ready_branches(state, name, pool.name), user.turns.get(pool.name, NO_TURNS)
        _hold(set(own.ready) == branches, "index ready branches of", name)
        _check_first(own.first(), {b: (own.tags[b], t) for b, t in own.ready.items()})
        if branches and name in state.slots and name not in yielding:
            ready.add(name)
    turns = pool.turns
    _hold(set(turns.ready) == ready, "index ready users", set(turns.ready), ready)
    _check_first(turns.first(), {n: (turns.tags[n], t) for n, t in turns.ready.items()})


def _check_first(
    first: object, places: dict[UserId, tuple[float, int]] | dict[BranchName, tuple[float, int]]
) -> None:
    naive = min(places.items(), key=lambda item: item[1], default=(None, None))[0]
    _hold(first == naive, "index first in turn", first, naive)


def _check_alarms(state: State) -> None:
    """Whatever time alone will change has been asked for."""
    waiting = {job.id: job.retry_at for job in state.jobs.values() if job.retry_at is not None}
    states = {job.id for job in state.jobs.values() if job.state is JobState.RETRY_WAITING}
    _hold(set(waiting) == states, "index retry_at", waiting, states)
    alarms: dict[JobId, float | None] = {job: at for at, _, job in state.alarms}
    _hold(alarms == waiting and state.alarms == sorted(state.alarms), "index alarms", alarms)
    due = [at for at in waiting.values() if at is not None]
    if state.queue and state.limits.slot_tenure_s > 0:
        ends = [since + state.limits.slot_tenure_s for since in state.slots.values()]
        due += [end for end in ends if end > state.now]
    _hold(state.wake_at == min(due, default=None), "index wake_at", state.wake_at, due)
    _hold(state.wake_at is None or state.wake_at > state.now, "a wake-up was missed")


def _check_nothing_idles(state: State) -> None:
    """Work-conserving: a lane idles only when no unit may go, the cap included.

    The one exception is a job that runs alone under the cap and is parked to let another in; and
    the operator may have paused all.
    """
    for pool in state.pools.values():
        if pool.idle and state.paused_at is None:
            _check_not_idle(state, pool)


def _check_not_idle(state: State, pool: Pool) -> None:
    cap_is_free = len(pool.running) < state.limits.max_running_jobs
    heads = [
        state.users[name].branches[branch_name].head()
        for name in state.slots
        if name not in state.yielding
        for branch_name in _ready_branches(state, name, pool.name)
    ]
    somebody_is_kept_out = any(head not in pool.running for head in heads)
    for head in heads:
        alone = len(pool.running) == 1
        is_parked = head == pool.parking and somebody_is_kept_out and alone
        may_go = cap_is_free or (head in pool.running and not is_parked)
        _hold(not may_go, "a lane idles", list(pool.idle), head)
