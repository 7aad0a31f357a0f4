"""Cells as pictures: tiles that lie over a slide, and pictures of a region with their outlines.

The levels of the overlay are those of the labels and ``FINER`` finer ones, in which the labels'
pixels are divided and their corners rounded, so that an outline stays thin and smooth where one
looks closer than the labels are. Where a level's pixels are larger than ``MOST_UM`` cells cannot be
told apart: there the overlay is their density.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from raysched.errors import InvalidSetting
from raysched.imaging.geometry import Rect
from raysched.imaging.slide import Rgb, Slide
from raysched.results.runs import U32
from raysched.results.schema import MEASURES
from raysched.results.viewing.palettes import Palette, Style, colours, one_colour, places, ramp
from raysched.results.viewing.png import blank_png, indexed_png
from raysched.results.viewing.pyramid import Pyramid
from raysched.results.viewing.slides import read_scaled
from raysched.results.viewing.sources import BLOCK_PX, CellSource, Frame, region

Bool = npt.NDArray[np.bool_]

FINER = 2
MOST_UM = 2.5
"""Larger pixels show no single cells: a nucleus of 8 um would be three of them."""
BOLD_PX = 2
"""How thick an outline is in the finest level, half a pixel of the labels: seen on any screen."""
MARGIN_PX = 2
"""What dividing pixels looks at around them."""
MOST_UPSCALE = 4.0
"""A small region is shown this much larger than the slide has it, and no more."""
BAND_ROWS = 256
"""Rows of a picture that are outlined at once: finding outlines takes 50 bytes a pixel."""
PICTURE_COLOUR = (0, 255, 96)


@dataclass(frozen=True, slots=True)
class Look:
    """How cells are drawn: in one colour (``RRGGBB``), or each by a measure, from ``low`` to
    ``high``; None: the measure's own range, and the usual colours."""

    style: Style = Style.OUTLINE
    colour: str = "00e060"
    by: str | None = None
    low: float | None = None
    high: float | None = None
    palette: Palette | None = None

    def check(self) -> None:
        """Raises ``InvalidSetting`` for a measure that there is not, or a range that is none."""
        if self.by is not None and self.by not in MEASURES:
            raise InvalidSetting(
                f"There is no measure {self.by[:40]!r}.",
                remedy=f"Name one of {', '.join(MEASURES)}.",
            )
        if self.low is not None and self.high is not None and self.low >= self.high:
            raise InvalidSetting(
                f"No value lies between {self.low:g} and {self.high:g}.",
                remedy="Give a low that is less than high.",
            )


def overlay_pyramid(frame: Frame) -> Pyramid:
    """The levels of the overlay, in tiles as large as the blocks of the labels."""
    by = 1 << FINER
    levels = len(frame.sizes()) + FINER
    return Pyramid(frame.width * by, frame.height * by, BLOCK_PX, levels)


def overlay_tile(source: CellSource, at: tuple[int, int, int], look: Look) -> bytes:
    """A tile of the overlay (``at``: z, x, y) as PNG with alpha. Raises ``NotFound`` where there is
    none."""
    pyramid = overlay_pyramid(source.frame)
    rect = pyramid.tile(*at)
    level = pyramid.levels - 1 - at[0] - FINER
    if look.style is Style.DENSITY or source.frame.mpp * 2.0**level > MOST_UM:
        return _density(source, rect, level, look)
    pad = BOLD_PX if level == -FINER else 1
    ids = labels_at(source, level, rect_around(rect, pad))
    inner = ids[pad:-pad, pad:-pad]
    drawn = inner != 0
    if look.style is Style.OUTLINE:
        drawn &= edges(ids, pad)
    if not drawn.any():
        return blank_png(rect.width, rect.height)
    if look.by is None:
        return indexed_png(drawn.view(np.uint8), one_colour(look.colour))
    index = np.zeros(drawn.shape, np.uint8)
    low, high = _range(source, look.by, look)
    values = source.values(look.by, inner[drawn])
    index[drawn] = places(values.astype(np.float32), low, high)
    return indexed_png(index, colours(look.palette or Palette.VIRIDIS))


def region_picture(
    slide: Slide, source: CellSource | None, l0: tuple[float, float, float, float], most_px: int
) -> Rgb:
    """A region of the slide (``l0``: x, y, width, height) with its cells' outlines, its longer side
    ``most_px`` unless that were more than ``MOST_UPSCALE`` times the slide's pixels. Outlines
    are left out where cells are too small to be seen. Raises ``InvalidSetting`` for a region that
    is too large for the slide's levels."""
    x, y, width, height = l0
    per_px = max(max(width, height) / most_px, 1 / MOST_UPSCALE)
    size = max(1, round(width / per_px)), max(1, round(height / per_px))
    rgb = read_scaled(slide, (x, y), per_px, size)
    if source is not None and source.frame.mpp * per_px / source.frame.l0_per_px <= MOST_UM:
        for row in range(0, size[1], BAND_ROWS):
            band = rgb[row : row + BAND_ROWS]
            ids = _sampled(source, (x, y + row * per_px), per_px, (size[0], len(band)))
            band[edges(ids) & (ids[1:-1, 1:-1] != 0)] = PICTURE_COLOUR
    return rgb


def rect_around(rect: Rect, pad: int) -> Rect:
    """With so many pixels more on each side."""
    return Rect(rect.x0 - pad, rect.y0 - pad, rect.x1 + pad, rect.y1 + pad)


def edges(ids: U32, width: int = 1) -> Bool:
    """Which pixels differ from one at most ``width`` to a side, up or down; of an image (h, w) with
    so many more pixels on each side: (h - 2 width, w - 2 width)."""
    height, across = (side - 2 * width for side in ids.shape)
    here = ids[width:-width, width:-width]
    found = np.zeros(here.shape, np.bool_)
    for far in range(1, width + 1):
        for dy, dx in ((-far, 0), (far, 0), (0, -far), (0, far)):
            top, left = width + dy, width + dx
            found |= here != ids[top : top + height, left : left + across]
    return found


def labels_at(source: CellSource, level: int, rect: Rect) -> U32:
    """Ids of a rectangle of a level; levels below 0 are finer than the labels."""
    if level >= 0:
        return region(source, level, rect)
    by = 1 << -level
    coarse = Rect(
        rect.x0 // by - MARGIN_PX,
        rect.y0 // by - MARGIN_PX,
        -(-rect.x1 // by) + MARGIN_PX,
        -(-rect.y1 // by) + MARGIN_PX,
    )
    ids = region(source, 0, coarse)
    for _ in range(-level):
        ids = divided(ids)
    left, top = rect.x0 - coarse.x0 * by, rect.y0 - coarse.y0 * by
    return ids[top : top + rect.height, left : left + rect.width]


def divided(ids: U32) -> U32:
    """Each pixel as 2 x 2, of which a corner goes to the two neighbours there if they are one and
    the other two are not theirs (EPX, E. Johnston 1992; Scale2x): straight edges stay, steps become
    slopes. No id is made up."""
    around = np.pad(ids, 1, mode="edge")
    up, down, left, right = around[:-2, 1:-1], around[2:, 1:-1], around[1:-1, :-2], around[1:-1, 2:]
    made = np.repeat(np.repeat(ids, 2, axis=0), 2, axis=1)
    if not ids.any():
        return made
    for (a, b), (c, d), dy, dx in (
        ((left, up), (down, right), 0, 0),
        ((up, right), (left, down), 0, 1),
        ((down, left), (right, up), 1, 0),
        ((right, down), (up, left), 1, 1),
    ):
        corner = (a == b) & (a != c) & (b != d)
        part = made[dy::2, dx::2]
        part[corner] = a[corner]
    return made


def _density(source: CellSource, rect: Rect, level: int, look: Look) -> bytes:
    density = source.density()
    index = density.tile(rect, 2.0**level)
    if not index.any():
        return blank_png(rect.width, rect.height)
    return indexed_png(index, ramp(look.palette or Palette.MAGMA))


def _range(source: CellSource, by: str, look: Look) -> tuple[float, float]:
    low, high = look.low, look.high
    if low is None or high is None:
        own = next((each for each in source.ranges() if each.name == by), None)
        low = low if low is not None else own.low if own else 0.0
        high = high if high is not None else own.high if own else 1.0
    return low, high


def _sampled(
    source: CellSource, l0_at: tuple[float, float], l0_per_px: float, size: tuple[int, int]
) -> U32:
    """The ids under the middles of pixels, with one pixel more on each side."""
    per_px = l0_per_px / source.frame.l0_per_px
    level = max(-FINER, int(np.floor(np.log2(per_px))))
    level = min(level, len(source.frame.sizes()) - 1)
    by = per_px / 2.0**level
    across, down = (
        np.floor((at / source.frame.l0_per_px / 2.0**level) + (np.arange(-1, n + 1) + 0.5) * by)
        for at, n in zip(l0_at, size, strict=True)
    )
    rect = Rect(int(across[0]), int(down[0]), int(across[-1]) + 1, int(down[-1]) + 1)
    ids = labels_at(source, level, rect)
    columns, rows = across.astype(int) - rect.x0, down.astype(int) - rect.y0
    return np.asarray(ids[np.ix_(rows, columns)])
