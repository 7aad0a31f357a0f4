"""What jobs cost, as far as this service has measured it: the part that looks into requests, which
the core does not."""

from __future__ import annotations

import json
from dataclasses import dataclass
from enum import StrEnum
from itertools import islice

from raysched.core.dispatch import rate_s
from raysched.core.events import WorkflowSubmitted
from raysched.core.model import JobSpec, Stage, UserId
from raysched.core.outlook import JobCost, Outlook, outlook
from raysched.core.state import Job, State

MOST_LOOKED_AT = 2000
"""Jobs, the newest first: reading the request of one takes 5 us."""
MOST_COUNTED = 20
"""So many measured jobs are enough: they even out, and the newest are the likest."""


class CostSource(StrEnum):
    """Where the seconds of the segment stage come from."""

    OWN = "measured: your jobs with this engine"
    ENGINE = "measured: this engine on this service"
    KIND = "measured: another engine on this service"
    ASSUMED = "assumed: nothing was measured yet"
    NONE = "nothing to segment"


@dataclass(frozen=True, slots=True)
class JobSize:
    """What a job would have to do. ``reused``: an equal job's result is there. ``plan_s``: how long
    it took to look at its slide; a plan takes longer for a larger one."""

    tiles: int
    chunks: int
    reused: bool = False
    plan_s: float | None = None


@dataclass(frozen=True, slots=True)
class Forecast:
    """The outlook of a workflow, with what each of its jobs would take, in order."""

    outlook: Outlook
    costs: tuple[JobCost, ...]
    sources: tuple[CostSource, ...]


def forecast(
    state: State, event: WorkflowSubmitted, sizes: tuple[JobSize, ...], now: float
) -> Forecast:
    """What would become of a submission. Raises what submitting it raises; stores nothing."""
    known: dict[tuple[str, str, int], tuple[float, CostSource]] = {}
    costs, sources = [], []
    for spec, size in zip(event.jobs, sizes, strict=True):
        like = _likeness(spec)
        if like not in known:
            known[like] = _tile_s(state, event.user, like)
        tile_s, source = known[like]
        costs.append(_cost(state, spec, size, tile_s))
        sources.append(source if size.tiles and not size.reused else CostSource.NONE)
    return Forecast(outlook(state, event, costs, now), tuple(costs), tuple(sources))


def _cost(state: State, spec: JobSpec, size: JobSize, tile_s: float) -> JobCost:
    segments = size.tiles and not size.reused
    return JobCost(
        plan_s=rate_s(state, spec.kind, Stage.PLAN) if size.plan_s is None else size.plan_s,
        segment_s=size.tiles * tile_s if segments else 0.0,
        assemble_s=rate_s(state, spec.kind, Stage.ASSEMBLE),
        publish_s=rate_s(state, spec.kind, Stage.PUBLISH),
        chunks=size.chunks if segments else 0,
    )


def _likeness(spec: JobSpec) -> tuple[str, str, int]:
    """What a job's seconds for a tile depend on most: kind, engine, edge of a tile."""
    request = json.loads(spec.request)
    return spec.kind, str(request.get("engine", "")), int(request.get("tile_px", 0))


def _tile_s(state: State, user: UserId, like: tuple[str, str, int]) -> tuple[float, CostSource]:
    """Seconds for a tile: of the user's own measured jobs of the same engine, else of everybody's,
    else of any engine. Tiles of another size are taken by their area."""
    kind, engine, tile_px = like
    own: list[Job] = []
    others: list[Job] = []
    for job in islice(reversed(state.jobs.values()), MOST_LOOKED_AT):
        if job.spec.kind == kind and _is_measured(job) and _likeness(job.spec)[1] == engine:
            (own if job.user == user else others).append(job)
            if len(own) == MOST_COUNTED:
                break
    for jobs, source in ((own, CostSource.OWN), (others, CostSource.ENGINE)):
        if jobs:
            return _mean_tile_s(jobs[:MOST_COUNTED], tile_px), source
    measured = Stage.SEGMENT in state.rates.get(kind, {})
    rate = rate_s(state, kind, Stage.SEGMENT)
    return rate, CostSource.KIND if measured else CostSource.ASSUMED


def _is_measured(job: Job) -> bool:
    progress = job.progress
    if progress is None or progress.plan.reused:
        return False
    return progress.tiles_done > 0 and progress.seconds > 0


def _mean_tile_s(jobs: list[Job], tile_px: int) -> float:
    seconds, area = 0.0, 0.0
    for job in jobs:
        assert job.progress is not None, "a measured job has progress"
        seconds += job.progress.seconds
        area += job.progress.tiles_done * _likeness(job.spec)[2] ** 2
    return seconds / area * tile_px**2
