"""What is said of a finished job and its results folder."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from raysched.cli.jobs import failed_tiles
from raysched.cli.voice import Voice
from raysched.core.views import JobView

FILES = {
    "preview.png": "the slide with what was found drawn on it",
    "cells": "a row per cell: outline, area, shape, stain (GeoParquet)",
    "labels.zarr": "the label image (OME-Zarr)",
    "tissue.png": "what was taken for tissue",
    "tissue.zarr": "the tissue mask (OME-Zarr)",
    "tissue.geojson": "the outlines of the tissue as annotations for QuPath",
    "manifest.json": "what made this result: slide, settings, versions, checksums",
}


@dataclass(frozen=True, slots=True)
class Finished:
    """A job that succeeded, where its results are, and how long a person waited for it."""

    job: JobView
    out: Path
    seconds: float


def say_finished(finished: Finished, voice: Voice) -> None:
    """The end of ``run`` and ``demo``: counts, speed, and each file with its purpose."""
    job, out, seconds = finished.job, finished.out, finished.seconds
    rate = job.cells / seconds
    present = {name: what for name, what in FILES.items() if (out / name).exists()}
    if voice.json:
        from serve_app.models import Job

        voice.emit(
            result={
                "job": Job.of(job).model_dump(mode="json"),
                "out": str(out),
                "seconds": round(seconds, 3),
                "cells": job.cells,
                "cells_per_s": round(rate, 1),
                "checksum": job.checksum,
                "files": {name: str(out / name) for name in present},
            }
        )
    voice.say(_found(finished, rate))
    if job.tiles_failed:
        voice.say(
            f"succeeded with {failed_tiles(job)} of {job.tiles_total}: holes, manifest.json says "
            "which and why; run it again with another --out to read only these again"
        )
    voice.say(f"results in {out}")
    for name, what in present.items():
        voice.say(f"  {name:<14} {what}")


def _found(finished: Finished, rate: float) -> str:
    """What came out, in a line."""
    from raysched.results.manifest import TissueManifest, read_provenance

    job, seconds = finished.job, finished.seconds
    made = read_provenance(finished.out)
    if isinstance(made, TissueManifest):
        pieces = "piece" if made.pieces == 1 else "pieces"
        return f"{made.area_mm2:,.2f} mm2 of tissue in {made.pieces} {pieces}, {seconds:.1f} s"
    if job.reused:
        return f"{job.cells:,} cells, those of an equal job, in {seconds:.1f} s"
    return f"{job.cells:,} cells in {seconds:.1f} s ({rate:,.0f} cells/s)"
