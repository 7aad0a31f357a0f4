"""The scheduling cycle: what happens after every event, as numbered steps."""

from __future__ import annotations

from heapq import heapify, heappop

from raysched.core.admission import (
    admit,
    next_tenure_end,
    settle_branch,
    settle_user,
)
from raysched.core.commands import RunUnit, WakeAt
from raysched.core.decision import Decision
from raysched.core.lifecycle import begin_new_attempt
from raysched.core.locality import take_lane
from raysched.core.model import (
    CANCELLING,
    MAIN,
    SEGMENT,
    WAITING,
    JobId,
    LaneId,
    RunId,
    Stage,
    Unit,
)
from raysched.core.retirement import retire_ended
from raysched.core.state import Job, Pool, Run, State
from raysched.core.step import Step
from raysched.core.transitions import Cause, move
from raysched.errors import IllegalMove


def cycle(state: State, step: Step, decision: Decision | None = None) -> None:
    """From a changed state to one in which nothing more can be done now.

    With a decision, step 5 is not decided again but done as it was decided before.
    """
    # 1. Back-offs that are over become new attempts.
    while state.alarms and state.alarms[0][0] <= state.now:
        begin_new_attempt(state, state.jobs[state.alarms[0][2]], step)
    # 2. Branches whose head changed become ready, or not.
    for user, branch in step.branches:
        settle_branch(state, user, branch)
    # 3. Their users give up slots, and join or leave the queue.
    for user in step.users:
        settle_user(state, user)
    # 4. Free slots go to the queue; whoever held one for too long makes room.
    admit(state)
    # 5. Idle lanes take the unit whose turn it is.
    if decision is None:
        decide(state, step)
    else:
        repeat(state, decision, step)
    # 6. Ask to be woken for what time alone will change.
    ask_to_be_woken(state, step)
    # 7. What ended long ago leaves memory.
    for name in step.crowded:
        retire_ended(state, name, step)


def decide(state: State, step: Step) -> None:
    """Give idle lanes away until none is left or nobody may have one; none while paused."""
    is_paused = state.paused_at is not None
    for pool in state.pools.values():
        if is_paused:
            pool.parking = None
            continue
        while pool.idle:
            job = choose(state, pool)
            if job is None:
                break
            dispatch(state, pool, job, step)
        if pool.parking not in pool.running:  # it made room; without idle lanes nobody has chosen
            pool.parking = None


def repeat(state: State, decision: Decision, step: Step) -> None:
    """Dispatch what was dispatched before. Raises ``IllegalMove`` when that cannot have been."""
    for name, stage, chunk, lane in decision.dispatches:
        job = state.jobs.get(name)
        pool = state.pool(job.spec.pool if job is not None else MAIN)
        fits = job is not None and lane in pool.idle and job.has_unit() and job.stage is stage
        if job is None or not fits or (stage is SEGMENT and chunk not in _pending(job)):
            raise IllegalMove(
                f"Job {name} cannot have been given lane {lane} for its {stage} unit {chunk}.",
                remedy="This is a fault in raysched: report it with `raysched journal export`.",
                job=name,
                lane=lane,
            )
        dispatch(state, pool, job, step, again=(chunk, lane))
    for pool in state.pools.values():
        pool.parking = None
    for name in decision.parking:
        # Journals of earlier versions name jobs that had left memory before the event.
        if (parked := state.jobs.get(name)) is not None:
            state.pools[parked.spec.pool].parking = name


def choose(state: State, pool: Pool) -> Job | None:
    """The job whose unit goes to the next idle lane of a pool, if any may go.

    It is the fair choice, unless ``max_running_jobs`` keeps that out. Then a running job furthest
    ahead of its share is parked (no new chunk, so that it leaves the cap within one chunk), and
    the lane goes to the running job whose turn is next, so that it does not idle meanwhile. When
    no other running job has a unit, each of them leaves the cap or has units again once its runs
    end: until then the lane goes to the parked job, rather than to nobody.
    """
    fair = _fair_choice(state, pool)
    cap_is_free = len(pool.running) < state.limits.max_running_jobs
    if fair is None or cap_is_free:
        pool.parking = None
        return fair
    if fair.id == pool.parking:
        pool.parking = None
    if fair.runs:
        return fair
    running = [state.jobs[name] for name in pool.running]
    if pool.parking not in pool.running:
        pool.parking = _whom_to_park(state, pool, running)
    able = [job for job in running if job.has_unit() and job.user in pool.turns.ready]
    others = [job for job in able if job.id != pool.parking]
    if not others and len(running) == 1:
        return None
    return min(others or able, key=lambda job: _place(state, pool, job), default=None)


def _fair_choice(state: State, pool: Pool) -> Job | None:
    """The head job of the branch whose turn it is, of the user whose turn it is."""
    name = pool.turns.first()
    if name is None:
        return None
    user = state.users[name]
    branch = user.turns[pool.name].first()
    assert branch is not None, "a user in turn has a ready branch"
    head = user.branches[branch].head()
    assert head is not None, "a ready branch has a head"
    return state.jobs[head]


def _whom_to_park(state: State, pool: Pool, running: list[Job]) -> JobId | None:
    """The running job furthest ahead; nobody when some job is coming to rest by itself."""
    if not running or any(not may_go_on(state, job) for job in running):
        return None
    return max(running, key=lambda job: _place(state, pool, job)).id


def may_go_on(state: State, job: Job) -> bool:
    """Whether a running job may get more lanes once it has units for them."""
    return (job.verdict is None and job.state is not CANCELLING) and job.user not in state.yielding


def _place(state: State, pool: Pool, job: Job) -> tuple[float, float, int]:
    """The job's place in the fair order: smaller goes first."""
    turns = state.users[job.user].turns[pool.name]
    return pool.turns.tags[job.user], turns.tags[job.spec.branch], job.order


def dispatch(
    state: State, pool: Pool, job: Job, step: Step, again: tuple[int, LaneId] | None = None
) -> None:
    """Give the job's next unit to an idle lane.

    ``again``: the chunk and the lane, when they were decided before.
    """
    if job.state is WAITING:
        move(job, Cause.PLAN_DISPATCHED)
        state.branch_of(job).current = job.id
        if job.started_at is None:
            job.started_at = state.now
    if again is None:
        chunk = heappop(_pending(job)) if job.stage is SEGMENT else 0
        lane = take_lane(state, pool, job)
    else:
        chunk, lane = again
        del pool.idle[lane]
        if job.stage is SEGMENT:
            _take(_pending(job), chunk)
    state.runs_started += 1
    spec, name = job.spec, job.user
    unit = Unit(spec.job, job.attempt, job.stage, chunk)
    est_s = estimate_s(state, job, unit)
    run = RunId(f"{state.epoch}-{state.runs_started}")
    user = state.users[name]
    own = user.turns[pool.name]
    pool.turns.charge(name, est_s / user.weight)
    own.charge(spec.branch, est_s)
    state.lanes[lane] = run
    state.runs[run] = Run(run, unit, lane, state.now, est_s)
    job.runs[run] = None
    user.runs[run] = None
    pool.running[spec.job] = None
    step.show(job)
    if job.stage is not SEGMENT or not _pending(job):
        own.sleep(spec.branch)
        if not own.ready:
            pool.turns.sleep(name)
    careful = bool(job.too_large) and unit_key(unit) in job.too_large
    step.commands.append(RunUnit(run, lane, unit, spec.kind, name, spec.request, job.mpp, careful))


def _take(pending: list[int], chunk: int) -> None:
    """Remove a chunk from the heap; nearly always it is the first."""
    if pending[0] == chunk:
        heappop(pending)
    else:
        pending.remove(chunk)
        heapify(pending)


def _pending(job: Job) -> list[int]:
    assert job.progress is not None, "a job that segments has a plan"
    return job.progress.pending


def estimate_s(state: State, job: Job, unit: Unit) -> float:
    """What a unit will probably cost: its size times the moving average of its kind and stage."""
    stage = unit.stage
    rate = rate_s(state, job.spec.kind, stage)
    return rate * unit_size(job, unit) if stage is SEGMENT else rate


def rate_s(state: State, kind: str, stage: Stage) -> float:
    """Seconds per tile (segment) or per unit (the other stages), as far as is known."""
    rates = state.rates.get(kind)
    first = state.limits.first_tile_estimate_s
    return first if rates is None else rates.get(stage, first)


def unit_key(unit: Unit) -> str:
    """What a unit is called among those of its job."""
    return f"{unit.stage} {unit.chunk}"


def unit_size(job: Job, unit: Unit) -> int:
    """Tiles of a chunk; the other stages count as one."""
    if unit.stage is not SEGMENT or job.progress is None:
        return 1
    return job.progress.plan.chunk_tiles[unit.chunk] or 1


def ask_to_be_woken(state: State, step: Step) -> None:
    """Ask for the earliest back-off or tenure end, if it is not what was asked for already."""
    if not state.alarms and not state.queue:
        state.wake_at = None
        return
    times = [state.alarms[0][0]] if state.alarms else []
    tenure_end = next_tenure_end(state)
    if tenure_end is not None:
        times.append(tenure_end)
    wake_at = min(times, default=None)
    if wake_at is not None and wake_at != state.wake_at:
        step.commands.append(WakeAt(wake_at))
    state.wake_at = wake_at
