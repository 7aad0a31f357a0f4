"""``raysched diff``: what two results of one slide have in common, and where they differ."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from raysched.cli.export import refuse_existing
from raysched.cli.options import Serving
from raysched.cli.service import result_meant
from raysched.cli.voice import Voice
from raysched.results.storage import readable_size

FILES = {
    "diff.html": "the numbers, the map and the windows where most cells differ, for a browser",
    "diff.png": "where cells were matched, lost and gained",
    "diff.parquet": "a row per cell: status, both ids, IoU, outline (GeoParquet)",
    "diff.geojson.gz": "the same, coloured by status, for QuPath",
    "diff.json": "the numbers",
}


@dataclass(frozen=True, kw_only=True)
class DiffOptions(Serving):
    """The options of ``diff``."""

    first: Annotated[
        str, typer.Argument(metavar="JOB|FOLDER", help="A job's id, or a results folder.")
    ]
    second: Annotated[str, typer.Argument(metavar="JOB|FOLDER", help="What it is compared with.")]
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            metavar="FOLDER|FILE",
            help="New folder for everything, or one file: .html, .png, .parquet, .geojson, "
            ".geojson.gz or .json; '-' is the page on stdout.",
        ),
    ] = None


def diff(options: DiffOptions, voice: Voice) -> None:
    """Compare two finished results of one slide: matched, lost and gained cells, and their map."""
    with (
        result_meant(options.first, options) as first,
        result_meant(options.second, options) as second,
    ):
        if str(options.out) == "-":
            first.stream_diff(second, sys.stdout.buffer)
            return
        out = options.out or Path(f"{first.name}-{second.name}.diff")
        refuse_existing(out)
        compared = first.diff(second, out.absolute())
    numbers, written = compared.numbers, compared.files
    voice.emit(diff={**numbers, "out": str(out.absolute()), "files": [str(p) for p in written]})
    _say(numbers, voice)
    voice.say(f"difference in {out}")
    if len(written) > 1:
        for path in written:
            size = readable_size(path.stat().st_size)
            voice.say(f"  {path.name:<16} {size:>9}  {FILES[path.name]}")


def _say(numbers: dict[str, Any], voice: Voice) -> None:
    voice.say(
        f"{numbers['matched']:,} matched, {numbers['lost']:,} lost, {numbers['gained']:,} gained "
        f"of {numbers['first']['cells']:,} and {numbers['second']['cells']:,} cells of "
        f"{numbers['slide']}"
    )
    mean_iou = f"   mean IoU {numbers['mean_iou']:.3f}" if numbers["matched"] else ""
    voice.say(f"F1 {numbers['f1']['0.5']:.3f}   Jaccard {numbers['jaccard']:.3f}{mean_iou}")
    if numbers["matched"]:
        voice.say("change of the matched: median (5 % to 95 %)")
        for name, change in numbers["changes"].items():
            if change["cells"]:
                values = f"{change['median']:+.4g} ({change['p05']:+.4g} to {change['p95']:+.4g})"
                unit = "" if change["unit"] == "1" else f" {change['unit']}"
                voice.say(f"  {name:<22}{values}{unit}")
    if not numbers["differing"]:
        voice.say("made in the same way")
    for each in numbers["differing"]:
        voice.say(f"  {each['setting']}: {_short(each['first'])} -> {_short(each['second'])}")


def _short(value: Any, most: int = 24) -> str:
    text = "nothing" if value is None else str(value)
    return text if len(text) <= most else f"{text[: most - 3]}..."
