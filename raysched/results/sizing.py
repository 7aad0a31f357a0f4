"""How much work a job would be, seen at low resolution: for a dry run. Writes nothing."""

from __future__ import annotations

from dataclasses import dataclass, replace
from time import perf_counter

from raysched.errors import MppMissing
from raysched.imaging.plan import SlidePlan, TissuePlan
from raysched.imaging.planning import make_plan, make_tissue_plan, sketch
from raysched.imaging.request import SegmentationRequest, SlideRequest, TissueRequest
from raysched.imaging.slide import open_slide
from raysched.results.equal import find_equal
from raysched.results.recall import Noticed, shelf_for
from raysched.results.shelf import NO_SHELF, Shelf


@dataclass(frozen=True, slots=True)
class Sized:
    """What there is to do on a slide. ``mpp``: um per level-0 px, from ``mpp_source``;
    ``working_mpp``: um per px of the tiles. ``question``: the job would ask it before anything
    else, and nothing more is known. ``equal``: an equal job's result is there and would be used.
    ``seconds``: how long it took to look."""

    tissue_mm2: float = 0.0
    tiles: int = 0
    chunks: int = 0
    mpp: float | None = None
    mpp_source: str | None = None
    working_mpp: float | None = None
    question: str | None = None
    equal: bool = False
    seconds: float | None = None


def size_up(request: SlideRequest, shelf: Shelf = NO_SHELF) -> Sized:
    """Look at the slide as planning does: 0.3 s, more where the file has no low levels.

    Raises what planning raises, but for a pixel size that is missing: that becomes a question.
    """
    begun = perf_counter()
    found = _look(request, shelf)
    return replace(found, seconds=perf_counter() - begun)


def _look(request: SlideRequest, shelf: Shelf) -> Sized:
    with open_slide(request.slide) as slide:
        shelf = shelf_for(slide.vendor, slide.path, shelf)
        sight = Noticed(shelf)
        try:
            if isinstance(request, TissueRequest):
                return _sized(make_tissue_plan(slide, request, sight)[0])
            if not isinstance(request, SegmentationRequest):
                raise TypeError(f"no kind has the request {request!r}")
            if not sight.sha256(slide):  # nobody has read it: there is no equal job
                return _sized(sketch(slide, request, sight)[0])
            plan = make_plan(slide, request, sight)[0]
            return _sized(plan, equal=find_equal(plan, shelf) is not None)
        except MppMissing as missing:
            return Sized(question=missing.message)


def _sized(plan: SlidePlan | TissuePlan, *, equal: bool = False) -> Sized:
    grid = plan.grid
    chunks = plan.chunks if isinstance(plan, SlidePlan) else ()
    return Sized(
        tissue_mm2=plan.tissue_fraction * grid.width * grid.height * grid.mpp**2 / 1e6,
        tiles=sum(map(len, chunks)),
        chunks=len(chunks),
        mpp=plan.slide.mpp,
        mpp_source=plan.slide.mpp_source,
        working_mpp=grid.mpp,
        equal=equal,
    )
