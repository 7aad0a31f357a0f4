"""``raysched submit``: hand work to the running service and leave."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from raysched.cli.options import Common, DryRun, Engine, Kind, Mpp, Name, Params, Sweep
from raysched.cli.run import described, grouped, parse_params, parse_sweep
from raysched.cli.session import ask, settings
from raysched.cli.voice import Voice
from raysched.core.model import LOCAL_USER
from raysched.errors import InvalidWorkflow

if TYPE_CHECKING:
    from raysched.cluster.submission import Submission
    from raysched.core.views import JobView

FILE_REMEDY = "Write JSON like HTTP takes: {'name': ..., 'jobs': [{'slide': ...}, ...]}."


@dataclass(frozen=True, kw_only=True)
class SubmitOptions(Common):
    """The options of ``submit``."""

    slides: Annotated[
        list[Path] | None, typer.Argument(metavar="SLIDE...", help="Whole-slide image files.")
    ] = None
    file: Annotated[
        Path | None, typer.Option(metavar="JSON", help="Workflow with branches, instead of slides.")
    ] = None
    key: Annotated[
        str | None, typer.Option(help="Idempotency key: the same key submits only once.")
    ] = None
    kind: Kind = None
    engine: Engine = None
    param: Params = None
    sweep: Sweep = None
    mpp: Mpp = None
    name: Name = None
    dry_run: DryRun = False


def submit(options: SubmitOptions, voice: Voice) -> None:
    """Submit slides or a workflow file to the running service."""
    from raysched.cluster.submission import prepare
    from serve_app.models import Workflow

    config = settings(options.address)
    submission = _submission(options)
    key = options.key or uuid.uuid4().hex
    prepared = prepare(submission, user=LOCAL_USER, key=key, config=config)
    if options.dry_run:
        from raysched.cli.estimate import estimated, say_estimate

        say_estimate(ask(config, lambda at: estimated(at, prepared, config)), voice)
        return
    workflow = ask(config, lambda gateway: gateway.submit(prepared))
    voice.emit(workflow=Workflow.of(workflow).model_dump(mode="json"))
    voice.say(f"{workflow.workflow} {workflow.name}")
    for job in workflow.jobs:
        voice.say(f"  {job.job}  {job.branch}  {Path(_slide(job)).name}")
    voice.note(f"follow one with: raysched watch {workflow.jobs[0].job}")


def _submission(options: SubmitOptions) -> Submission:
    from raysched.cluster.submission import JobRequest, Submission

    slides = options.slides or []
    if bool(slides) == bool(options.file):
        raise InvalidWorkflow(
            "There is nothing to submit." if not slides else "Both slides and --file are given.",
            remedy="Give slides, or --file workflow.json.",
        )
    if options.file:
        return _read(options.file)
    jobs = tuple(
        described(
            JobRequest,
            slide=str(slide),
            kind=options.kind or "cell_segmentation",
            engine=options.engine,
            **grouped(parse_params(options.param or [])),
            sweep=parse_sweep(options.sweep or []),
            mpp=options.mpp,
        )
        for slide in slides
    )
    name = options.name or slides[0].name or "workflow"
    return described(Submission, name=name[:200], jobs=jobs)


def _read(path: Path) -> Submission:
    from pydantic import ValidationError

    from raysched.cluster.submission import Submission

    try:
        return Submission.model_validate_json(path.read_bytes())
    except OSError as error:
        raise InvalidWorkflow(
            f"The workflow file {path} cannot be read: {error.strerror}.", remedy=FILE_REMEDY
        ) from None
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "top level"
        raise InvalidWorkflow(
            f"The workflow file {path} is not valid at {where}: {first['msg']}.",
            remedy=FILE_REMEDY,
        ) from None


def _slide(job: JobView) -> str:
    from raysched.imaging.request import read_request

    return read_request(job.kind, job.request).slide
