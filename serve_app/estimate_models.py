"""What HTTP and ``--json`` show of a dry run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from raysched.cluster.speeds import CostSource
from raysched.imaging.request import SegmentationRequest
from serve_app.models import Shown

if TYPE_CHECKING:
    from raysched.cluster.dry_run import DryRun, JobEstimate

STAGES = ("plan_s", "segment_s", "assemble_s", "publish_s")


class EstimatedJob(Shown):
    """What one job would be. ``was_seen`` is false where too many slides were named: its size is
    then the mean of the others. ``question``: what the job would ask before anything else.
    ``mpp``: um per level-0 px; ``working_mpp``: um per px that the engine sees. ``reused``: the
    results of an equal job of yours would be used. Seconds are lane seconds; ``seconds_from`` says
    where those of the segment stage come from."""

    number: Annotated[int, Field(description="place in the workflow, sweeps unfolded, from 1")]
    branch: str
    kind: str
    slide: str
    engine: str | None
    was_seen: bool
    question: str | None
    tissue_mm2: float
    tiles: int
    chunks: int
    mpp: float | None
    mpp_source: str | None
    working_mpp: float | None
    reused: bool
    lane_s: float
    plan_s: float
    segment_s: float
    assemble_s: float
    publish_s: float
    seconds_from: CostSource

    @classmethod
    def of(cls, number: int, job: JobEstimate) -> EstimatedJob:
        """One job of a dry run, without the server's paths."""
        request, sized = job.request, job.sized
        as_sized = ("tiles", "chunks", "mpp", "mpp_source", "working_mpp", "question")
        return cls(
            number=number,
            branch=job.spec.branch,
            kind=job.spec.kind,
            slide=Path(request.slide).name,
            engine=request.engine if isinstance(request, SegmentationRequest) else None,
            was_seen=job.was_seen,
            tissue_mm2=round(sized.tissue_mm2, 3),
            reused=sized.equal,
            lane_s=round(job.cost.lane_s, 3),
            **{name: getattr(sized, name) for name in as_sized},
            **{name: round(getattr(job.cost, name), 3) for name in STAGES},
            seconds_from=job.source,
        )


class Estimate(Shown):
    """What a workflow would be, were it submitted now; nothing was stored. Times are seconds from
    now, rough, and null where nothing bounds them: no lane is open, or slots are held until their
    users are done. ``lanes``: your share of ``lanes_open`` among those who have a slot;
    ``backlog_s``: lane seconds of your own unfinished jobs. ``queue_rank``: your place in the queue
    for a slot, if you would have to wait for one."""

    jobs: tuple[EstimatedJob, ...]
    lane_s: float
    starts_in_s: float | None
    ends_in_s: float | None
    lanes: float
    lanes_open: int
    share: float
    queue_rank: int | None
    backlog_s: float
    result_bytes: int
    result_bytes_from: Annotated[str, Field(examples=["measured: your newest results"])]

    @classmethod
    def of(cls, found: DryRun) -> Estimate:
        """A dry run as its user sees it."""
        seen = found.outlook
        same = ("lanes", "lanes_open", "share", "queue_rank", "backlog_s")
        measured = "measured: your newest results"
        return cls(
            jobs=tuple(EstimatedJob.of(at, job) for at, job in enumerate(found.jobs, start=1)),
            lane_s=round(found.lane_s, 3),
            starts_in_s=seen.starts_in_s,
            ends_in_s=seen.ends_in_s,
            **{name: getattr(seen, name) for name in same},
            result_bytes=found.result_bytes,
            result_bytes_from=measured if found.is_measured else "assumed: no result tells yet",
        )
