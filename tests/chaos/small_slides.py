"""Small slides that are made here, and what is found on them when nothing is killed."""

from __future__ import annotations

import tempfile
from pathlib import Path

from raysched.imaging.request import SegmentationRequest
from raysched.imaging.synthetic import write_synthetic_slide
from raysched.results import stages

NAMES = ("small-1.tif", "small-2.tif", "small-3.tif")


def make_slides(folder: Path, side_px: int = 1300) -> None:
    """Write the slides: as they are usually, about thirty tiles of 256 px each."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, name in enumerate(NAMES):
        path, width_px = folder / name, side_px + 100 * (number + 1)
        write_synthetic_slide(path, width_px=width_px, height_px=side_px, seed=number)


def undisturbed(slide: Path, tile_px: int = 256) -> str:
    """The checksum of a slide that is done in this process, in few chunks, without Ray."""
    with tempfile.TemporaryDirectory() as folder:
        out = str(Path(folder) / "out")
        request = SegmentationRequest(slide=str(slide), out=out, tile_px=tile_px, chunk_tiles=256)
        for chunk in range(len(stages.plan_slide(request, "alone").chunk_tiles)):
            stages.segment_chunk(request, "alone", chunk, lambda: False)
        stages.assemble(request, "alone", lambda: False)
        return stages.publish(request, "alone").checksum
