"""What the naive model and the core say of the same jobs, in one shape; and how they complain."""

from __future__ import annotations

from reference_facts import JobFacts, S

from raysched.core.model import Stage
from raysched.core.state import State

ENDED_EARLY = (S.CANCELLED, S.CANCELLING)


def seen_jobs(jobs: dict[str, JobFacts]) -> dict[str, tuple[object, ...]]:
    """Each job of the naive model as far as it and the core can be compared."""
    return {
        name: (
            job.state,
            job.attempt,
            job.tries,
            job.retry_at,
            job.skipped_by,
            job.checksum,
            job.awaits and job.awaits.spec.job,
            job.plan,
            {n for n in job.spec.depends_on if jobs[n].state is not S.SUCCEEDED},
            sorted(job.done) if job.plan and job.state not in ENDED_EARLY else None,
            len(job.done),
            sum(job.plan.chunk_tiles[chunk] for chunk in job.done) if job.plan else 0,
            sum(receipt.tiles_failed for receipt in job.done.values()),
            sum(receipt.cells for receipt in job.done.values()),
        )
        for name, job in jobs.items()
    }


def core_jobs(state: State) -> dict[str, tuple[object, ...]]:
    """What the core knows of each job, in the shape of ``seen_jobs``."""
    seen = {}
    for name, job in state.jobs.items():
        progress, done = job.progress, None
        if progress is not None and job.state not in ENDED_EARLY:
            flying = [state.runs[r].unit.chunk for r in job.runs if job.stage is Stage.SEGMENT]
            left = {*progress.pending, *flying}
            done = [n for n in range(len(progress.plan.chunk_tiles)) if n not in left]
        counts = (
            (progress.chunks_done, progress.tiles_done, progress.tiles_failed, progress.cells)
            if progress is not None
            else (0, 0, 0, 0)
        )
        unmet = set(job.unmet)
        asked = (job.state, job.attempt, job.tries, job.retry_at, job.skipped_by)
        plan = progress and progress.plan
        seen[str(name)] = (*asked, job.checksum, job.awaits, plan, unmet, done, *counts)
    return seen


def say(holds: bool, what: str, *facts: object) -> None:
    """Raise what is wrong, unless it holds."""
    if not holds:
        raise AssertionError(f"{what}: {' '.join(map(str, facts))}")


def same(what: str, expected: object, found: object) -> None:
    """Raise what differs, unless nothing does."""
    if expected == found:
        return
    if isinstance(expected, dict) and isinstance(found, dict):
        keys = [k for k in {**expected, **found} if expected.get(k) != found.get(k)]
        expected, found = [{k: d.get(k) for k in keys} for d in (expected, found)]
    raise AssertionError(f"{what} ought to be {expected}, not {found}")
