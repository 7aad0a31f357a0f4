"""Label images as horizontal runs, and sums over them: work per run instead of per pixel."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from raysched.imaging.kernels.compiled import compiled

F32 = npt.NDArray[np.float32]
F64 = npt.NDArray[np.float64]
I32 = npt.NDArray[np.int32]
I64 = npt.NDArray[np.int64]
U32 = npt.NDArray[np.uint32]


@compiled("i8[::1](i4[:,::1])")
def _places(labels: I32) -> I64:
    """Where the runs of each label 0..n begin among all, and their number: (n + 2,)."""
    height, width = labels.shape
    highest = 0
    for y in range(height):
        for x in range(width):
            highest = max(highest, labels[y, x])
    place = np.zeros(highest + 2, np.int64)
    for y in range(height):
        before = 0
        for x in range(width):
            value = labels[y, x]
            if value != before:
                place[value + 1] += 1
                before = value
    place[1] = 0  # background is no run
    return np.cumsum(place)


@compiled("Tuple((i4[:,::1], i4[::1]))(i4[:,::1])")
def runs_of(labels: I32) -> tuple[I32, I32]:
    """All runs of equal label: (r, 3) as (y, x0, x1) half-open and (r,) labels, by label, y, x.

    The first pass counts the runs of each label, the second writes each to its place (a counting
    sort, which keeps the order of reading among the runs of a label).
    """
    height, width = labels.shape
    place = _places(labels)
    total = place[-1]
    runs, owner = np.empty((total, 3), np.int32), np.empty(total, np.int32)
    for y in range(height):
        before, at = 0, 0
        for x in range(width):
            value = labels[y, x]
            if value == before:
                continue
            if before:
                runs[at, 2] = x
            if value:
                at = place[value]
                place[value] += 1
                runs[at, 0], runs[at, 1], owner[at] = y, x, value
            before = value
        if before:
            runs[at, 2] = width
    return runs, owner


@compiled("f8[::1](f4[:,::1], i4[:,::1], i4[::1], i8)")
def sums(image: F32, runs: I32, owner: I32, count: int) -> F64:
    """Sum of an image over the runs of each label 1..count: (count,)."""
    total = np.zeros(count + 1)
    for i in range(len(runs)):
        y, value = runs[i, 0], 0.0
        for x in range(runs[i, 1], runs[i, 2]):
            value += image[y, x]
        total[owner[i]] += value
    return total[1:]


@compiled("f4[::1](f4[:,::1], i4[:,::1], i4[:,::1], i4[::1], i8)")
def means_around(image: F32, labels: I32, runs: I32, runs_at: I32, reach: int) -> F32:
    """Mean of an image over the background within ``reach`` px of each cell; 0 if there is none.

    Cell i has ``runs[runs_at[i]:runs_at[i + 1]]``. Its runs, widened by ``reach`` on all sides,
    are painted into a scratch image of its bounding box: no pass over the whole image per cell.
    """
    height, width = image.shape
    found = np.zeros(len(runs_at) - 1, np.float32)
    scratch = np.zeros(0, np.uint8)
    for i in range(len(found)):
        first, last = runs_at[i], runs_at[i + 1]
        if first == last:
            continue
        left, right = width, 0
        for r in range(first, last):
            left, right = min(left, runs[r, 1]), max(right, runs[r, 2])
        left, right = max(0, left - reach), min(width, right + reach)
        top = max(0, runs[first, 0] - reach)
        bottom = min(height, runs[last - 1, 0] + 1 + reach)
        wide, high = right - left, bottom - top
        if wide * high > len(scratch):
            scratch = np.empty(wide * high, np.uint8)
        scratch[: wide * high] = 0
        for r in range(first, last):
            begin, end = max(left, runs[r, 1] - reach) - left, min(right, runs[r, 2] + reach) - left
            y0, y1 = max(top, runs[r, 0] - reach), min(bottom, runs[r, 0] + 1 + reach)
            for y in range(y0, y1):
                scratch[(y - top) * wide + begin : (y - top) * wide + end] = 1
        total, number = 0.0, 0
        for y in range(high):
            for x in range(wide):
                if scratch[y * wide + x] and labels[top + y, left + x] == 0:
                    total += image[top + y, left + x]
                    number += 1
        if number:
            found[i] = total / number
    return found


@compiled(
    "void(u4[:,:], i8, i8, u4[::1], Array(i4, 2, 'C', readonly=True),"
    "Array(i4, 1, 'C', readonly=True))"
)
def paint(block: U32, left: int, top: int, ids: U32, runs: I32, runs_at: I32) -> None:
    """Write cells into the block whose corner lies at (left, top); where they meet the first wins.

    Cell i has ``runs[runs_at[i]:runs_at[i + 1]]``.
    """
    height, width = block.shape
    for i in range(len(ids) - 1, -1, -1):
        for r in range(runs_at[i], runs_at[i + 1]):
            y = runs[r, 0] - top
            if 0 <= y < height:
                for x in range(max(0, runs[r, 1] - left), min(width, runs[r, 2] - left)):
                    block[y, x] = ids[i]
