"""What would count as tissue of a slide, before any job: for trying parameters. Writes nothing."""

from __future__ import annotations

import threading
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from raysched.errors import MppMissing
from raysched.imaging.engine import Rgb
from raysched.imaging.mpp import resolve_mpp
from raysched.imaging.request import TissueParams
from raysched.imaging.slide import Slide, file_state, open_slide
from raysched.imaging.tissue import TISSUE_MPP, find_tissue, read_overview
from raysched.results.bounded import Bounded
from raysched.results.mask_picture import Mask, MaskPicture

ALL_TISSUE, HARDLY_ANY, MANY_PIECES = 0.95, 0.001, 200
"""Shares of a slide, and pieces, from which on a mask is said to be implausible."""
LARGE_PX = 16_000_000
"""Of the mask, about; finding one takes 25 bytes a px. Of larger ones one is found at a time."""
_ALONE = threading.Lock()
REMEMBERED_BYTES = 64 * 1024 * 1024
"""Of the overviews of slides that were looked at last."""


@dataclass(frozen=True, slots=True)
class TissuePreview:
    """``mpp``: um per level-0 px, from ``mpp_source``; where it is not known a job would ask the
    ``question``, and there is no picture. ``fraction``: of the slide; ``warnings``: why the mask is
    probably not what is wanted."""

    mpp: float | None = None
    mpp_source: str | None = None
    question: str | None = None
    tissue_mm2: float = 0.0
    fraction: float = 0.0
    pieces: int = 0
    warnings: tuple[str, ...] = ()
    picture: MaskPicture | None = None


Overviews = Bounded[tuple[str, str, float], tuple[Rgb, float]]
"""The slides that were looked at last, at low resolution, by path, file and um per level-0 px: what
``read_overview`` gives. Shared, not to be written."""


def remembered_overviews(most_bytes: int = REMEMBERED_BYTES) -> Overviews:
    """None yet. Reading one takes most of the time of a preview, and whoever tries a threshold asks
    again."""
    return Bounded(most_bytes, lambda seen: seen[0].nbytes)


def overview_of(slide: Slide, mpp: float, overviews: Overviews) -> tuple[Rgb, float]:
    """As ``read_overview``, read once for many thresholds, and again when the file changes."""
    key = str(slide.path), file_state(slide.path), mpp
    return overviews.get(key, lambda: read_overview(slide, mpp))


def preview_tissue(
    path: Path, mpp: float | None, params: TissueParams, overviews: Overviews
) -> TissuePreview:
    """Look at a slide as planning does, with the same mask. ``mpp``: the user's, if they gave one.

    Raises what opening a slide raises, ``InvalidSetting`` for a pixel size that cannot be.
    """
    with open_slide(path) as slide:
        try:
            um, source = resolve_mpp(slide, mpp)
        except MppMissing as missing:
            return TissuePreview(question=missing.message)
        width, height = slide.width, slide.height
        is_large = width * height * (um / TISSUE_MPP) ** 2 > LARGE_PX
        with _ALONE if is_large else nullcontext():
            rgb, l0_per_px = overview_of(slide, um, overviews)
            mask = find_tissue(rgb, um * l0_per_px, params)
    fraction = float(mask.mean())
    pieces = cv2.connectedComponents(mask.astype(np.uint8), connectivity=8)[0] - 1
    return TissuePreview(
        mpp=um,
        mpp_source=source,
        tissue_mm2=fraction * width * height * um**2 / 1e6,
        fraction=fraction,
        pieces=pieces,
        warnings=tuple(_doubts(mask, pieces, source)),
        picture=MaskPicture.of(mask, l0_per_px),
    )


def _doubts(mask: Mask, pieces: int, mpp_source: str) -> list[str]:
    share, said = float(mask.mean()), []
    if not pieces:
        said.append("No tissue was found: a job would have nothing to do. Lower the threshold.")
    elif share < HARDLY_ANY:
        said.append(f"Only {share:.2%} of the slide is tissue. Lower the threshold.")
    if share > ALL_TISSUE:
        said.append(
            f"{share:.0%} of the slide is tissue: glass may be taken for it. Raise the threshold."
        )
    if pieces > MANY_PIECES:
        said.append(
            f"The tissue is in {pieces:,} pieces, as dust or noise is. Raise speck_um2, close_um "
            "or the threshold."
        )
    if mpp_source == "objective":
        said.append(
            "The pixel size was worked out from the objective's power: check it, or give one."
        )
    return said
