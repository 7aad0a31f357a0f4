"""``raysched submit``: hand work to the running service and leave."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from raysched.cli.jobs import say_submitted
from raysched.cli.options import (
    DryRun,
    Engine,
    Kind,
    MaxFailedShare,
    Mpp,
    Name,
    Params,
    Serving,
    Sweep,
)
from raysched.cli.ray_job import check_paths, key_of
from raysched.cli.run import described, grouped, parse_params, parse_sweep
from raysched.cli.service import Service, reach
from raysched.cli.voice import Voice
from raysched.errors import InvalidWorkflow

if TYPE_CHECKING:
    from pydantic import BaseModel

FILE_REMEDY = "Write JSON like HTTP takes: {'name': ..., 'jobs': [{'slide': ...}, ...]}."


@dataclass(frozen=True, kw_only=True)
class SubmitOptions(Serving):
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
    max_failed_share: MaxFailedShare = None
    name: Name = None
    dry_run: DryRun = False


def submit(options: SubmitOptions, voice: Voice) -> None:
    """Submit slides or a workflow file to the running service."""
    with reach(options) as service:
        work = _described(options, service)
        key = options.key or key_of(work.model_dump_json())
        if options.dry_run:
            from raysched.cli.estimate import say_estimate

            say_estimate(service.estimate_work(work), voice)
            return
        workflow = service.submit_workflow(work, key)
    say_submitted(workflow, voice)


def _described(options: SubmitOptions, service: Service) -> BaseModel:
    work, one = service.takes
    slides = options.slides or []
    check_paths(*slides)
    if bool(slides) == bool(options.file):
        raise InvalidWorkflow(
            "There is nothing to submit." if not slides else "Both slides and --file are given.",
            remedy="Give slides, or --file workflow.json.",
        )
    if options.file:
        return _read(options.file, work)
    jobs = tuple(
        described(
            one,
            slide=str(slide),
            kind=options.kind or "cell_segmentation",
            engine=options.engine,
            **grouped(parse_params(options.param or [])),
            sweep=parse_sweep(options.sweep or []),
            mpp=options.mpp,
            max_failed_share=options.max_failed_share,
        )
        for slide in slides
    )
    name = options.name or slides[0].name or "workflow"
    return described(work, name=name[:200], jobs=jobs)


def _read(path: Path, work: type[BaseModel]) -> BaseModel:
    from pydantic import ValidationError

    try:
        return work.model_validate_json(path.read_bytes())
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
