"""Looking at a whole slide once: pixel size, tissue, what the engine needs, the tiles to do."""

from __future__ import annotations

import hashlib
import json
import math
from typing import Any

import numpy as np

from raysched.errors import InvalidSetting, SlideUnreadable
from raysched.imaging.asking import ask_context
from raysched.imaging.engine import Engine, Overview, Rgb, align_of, engine_params, load_engine
from raysched.imaging.frames import Levels, read_twice, working_grid
from raysched.imaging.geometry import Rect
from raysched.imaging.mpp import resolve_mpp
from raysched.imaging.plan import SlideFacts, SlidePlan, TissuePlan, WorkingGrid
from raysched.imaging.request import (
    SegmentationRequest,
    SlideRequest,
    TissueParams,
    TissueRequest,
)
from raysched.imaging.slide import Slide, slide_sha256
from raysched.imaging.tissue import TISSUE_MPP, TISSUE_VERSION, Survey, TissueMask, survey

SEAM_PX = 4
"""Working px on either side of a seam within which both tiles report a cell."""
NOT_CONTENT = {"path", "reader", "reader_note"}
"""Facts of a slide that change no pixel."""
SAMPLE_WINDOWS = 64
SAMPLE_WINDOW_PX = 128
SAMPLE_STEP = 2
"""64 windows of 128 x 128 px, every other pixel: 262,144 samples from all over the tissue."""


class Sight:
    """What is looked up of a slide before it is planned. Who knows it from an earlier job derives
    from this class."""

    def sha256(self, slide: Slide) -> str:
        """Digest of the slide's file as hex."""
        return slide_sha256(slide.path)

    def survey(self, slide: Slide, mpp: float, params: TissueParams) -> Survey:
        """The slide as a whole, with its tissue. ``mpp``: um per level-0 px."""
        return survey(slide, mpp, params)


AFRESH = Sight()


def make_plan(
    slide: Slide, request: SegmentationRequest, sight: Sight = AFRESH
) -> tuple[SlidePlan, TissueMask, Rgb]:
    """All global facts of a slide for one request, its tissue mask, and the picture of the whole
    slide that the mask was found on, of the mask's size.

    Raises ``MppMissing``, ``SlideUnreadable``, ``UnknownEngine``, ``InvalidSetting``,
    ``EngineFailed``.
    """
    draft, tissue, seen = sketch(slide, request, sight)
    engine = load_engine(request.engine)
    params = engine_params(request.engine, request.params)
    samples = tissue_samples(slide, draft.grid, tissue)
    overview = Overview(seen.rgb, seen.mask, TISSUE_MPP, samples)
    context = ask_context(engine, overview, draft.grid.mpp, params)
    return draft.model_copy(update={"context": context}), tissue, seen.rgb


def sketch(
    slide: Slide, request: SegmentationRequest, sight: Sight = AFRESH
) -> tuple[SlidePlan, TissueMask, Survey]:
    """The plan without what the engine computes once for the slide, which decides nothing of the
    tiles, and what it was made from. Raises as ``make_plan``, but never ``EngineFailed``."""
    engine = load_engine(request.engine)
    params = engine_params(request.engine, request.params)
    _check_alignment(engine, request.tile_px)
    facts = slide_facts(slide, request, sight)
    grid = working_grid(slide, facts.mpp, engine.target_mpp)
    seen = sight.survey(slide, facts.mpp, request.tissue)
    tissue = seen.tissue(grid)
    reader, note = slide.reader(grid.level)
    draft = SlidePlan(
        slide=facts.model_copy(update={"reader": reader, "reader_note": note}),
        grid=grid,
        engine=engine.name,
        engine_version=engine.version,
        params=params.model_dump(mode="json"),
        context={},
        tile_px=request.tile_px,
        halo_px=halo_of(engine, grid.mpp),
        seam_px=SEAM_PX,
        tissue=request.tissue,
        tissue_fraction=tissue.fraction,
        measure=request.measure,
        chunks=(),
    )
    chunks = chunks_with_tissue(draft, tissue, request.chunk_tiles)
    return draft.model_copy(update={"chunks": chunks}), tissue, seen


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


PICTURE_MPP = 0.5
"""Finest um per px at which a tissue mask's picture shows the slide."""


def make_tissue_plan(
    slide: Slide, request: TissueRequest, sight: Sight = AFRESH
) -> tuple[TissuePlan, TissueMask, Rgb]:
    """As ``make_plan``, for a tissue mask alone. Raises ``MppMissing``, ``SlideUnreadable``."""
    facts = slide_facts(slide, request, sight)
    grid = working_grid(slide, facts.mpp, PICTURE_MPP)
    seen = sight.survey(slide, facts.mpp, request.tissue)
    tissue = seen.tissue(grid)
    plan = TissuePlan(
        slide=facts,
        grid=grid,
        tissue=request.tissue,
        tissue_version=TISSUE_VERSION,
        tissue_fraction=tissue.fraction,
        mask_mpp=facts.mpp * seen.l0_per_px,
    )
    return plan, tissue, seen.rgb


def slide_facts(slide: Slide, request: SlideRequest, sight: Sight = AFRESH) -> SlideFacts:
    """What the file is, read by OpenSlide. Raises ``MppMissing``, ``SlideUnreadable``."""
    mpp, source = resolve_mpp(slide, request.mpp)
    return SlideFacts(
        path=str(slide.path),
        sha256=sight.sha256(slide),
        size_bytes=slide.path.stat().st_size,
        vendor=slide.vendor,
        width=slide.width,
        height=slide.height,
        bounds_x=slide.bounds.x0,
        bounds_y=slide.bounds.y0,
        mpp=mpp,
        mpp_source=source,
    )


def plan_fingerprint(plan: SlidePlan | TissuePlan) -> str:
    """Names the plan's content; where the file lies and who reads it does not matter."""
    not_content: dict[str, Any] = {"slide": NOT_CONTENT}
    if plan.format == 2:  # it had no such parameters
        not_content |= {"tissue": True, "measure": True}
    return content_hash(plan.model_dump(mode="json", exclude=not_content))


def plan_work(plan: SlidePlan) -> str:
    """Names what the engine finds under a plan: equal for plans that only measure otherwise."""
    not_work: dict[str, Any] = {"slide": NOT_CONTENT, "measure": True}
    return content_hash(plan.model_dump(mode="json", exclude=not_work))


def content_hash(content: object) -> str:
    """SHA-256 of JSON-able content as hex."""
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

    Windows are centred on mask pixels that are evenly spaced among all tissue pixels. Those that
    cannot be read are left out, as their tiles will be. Raises ``SlideUnreadable`` if none can.
    """
    rows, columns = np.nonzero(tissue.mask)
    if not len(rows):
        return np.zeros((0, 3), np.uint8)
    picks = np.unique(np.linspace(0, len(rows) - 1, SAMPLE_WINDOWS).astype(np.int64))
    found = []
    unreadable: SlideUnreadable | None = None
    for pick in picks:
        x, y = (int((v + 0.5) * tissue.w_per_px) for v in (columns[pick], rows[pick]))
        half = SAMPLE_WINDOW_PX // 2
        window = Rect(x, y, x + 1, y + 1).grow(half, grid.extent)
        if window.width <= 0 or window.height <= 0:
            continue
        try:
            rgb = read_twice(slide, grid, window)[::SAMPLE_STEP, ::SAMPLE_STEP]
        except SlideUnreadable as error:
            unreadable = error
            continue
        w_y, w_x = np.mgrid[
            window.y0 : window.y1 : SAMPLE_STEP, window.x0 : window.x1 : SAMPLE_STEP
        ]
        found.append(rgb[tissue.at(w_x + 0.5, w_y + 0.5)])
    if unreadable is not None and not found:
        raise unreadable
    return np.concatenate([np.zeros((0, 3), np.uint8), *found])
