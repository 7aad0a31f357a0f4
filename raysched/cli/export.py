"""``raysched export``: the cells of a result in the formats that other tools read."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from raysched.cli.options import Common
from raysched.cli.session import ask, settings
from raysched.cli.voice import Voice
from raysched.core.model import LOCAL_USER, JobId
from raysched.errors import NotFound, OutputNotEmpty
from raysched.results.exports.formats import KINDS, Format


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
            help="What to write. A name in .gz is gzipped, a folder named .zip becomes one file; "
            "'-' is stdout.",
        ),
    ] = None


def export(options: ExportOptions, voice: Voice) -> None:
    """Write the cells of a job or results folder in a format that other tools open."""
    folder = folder_meant(options.what, options.address)
    from raysched.results.exports.export import Export, export_files, paths_of

    if str(options.out) == "-":
        Export(folder, options.format).stream(sys.stdout.buffer)
        return
    out = options.out or Path(folder.name.lstrip(".") + KINDS[options.format].suffix)
    for path in paths_of(out, options.format):
        if path.exists() or path.is_symlink():
            raise OutputNotEmpty(
                f"{path} exists already.", remedy="Choose another with --out.", path=str(path)
            )
    written = export_files(folder, out.absolute(), options.format)
    voice.emit(
        export={
            "path": str(written.path),
            "format": options.format,
            "complete": written.contents.complete,
            "cells": written.contents.cells,
            "size_bytes": written.size_bytes,
            "beside": [str(path) for path in written.beside],
        }
    )
    size = readable_size(written.size_bytes)
    voice.say(f"{written.contents.cells:,} cells in {out} ({size})")
    if written.beside:
        voice.say(f"Beside it: {', '.join(path.name for path in written.beside)}")
    if not written.contents.complete:
        voice.say("The job has not finished: these are the cells found so far, ids may change.")


def readable_size(size_bytes: int) -> str:
    """A size as people read it."""
    return f"{size_bytes / 1e6:,.1f} MB" if size_bytes > 1e5 else f"{size_bytes / 1e3:,.1f} kB"


def folder_meant(what: str, address: str | None) -> Path:
    """The folder meant: the one given, or that of a job of the running service."""
    path = Path(what)
    if path.is_dir():
        return path.absolute()
    if not what.startswith("job-"):
        raise NotFound(
            f"There is no folder {path}.", remedy="Give a results folder or the id of a job."
        )
    from serve_app.results import cells_of

    job = JobId(what)
    return cells_of(ask(settings(address), lambda gateway: gateway.job(LOCAL_USER, job)))
