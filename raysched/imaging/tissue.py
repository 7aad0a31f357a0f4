"""Where there is tissue: a mask at low resolution, found once per slide.

Glass is bright and without colour, tissue absorbs and is coloured. A pixel is tissue when its
chroma (largest minus smallest channel) passes a threshold that Otsu's method finds on the slide
itself, kept between plausible limits so that an empty or a full slide does not split in noise.
Ink and black borders are dark without the hue of H&E and are left out.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from raysched.imaging.engine import Rgb
from raysched.imaging.frames import Levels, box_mean
from raysched.imaging.geometry import Rect
from raysched.imaging.plan import WorkingGrid
from raysched.imaging.request import TissueParams

TISSUE_MPP = 8.0
"""um per mask px, about: fine enough for strips of a biopsy, coarse enough for any slide."""
CHROMA_MIN, CHROMA_MAX = 12, 40
"""Limits of the threshold on 8-bit chroma: JPEG noise of glass stays below, faint eosin above."""
DARK = 45
"""8-bit brightness below which a pixel is ink, a fold or a border, not stained tissue."""
TISSUE_VERSION = "1"
"""Changes whenever equal parameters would give another mask."""
OVERVIEW_MOST_PX = 64_000_000
"""Beyond this, which is a slide of 64 x 64 mm, the mask is coarser: it is held in memory."""
READ_PX = 2048
"""Level pixels across one read: bounds memory where low levels are missing."""


USUAL = TissueParams()


@dataclass(frozen=True, slots=True)
class TissueMask:
    """``mask``: (h, w) bool, True is tissue; one mask px is ``w_per_px`` working px."""

    mask: npt.NDArray[np.bool_]
    w_per_px: float

    @property
    def fraction(self) -> float:
        """Share of the slide that is tissue, 0..1."""
        return float(self.mask.mean()) if self.mask.size else 0.0

    def touches(self, rect: Rect) -> bool:
        """Whether any tissue lies in a rectangle of working px, grown by one mask px."""
        x0 = max(0, math.floor(rect.x0 / self.w_per_px) - 1)
        y0 = max(0, math.floor(rect.y0 / self.w_per_px) - 1)
        x1 = math.ceil(rect.x1 / self.w_per_px) + 1
        y1 = math.ceil(rect.y1 / self.w_per_px) + 1
        return bool(self.mask[y0:y1, x0:x1].any())

    def at(
        self, w_x: npt.NDArray[np.float64], w_y: npt.NDArray[np.float64]
    ) -> npt.NDArray[np.bool_]:
        """Whether points in working px lie on tissue: (n,) bool."""
        height, width = self.mask.shape
        column = np.clip((w_x / self.w_per_px).astype(np.int64), 0, width - 1)
        row = np.clip((w_y / self.w_per_px).astype(np.int64), 0, height - 1)
        return np.asarray(self.mask[row, column], np.bool_)


def read_overview(slide: Levels, mpp: float) -> tuple[Rgb, float]:
    """The whole slide at about ``TISSUE_MPP``: ((h, w, 3) uint8, level-0 px per overview px).

    Reads the coarsest level that is still finer, in pieces, and averages blocks.
    """
    most_per_side = math.sqrt(slide.level_sizes[0][0] * slide.level_sizes[0][1] / OVERVIEW_MOST_PX)
    wanted = max(TISSUE_MPP / mpp, most_per_side)
    fine = [i for i, per in enumerate(slide.downsamples) if per <= wanted * 1.05]
    level = max(fine, key=lambda i: slide.downsamples[i], default=0)
    box = max(1, round(wanted / slide.downsamples[level]))
    width, height = slide.level_sizes[level]
    out = np.empty((-(-height // box), -(-width // box), 3), np.uint8)
    step = max(box, READ_PX // box * box)
    for y in range(0, height, step):
        for x in range(0, width, step):
            w, h = min(step, width - x), min(step, height - y)
            pixels = slide.read_level(level, x, y, w, h)
            pad = ((0, -h % box), (0, -w % box), (0, 0))
            mean = box_mean(np.pad(pixels, pad, mode="edge"), box)
            out[y // box : y // box + mean.shape[0], x // box : x // box + mean.shape[1]] = mean
    return out, slide.downsamples[level] * box


def find_tissue(overview: Rgb, mpp: float, params: TissueParams = USUAL) -> npt.NDArray[np.bool_]:
    """Tissue of an overview with ``mpp`` um per px: (h, w) bool."""
    smooth = cv2.GaussianBlur(overview, (5, 5), 1.0)
    red, green, blue = cv2.split(smooth)
    brightest = cv2.max(cv2.max(red, green), blue)
    chroma = brightest - cv2.min(cv2.min(red, green), blue)
    threshold = float(params.threshold or 0)
    if not threshold:
        otsu, _ = cv2.threshold(chroma, 0, 255, cv2.THRESH_BINARY + cv2.THRESH_OTSU)
        threshold = float(np.clip(otsu * 0.6, CHROMA_MIN, CHROMA_MAX))
    # Red and blue stay above green in H&E; green or black pen does not.
    stained = (green <= cv2.min(red, blue)) | (chroma > threshold)
    mask = ((chroma > threshold) & stained & (brightest > DARK)).astype(np.uint8)
    if radius := round(params.close_um / mpp / 2):
        disk = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1))
        mask = np.asarray(cv2.morphologyEx(mask, cv2.MORPH_CLOSE, disk), np.uint8)
    mask = _without_small(mask, params.speck_um2 / mpp**2)
    glass = _without_small(1 - mask, params.hole_um2 / mpp**2)
    return np.asarray(glass == 0, np.bool_)


def _without_small(mask: npt.NDArray[np.uint8], least_px: float) -> npt.NDArray[np.uint8]:
    """The mask without its components of fewer than ``least_px`` pixels."""
    count, labels, stats, _ = cv2.connectedComponentsWithStats(mask, connectivity=8)
    keep = stats[:, cv2.CC_STAT_AREA] >= min(least_px, mask.size / 20)
    keep[0] = False
    return keep[labels].astype(np.uint8) if count > 1 else np.zeros_like(mask)


@dataclass(frozen=True, slots=True)
class Survey:
    """A slide seen whole. ``rgb``: (h, w, 3) uint8; ``mask``: (h, w) bool, True is tissue;
    ``l0_per_px``: level-0 px per px of both."""

    rgb: Rgb
    mask: npt.NDArray[np.bool_]
    l0_per_px: float

    def tissue(self, grid: WorkingGrid) -> TissueMask:
        """The mask in a working frame."""
        return TissueMask(self.mask, self.l0_per_px / grid.l0_per_w)


def survey(slide: Levels, mpp: float, params: TissueParams) -> Survey:
    """Look at the whole slide, and find its tissue. ``mpp``: um per level-0 px."""
    rgb, l0_per_px = read_overview(slide, mpp)
    return Survey(rgb, find_tissue(rgb, mpp * l0_per_px, params), l0_per_px)
