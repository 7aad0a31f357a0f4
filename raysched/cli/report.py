"""``raysched report``: a finished result as one page for a browser."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from raysched.cli.export import folder_meant, readable_size
from raysched.cli.options import Common
from raysched.cli.voice import Voice
from raysched.errors import OutputNotEmpty


@dataclass(frozen=True, kw_only=True)
class ReportOptions(Common):
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
    folder = folder_meant(options.what, options.address)
    from raysched.results.report.report import SUFFIX, Report

    if str(options.out) == "-":
        for piece in Report(folder).pieces():
            sys.stdout.buffer.write(piece)
        return
    out = options.out or Path(folder.name.lstrip(".") + SUFFIX)
    if out.exists() or out.is_symlink():
        raise OutputNotEmpty(
            f"{out} exists already.", remedy="Choose another with --out.", path=str(out)
        )
    made = Report(folder)
    size_bytes = made.file(out.absolute())
    counts = made.facts.manifest.counts
    voice.emit(
        report={
            "path": str(out.absolute()),
            "cells": counts.cells,
            "tiles_failed": len(counts.tiles_failed),
            "size_bytes": size_bytes,
        }
    )
    voice.say(f"Report of {counts.cells:,} cells in {out} ({readable_size(size_bytes)})")
