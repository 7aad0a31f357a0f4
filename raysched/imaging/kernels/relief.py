"""From amounts of stain to a mask, and from the mask to the relief that is flooded: pixel by pixel.

Everything is whole numbers but for one comparison, so that no sum depends on where a tile begins.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from raysched.imaging.kernels.compiled import compiled

F32 = npt.NDArray[np.float32]
I32 = npt.NDArray[np.int32]
U8 = npt.NDArray[np.uint8]
U16 = npt.NDArray[np.uint16]


@compiled("u1[:,::1](u1[:,::1], u1[:,::1], i4[:,::1], i4[:,::1], UniTuple(f4, 3))")
def darker(
    amount: U8, clear: U8, total: I32, number: I32, limits: tuple[float, float, float]
) -> U8:
    """Where a stain stands out: 0 or 1.

    ``total`` over ``number`` is its mean around a pixel. ``limits``: the amount must pass the
    first, and that mean times the second plus the third. Where ``clear`` is 0 nothing is wanted.
    """
    height, width = amount.shape
    least, factor, contrast = limits
    mask = np.empty((height, width), np.uint8)
    for y in range(height):
        for x in range(width):
            here = np.float32(amount[y, x])
            around = np.float32(max(number[y, x], 1))
            wanted = here * around > factor * np.float32(total[y, x]) + contrast * around
            mask[y, x] = wanted and here > least and clear[y, x]
    return mask


@compiled("u2[:,::1](f4[:,::1], f4, f4)")
def fixed_point(image: F32, most: float, unit: float) -> U16:
    """An image cut at ``most``, in whole numbers of 1 / ``unit``."""
    height, width = image.shape
    out = np.empty((height, width), np.uint16)
    for y in range(height):
        for x in range(width):
            out[y, x] = np.uint16(min(image[y, x], most) * unit)
    return out


@compiled("u2[:,::1](u2[:,::1], u1[:,::1], i8)")
def add(depth: U16, amount: U8, weight: int) -> U16:
    """``depth + weight * amount``."""
    height, width = depth.shape
    out = np.empty((height, width), np.uint16)
    for y in range(height):
        for x in range(width):
            out[y, x] = depth[y, x] + weight * amount[y, x]
    return out


@compiled("u1[:,::1](u2[:,::1], u2[:,::1], u2[:,::1], u1[:,::1], i8)")
def peaks(relief: U16, highest: U16, depth: U16, mask: U8, least_depth: int) -> U8:
    """Where a relief equals its maximum nearby, deeper in the mask than ``least_depth``: 0 or 1."""
    height, width = mask.shape
    out = np.empty((height, width), np.uint8)
    for y in range(height):
        for x in range(width):
            top = relief[y, x] == highest[y, x] and depth[y, x] > least_depth
            out[y, x] = top and mask[y, x]
    return out
