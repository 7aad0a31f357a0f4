"""From what a person writes to what the core takes: names become ids, requests are checked.

This runs in the caller (CLI process, Serve replica), never in the scheduler actor: opening slides
is slow and the actor must not wait.
"""

from __future__ import annotations

import hashlib
from base64 import b32encode
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from raysched.config import Config
from raysched.core.model import BranchName, JobId, JobSpec, UserId, WorkflowId
from raysched.errors import InvalidWorkflow, OutputNotEmpty
from raysched.imaging.engine import engine_params
from raysched.imaging.request import SegmentationRequest
from raysched.imaging.slide import open_slide
from raysched.results.manifest import read_manifest

KINDS = ("cell_segmentation",)


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
    out: str | None = Field(default=None, max_length=4096, description="results folder")
    engine: str | None = None
    params: dict[str, Any] = Field(default_factory=dict, description="engine parameters")
    mpp: float | None = Field(default=None, ge=0.08, le=2.0, description="um per level-0 px")
    tile_px: int | None = Field(default=None, ge=64, le=8192)
    chunk_tiles: int | None = Field(default=None, ge=1, le=256)
    depends_on: tuple[str, ...] = Field(default=(), description="names of jobs that come first")


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


def prepare(submission: Submission, *, user: str, key: str, config: Config) -> Prepared:
    """Check a submission and give it ids, which follow from (user, key) alone.

    So a submission repeated with its key is the same by value, whoever repeats it and when.
    Raises ``InvalidWorkflow``, ``UnknownEngine``, ``InvalidSetting``, ``OutputNotEmpty`` and the
    slide errors; nothing is stored.
    """
    digest = hashlib.sha256(f"{user}\0{key}".encode()).digest()
    tag = b32encode(digest).decode().lower()[:10]
    names = [job.name or str(number) for number, job in enumerate(submission.jobs, start=1)]
    ids = {name: JobId(f"job-{tag}-{number}") for number, name in enumerate(names, start=1)}
    if len(ids) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise InvalidWorkflow(
            f"Two jobs of the workflow are named {twice!r}.", remedy="Give each job its own name."
        )
    specs = tuple(
        _spec(job, ids[name], ids, config) for name, job in zip(names, submission.jobs, strict=True)
    )
    return Prepared(UserId(user), key, WorkflowId(f"wf-{tag}"), submission.name, specs)


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
    )


def _request(job: JobRequest, id_: JobId, config: Config) -> SegmentationRequest:
    defaults = config.segmentation
    engine = job.engine or defaults.engine
    params = engine_params(engine, job.params)
    slide = Path(job.slide).expanduser().absolute()
    with open_slide(slide):
        pass
    out = Path(job.out).expanduser().absolute() if job.out else config.results.absolute() / id_
    refuse_taken(out, id_)
    return SegmentationRequest(
        slide=str(slide),
        out=str(out),
        engine=engine,
        params=params.model_dump(mode="json"),
        mpp=job.mpp,
        tile_px=job.tile_px or defaults.tile_px,
        chunk_tiles=job.chunk_tiles or defaults.chunk_tiles,
    )


def refuse_taken(out: Path, job: JobId) -> None:
    """Raise ``OutputNotEmpty`` where a results folder could not appear without loss.

    The job's own published folder is no obstacle: its submission is being repeated.
    """
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return
    manifest = read_manifest(out)
    if manifest is None or manifest.job != job:
        raise OutputNotEmpty(
            f"The results folder {out} exists and is not empty.",
            remedy="Choose another folder with --out, or move this one away.",
            out=str(out),
        )
