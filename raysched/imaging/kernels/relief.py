"""From amounts of stain to the levels whose connected regions may be nuclei: pixel by pixel."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from raysched.imaging.kernels.compiled import compiled

I32 = npt.NDArray[np.int32]
U8 = npt.NDArray[np.uint8]

OUTSIDE = 255
RIM_PX = 3
"""As far as ``kernels.rims`` looks out."""


@compiled("UniTuple(u1[:,::1], 3)(UniTuple(u1[:,::1], 3), UniTuple(i4[:,::1], 2), u1[::1])")
def levels(pixels: tuple[U8, U8, U8], sums: tuple[I32, I32], ranks: U8) -> tuple[U8, U8, U8]:
    """Level, amount and mean amount around of each pixel, with a rim of ``RIM_PX``.

    ``pixels``: the amount, its mean nearby, and 0 where glass or ink is. ``sums`` over a wider
    box: the amount, and how many pixels count; their ratio is the mean around. What is ranked is
    the amount plus its difference to the mean nearby, cut at 0 and 255: touching nuclei part at
    the paler line between them. The rim has level ``OUTSIDE`` and repeats the amounts at the edge.
    """
    amount, nearby, stained = pixels
    total, number = sums
    height, width = amount.shape
    size = (height + 2 * RIM_PX, width + 2 * RIM_PX)
    level, middle = np.full(size, np.uint8(OUTSIDE), np.uint8), np.empty(size, np.uint8)
    around = np.zeros(size, np.uint8)
    for y in range(height):
        for x in range(width):
            value, count = int(amount[y, x]), np.float32(max(number[y, x], 1))
            sharp = min(max(2 * value - int(nearby[y, x]), 0), 255)
            middle[y + RIM_PX, x + RIM_PX] = value
            mean = np.float32(total[y, x]) / count + np.float32(0.5)
            around[y + RIM_PX, x + RIM_PX] = np.uint8(mean)
            level[y + RIM_PX, x + RIM_PX] = ranks[sharp] * stained[y, x]
        middle[y + RIM_PX, :RIM_PX] = amount[y, 0]
        middle[y + RIM_PX, width + RIM_PX :] = amount[y, width - 1]
    middle[:RIM_PX] = middle[RIM_PX]
    middle[height + RIM_PX :] = middle[height + RIM_PX - 1]
    return level, middle, around
