"""The component tree of an image: every connected region above every level, with its measures.

Regions above a level lie inside those above a lower one, so all of them form a tree. It is built
in one flood that climbs to each peak first and then takes pixels in falling order, with one open
region per level on a stack (Nister & Stewenius 2008, Linear time maximally stable extremal
regions). All pixels of a region follow one another in that flood, so a region is an interval.

Images have a rim around them and are flat. A level is 0 where nothing is wanted and ``OUTSIDE`` on
the rim. Measures are sums of whole numbers, the same in any order.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from raysched.imaging.kernels.compiled import compiled

Bool = npt.NDArray[np.bool_]
F64 = npt.NDArray[np.float64]
I32 = npt.NDArray[np.int32]
I64 = npt.NDArray[np.int64]
U8 = npt.NDArray[np.uint8]

OUTSIDE = 255
NOWHERE = 1 << 40
"""After every place."""
GROWTH = 10
"""A region counts if it has a tenth more pixels than the largest that counts inside it."""
AREA, AMOUNT, SQUARES, AROUND, CORNER, LEVEL, FIRST, LAST = range(8)
FACTS = 8
"""Columns of a region: pixels; over these the sums of the amount, its square and the amount around;
the first pixel in the order of reading; the level; and the interval of the flood, half-open."""
KEPT = LAST
"""Of an open region, which has no last pixel yet: the size of the largest one inside it."""


@compiled("void(i8[:,::1], i8, i8, i8)")
def _open(stack: I64, depth: int, level: int, first: int) -> None:
    """Begin an empty region."""
    for column in range(CORNER):
        stack[depth, column] = 0
    stack[depth, CORNER] = NOWHERE
    stack[depth, LEVEL], stack[depth, FIRST], stack[depth, KEPT] = level, first, 0


@compiled("void(i8[:,::1], i8)")
def _merge(stack: I64, depth: int) -> None:
    """Add a region to the one around it, whose interval began before."""
    for column in range(CORNER):
        stack[depth - 1, column] += stack[depth, column]
    stack[depth - 1, CORNER] = min(stack[depth - 1, CORNER], stack[depth, CORNER])
    stack[depth - 1, KEPT] = max(stack[depth - 1, KEPT], stack[depth, KEPT])


@compiled("void(i8[::1], i8[::1], i4[::1], i8, i8)")
def _keep(region: I64, facts: I64, parents: I32, row: int, done: int) -> None:
    """Note a region as a ``row``, the last of ``parents``, whose others lie inside it.

    Those that have no parent yet get this one.
    """
    for column in range(LAST):
        facts[column] = region[column]
    facts[LAST] = done
    own = len(parents) - 1
    parents[own] = -1
    for inner in range(own):
        if parents[inner] < 0:
            parents[inner] = row


@compiled("i8(i8, i8, i8, u1[::1], i4[::1], i4[::1])")
def _climb(at: int, wide: int, here: int, todo: U8, waiting: I32, head: I32) -> int:
    """The first unseen neighbour that is higher; others that are not seen wait. -1: there is none.

    ``todo`` is the level of what was not seen yet, else 0. ``head[level]`` begins a list through
    ``waiting``. A pixel that is left for a higher one waits too.
    """
    for side in range(4):
        near = at + (side - 1 if side & 1 == 0 else (side - 2) * wide)
        level = todo[near]
        if level == 0:
            continue
        todo[near] = 0
        if level > here:
            waiting[at], head[here] = head[here], at
            return near
        waiting[near], head[level] = head[level], near
    return -1


@compiled("Tuple((i8[:,::1], i4[::1], i4[::1]))(u1[::1], u1[::1], u1[::1], i8, UniTuple(i8, 2))")
def regions(
    level: U8, amount: U8, around: U8, wide: int, limits: tuple[int, int]
) -> tuple[I64, I32, I32]:
    """All regions of at least and at most so many pixels that differ enough from those inside.

    ``limits``: least and most pixels. ``wide``: the width of the images with their rim. Returns
    (n, FACTS) measures, children before parents; (n,) the row of the smallest of these regions
    around each, -1 if there is none; and (m,) the flood: the places of all pixels with a level.
    """
    todo = np.where(level == OUTSIDE, 0, level).astype(np.uint8)
    flood = np.empty(np.count_nonzero(todo), np.int32)
    waiting, head = np.empty(len(level), np.int32), np.full(256, -1, np.int32)
    stack, begun = np.empty((257, FACTS), np.int64), np.zeros(257, np.int64)
    # Each region has a pixel that those inside it lack: there are no more than pixels.
    facts = np.empty((len(flood), FACTS), np.int64)
    parent = np.empty(len(flood), np.int32)
    done, count = 0, 0
    for start in range(len(level)):
        if todo[start] == 0:
            continue
        at, here, depth = start, int(todo[start]), 0
        todo[at] = 0
        _open(stack, depth, here, done)
        begun[0] = count
        while here > 0:
            higher = _climb(at, wide, here, todo, waiting, head)
            if higher >= 0:
                at, here = higher, int(level[higher])
                depth += 1
                _open(stack, depth, here, done)
                begun[depth] = count
                continue
            value = int(amount[at])
            stack[depth, AREA] += 1
            stack[depth, AMOUNT] += value
            stack[depth, SQUARES] += value * value
            stack[depth, AROUND] += around[at]
            stack[depth, CORNER] = min(stack[depth, CORNER], at)
            flood[done] = at
            done += 1
            while here > 0 and head[here] < 0:
                here -= 1
            while stack[depth, LEVEL] > here:
                area, kept = stack[depth, AREA], stack[depth, KEPT]
                if limits[0] <= area <= limits[1] and GROWTH * (area - kept) >= kept:
                    stack[depth, KEPT] = area
                    _keep(stack[depth], facts[count], parent[begun[depth] : count + 1], count, done)
                    count += 1
                if depth == 0 or stack[depth - 1, LEVEL] < here:
                    stack[depth, LEVEL] = here
                else:
                    _merge(stack, depth)
                    depth -= 1
            if here > 0:
                at = int(head[here])
                head[here] = waiting[at]
    return facts[:count].copy(), parent[:count].copy(), flood


@compiled("b1[::1](f8[::1], i4[::1])")
def best(score: F64, parent: I32) -> Bool:
    """Of nested regions, those with the greatest sum of scores, none inside another: (n,) bool.

    Children come before parents. A region is taken when its own score is positive and at least
    what the best of those inside add up to (Arteta et al. 2012, Learning to detect cells using
    non-overlapping extremal regions).
    """
    count = len(score)
    inside = np.zeros(count)
    taken = np.zeros(count, np.bool_)
    for i in range(count):
        taken[i] = score[i] > 0 and score[i] >= inside[i]
        if parent[i] >= 0:
            inside[parent[i]] += score[i] if taken[i] else inside[i]
    covered = np.zeros(count, np.bool_)
    for i in range(count - 1, -1, -1):
        covered[i] = parent[i] >= 0 and (covered[parent[i]] or taken[parent[i]])
        taken[i] = taken[i] and not covered[i]
    return taken
