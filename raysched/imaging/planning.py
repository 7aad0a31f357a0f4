"""Looking at a whole slide once: pixel size, tissue, what the engine needs, the tiles to do."""

from __future__ import annotations

import hashlib
import json
import math

import numpy as np

from raysched.errors import InvalidSetting
from raysched.imaging.asking import ask_context
from raysched.imaging.engine import Engine, Overview, Rgb, align_of, engine_params, load_engine
from raysched.imaging.frames import Levels, read_working, working_grid
from raysched.imaging.geometry import Rect
from raysched.imaging.mpp import resolve_mpp
from raysched.imaging.plan import SlideFacts, SlidePlan, WorkingGrid
from raysched.imaging.request import SegmentationRequest
from raysched.imaging.slide import Slide, slide_sha256
from raysched.imaging.tissue import TISSUE_MPP, TissueMask, tissue_of

SEAM_PX = 4
"""Working px on either side of a seam within which both tiles report a cell."""
NOT_CONTENT = {"path", "reader", "reader_note"}
"""Facts of a slide that change no pixel."""
SAMPLE_WINDOWS = 64
SAMPLE_WINDOW_PX = 128
SAMPLE_STEP = 2
"""64 windows of 128 x 128 px, every other pixel: 262,144 samples from all over the tissue."""


def make_plan(slide: Slide, request: SegmentationRequest) -> tuple[SlidePlan, TissueMask, Rgb]:
    """All global facts of a slide for one request, its tissue mask, and the picture of the whole
    slide that the mask was found on, of the mask's size.

    Raises ``MppMissing``, ``SlideUnreadable``, ``UnknownEngine``, ``InvalidSetting``,
    ``EngineFailed``.
    """
    engine = load_engine(request.engine)
    params = engine_params(request.engine, request.params)
    _check_alignment(engine, request.tile_px)
    mpp, source = resolve_mpp(slide, request.mpp)
    grid = working_grid(slide, mpp, engine.target_mpp)
    tissue, overview_rgb = tissue_of(slide, mpp, grid)
    samples = tissue_samples(slide, grid, tissue)
    overview = Overview(overview_rgb, tissue.mask, TISSUE_MPP, samples)
    draft = SlidePlan(
        slide=_facts(slide, grid, mpp, source),
        grid=grid,
        engine=engine.name,
        engine_version=engine.version,
        params=params.model_dump(mode="json"),
        context=ask_context(engine, overview, grid.mpp, params),
        tile_px=request.tile_px,
        halo_px=halo_of(engine, grid.mpp),
        seam_px=SEAM_PX,
        tissue_fraction=tissue.fraction,
        chunks=(),
    )
    chunks = chunks_with_tissue(draft, tissue, request.chunk_tiles)
    return draft.model_copy(update={"chunks": chunks}), tissue, overview_rgb


def halo_of(engine: Engine, mpp: float) -> int:
    """The margin of tiles in working px, whole multiples of the engine's ``align_px``."""
    align = align_of(engine)
    return align * math.ceil(engine.halo_um / mpp / align)


def _check_alignment(engine: Engine, tile_px: int) -> None:
    """Tiles begin where the engine can have them begin only if their edge is such a multiple."""
    align = align_of(engine)
    if tile_px % align:
        below = tile_px - tile_px % align
        near = f"{below} or {below + align}" if below >= 64 else f"{below + align}"
        raise InvalidSetting(
            f"Engine {engine.name!r} needs tiles whose edge is a multiple of {align} px, and "
            f"tile_px is {tile_px}.",
            remedy=f"Choose tile_px {near}.",
        )


def plan_fingerprint(plan: SlidePlan) -> str:
    """Names the plan's content; where the file lies and who reads it does not matter."""
    content = plan.model_dump(mode="json", exclude={"slide": NOT_CONTENT})
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()


def chunks_with_tissue(
    plan: SlidePlan, tissue: TissueMask, size: int
) -> tuple[tuple[int, ...], ...]:
    """Neighbouring tiles that touch tissue, in the order of the grid."""
    tiles = range(plan.columns * plan.rows)
    indices = [i for i in tiles if tissue.touches(plan.tile(i).owned)]
    return tuple(tuple(indices[at : at + size]) for at in range(0, len(indices), size))


def tissue_samples(slide: Levels, grid: WorkingGrid, tissue: TissueMask) -> Rgb:
    """Tissue pixels at working resolution, (n, 3) uint8, the same ones every time.

    Windows are centred on mask pixels that are evenly spaced among all tissue pixels.
    """
    rows, columns = np.nonzero(tissue.mask)
    if not len(rows):
        return np.zeros((0, 3), np.uint8)
    picks = np.unique(np.linspace(0, len(rows) - 1, SAMPLE_WINDOWS).astype(np.int64))
    found = []
    for pick in picks:
        x, y = (int((v + 0.5) * tissue.w_per_px) for v in (columns[pick], rows[pick]))
        half = SAMPLE_WINDOW_PX // 2
        window = Rect(x, y, x + 1, y + 1).grow(half, grid.extent)
        if window.width <= 0 or window.height <= 0:
            continue
        rgb = read_working(slide, grid, window)[::SAMPLE_STEP, ::SAMPLE_STEP]
        w_y, w_x = np.mgrid[
            window.y0 : window.y1 : SAMPLE_STEP, window.x0 : window.x1 : SAMPLE_STEP
        ]
        found.append(rgb[tissue.at(w_x + 0.5, w_y + 0.5)])
    return np.concatenate([np.zeros((0, 3), np.uint8), *found])


def _facts(slide: Slide, grid: WorkingGrid, mpp: float, source: str) -> SlideFacts:
    reader, note = slide.reader(grid.level)
    return SlideFacts(
        path=str(slide.path),
        sha256=slide_sha256(slide.path),
        size_bytes=slide.path.stat().st_size,
        vendor=slide.vendor,
        width=slide.width,
        height=slide.height,
        bounds_x=slide.bounds.x0,
        bounds_y=slide.bounds.y0,
        mpp=mpp,
        mpp_source=source,
        reader=reader,
        reader_note=note,
    )
