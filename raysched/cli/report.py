"""``raysched report``: a finished result as one page for a browser."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from raysched.cli.export import refuse_existing
from raysched.cli.options import Serving
from raysched.cli.service import result_meant
from raysched.cli.voice import Voice
from raysched.results.storage import readable_size


@dataclass(frozen=True, kw_only=True)
class ReportOptions(Serving):
    """The options of ``report``."""

    what: Annotated[
        str, typer.Argument(metavar="JOB|FOLDER", help="A job's id, or a results folder.")
    ]
    out: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="HTML file to write; '-' is stdout."),
    ] = None


def report(options: ReportOptions, voice: Voice) -> None:
    """Write a page about a finished result: picture, counts, plots, timings, provenance."""
    from raysched.results.report.report import SUFFIX

    with result_meant(options.what, options) as result:
        if str(options.out) == "-":
            result.stream_report(sys.stdout.buffer)
            return
        out = options.out or Path(result.name + SUFFIX)
        refuse_existing(out)
        written, tiles_failed = result.report(out.absolute())
    voice.emit(
        report={
            "path": str(written.path),
            "cells": written.cells,
            "tiles_failed": tiles_failed,
            "size_bytes": written.size_bytes,
        }
    )
    voice.say(f"Report of {written.cells:,} cells in {out} ({readable_size(written.size_bytes)})")
