"""How a verb gets its options: as one frozen value, whose fields are the command's parameters.

A verb is ``def name(options: Kind) -> None`` where ``Kind`` is a dataclass derived from ``Spoken``
with ``Annotated`` typer fields; ``verb`` turns it into a function with the signature that typer
reads, and reports what it raises.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from dataclasses import MISSING, Field, dataclass, fields
from pathlib import Path
from typing import Annotated, Any, TypeVar, get_type_hints

import typer

from raysched.cli.voice import Voice, reporting

Json = Annotated[bool, typer.Option("--json", help="Print JSON, one object per line.")]
Verbose = Annotated[bool, typer.Option("--verbose", "-v", help="Show tracebacks.")]
Address = Annotated[
    str | None,
    typer.Option(metavar="ADDRESS", help="Ray cluster to use. Default: found, or started here."),
]
Server = Annotated[
    str | None,
    typer.Option(
        metavar="URL",
        help="Ask the service at this address over HTTP, with your key. Default: RAYSCHED_SERVER.",
    ),
]
JobArgument = Annotated[str, typer.Argument(metavar="JOB", help="Id of a job: job-...")]
Out = Annotated[Path | None, typer.Option(metavar="DIR", help="New folder for the results.")]
Engine = Annotated[str | None, typer.Option(help="What finds the cells. Default: classical.")]
Params = Annotated[
    list[str] | None,
    typer.Option(
        "--param",
        "--params",
        "-p",
        metavar="KEY=VALUE",
        help="Engine parameter, tissue.NAME or measure.NAME, or a JSON object of several; may be "
        "repeated.",
    ),
]
Kind = Annotated[str | None, typer.Option(help="cell_segmentation (default) or tissue_mask.")]
Sweep = Annotated[
    list[str] | None,
    typer.Option(
        metavar="KEY=V1,V2,...", help="A job for each value of a parameter; may be repeated."
    ),
]
Mpp = Annotated[
    float | None,
    typer.Option(
        min=0.08, max=2.0, help="Pixel size in um at full resolution, if the slide has none."
    ),
]
TilePx = Annotated[
    int | None, typer.Option(min=64, max=8192, help="Edge of a tile in px at 0.5 um.")
]
MaxFailedShare = Annotated[
    float | None,
    typer.Option(
        min=0, max=1, help="Share of tiles that may be unreadable; more fail the job. Default: 0.1."
    ),
]
ChunkTiles = Annotated[int | None, typer.Option(min=1, max=256, help="Tiles per unit of work.")]
Name = Annotated[str | None, typer.Option(help="Name of the workflow. Default: the slide's.")]

DryRun = Annotated[
    bool, typer.Option("--dry-run", help="Only say how much work it is, and when it would be done.")
]


@dataclass(frozen=True, kw_only=True)
class Spoken:
    """What every verb takes."""

    json: Json = False
    verbose: Verbose = False


@dataclass(frozen=True, kw_only=True)
class Common(Spoken):
    """What every verb that needs a cluster takes."""

    address: Address = None


@dataclass(frozen=True, kw_only=True)
class Serving(Common):
    """What every verb takes that asks a running service: the cluster's, or one over HTTP."""

    server: Server = None


@dataclass(frozen=True, kw_only=True)
class OneJob(Serving):
    """The options of verbs about one job."""

    job: JobArgument


K = TypeVar("K", bound=Spoken)


def verb(function: Callable[[K, Voice], None]) -> Callable[..., None]:
    """The typer command of a verb: parameters from its options, errors reported, exit code set."""
    kind: type[K] = get_type_hints(function)["options"]
    hints = get_type_hints(kind, include_extras=True)

    @functools.wraps(function)
    def command(**values: Any) -> None:
        options = kind(**values)
        voice = Voice(json=options.json, verbose=options.verbose)
        with reporting(voice):
            function(options, voice)

    taken = [
        inspect.Parameter(
            field.name, inspect.Parameter.KEYWORD_ONLY, default=_default(field), annotation=hint
        )
        for field, hint in ((field, hints[field.name]) for field in _in_order(kind))
    ]
    command.__signature__ = inspect.Signature(taken)  # type: ignore[attr-defined]
    command.__annotations__ = {each.name: each.annotation for each in taken}
    return command


def _in_order(kind: type[Spoken]) -> list[Field[Any]]:
    """The verb's own fields, then the common ones: the order that --help shows."""
    common = {field.name for field in fields(Serving)}
    return sorted(fields(kind), key=lambda field: field.name in common)


def _default(field: Field[Any]) -> Any:
    return inspect.Parameter.empty if field.default is MISSING else field.default
