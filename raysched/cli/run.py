"""``raysched run``: one slide, from the file to the results folder, in one command."""

from __future__ import annotations

import asyncio
import json
import time
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from raysched.cli.options import (
    ChunkTiles,
    Common,
    DryRun,
    Engine,
    Kind,
    MaxFailedShare,
    Mpp,
    Name,
    Out,
    Params,
    TilePx,
)
from raysched.cli.ray_job import check_paths, key_of, results_folder
from raysched.cli.session import settings
from raysched.cli.summary import Finished, say_finished
from raysched.cli.voice import Interrupted, Voice
from raysched.cli.wish import Wish
from raysched.core.model import JobState
from raysched.errors import (
    InternalError,
    InvalidSetting,
    MppMissing,
    RayschedError,
    error_of,
    faults_in_words,
)

if TYPE_CHECKING:
    from pydantic import BaseModel

    from raysched.cli.progress import Progress
    from raysched.cluster.gateway import Gateway
    from raysched.cluster.submission import JobRequest, Prepared
    from raysched.config import Config
    from raysched.core.views import JobView
    from serve_app.estimate_models import Estimate
    from serve_app.models import Job

M = TypeVar("M", bound="BaseModel")


@dataclass(frozen=True, kw_only=True)
class RunOptions(Common):
    """The options of ``run``."""

    slide: Annotated[Path, typer.Argument(metavar="SLIDE", help="Whole-slide image file.")]
    out: Out = None
    kind: Kind = None
    engine: Engine = None
    param: Params = None
    mpp: Mpp = None
    tile_px: TilePx = None
    chunk_tiles: ChunkTiles = None
    max_failed_share: MaxFailedShare = None
    name: Name = None
    dry_run: DryRun = False


def run(options: RunOptions, voice: Voice) -> None:
    """Segment one slide and leave a results folder."""
    from raysched.cluster.submission import JobRequest

    config = settings(options.address)
    kind = options.kind or "cell_segmentation"
    made = "tissue" if kind == "tissue_mask" else "cells"
    check_paths(options.slide, options.out)
    out = results_folder(options.out, Path(f"{options.slide.stem}-{made}"))
    request = described(
        JobRequest,
        slide=str(options.slide),
        out=str(out) if out else None,
        kind=kind,
        engine=options.engine,
        **grouped(parse_params(options.param or [])),
        mpp=options.mpp,
        tile_px=options.tile_px,
        chunk_tiles=options.chunk_tiles,
        max_failed_share=options.max_failed_share,
    )
    name = options.name or options.slide.name or "workflow"
    if options.dry_run:
        _foretell(config, request, name, voice)
        return
    segment(config, request, name, voice)


def _foretell(config: Config, request: JobRequest, name: str, voice: Voice) -> None:
    """Say what the work would be; Ray is started for it where it does not run."""
    from raysched.cli.estimate import estimated, say_estimate
    from raysched.cluster.submission import Submission

    submission = described(Submission, name=name[:200], jobs=(request,))
    wish = Wish.of(submission, uuid.uuid4().hex, config)
    from raysched.cluster.session import connect  # imports ray: after all refusals

    async def foretold(gateway: Gateway) -> Estimate:
        there = await wish.at(gateway)
        return await estimated(gateway, there.prepared, there.config)

    with connect(config) as session:
        found = asyncio.run(foretold(session.gateway))
    say_estimate(found, voice)


def segment(config: Config, request: JobRequest, name: str, voice: Voice) -> Finished:
    """Take one slide from the file to the results folder and say how it went.

    Everything that can be refused without Ray is refused before Ray is started.
    """
    from raysched.cli.progress import progress
    from raysched.cluster.submission import Submission

    begun = time.monotonic()
    submission = described(Submission, name=name[:200], jobs=(request,))
    wish = Wish.of(submission, key_of(submission.model_dump_json()), config)
    with progress(voice) as shown:
        shown.say("starting Ray")
        from raysched.cluster.session import connect  # imports ray: after all refusals

        with connect(config) as session:
            prepared = asyncio.run(wish.at(session.gateway)).prepared
            job = asyncio.run(_carry_through(session.gateway, prepared, shown))
            finished = Finished(job, _out(prepared), time.monotonic() - begun)
            shown.close()
            say_finished(finished, voice)
    return finished


async def _carry_through(gateway: Gateway, prepared: Prepared, shown: Progress) -> JobView:
    """Submit and follow to the end. Raises what kept the job from succeeding."""
    from raysched.cli.follow import give_up, submit_and_follow

    job = prepared.jobs[0].job
    view, stopped = await submit_and_follow(
        gateway, prepared, shown.show, lambda: shown.say("stopping: waiting for running tiles")
    )
    if view.state is JobState.SUCCEEDED:
        from raysched.cluster.stores import at_hand

        return await at_hand(view, await gateway.store())
    if view.state is JobState.NEEDS_MPP:
        await give_up(gateway, job)
        raise MppMissing(
            view.question or "The slide does not say its pixel size.",
            remedy="Run it again with --mpp X; nothing was left behind.",
        )
    if view.failure is not None:
        from serve_app.models import Job

        raise job_failure(Job.of(view, in_full=True))
    if stopped or view.state is JobState.CANCELLED:
        raise Interrupted(_what_is_left(prepared))
    raise InternalError(
        f"{job} ended as {view.state} for no stated reason.",
        remedy="Report this with the output of `raysched -v`.",
    )


def job_failure(job: Job) -> RayschedError:
    """What made a job fail, as the error of the same code."""
    failure = job.failure
    if failure is None:
        raise ValueError(f"{job.id} has not failed")
    known = error_of(failure.code, failure.message, failure.remedy, job=job.id)
    return known or InternalError(failure.message, remedy=failure.remedy, job=job.id)


def described(kind: type[M], /, **values: Any) -> M:
    """What the command line describes. Raises ``InvalidSetting`` naming each bad value."""
    from pydantic import ValidationError

    try:
        return kind(**values)
    except ValidationError as error:
        raise InvalidSetting(
            f"The work cannot be described like this: {faults_in_words(error.errors())}.",
            remedy="See the options with --help.",
        ) from None


def parse_params(pairs: list[str]) -> dict[str, Any]:
    """``key=value`` pairs as a dict; a value that is JSON is taken as such, else as text.

    Instead of a pair there may be a JSON object of several.
    """
    params: dict[str, Any] = {}
    for pair in pairs:
        if pair.lstrip().startswith("{"):
            params |= _json_object(pair)
            continue
        key, equals, value = pair.partition("=")
        if not (key and equals):
            raise InvalidSetting(
                f"The parameter {pair!r} is not of the form KEY=VALUE.",
                remedy="Write for example --param min_area_um2=20.",
            )
        try:
            params[key] = json.loads(value)
        except ValueError:
            params[key] = value
    return params


def grouped(params: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Parameters by the group that takes them: ``tissue.threshold`` is the tissue's, a name without
    a dot the engine's."""
    from raysched.cluster.sweeps import GROUPS

    groups: dict[str, dict[str, Any]] = {"params": {}}
    for key, value in params.items():
        group, dot, name = key.partition(".")
        if dot and group in GROUPS:
            groups.setdefault(group, {})[name] = value
        else:
            groups["params"][key] = value
    return groups


def parse_sweep(pairs: list[str]) -> dict[str, list[Any]]:
    """``key=1,2,3`` pairs as a dict of lists; each value as ``parse_params`` takes it."""
    sweep: dict[str, list[Any]] = {}
    for pair in pairs:
        key, equals, values = pair.partition("=")
        if not (key and equals and values):
            raise InvalidSetting(
                f"The sweep {pair!r} is not of the form KEY=V1,V2,...",
                remedy="Write for example --sweep min_area_um2=10,20,40.",
            )
        sweep[key] = [parse_params([f"{key}={value}"])[key] for value in values.split(",")]
    return sweep


def _json_object(text: str) -> dict[str, Any]:
    try:
        values: dict[str, Any] = json.loads(text)
    except ValueError as error:
        raise InvalidSetting(
            f"The parameters {text!r} are no JSON object: {error}.",
            remedy="""Write for example --params '{"min_area_um2": 20}'.""",
        ) from None
    return values


def _what_is_left(prepared: Prepared) -> str:
    """What a stopped job left on the disk, as found there."""
    from raysched.results.folders import staging_folder

    staging = staging_folder(_out(prepared), prepared.jobs[0].job)
    if staging.exists():
        return (
            f"Stopped. What was finished is kept in {staging}: read it with `raysched export`, "
            "or delete it."
        )
    return "Stopped. No results were made and nothing was left behind."


def _out(prepared: Prepared) -> Path:
    return Path(json.loads(prepared.jobs[0].request)["out"])
