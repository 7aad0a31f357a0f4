"""One made-up tile, so that all that the first real one would wait for is loaded."""

from __future__ import annotations

import numpy as np

from raysched.imaging.asking import ask_context
from raysched.imaging.engine import Engine, Overview
from raysched.imaging.geometry import Rect, Tile
from raysched.imaging.plan import SlideFacts, SlidePlan, WorkingGrid
from raysched.imaging.request import MeasureParams, TissueParams
from raysched.imaging.segment import segment_tile
from raysched.imaging.tissue import TissueMask

SIDE_PX = 128
PAPER, STROMA, NUCLEUS = (245, 243, 246), (225, 160, 200), (95, 60, 140)


def rehearse(engine: Engine) -> int:
    """Prepare, segment and measure a tile with one disk in it; returns how many cells were found.

    Compiled kernels and models are then in memory. Raises what the engine raises.
    """
    y, x = np.mgrid[:SIDE_PX, :SIDE_PX]
    from_middle = np.hypot(y - SIDE_PX / 2, x - SIDE_PX / 2)
    rgb = np.full((SIDE_PX, SIDE_PX, 3), PAPER, np.uint8)
    rgb[from_middle < SIDE_PX / 2 - 8] = STROMA
    rgb[from_middle < 4.0 / engine.target_mpp] = NUCLEUS
    params, mpp = engine.Params(), engine.target_mpp
    mask = from_middle < SIDE_PX / 2
    overview = Overview(rgb, mask, mpp, rgb[mask])
    whole = Rect(0, 0, SIDE_PX, SIDE_PX)
    plan = SlidePlan(
        slide=SlideFacts(
            path="", sha256="", size_bytes=0, vendor="", width=SIDE_PX, height=SIDE_PX,
            bounds_x=0, bounds_y=0, mpp=mpp, mpp_source="user",
        ),
        grid=WorkingGrid(
            level=0, box=1, scale=1.0, l0_per_w=1.0, mpp=mpp, width=SIDE_PX, height=SIDE_PX
        ),
        engine=engine.name,
        engine_version=engine.version,
        params=params.model_dump(mode="json"),
        context=ask_context(engine, overview, mpp, params),
        tile_px=SIDE_PX,
        halo_px=0,
        seam_px=0,
        tissue=TissueParams(),
        tissue_fraction=1.0,
        measure=MeasureParams(),
        chunks=((0,),),
    )  # fmt: skip
    return len(segment_tile(rgb, plan, TissueMask(mask, 1.0), Tile(0, whole, whole), engine))
