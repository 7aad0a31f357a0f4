"""What runs report. Each run ends with exactly one report; all later ones are ignored.

The checks read only; ``is_news`` is shared: a report of a run that is not in flight is stale, and
one that does not fit the stage of its run is a fault of ours.
"""
# ruff: noqa: ARG001 - handlers share one signature

from __future__ import annotations

from heapq import heappush
from itertools import pairwise
from math import isfinite

from raysched.core import equal_work
from raysched.core.admission import served_pools, settle_served
from raysched.core.commands import ReleaseLane, RemoveFiles
from raysched.core.dispatch import unit_key, unit_size
from raysched.core.events import (
    ChunkFinished,
    ChunksMissed,
    MppMissed,
    ResultAssembled,
    ResultPublished,
    RunFailed,
    RunLost,
    RunStopped,
    SchedulerStarted,
    SlidePlanned,
    TimePassed,
)
from raysched.core.lifecycle import carry_out_verdict, end, fail_attempt, return_unit
from raysched.core.locality import note_staged
from raysched.core.model import (
    ASSEMBLE,
    CANCELLING,
    PLAN,
    PUBLISH,
    SEGMENT,
    SEGMENTING,
    Failure,
    PlanFacts,
    RunId,
    Stage,
)
from raysched.core.state import Job, Progress, Run, State
from raysched.core.step import Step
from raysched.core.transitions import Cause, move
from raysched.errors import IllegalMove

Report = (
    SlidePlanned
    | MppMissed
    | ChunkFinished
    | ResultAssembled
    | ChunksMissed
    | ResultPublished
    | RunFailed
    | RunLost
    | RunStopped
)

_FITS: dict[type[Report], Stage] = {
    SlidePlanned: PLAN,
    MppMissed: PLAN,
    ChunkFinished: SEGMENT,
    ResultAssembled: ASSEMBLE,
    ChunksMissed: ASSEMBLE,
    ResultPublished: PUBLISH,
}
_NEW_RATE_SHARE = 0.2
"""How much a new measurement moves the average of seconds per tile: about the last ten count."""


def is_news(state: State, event: Report) -> bool:
    """Whether the run is in flight. Raises ``IllegalMove`` if the report is of another stage."""
    run = state.runs.get(event.run)
    if run is None:
        return False
    fits = _FITS.get(type(event))
    if fits is not None and fits is not run.unit.stage:
        raise IllegalMove(
            f"Run {event.run} is of stage {run.unit.stage}, but got a {type(event).__name__}.",
            remedy="This is a fault in raysched: report it with `raysched journal story`.",
            run=event.run,
            stage=run.unit.stage.value,
        )
    return True


def check_missed(state: State, event: ChunksMissed) -> bool:
    """Only chunks of the plan can be missed, each once, and at least one."""
    if not is_news(state, event):
        return False
    progress = state.jobs[state.runs[event.run].unit.job].progress
    chunks = len(progress.plan.chunk_tiles) if progress is not None else 0
    if not event.chunks or any(
        not low < chunk < chunks for low, chunk in pairwise((-1, *event.chunks))
    ):
        raise IllegalMove(
            f"Run {event.run} misses chunks that are not in order within its plan's {chunks}.",
            remedy="This is a fault in raysched: report it with `raysched journal story`.",
            run=event.run,
        )
    return True


# --- runs -----------------------------------------------------------------------------------------


def apply_planned(state: State, event: SlidePlanned, step: Step) -> None:
    """Begin the chunks; those that an earlier attempt has done of the same plan, but for those with
    failed tiles, stay done. While another job of the user is at work on the same, and none has done
    it, wait for that instead."""
    job = _close(state, event.run, event.seconds, step)
    if _was_coming_to_rest(state, job, step):
        return
    progress = _progress_of(job, event.plan)
    other = equal_work.at_hand(state, job) if progress.pending else None
    if other is not None:
        equal_work.wait(state, job, other, step)
        return
    equal_work.begin(state, job)
    if progress.pending:
        move(job, Cause.PLANNED)
        job.stage = SEGMENT
    else:
        move(job, Cause.PLANNED_NOTHING_LEFT)
        job.stage = ASSEMBLE


def _progress_of(job: Job, plan: PlanFacts) -> Progress:
    """What is done of a plan that was just made; kept in the job.

    A plan that no longer reuses an equal job's chunks begins from nothing, since those counted as
    done and may be gone; the job's own leave their receipts again at once.
    """
    progress = job.progress
    known = progress.plan if progress is not None else plan
    lost = known.reused and not plan.reused
    if progress is None or known.fingerprint != plan.fingerprint or lost:
        progress = job.progress = Progress(plan, list(range(len(plan.chunk_tiles))))
        job.cells = 0
    progress.plan = plan
    if plan.may_fail is not None:
        _return_holes(job, progress)
    if plan.reused:  # cells are known once they are assembled
        progress.pending = []
        progress.chunks_done = len(plan.chunk_tiles)
        progress.tiles_done = sum(plan.chunk_tiles)
    return progress


def _return_holes(job: Job, progress: Progress) -> None:
    """Whatever kept tiles from being read may be over: their chunks go again, and whoever does them
    asks the engine for the failed tiles alone."""
    for chunk, (failed, cells) in progress.holes.items():
        heappush(progress.pending, chunk)
        progress.chunks_done -= 1
        progress.tiles_done -= progress.plan.chunk_tiles[chunk]
        progress.tiles_failed -= failed
        progress.cells -= cells
        job.cells = progress.cells
    progress.holes = {}


def apply_mpp_missed(state: State, event: MppMissed, step: Step) -> None:
    """Ask a person; the branch waits, the slot goes on if nothing else of the user's can run."""
    seconds = state.now - state.runs[event.run].started_at
    job = _close(state, event.run, seconds, step, is_typical=False)
    if _was_coming_to_rest(state, job, step):
        return
    move(job, Cause.MPP_MISSED)
    job.question = event.question


def apply_chunk(state: State, event: ChunkFinished, step: Step) -> None:
    """Count a chunk, also when a sibling has failed meanwhile; not after a cancel (I14). With more
    failed tiles than may be the attempt fails at once."""
    run = state.runs[event.run]
    job = _close(state, event.run, event.seconds, step)
    progress = job.progress
    assert progress is not None, "a chunk in flight has a plan"
    totals = state.totals
    totals.chunks += 1
    totals.tiles += progress.plan.chunk_tiles[run.unit.chunk]
    totals.tiles_failed += event.tiles_failed
    totals.cells += event.cells
    if job.state is SEGMENTING:
        progress.chunks_done += 1
        progress.tiles_done += progress.plan.chunk_tiles[run.unit.chunk]
        progress.tiles_failed += event.tiles_failed
        progress.cells += event.cells
        if event.tiles_failed:
            progress.holes[run.unit.chunk] = (event.tiles_failed, event.cells)
        progress.seconds += max(0.0, event.seconds) if isfinite(event.seconds) else 0.0
        job.cells = progress.cells
    if _was_coming_to_rest(state, job, step):
        return
    may_fail = progress.plan.may_fail
    if may_fail is not None and progress.tiles_failed > may_fail:
        fail_attempt(state, job, _too_many_failed(progress, may_fail), True, step)
        return
    if not progress.pending and not job.runs:
        move(job, Cause.LAST_CHUNK_FINISHED)
        job.stage = ASSEMBLE


def _too_many_failed(progress: Progress, may_fail: int) -> Failure:
    """That no result can come of this any more, before the rest is computed for nothing."""
    tiles = sum(progress.plan.chunk_tiles)
    return Failure(
        "too_many_failed_tiles",
        f"{progress.tiles_failed:,} of {tiles:,} tiles could not be read, and at most "
        f"{may_fail:,} may fail.",
        "See why with `raysched logs`, check the slide's file and its storage, then `raysched "
        "retry` the job: only failed and unfinished tiles are computed. Or submit it with a higher "
        "max_failed_share.",
    )


def apply_assembled(state: State, event: ResultAssembled, step: Step) -> None:
    """All files are complete: publish them."""
    job = _close(state, event.run, event.seconds, step)
    if _was_coming_to_rest(state, job, step):
        return
    move(job, Cause.ASSEMBLED)
    job.stage = PUBLISH
    job.cells = event.cells


def apply_chunks_missed(state: State, event: ChunksMissed, step: Step) -> None:
    """Do the chunks again that storage has lost; if it loses them again and again, fail. While
    another job of the user is at work on the same, and none has done it, wait for that instead."""
    job = _close(state, event.run, event.seconds, step, is_typical=False)
    if _was_coming_to_rest(state, job, step):
        return
    progress, unit = job.progress, ASSEMBLE.value
    assert progress is not None, "what is assembled has a plan"
    progress.pending = list(event.chunks)
    progress.chunks_done -= len(event.chunks)
    progress.tiles_done -= sum(progress.plan.chunk_tiles[chunk] for chunk in event.chunks)
    for chunk in event.chunks:
        progress.holes.pop(chunk, None)
    progress.tiles_failed = event.tiles_failed
    progress.cells = job.cells = event.cells
    job.losses[unit] = job.losses.get(unit, 0) + 1
    too_often = job.losses[unit] > state.limits.max_losses_per_unit
    other = None if too_often else equal_work.at_hand(state, job)
    if other is not None:
        equal_work.wait(state, job, other, step)
        return
    move(job, Cause.CHUNKS_MISSED)
    job.stage = SEGMENT
    if too_often:
        failure = Failure(
            "chunks_missing",
            f"Storage lost finished chunks {job.losses[unit]} times, now {len(event.chunks)}.",
            "Check the disk that holds the results folder, then `raysched retry` the job.",
        )
        fail_attempt(state, job, failure, True, step)


def apply_published(state: State, event: ResultPublished, step: Step) -> None:
    """The job is done, unless its cancel was acknowledged first: then it stays cancelled (I14)."""
    job = _close(state, event.run, event.seconds, step)
    if _was_coming_to_rest(state, job, step):
        return
    job.cells = event.cells
    job.checksum = event.checksum
    end(state, job, Cause.PUBLISHED, step)


def apply_failed(state: State, event: RunFailed, step: Step) -> None:
    """The attempt has failed, unless it was stopping anyway."""
    run = state.runs[event.run]
    job = _close(state, event.run, event.seconds, step, is_typical=False)
    return_unit(job, run)
    if not _was_coming_to_rest(state, job, step):
        fail_attempt(state, job, event.failure, event.retryable, step)


def apply_lost(state: State, event: RunLost, step: Step) -> None:
    """Do the unit again in the same attempt, unless it has been lost too often.

    The time in the lane is charged: work that kills its worker must not run for nothing. What was
    ended for its memory goes again with care.
    """
    run = state.runs[event.run]
    job = _close(state, event.run, state.now - run.started_at, step, is_typical=False)
    return_unit(job, run)
    if _was_coming_to_rest(state, job, step):
        return
    unit = unit_key(run.unit)
    job.losses[unit] = job.losses.get(unit, 0) + 1
    if event.too_large:
        job.too_large[unit] = None
    if job.losses[unit] > state.limits.max_losses_per_unit:
        failure = Failure(
            "work_lost",
            f"The process that ran {run.unit.stage} unit {run.unit.chunk} died "
            f"{job.losses[unit]} times, last: {event.cause}.",
            "See the memory of the workers in the dashboard, then `raysched retry` the job.",
        )
        fail_attempt(state, job, failure, True, step)


def apply_stopped(state: State, event: RunStopped, step: Step) -> None:
    """A run that was told to stop has stopped. One that was not told counts as lost."""
    run = state.runs[event.run]
    if not run.told_to_stop:
        apply_lost(state, RunLost(event.at, event.run, "it stopped without being told to"), step)
        return
    job = _close(state, event.run, event.seconds, step, is_typical=False)
    return_unit(job, run)
    _was_coming_to_rest(state, job, step)


def _close(
    state: State, name: RunId, seconds: float, step: Step, *, is_typical: bool = True
) -> Job:
    """End a run: its lane is idle again, and what it cost is put right.

    A report whose seconds are no number is charged the time that has passed.
    """
    run = state.runs.pop(name)
    job = state.jobs[run.unit.job]
    owner, lane = job.user, run.lane
    user = state.users[owner]
    state.lanes[lane] = None
    name_of_pool = job.spec.pool
    pool = state.pools[name_of_pool]
    if lane in state.closing:
        step.commands.append(ReleaseLane(lane))
    else:
        pool.idle[lane] = None
    del job.runs[name]
    del user.runs[name]
    if not job.runs:
        del pool.running[run.unit.job]
    step.touch(job)
    cost = seconds if isfinite(seconds) else state.now - run.started_at
    if cost < 0.0:  # noqa: PLR1730 - for every event; max() takes twice as long
        cost = 0.0
    state.totals.lane_s += cost
    difference = cost - run.est_s
    if difference:
        pool.turns.correct(owner, difference / user.weight)
        user.turns[name_of_pool].correct(job.spec.branch, difference)
    if is_typical:
        _learn(state, job, run, cost)
        note_staged(state, job, lane)
    return job


def _learn(state: State, job: Job, run: Run, seconds: float) -> None:
    stage = run.unit.stage
    rate = seconds / unit_size(job, run.unit) if stage is SEGMENT else seconds
    rates = state.rates.setdefault(job.spec.kind, {})
    known = rates.get(stage)
    rates[stage] = rate if known is None else known + _NEW_RATE_SHARE * (rate - known)


def _was_coming_to_rest(state: State, job: Job, step: Step) -> bool:
    """Whether the job is stopping, after a cancel or a failure; its last run ends that too."""
    if job.state is CANCELLING:
        if not job.runs:
            end(state, job, Cause.LAST_RUN_ENDED, step)
        return True
    if job.verdict is not None:
        if not job.runs:
            carry_out_verdict(state, job, step)
        return True
    return False


# --- lives and time -------------------------------------------------------------------------------


def check_started(state: State, event: SchedulerStarted) -> bool:
    """Epochs grow: there is a single writer (I12)."""
    if event.epoch <= state.epoch:
        raise IllegalMove(
            f"Epoch {event.epoch} does not follow epoch {state.epoch}.",
            remedy="Another scheduler has taken over; this one must end.",
            epoch=event.epoch,
            known=state.epoch,
        )
    return True


def apply_started(state: State, event: SchedulerStarted, step: Step) -> None:
    """Runs of an earlier life are dead: their units go again, in the same attempt, and nobody is
    to blame. Lanes come back by ``LaneOpened``; slots and the queue stay."""
    state.epoch, served = event.epoch, served_pools(state)
    if event.limits is not None:
        state.limits = event.limits
    state.closing = {}
    for run in list(state.runs):
        flight = state.runs[run]
        # Charged for the time in the lane; how long nobody was there to see it is not known, so no
        # more than its estimate.
        cost = min(state.now - flight.started_at, flight.est_s)
        job = _close(state, run, cost, step, is_typical=False)
        return_unit(job, flight)
        _was_coming_to_rest(state, job, step)
    state.lanes, state.sites = {}, {}
    for pool in state.pools.values():
        pool.idle, pool.parking = {}, None
    settle_served(state, served, step)
    state.wake_at = None
    if state.removals:  # whoever was removing them is dead
        step.commands.append(RemoveFiles(tuple(state.removals)))
    step.crowded.update(dict.fromkeys(state.users))  # the limit may have been lowered
    while len(state.slots) > state.limits.max_active_users:  # the limit was lowered
        name, _ = state.slots.popitem()
        state.queue[name] = state.now
        state.queue.move_to_end(name, last=False)
        step.users[name] = None


def check_time(state: State, event: TimePassed) -> bool:
    """Time is always news."""
    return True


def apply_time(state: State, event: TimePassed, step: Step) -> None:
    """The cycle that follows does what is due; a wake-up that came early is asked for again."""
    state.wake_at = None
