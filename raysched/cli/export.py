"""``raysched export``: the cells of a result in the formats that other tools read."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from raysched.cli.options import Common
from raysched.cli.session import ask, settings
from raysched.cli.voice import Voice
from raysched.core.model import JobId
from raysched.errors import NotFound, OutputNotEmpty
from serve_app.identity import LOCAL_USER


class Format(StrEnum):
    """The formats."""

    CSV = "csv"
    GEOJSON = "geojson"


@dataclass(frozen=True, kw_only=True)
class ExportOptions(Common):
    """The options of ``export``."""

    what: Annotated[
        str, typer.Argument(metavar="JOB|FOLDER", help="A job's id, or a results folder.")
    ]
    format: Annotated[Format, typer.Option("--format", "-f", help="geojson is for QuPath.")]
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="File to write, also .gz; '-' is stdout.",
        ),
    ] = None


def export(options: ExportOptions, voice: Voice) -> None:
    """Write the cells of a job or results folder as CSV or GeoJSON."""
    folder = _folder(options)
    from raysched.results import export as formats

    if str(options.out) == "-":
        formats.export(folder, options.format.value, sys.stdout.buffer)
        return
    out = options.out or Path(f"{folder.name.lstrip('.')}.{options.format}")
    if out.exists():
        raise OutputNotEmpty(
            f"The file {out} exists already.", remedy="Choose another with --out.", path=str(out)
        )
    contents = formats.export_file(folder, out.absolute(), options.format.value)
    size = out.stat().st_size
    voice.emit(
        export={
            "path": str(out.absolute()),
            "format": options.format,
            "complete": contents.complete,
            "cells": contents.cells,
            "size_bytes": size,
        }
    )
    voice.say(f"{contents.cells:,} cells in {out} ({readable_size(size)})")
    if not contents.complete:
        voice.say("The job has not finished: these are the cells found so far, ids may change.")


def readable_size(size_bytes: int) -> str:
    """A size as people read it."""
    return f"{size_bytes / 1e6:,.1f} MB" if size_bytes > 1e5 else f"{size_bytes / 1e3:,.1f} kB"


def _folder(options: ExportOptions) -> Path:
    """The folder meant: the one given, or that of a job of the running service."""
    path = Path(options.what)
    if path.is_dir():
        return path.absolute()
    if not options.what.startswith("job-"):
        raise NotFound(
            f"There is no folder {path}.", remedy="Give a results folder or the id of a job."
        )
    from serve_app.results import cells_of

    job = JobId(options.what)
    return cells_of(ask(settings(options.address), lambda gateway: gateway.job(LOCAL_USER, job)))
