"""Watershed: touching nuclei apart, by flooding a relief from its peaks downwards.

The flood takes pixels from a queue ordered by height and, at equal height, by time of arrival
(Meyer 1991, as in scikit-image), here with one list per height, since heights are small whole
numbers: constant time per pixel. The order within one connected mask depends on that mask alone,
hence a nucleus is the same on every tile that holds it with its surroundings.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from raysched.imaging.kernels.compiled import compiled

I32 = npt.NDArray[np.int32]
I64 = npt.NDArray[np.int64]
U8 = npt.NDArray[np.uint8]
U16 = npt.NDArray[np.uint16]


@compiled("i4(u1[:,::1], u1[:,::1], i4[::1], i4[::1])")
def _seed(mask: U8, peaks: U8, labels: I32, stack: I32) -> int:
    """Label the 8-connected groups of ``peaks`` in the order of reading; returns their number.

    ``labels`` is flat, with a rim of one px, and becomes -1 outside ``mask``, 0 where not seeded.
    """
    height, width = mask.shape
    wide = width + 2
    labels[:] = -1
    for y in range(height):
        at = (y + 1) * wide + 1
        for x in range(width):
            if mask[y, x]:
                # -2 marks a peak that has no number yet.
                labels[at + x] = -2 if peaks[y, x] else 0
    count = 0
    for start in range(wide, (height + 1) * wide):
        if labels[start] != -2:
            continue
        count += 1
        labels[start] = count
        stack[0], top = start, 1
        while top:
            top -= 1
            at = int(stack[top])
            for row in (at - wide, at + 0, at + wide):
                for near in range(row - 1, row + 2):
                    if labels[near] == -2:
                        labels[near] = count
                        stack[top] = near
                        top += 1
    return count


@compiled("void(i8, i8, i4[::1], i4[::1], i4[::1])")
def _append(at: int, level: int, later: I32, first: I32, last: I32) -> None:
    """Put a pixel at the end of the list of its level."""
    later[at] = -1
    if first[level] < 0:
        first[level] = at
    else:
        later[last[level]] = at
    last[level] = at


@compiled("void(i8[::1], i8, i8)")
def _add(total: I64, x: int, y: int) -> None:
    total[0] += 1
    total[1] += x
    total[2] += y
    total[3] += x * x
    total[4] += y * y
    total[5] += x * y


@compiled("Tuple((i4[:,::1], i8[:,::1]))(u2[:,::1], u1[:,::1], u1[:,::1])")
def flood(relief: U16, mask: U8, peaks: U8) -> tuple[I32, I64]:
    """Labels of the mask's watershed, and the sums over each label that its shape follows from.

    ``peaks`` are the seeds, inside ``mask``. Returns (h, w) labels and (n, 6) sums of 1, x, y,
    x * x, y * y, x * y over the pixels of labels 1..n. Pixels that no seed reaches stay 0.
    """
    height, width = mask.shape
    wide = width + 2
    labels = np.empty((height + 2) * wide, np.int32)
    later = np.empty((height + 2) * wide, np.int32)
    count = _seed(mask, peaks, labels, later)
    totals = np.zeros((count, 6), np.int64)
    levels = int(relief.max()) + 1 if relief.size else 1
    first, last = np.full(levels, -1, np.int32), np.full(levels, -1, np.int32)
    steps = np.array([-wide, -1, 1, wide])
    for at in range(wide, (height + 1) * wide):
        if labels[at] > 0:
            _append(at, relief[at // wide - 1, at % wide - 1], later, first, last)
    top = levels - 1
    while top >= 0:
        if first[top] < 0:
            top -= 1
            continue
        at = int(first[top])
        first[top] = later[at]
        y, x = at // wide - 1, at % wide - 1
        _add(totals[labels[at] - 1], x, y)
        for side in range(4):
            near = at + steps[side]
            if labels[near] == 0:
                labels[near] = labels[at]
                level = int(relief[near // wide - 1, near % wide - 1])
                top = max(top, level)  # beyond a saddle it goes up again, and that goes first
                _append(near, level, later, first, last)
    out = np.zeros((height, width), np.int32)
    for y in range(height):
        at = (y + 1) * wide + 1
        for x in range(width):
            out[y, x] = max(labels[at + x], 0)
    return out, totals


@compiled("void(i4[:,::1], i4[::1])")
def renumber(labels: I32, new: I32) -> None:
    """Replace each label by ``new[label]``, in place."""
    height, width = labels.shape
    for y in range(height):
        for x in range(width):
            labels[y, x] = new[labels[y, x]]
