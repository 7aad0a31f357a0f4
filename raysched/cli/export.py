"""``raysched export``: the cells of a result in the formats that other tools read."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from raysched.cli.options import Serving
from raysched.cli.service import result_meant
from raysched.cli.voice import Voice
from raysched.errors import OutputNotEmpty
from raysched.results.exports.formats import KINDS, Format, paths_of
from raysched.results.storage import readable_size


@dataclass(frozen=True, kw_only=True)
class ExportOptions(Serving):
    """The options of ``export``."""

    what: Annotated[
        str, typer.Argument(metavar="JOB|FOLDER", help="A job's id, or a results folder.")
    ]
    format: Annotated[Format, typer.Option("--format", "-f", help="geojson is for QuPath.")]
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="What to write. A name in .gz is gzipped, a folder named .zip becomes one file; "
            "'-' is stdout.",
        ),
    ] = None


def export(options: ExportOptions, voice: Voice) -> None:
    """Write the cells of a job or results folder in a format that other tools open."""
    with result_meant(options.what, options) as result:
        if str(options.out) == "-":
            result.stream_export(options.format, sys.stdout.buffer)
            return
        out = options.out or Path(result.name + KINDS[options.format].suffix)
        for path in paths_of(out, options.format):
            refuse_existing(path)
        written = result.export(options.format, out.absolute())
    voice.emit(
        export={
            "path": str(written.path),
            "format": options.format,
            "complete": written.complete,
            "cells": written.cells,
            "size_bytes": written.size_bytes,
            "beside": [str(path) for path in written.beside],
        }
    )
    size = readable_size(written.size_bytes)
    voice.say(f"{written.cells:,} cells in {out} ({size})")
    if written.beside:
        voice.say(f"Beside it: {', '.join(path.name for path in written.beside)}")
    if not written.complete:
        voice.say("The job has not finished: these are the cells found so far, ids may change.")


def refuse_existing(path: Path) -> None:
    """Raise ``OutputNotEmpty`` where something lies already."""
    if path.exists() or path.is_symlink():
        raise OutputNotEmpty(
            f"{path} exists already.", remedy="Choose another with --out.", path=str(path)
        )
