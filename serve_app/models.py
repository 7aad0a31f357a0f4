"""What HTTP and ``--json`` show and take, made from the core's views.

Times are ISO 8601 in UTC; durations are seconds; no server path is shown, a slide goes by its name.
Light to import, as all modules of models here are: ``raysched.Client`` reads answers with them.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from raysched.core.model import Failure, JobState, Reason, Stage
from raysched.core.views import Explanation, JobView, WorkflowView
from raysched.imaging.request import MeasureParams, Sweep, TissueParams, read_request
from serve_app.paths import conceal

if TYPE_CHECKING:
    from raysched.cluster.health import Health
    from raysched.cluster.listing import Page
    from raysched.cluster.submission import Submission
    from raysched.imaging.catalogue import Catalogue


class Shown(BaseModel):
    """Base of what is answered."""

    model_config = ConfigDict(frozen=True, extra="forbid", from_attributes=True)


class Why(Shown):
    """Why a job is where it is. ``position`` counts from 1; ``eta_s`` is seconds from now."""

    reason: Reason
    sentence: str
    position: int | None = None
    eta_s: float | None = None

    @classmethod
    def of(cls, explanation: Explanation, folders: tuple[Path, ...]) -> Why:
        """The core's explanation, without the folders: it may quote a failure or a question."""
        shown = replace(explanation, sentence=conceal(explanation.sentence, folders))
        return cls.model_validate(shown)


class Fault(Shown):
    """Why a job failed: what happened and what to do."""

    code: str
    message: str
    remedy: str

    @classmethod
    def of(cls, failure: Failure, folders: tuple[Path, ...]) -> Fault:
        """The core's failure, without the folders."""
        return cls(
            code=failure.code,
            message=conceal(failure.message, folders),
            remedy=conceal(failure.remedy, folders),
        )


AS_IN_THE_VIEW = (
    *("workflow", "branch", "kind", "state", "stage", "attempt"),
    *("tiles_done", "tiles_total", "tiles_failed", "chunks_done", "chunks_total"),
    *("cells", "tiles_per_s", "eta_s", "checksum", "reused", "awaits"),
)


class Job(Shown):
    """One job. ``eta_s`` is the expected time until its end; ``checksum`` names its cells;
    ``slide`` is the name of its file, ``slide_id`` its id where it is one of your slides;
    ``reused``: they are those of an equal job; ``awaits`` is a job of yours at work on the same.
    What a kind does not take is null."""

    id: str
    workflow: str
    branch: str
    kind: str
    slide: str
    slide_id: str | None
    state: JobState
    stage: Stage | None
    attempt: int
    why: Why
    tiles_done: int
    tiles_total: int | None
    tiles_failed: int
    chunks_done: int
    chunks_total: int | None
    cells: int
    tiles_per_s: float | None
    eta_s: float | None
    submitted_at: datetime
    started_at: datetime | None
    ended_at: datetime | None
    checksum: str | None
    question: str | None
    failure: Fault | None
    reused: bool
    awaits: str | None
    results_deleted_at: datetime | None = None
    mpp: float | None
    tissue: TissueParams
    engine: str | None = None
    params: dict[str, Any] | None = None
    measure: MeasureParams | None = None
    tile_px: int | None = None
    chunk_tiles: int | None = None
    max_failed_share: float | None = None

    @classmethod
    def of(cls, view: JobView, *, in_full: bool = False) -> Job:
        """The owner's view of a job; unless in full, without the server's paths."""
        request = read_request(view.kind, view.request)
        folders = () if in_full else (Path(request.slide).parent, Path(request.out).parent)
        return cls(
            **{name: getattr(view, name) for name in AS_IN_THE_VIEW},
            **request.model_dump(exclude={"slide", "out", "stored"}),
            id=view.job,
            slide=Path(request.slide).name,
            why=Why.of(view.explanation, folders),
            submitted_at=utc(view.submitted_at),
            started_at=utc_or_none(view.started_at),
            ended_at=utc_or_none(view.ended_at),
            results_deleted_at=utc_or_none(view.results_deleted_at),
            question=conceal(view.question, folders) if view.question else None,
            failure=Fault.of(view.failure, folders) if view.failure else None,
        )


class Jobs(Shown):
    """A page of the caller's jobs, newest first. ``next``: the cursor of the page after it; a page
    may be short and lead on."""

    jobs: tuple[Job, ...]
    next: str | None

    @classmethod
    def of(cls, page: Page[JobView]) -> Jobs:
        """The caller's jobs."""
        from serve_app.pages import cursor_of

        return cls(jobs=tuple(map(Job.of, page.items)), next=cursor_of(page.next))


class WorkflowInShort(Shown):
    """One workflow without its jobs. ``open``: some have not ended; ``states``: how many are in
    each state."""

    id: str
    name: str
    submitted_at: datetime
    open: bool
    states: dict[JobState, int]

    @classmethod
    def of(cls, view: WorkflowView) -> WorkflowInShort:
        """The owner's view of a workflow."""
        return cls(**_in_short(view))


class Workflow(WorkflowInShort):
    """One workflow with the first of its jobs, in order of submission. ``next``: the cursor of
    those after them."""

    jobs: tuple[Job, ...]
    next: str | None

    @classmethod
    def of(cls, view: WorkflowView, after: int = 0) -> Workflow:
        """The owner's view of a workflow, with its jobs after the first so many."""
        from raysched.cluster.listing import Place
        from serve_app.pages import cursor_of

        left = sum(view.states.values()) - after - len(view.jobs)
        reached = Place(view.submitted_at, view.workflow, after + len(view.jobs))
        following = cursor_of(reached if left > 0 and view.jobs else None)
        return cls(**_in_short(view), jobs=tuple(map(Job.of, view.jobs)), next=following)


def _in_short(view: WorkflowView) -> dict[str, Any]:
    return {
        "id": view.workflow,
        "name": view.name,
        "submitted_at": utc(view.submitted_at),
        "open": view.is_open,
        "states": dict(view.states),
    }


class Workflows(Shown):
    """A page of the caller's workflows, newest first. ``next``: as in Jobs."""

    workflows: tuple[WorkflowInShort, ...]
    next: str | None

    @classmethod
    def of(cls, page: Page[WorkflowView]) -> Workflows:
        """The caller's workflows."""
        from serve_app.pages import cursor_of

        shown = tuple(map(WorkflowInShort.of, page.items))
        return cls(workflows=shown, next=cursor_of(page.next))


class Stopping(Shown):
    """``jobs``: how many of the caller's jobs have not ended yet. All of them are stopping."""

    jobs: int


class Gates(Shown):
    """What the operator holds back: ``paused_at``, since when nothing new starts; ``draining_at``,
    since when no new work is taken in."""

    paused_at: datetime | None
    draining_at: datetime | None

    @classmethod
    def of(cls, health: Health) -> Gates:
        """As the scheduler says."""
        return cls(
            paused_at=utc_or_none(health.paused_at), draining_at=utc_or_none(health.drained_at)
        )


class ComparedResult(Shown):
    """One of two results that are compared; ``checksum`` names its cells."""

    job: str
    cells: int
    checksum: str


class ChangedMeasure(Shown):
    """How a measurement of the matched cells changed: the second's minus the first's. None where
    no cell has a finite value in both."""

    unit: str
    cells: int
    median: float | None
    p05: float | None
    p95: float | None


class DifferingSetting(Shown):
    """What made the two results and is not the same; null where one of them has no such value."""

    setting: str
    first: Any
    second: Any


class Diff(Shown):
    """What two results of one slide have in common. ``matched``: cells of both, by an IoU of their
    outlines above 0.5. ``lost``: of the first alone. ``gained``: of the second alone."""

    first: ComparedResult
    second: ComparedResult
    slide: str
    slide_sha256: str
    matched: int
    lost: int
    gained: int
    f1: Annotated[dict[str, float], Field(description="by the IoU above which cells match")]
    jaccard: float
    mean_iou: Annotated[float, Field(description="of the matched cells")]
    changes: dict[str, ChangedMeasure]
    differing: tuple[DifferingSetting, ...]


class Engine(Shown):
    """An engine that a job may name. ``target_mpp``: um per px that it sees; ``halo_um``: how far
    it looks."""

    name: str
    version: str
    package: str
    target_mpp: float
    halo_um: float
    parameters: Annotated[dict[str, Any], Field(description="JSON schema of its parameters")]


class UnusableEngine(Shown):
    """An engine that is installed and cannot be used. ``why`` may be for the operator alone."""

    name: str
    package: str
    why: str


class Engines(Shown):
    """All installed engines, by name."""

    engines: tuple[Engine, ...]
    unusable: tuple[UnusableEngine, ...]

    @classmethod
    def of(cls, found: Catalogue, *, in_full: bool) -> Engines:
        """What is installed; unless in full, without what an engine's code said, which may name
        anything on the server."""
        short = "It does not work here; `raysched engines` on the server says why."
        return cls(
            engines=tuple(Engine.model_validate(each) for each in found.engines),
            unusable=tuple(
                UnusableEngine(
                    name=each.name, package=each.package, why=each.why if in_full else short
                )
                for each in found.unusable
            ),
        )


class Alive(Shown):
    """This process answers."""

    status: str = "ok"


class Ready(Shown):
    """The scheduler answers and can write its journal. Paused or draining it is ready all the
    same: it answers, and what it has is safe. ``lanes`` are open, of ``lanes_wanted``; the cluster
    has room for ``lanes_room``."""

    ready: bool
    version: str
    lanes: int
    lanes_busy: int
    lanes_wanted: int
    lanes_room: int
    jobs_open: int
    paused_at: datetime | None
    draining_at: datetime | None


class Problem(BaseModel):
    """An error (RFC 9457): what happened, what to do, and its facts as further members."""

    model_config = ConfigDict(extra="allow")

    type: str = Field(examples=["urn:raysched:error:slide_missing"])
    title: str = Field(examples=["Slide missing"])
    status: int = Field(examples=[404])
    detail: str = Field(examples=["There is no slide 'a.svs' that this service may read."])
    code: str = Field(examples=["slide_missing"])
    remedy: str = Field(examples=["Ask the operator to add its folder to serve.slide_folders."])


class HttpJob(BaseModel):
    """One job of a workflow. The service decides where results go."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Annotated[str | None, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")] = None
    branch: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9 ._/-]{0,63}$")] = "main"
    kind: str = "cell_segmentation"
    slide: Annotated[
        str,
        Field(
            min_length=1,
            max_length=4096,
            description="the id of one of your slides, or a slide below one of the service's slide "
            "folders: relative to such a folder, or its full path",
            examples=["sl-0193b0c2f1a5d0e9c4b7a", "CMU-1-Small-Region.svs"],
        ),
    ]
    engine: Annotated[str | None, Field(min_length=1, max_length=64)] = None
    params: dict[str, Any] = Field(default_factory=dict, description="engine parameters")
    tissue: TissueParams | None = None
    measure: MeasureParams | None = None
    sweep: Sweep = Field(
        default_factory=dict,
        examples=[{"min_area_um2": [10, 20, 40]}],
    )
    mpp: Annotated[float | None, Field(ge=0.08, le=2.0, description="um per level-0 px")] = None
    tile_px: Annotated[int | None, Field(ge=64, le=8192)] = None
    chunk_tiles: Annotated[int | None, Field(ge=1, le=256)] = None
    max_failed_share: Annotated[
        float | None,
        Field(
            ge=0,
            le=1,
            description="share of tiles that may be unreadable, as holes in the result; with more "
            "the job fails",
        ),
    ] = None
    depends_on: Annotated[
        tuple[str, ...],
        Field(max_length=1000, description="names of jobs of this workflow that come first"),
    ] = ()


class HttpSubmission(BaseModel):
    """A workflow: jobs on slides, in order within each branch."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Annotated[str, Field(min_length=1, max_length=200)] = "workflow"
    jobs: Annotated[tuple[HttpJob, ...], Field(min_length=1, max_length=10_000)]

    def on(self, slides: tuple[tuple[Path, str | None], ...]) -> Submission:
        """The submission, with the file that each job's slide was found to be, and its id."""
        from raysched.cluster.submission import JobRequest, Submission

        jobs = tuple(
            JobRequest(
                **{**job.model_dump(exclude_unset=True), "slide": str(at), "slide_id": slide_id}
            )
            for job, (at, slide_id) in zip(self.jobs, slides, strict=True)
        )
        return Submission(name=self.name, jobs=jobs)


class MppAnswer(BaseModel):
    """The pixel size that a slide does not carry."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    mpp: Annotated[float, Field(ge=0.08, le=2.0, description="um per level-0 px")]


def utc(at: float) -> datetime:
    """Seconds since the epoch as a time in UTC."""
    return datetime.fromtimestamp(at, UTC)


def utc_or_none(at: float | None) -> datetime | None:
    """The same, where there may be none."""
    return None if at is None else utc(at)
