"""From what a person writes to what the core takes: names become ids, requests are checked.

This runs in the caller (CLI process, Serve replica), never in the scheduler actor: opening slides
is slow and the actor must not wait.
"""

from __future__ import annotations

import hashlib
import json
import os
from base64 import b32encode
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from raysched.cluster.sweeps import expanded, jobs_of
from raysched.config import ClusterSettings, Config
from raysched.core.events import WorkflowSubmitted
from raysched.core.model import BranchName, JobId, JobSpec, UserId, WorkflowId
from raysched.errors import (
    InvalidSetting,
    InvalidWorkflow,
    LimitReached,
    OutputNotEmpty,
)
from raysched.imaging.request import (
    KINDS,
    MeasureParams,
    SegmentationRequest,
    SlideRequest,
    Sweep,
    TissueParams,
    TissueRequest,
)
from raysched.results.folders import staging_folder

LATER = ("tissue", "measure", "sweep", "slide_id", "max_failed_share")
"""Fields that jobs did not have at first."""
ENGINE_ONLY = ("engine", "params", "measure", "tile_px", "chunk_tiles", "max_failed_share")
NOT_GIVEN: tuple[object, ...] = (None, {}, "")


class JobRequest(BaseModel):
    """One job of a workflow as a person writes it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str | None = Field(
        default=None,
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$",
        description="how other jobs of this workflow refer to this one; default: its number",
    )
    branch: str = Field(default="main", pattern=r"^[A-Za-z0-9][A-Za-z0-9 ._/-]{0,63}$")
    kind: str = "cell_segmentation"
    slide: str = Field(description="path of the slide", max_length=4096)
    slide_id: str | None = Field(
        default=None, max_length=64, description="what it goes by; the service says so"
    )
    out: str | None = Field(default=None, max_length=4096, description="results folder")
    engine: str | None = Field(default=None, min_length=1, max_length=64)
    params: dict[str, Any] = Field(default_factory=dict, description="engine parameters")
    tissue: TissueParams | None = None
    measure: MeasureParams | None = None
    sweep: Sweep = Field(default_factory=dict)
    mpp: float | None = Field(default=None, ge=0.08, le=2.0, description="um per level-0 px")
    tile_px: int | None = Field(default=None, ge=64, le=8192)
    chunk_tiles: int | None = Field(default=None, ge=1, le=256)
    max_failed_share: float | None = Field(
        default=None, ge=0, le=1, description="share of tiles above which failed ones fail the job"
    )
    depends_on: tuple[str, ...] = Field(
        default=(), max_length=1000, description="names of jobs that come first"
    )


class Submission(BaseModel):
    """A workflow as a person writes it. The same ``key`` twice is the same workflow."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(default="workflow", min_length=1, max_length=200)
    jobs: tuple[JobRequest, ...] = Field(min_length=1)


@dataclass(frozen=True, slots=True)
class Prepared:
    """A checked submission with its ids, ready for the core."""

    user: UserId
    key: str
    workflow: WorkflowId
    name: str
    jobs: tuple[JobSpec, ...]
    digest: str
    """Names what was asked for, by value: see ``digest_of``."""
    engines: tuple[str, ...] = ()
    """The engine of each job, "" where it has none; nothing: its pool is known."""


def submitted(prepared: Prepared, cluster: ClusterSettings, at: float) -> WorkflowSubmitted:
    """The event that a submission becomes, at a time. Pools are as the service is set that takes it
    in: whoever asks may know of none."""
    pools = map(cluster.pool_of, prepared.engines)
    placed = (replace(job, pool=pool) for job, pool in zip(prepared.jobs, pools, strict=True))
    jobs = tuple(placed) if prepared.engines else prepared.jobs
    return WorkflowSubmitted(
        at,
        prepared.user,
        prepared.key,
        prepared.workflow,
        prepared.name,
        jobs,
        prepared.digest,
    )


def prepare(submission: Submission, *, user: str, key: str, config: Config) -> Prepared:
    """Check a submission and give it ids, which follow from (user, key) alone.

    So a submission repeated with its key is the same by value, whoever repeats it and when.
    Raises ``InvalidWorkflow``, ``UnknownEngine``, ``InvalidSetting``, ``OutputNotEmpty`` and the
    slide errors; nothing is stored.
    """
    _check_size(sum(jobs_of(job.sweep) for job in submission.jobs), config)
    jobs = expanded(submission.jobs)
    names = [job.name or str(number) for number, job in enumerate(jobs, start=1)]
    ids = {name: job_id(user, key, number) for number, name in enumerate(names, start=1)}
    if len(ids) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise InvalidWorkflow(
            f"Two jobs of the workflow are named {twice!r}.", remedy="Give each job its own name."
        )
    from raysched.imaging.slide import open_slide  # the scheduler, which imports this, opens none

    for slide in dict.fromkeys(job.slide for job in jobs):
        with open_slide(_path(slide, "slide")):
            pass
    specs = tuple(_spec(job, ids[name], ids, config) for name, job in zip(names, jobs, strict=True))
    workflow, digest = workflow_id(user, key), digest_of(submission)
    engines = tuple(_engine(job, config) for job in jobs)
    return Prepared(UserId(user), key, workflow, submission.name, specs, digest, engines)


def workflow_id(user: str, key: str) -> WorkflowId:
    """The id of the workflow that a user submits under a key. Raises ``InvalidSetting``."""
    return WorkflowId(f"wf-{_tag(user, key)}")


def job_id(user: str, key: str, number: int) -> JobId:
    """The id of the workflow's job of that number, from 1. Raises ``InvalidSetting``."""
    return JobId(f"job-{_tag(user, key)}-{number}")


def digest_of(asked: BaseModel) -> str:
    """Names a request by value: equal for two that ask the same, defaults filled in."""
    described = asked.model_dump(mode="json")
    for job in described.get("jobs", ()):
        for name in LATER:
            # Asked for as it was before there was such a field.
            if name in job and job[name] in NOT_GIVEN:
                del job[name]
    text = json.dumps(described, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def _tag(user: str, key: str) -> str:
    try:
        digest = hashlib.sha256(f"{user}\0{key}".encode()).digest()
    except UnicodeEncodeError:
        raise InvalidSetting(
            f"The idempotency key {key!r} is not text.", remedy="Use letters and digits."
        ) from None
    return b32encode(digest).decode().lower()[:10]


def _check_size(jobs: int, config: Config) -> None:
    """What the core would refuse from anybody, before any slide is opened. How many unfinished jobs
    a user may have is the core's to say: each may have a quota of their own."""
    most = config.scheduling.max_jobs_per_workflow
    if jobs > most:
        raise LimitReached(
            f"A workflow may have {most} jobs, not {jobs}.",
            remedy="Split it into several workflows.",
            limit=most,
        )


def _path(text: str, what: str) -> Path:
    """A path as a person writes it, made absolute. Raises ``InvalidSetting``."""
    if not text or "\0" in text:
        raise InvalidSetting(f"The {what} {text!r} is not a path.", remedy="Give a path.")
    try:
        return Path(text).expanduser().absolute()
    except RuntimeError as error:  # ~somebody who does not exist
        raise InvalidSetting(
            f"The {what} {text!r} is not a path: {error}", remedy="Write the path in full."
        ) from None


def _spec(job: JobRequest, id_: JobId, ids: dict[str, JobId], config: Config) -> JobSpec:
    if job.kind not in KINDS:
        raise InvalidWorkflow(
            f"There is no job kind {job.kind!r}.", remedy=f"Known kinds: {', '.join(KINDS)}."
        )
    unknown = [name for name in job.depends_on if name not in ids]
    if unknown:
        raise InvalidWorkflow(
            f"Job {id_} depends on {unknown[0]!r}, which is not a job of this workflow.",
            remedy=f"Jobs of this workflow: {', '.join(ids)}.",
        )
    return JobSpec(
        job=id_,
        branch=BranchName(job.branch),
        kind=job.kind,
        request=_request(job, id_, config).model_dump_json(),
        depends_on=tuple(ids[name] for name in job.depends_on),
        slide=slide_name(_path(job.slide, "slide")),
    )


def slide_name(path: str | Path) -> str:
    """A short name of a slide's file, by which the scheduler knows where it is staged."""
    return hashlib.sha256(os.fsencode(path)).hexdigest()[:16]


def _engine(job: JobRequest, config: Config) -> str:
    if job.kind == "tissue_mask":
        return ""
    return config.segmentation.engine if job.engine is None else job.engine


def _request(job: JobRequest, id_: JobId, config: Config) -> SlideRequest:
    slide = _path(job.slide, "slide")
    out = config.results.absolute() / id_ if job.out is None else _path(job.out, "results folder")
    tissue = job.tissue or TissueParams()
    if job.kind == "tissue_mask":
        if given := [name for name in ENGINE_ONLY if getattr(job, name) not in NOT_GIVEN]:
            raise InvalidWorkflow(
                f"Job {id_} is a tissue_mask and takes no {given[0]}.",
                remedy="Leave it out, or make it a cell_segmentation.",
            )
        refuse_taken(out, id_)
        return TissueRequest(
            slide=str(slide), slide_id=job.slide_id, out=str(out), mpp=job.mpp, tissue=tissue
        )
    defaults, engine = config.segmentation, _engine(job, config)
    from raysched.imaging.engine import engine_params

    params = engine_params(engine, job.params)
    refuse_taken(out, id_)
    return SegmentationRequest(
        slide=str(slide),
        slide_id=job.slide_id,
        out=str(out),
        tissue=tissue,
        measure=job.measure or MeasureParams(),
        engine=engine,
        params=params.model_dump(mode="json"),
        mpp=job.mpp,
        tile_px=job.tile_px or defaults.tile_px,
        chunk_tiles=job.chunk_tiles or defaults.chunk_tiles,
        max_failed_share=defaults.max_failed_share
        if job.max_failed_share is None
        else job.max_failed_share,
    )


def refuse_taken(out: Path, job: JobId) -> None:
    """Raise ``OutputNotEmpty`` where a results folder could not appear without loss, and
    ``InvalidSetting`` where none can appear.

    The job's own published folder is no obstacle: its submission is being repeated.
    """
    _refuse_impossible(out, job)
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return
    from raysched.results.manifest import read_provenance

    manifest = read_provenance(out)
    if manifest is None or manifest.job != job:
        raise OutputNotEmpty(
            f"The results folder {out} exists and is not empty.",
            remedy="Choose another folder with --out, or move this one away.",
            out=str(out),
        )


def _refuse_impossible(out: Path, job: JobId) -> None:
    """Say now what making the folder or its staging folder would say an hour later."""
    why = None
    try:
        staging_folder(out, job).exists()
        there = next(path for path in (out, *out.parents) if path.exists())
        if not there.is_dir():
            why = f"{there} is a file"
        elif there == out and out.samefile(Path.cwd()):
            why = "it is the folder you are in, which the results would replace"
    except OSError as error:
        why = error.strerror
    if why is not None:
        raise InvalidSetting(
            f"The results folder {out} cannot be made: {why}.",
            remedy="Choose another folder with --out.",
            out=str(out),
        )
