"""Small holes of a mask, found by runs and union-find instead of by labelling every pixel."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from raysched.imaging.kernels.compiled import compiled

I32 = npt.NDArray[np.int32]
U8 = npt.NDArray[np.uint8]


@compiled("i4(i4[::1], i4)")
def _root(parent: I32, run: int) -> int:
    """The first run of the component, with path halving (Tarjan & van Leeuwen 1984)."""
    while parent[run] != run:
        parent[run] = parent[parent[run]]
        run = parent[run]
    return run


@compiled("i4[:,::1](u1[:,::1])")
def _background_runs(mask: U8) -> I32:
    """Runs of 0 as (y, x0, x1), in the order of reading."""
    height, width = mask.shape
    number = 0
    for y in range(height):
        before = 1
        for x in range(width):
            value = mask[y, x]
            number += (value == 0) & (before != 0)
            before = value
    runs = np.empty((number, 3), np.int32)
    at = 0
    for y in range(height):
        x = 0
        while x < width:
            while x < width and mask[y, x]:
                x += 1
            if x == width:
                break
            runs[at, 0], runs[at, 1] = y, x
            while x < width and not mask[y, x]:
                x += 1
            runs[at, 2] = x
            at += 1
    return runs


@compiled("void(u1[:,::1], i8, i8)")
def fill_holes(mask: U8, most_px: int, most_side_px: int) -> None:
    """Set in place every 4-connected hole of at most so many pixels, no wider than the side.

    The bound on the side keeps the reach finite. What touches the image's edge is no hole.
    """
    height, width = mask.shape
    runs = _background_runs(mask)
    count = len(runs)
    parent = np.arange(count).astype(np.int32)
    above = 0
    for i in range(count):
        y, x0, x1 = runs[i, 0], runs[i, 1], runs[i, 2]
        while above < i and (
            runs[above, 0] < y - 1 or (runs[above, 0] == y - 1 and runs[above, 2] <= x0)
        ):
            above += 1
        other = above
        while other < i and runs[other, 0] == y - 1 and runs[other, 1] < x1:
            a, b = _root(parent, other), _root(parent, i)
            parent[max(a, b)] = min(a, b)
            other += 1
    # Per component: area, left, right, bottom; its top is the row of its first run.
    facts = np.zeros((count, 4), np.int64)
    for i in range(count):
        root = _root(parent, i)
        y, x0, x1 = runs[i, 0], runs[i, 1], runs[i, 2]
        if root == i:
            facts[i, 1] = x0
        facts[root, 0] += x1 - x0
        facts[root, 1] = min(facts[root, 1], x0)
        facts[root, 2] = max(facts[root, 2], x1)
        facts[root, 3] = y + 1
    for i in range(count):
        root = parent[i] if parent[parent[i]] == parent[i] else _root(parent, i)
        top, left, right, bottom = runs[root, 0], facts[root, 1], facts[root, 2], facts[root, 3]
        small = facts[root, 0] <= most_px and max(right - left, bottom - top) <= most_side_px
        if small and left > 0 and top > 0 and right < width and bottom < height:
            mask[runs[i, 0], runs[i, 1] : runs[i, 2]] = 1
