"""A slide cut into tiles and segmented without chunks, folders or a cluster."""

from __future__ import annotations

from pathlib import Path

from raysched.imaging.cells import CellBatch
from raysched.imaging.engine import load_engine
from raysched.imaging.frames import read_working
from raysched.imaging.plan import SlidePlan
from raysched.imaging.planning import make_plan
from raysched.imaging.request import SegmentationRequest
from raysched.imaging.segment import segment_tile
from raysched.imaging.slide import open_slide
from raysched.imaging.tissue import TissueMask


def request(slide: Path, tile_px: int = 1024) -> SegmentationRequest:
    return SegmentationRequest(
        slide=str(slide),
        out="unused",
        engine="classical",
        params={},
        mpp=None,
        tile_px=tile_px,
        chunk_tiles=4,
    )


def cells_of(path: Path, tile_px: int = 1024) -> tuple[SlidePlan, TissueMask, list[CellBatch]]:
    """Everything that the tiles of a slide report."""
    with open_slide(path) as slide:
        plan, tissue = make_plan(slide, request(path, tile_px))
        engine = load_engine(plan.engine)
        batches = [
            segment_tile(read_working(slide, plan.grid, tile.read), plan, tissue, tile, engine)
            for chunk in plan.chunks
            for tile in map(plan.tile, chunk)
        ]
    return plan, tissue, batches
