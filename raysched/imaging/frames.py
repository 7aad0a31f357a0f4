"""The working frame: which pixels an engine sees, the same ones however they are cut.

Working pixel (i, j) is a pure function of (i, j) and the file. First the file's level is averaged
in aligned ``box`` x ``box`` blocks, rounded to nearest in integers; then, when ``scale`` is not 1,
it is interpolated bilinearly at coordinates rounded to 1/32 px, also in integers. Beyond the right
and bottom edge of the level its last pixels are repeated.
"""

from __future__ import annotations

import math
from typing import Protocol

import cv2
import numpy as np
import numpy.typing as npt

from raysched.errors import SlideUnreadable
from raysched.imaging.geometry import Rect
from raysched.imaging.plan import WorkingGrid
from raysched.imaging.slide import Rgb

TOLERANCE = 0.05
"""Pixel sizes that differ by less than this count as equal: no interpolation."""
FRACTIONS = 32
READ_BUDGET_PX = 4_000_000
"""Most level pixels that one strip of a large read holds (16 MB as RGBA)."""


class Levels(Protocol):
    """What is read of a slide: ``Slide`` itself, or an image that counts as one."""

    @property
    def level_sizes(self) -> tuple[tuple[int, int], ...]:
        """(w, h) of each level in its own px."""
        ...

    @property
    def downsamples(self) -> tuple[float, ...]:
        """Level-0 px per px of each level."""
        ...

    def read_level(self, level: int, l_x0: int, l_y0: int, w: int, h: int) -> Rgb:
        """Pixels of a rectangle of one level, in that level's own px: (h, w, 3) uint8."""
        ...


def working_grid(slide: Levels, mpp: float, target_mpp: float) -> WorkingGrid:
    """The frame nearest to ``target_mpp`` of a slide with ``mpp`` um per level-0 px."""
    fine = [i for i, per in enumerate(slide.downsamples) if mpp * per <= target_mpp * 1.05]
    level = max(fine, key=lambda i: slide.downsamples[i], default=0)
    level_mpp = mpp * slide.downsamples[level]
    box = max(1, math.floor(target_mpp / level_mpp * (1 + TOLERANCE)))
    scale = target_mpp / (level_mpp * box)
    if abs(scale - 1.0) <= TOLERANCE:
        scale = 1.0
    width, height = slide.level_sizes[level]
    l0_per_w = slide.downsamples[level] * box * scale
    return WorkingGrid(
        level=level,
        box=box,
        scale=scale,
        l0_per_w=l0_per_w,
        mpp=mpp * l0_per_w,
        width=math.ceil(width / (box * scale) - 1e-9),
        height=math.ceil(height / (box * scale) - 1e-9),
    )


def read_working(slide: Levels, grid: WorkingGrid, rect: Rect) -> Rgb:
    """Pixels of a rectangle of the working frame: (h, w, 3) uint8.

    The rectangle must lie inside ``grid.extent``. Memory is bounded by strips of the level.
    Raises ``SlideUnreadable`` when the file is damaged there.
    """
    if rect != rect.grow(0, grid.extent):
        raise ValueError(f"{rect} reaches beyond the working frame {grid.extent}")
    per_row = grid.box * grid.scale * max(1.0, rect.width * grid.box * grid.scale)
    rows = max(1, int(READ_BUDGET_PX / per_row))
    strips = [
        _read_strip(slide, grid, Rect(rect.x0, y, rect.x1, min(y + rows, rect.y1)))
        for y in range(rect.y0, rect.y1, rows)
    ]
    return strips[0] if len(strips) == 1 else np.concatenate(strips)


def read_twice(slide: Levels, grid: WorkingGrid, rect: Rect) -> Rgb:
    """As ``read_working``, once more if that fails: a share may be away for a moment."""
    try:
        return read_working(slide, grid, rect)
    except SlideUnreadable:
        return read_working(slide, grid, rect)


def _read_strip(slide: Levels, grid: WorkingGrid, rect: Rect) -> Rgb:
    if grid.scale == 1.0:
        return _read_boxes(slide, grid, rect)
    box_w, box_h = _box_size(slide, grid)
    across = _positions(rect.x0, rect.x1, grid.scale, box_w)
    down = _positions(rect.y0, rect.y1, grid.scale, box_h)
    need = Rect(int(across[0, 0]), int(down[0, 0]), int(across[1, -1]) + 1, int(down[1, -1]) + 1)
    from raysched.imaging.kernels.blend import blended  # compiled: seldom needed, slow to import

    source = np.ascontiguousarray(_read_boxes(slide, grid, need))
    across[:2] -= need.x0
    down[:2] -= need.y0
    return blended(source, across, down, FRACTIONS)


def _positions(start: int, stop: int, scale: float, size: int) -> npt.NDArray[np.int64]:
    """Both neighbours and the 1/32 weight of the second, (3, n), for working px ``start..stop``.

    The centre of working px i lies at (i + 0.5) * scale - 0.5 in box px (centres at whole
    numbers); neighbours are cut at the image, which repeats its edge.
    """
    centre = (np.arange(start, stop, dtype=np.float64) + 0.5) * scale - 0.5
    fixed = np.floor(centre * FRACTIONS + 0.5).astype(np.int64)
    first = fixed // FRACTIONS
    neighbours = [np.clip(first, 0, size - 1), np.clip(first + 1, 0, size - 1)]
    return np.stack([*neighbours, fixed - first * FRACTIONS])


def _box_size(slide: Levels, grid: WorkingGrid) -> tuple[int, int]:
    width, height = slide.level_sizes[grid.level]
    return -(-width // grid.box), -(-height // grid.box)


def _read_boxes(slide: Levels, grid: WorkingGrid, rect: Rect) -> Rgb:
    """A rectangle of box px; the partial last box is completed by repeating the edge."""
    box = grid.box
    width, height = slide.level_sizes[grid.level]
    x0, y0 = rect.x0 * box, rect.y0 * box
    x1, y1 = min(rect.x1 * box, width), min(rect.y1 * box, height)
    pixels = slide.read_level(grid.level, x0, y0, x1 - x0, y1 - y0)
    if box == 1:
        return pixels
    missing_x, missing_y = rect.x1 * box - x1, rect.y1 * box - y1
    if missing_x or missing_y:
        pixels = np.pad(pixels, ((0, missing_y), (0, missing_x), (0, 0)), mode="edge")
    return box_mean(pixels, box)


def box_mean(pixels: Rgb, box: int) -> Rgb:
    """Mean of aligned ``box`` x ``box`` blocks, halves rounded up: (h / box, w / box, 3) uint8."""
    height, width = pixels.shape[0] // box, pixels.shape[1] // box
    if box == 2:  # OpenCV's 2 x 2 area mean is (a + b + c + d + 2) >> 2: the same, and 10 x faster
        size = (width, height)
        return np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), np.uint8)
    most = 255 * box * box + box * box // 2
    total = np.zeros((height, width, 3), np.uint16 if most < 1 << 16 else np.uint32)
    for dy in range(box):
        for dx in range(box):
            total += pixels[dy::box, dx::box]
    total += box * box // 2
    total //= box * box
    return total.astype(np.uint8)
