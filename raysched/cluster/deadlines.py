"""How long a unit may take, and what is said of one that takes longer: it hangs."""

from __future__ import annotations

from dataclasses import dataclass

from raysched.cluster import tasks
from raysched.core.model import Failure, Stage, Unit
from raysched.core.state import Job
from raysched.errors import WorkHung
from raysched.imaging.request import SegmentationRequest, SlideRequest

USUAL_PX = {Stage.SEGMENT: 4 * 1024**2, Stage.ASSEMBLE: 1000 * 1024**2}
USUAL_PX[Stage.PUBLISH] = USUAL_PX[Stage.ASSEMBLE]
USUAL_CELLS = 1_000_000
"""What a unit has to do at most in ``unit_limit_s``; for more it gets more time. Assembling 1,000
usual tiles with a million cells takes a minute."""


@dataclass(frozen=True, slots=True)
class Extent:
    """How much a job is to begin and end with: its tiles by chunk, and the cells found so far."""

    workflow: str | None = None
    chunk_tiles: tuple[int, ...] = ()
    cells: int = 0

    @classmethod
    def of(cls, job: Job | None) -> Extent:
        """Of a job as the core knows it."""
        if job is None:
            return cls()
        chunk_tiles = job.progress.plan.chunk_tiles if job.progress is not None else ()
        return cls(job.workflow, chunk_tiles, job.cells)


def limit_s(usual_s: float, stage: Stage, request: SlideRequest, extent: Extent) -> float:
    """How long a unit may take: as long as the setting says, and longer where there is more to do
    than usual."""
    if stage not in USUAL_PX or not isinstance(request, SegmentationRequest):
        return usual_s
    # All tiles are added up for the two units that do them all, not for each of the chunks.
    tiles = request.chunk_tiles if stage is Stage.SEGMENT else sum(extent.chunk_tiles)
    cells = 0 if stage is Stage.SEGMENT else extent.cells
    much = max(tiles * request.tile_px**2 / USUAL_PX[stage], cells / USUAL_CELLS)
    return usual_s * max(1.0, much)


def hung(unit: Unit, most_s: float) -> tasks.Failed:
    """How a unit ends that was not done after so long."""
    what = {
        Stage.PLAN: "the plan",
        Stage.SEGMENT: f"chunk {unit.chunk}",
        Stage.ASSEMBLE: "the assembling",
        Stage.PUBLISH: "the publishing",
    }[unit.stage]
    who, then = "the storage of the results hangs", "look at the disk of the results folder"
    if unit.stage in (Stage.PLAN, Stage.SEGMENT):
        who = "the engine hangs, or the storage of the slide or of the results"
        then = "use other parameters or another engine"
    failure = Failure(
        WorkHung.code,
        f"After {most_s:g} s {what} was not done: {who}.",
        f"Retry later: finished chunks are kept. If it hangs again, {then}; if it only needs more "
        "time, ask the operator to raise cluster.unit_limit_s.",
    )
    return tasks.Failed(failure, retryable=True)
