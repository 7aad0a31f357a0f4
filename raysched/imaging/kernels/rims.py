"""Measures of a region from one walk along its outer rim, holes counted in; and regions as labels.

The walk follows the cracks between pixels inside and outside with the inside on its right. Sums
over the pixels that the rim encloses follow from its upright cracks alone, each standing for the
row of pixels between it and a fixed column (the discrete theorem of Green).

Images have a rim of ``FAR_PX`` around them, where ``level`` is ``OUTSIDE``.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from raysched.imaging.kernels.compiled import compiled

I32 = npt.NDArray[np.int32]
I64 = npt.NDArray[np.int64]
U8 = npt.NDArray[np.uint8]

FULL, X, Y, XX, YY, XY, CRACKS, SEEN, FALL, FAR, LEFT, RIGHT, BOTTOM = range(13)
"""Columns: over the pixels enclosed, with the region's first pixel as the origin, the sums of 1, x,
y, x * x, y * y, x * y; cracks of the rim; those of them that are not at the image's edge, and over
these the fall of the amount from the px inside to the px outside, and the amount further out; the
bounding box, half-open, seen from that origin, where the top is 0."""
MEASURES = 13
FAR_PX = 3
"""From the px inside to where the amount further out is read."""
OUTSIDE = 255


@compiled("void(i8[::1], u1[::1], u1[::1], i8, i8[::1])")
def _walk(found: I64, level: U8, amount: U8, wide: int, begin: I64) -> None:
    """Measure the region whose first pixel and level are ``begin``."""
    least = begin[1]
    # The pixel inside, and its column and row; the way along the rim, and outwards (left of it).
    at, x, y = begin[0], 0, 0
    along, along_x, along_y = 1, 1, 0
    out, out_x, out_y = -wide, 0, -1
    full = sum_x = sum_y = sum_xx = sum_yy = sum_xy = 0
    cracks = seen = fall = far = left = right = bottom = 0
    while True:
        cracks += 1
        if level[at + out] != OUTSIDE:
            seen += 1
            fall += int(amount[at]) - int(amount[at + out])
            far += amount[at + FAR_PX * out]
        if along_x == 0:
            edge = x + (along_y + 1) // 2
            ones = edge * (edge - 1) // 2
            full += along_y * edge
            sum_x += along_y * ones
            sum_y += along_y * edge * y
            sum_xx += along_y * (ones * (2 * edge - 1) // 3)
            sum_yy += along_y * edge * y * y
            sum_xy += along_y * y * ones
            left, right, bottom = min(left, edge), max(right, edge), max(bottom, y + 1)
        if not least <= level[at + along] < OUTSIDE:
            along, out = -out, along
            along_x, along_y, out_x, out_y = -out_x, -out_y, along_x, along_y
        elif least <= level[at + along + out] < OUTSIDE:
            at, x, y = at + along + out, x + along_x + out_x, y + along_y + out_y
            along, out = out, -along
            along_x, along_y, out_x, out_y = out_x, out_y, -along_x, -along_y
        else:
            at, x, y = at + along, x + along_x, y + along_y
        if at == begin[0] and out_y == -1:
            break
    found[FULL], found[X], found[Y], found[XX], found[YY] = full, sum_x, sum_y, sum_xx, sum_yy
    found[XY], found[CRACKS], found[SEEN], found[FALL], found[FAR] = sum_xy, cracks, seen, fall, far
    found[LEFT], found[RIGHT], found[BOTTOM] = left, right, bottom


@compiled("i8[:,::1](i8[:,::1], u1[::1], u1[::1], i8)")
def rims(begin: I64, level: U8, amount: U8, wide: int) -> I64:
    """Measures (n, MEASURES) of the 4-connected regions of at least a level.

    ``begin`` (n, 2): each region's first pixel in the order of reading, and that level. The images
    are flat, ``wide`` px wide.
    """
    found = np.empty((len(begin), MEASURES), np.int64)
    for i in range(len(begin)):
        _walk(found[i], level, amount, wide, begin[i])
    return found


@compiled("void(u1[::1], i8, i4[::1])")
def _soak(box: U8, wide: int, stack: I32) -> None:
    """Set to 2 what is 0 and reached from the first pixel of a flat box over pixels' sides."""
    box[0] = 2
    stack[0], top = 0, 1
    while top:
        top -= 1
        at = int(stack[top])
        for near in (at - wide, at - 1, at + 1, at + wide):
            # The rim of the box is 0: a step over its left or right edge stays on the rim.
            if 0 <= near < len(box) and box[near] == 0:
                box[near] = 2
                stack[top] = near
                top += 1


@compiled("void(i4[:,::1], i8, i8[::1], i8[::1], i4[::1])")
def _fill(labels: I32, label: int, corner: I64, rim: I64, stack: I32) -> None:
    """Give a region's holes its label, where they have none; ``corner``: row, column.

    A gap that is open at a corner of pixels only is a hole: outlines close it, too.
    """
    left, high = corner[1] + rim[LEFT], rim[BOTTOM]
    wide = rim[RIGHT] - rim[LEFT]
    box = np.zeros((high + 2) * (wide + 2), np.uint8)
    for y in range(high):
        for x in range(wide):
            box[(y + 1) * (wide + 2) + x + 1] = labels[corner[0] + y, left + x] == label
    _soak(box, wide + 2, stack)
    for y in range(high):
        for x in range(wide):
            dry = box[(y + 1) * (wide + 2) + x + 1] == 0
            if dry and labels[corner[0] + y, left + x] == 0:
                labels[corner[0] + y, left + x] = label


@compiled("i4[:,::1](i8[:,::1], i8[:,::1], i4[::1], UniTuple(i8, 2))")
def painted(interval: I64, rim: I64, flood: I32, shape: tuple[int, int]) -> I32:
    """Regions as labels 1..n of an image of a ``shape`` without its rim, holes filled.

    Region i is ``flood[interval[i, 0]:interval[i, 1]]``, its first pixel ``interval[i, 2]``.
    """
    height, width = shape
    wide = width + 2 * FAR_PX
    labels = np.zeros((height, width), np.int32)
    for i in range(len(interval)):
        for at in flood[interval[i, 0] : interval[i, 1]]:
            labels[at // wide - FAR_PX, at % wide - FAR_PX] = i + 1
    corner = np.empty(2, np.int64)
    for i in range(len(interval)):
        at = interval[i, 2]
        corner[0], corner[1] = at // wide - FAR_PX, at % wide - FAR_PX
        room = (rim[i, BOTTOM] + 2) * (rim[i, RIGHT] - rim[i, LEFT] + 2)
        _fill(labels, i + 1, corner, rim[i], np.empty(room, np.int32))
    return labels
