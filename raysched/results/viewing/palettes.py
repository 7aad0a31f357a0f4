"""Colours for numbers. The control points are those of matplotlib's colour maps (CC0), every 16th
of each; viridis and magma are read by colour-blind people as well, coolwarm has a middle."""

from __future__ import annotations

from enum import StrEnum
from functools import cache

import numpy as np
import numpy.typing as npt

U8 = npt.NDArray[np.uint8]


class Style(StrEnum):
    """How cells are drawn."""

    OUTLINE = "outline"
    FILL = "fill"
    DENSITY = "density"


class Palette(StrEnum):
    """The colour maps that there are."""

    VIRIDIS = "viridis"
    MAGMA = "magma"
    COOLWARM = "coolwarm"


POINTS = {
    Palette.VIRIDIS: "440154 48186a 472d7b 424086 3b528b 33638d 2c728e 26828e 21918c 1fa088 "
    "28ae80 3fbc73 5ec962 84d44b addc30 d8e219 fde725",
    Palette.MAGMA: "000004 0a0822 1d1147 36106b 51127c 6a1c81 832681 9c2e7f b73779 d0416f "
    "e75263 f56b5c fc8961 fea772 fec488 fde2a3 fcfdbf",
    Palette.COOLWARM: "3b4cc0 4e68d8 6282ea 779af7 8db0fe a3c2fe b9d0f9 ccd9ed dddcdc ecd3c5 "
    "f5c4ac f7b093 f4987a eb7d62 dd5f4b ca3b37 b40426",
}
STEPS = 255
"""Colours of a palette: place 0 is nothing at all, places 1..255 are low to high."""
FAINT = 128
"""Density is ever less transparent up to this place."""
DENSEST_ALPHA = 205
DARKEST = 0.3
"""Where in its palette a density begins: the darkest colours would grey what has hardly any."""


@cache
def colours(palette: Palette) -> U8:
    """Places 0..255 as RGBA, (256, 4): place 0 is transparent."""
    points = np.array([list(bytes.fromhex(each)) for each in POINTS[palette].split()], float)
    at = np.linspace(0, len(points) - 1, STEPS)
    known = np.arange(len(points))
    made = np.zeros((STEPS + 1, 4), np.uint8)
    for channel in range(3):
        made[1:, channel] = np.round(np.interp(at, known, points[:, channel]))
    made[1:, 3] = 255
    return made


@cache
def ramp(palette: Palette) -> U8:
    """The same for a density: the fewer, the more of the slide is seen through it, from nothing
    on without an edge."""
    made = colours(palette).copy()
    places = np.arange(STEPS + 1)
    made[1:, :3] = made[1 + np.round(np.linspace(DARKEST, 1, STEPS) * (STEPS - 1)).astype(int), :3]
    share = np.minimum(places / FAINT, 1.0)
    made[:, 3] = np.round(DENSEST_ALPHA * share * share * (3 - 2 * share))
    return made


def one_colour(rgb: str) -> U8:
    """Nothing, and that colour (``RRGGBB``): (2, 4)."""
    return np.array([[0, 0, 0, 0], [*bytes.fromhex(rgb), 255]], np.uint8)


def places(values: npt.NDArray[np.float32], low: float, high: float) -> U8:
    """Where values lie between low and high, as places 1..255; what is no number is 1."""
    span = max(high - low, 1e-12)
    scaled = (values - np.float32(low)) * np.float32((STEPS - 1) / span)
    at = np.nan_to_num(scaled).clip(0, STEPS - 1) + np.float32(1.5)
    return np.asarray(at.astype(np.uint8))
