"""Outlines: the boundary of each labelled cell, walked once.

The walk follows the cracks between pixels inside and outside with the inside on its right, and
turns so that diagonal neighbours stay joined (8-connected). The ring joins the middles of the
cracks, which is what marching squares (Lorensen & Cline 1987) gives for a mask at level 1/2.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from raysched.imaging.kernels.compiled import compiled

F64 = npt.NDArray[np.float64]
I32 = npt.NDArray[np.int32]

# Per way (right, down, left, up): the step, and from the corner that it leads to, the pixel ahead
# on the outer and the one on the inner side, all as (x, y).
STEP = np.array([(1, 0), (0, 1), (-1, 0), (0, -1)])
OUTER = np.array([(0, -1), (0, 0), (-1, 0), (-1, -1)])
INNER = np.array([(0, 0), (-1, 0), (-1, -1), (0, -1)])


@compiled("b1(i4[:,::1], i8, i8, i4)")
def _has(labels: I32, y: int, x: int, label: int) -> bool:
    inside = 0 <= y < labels.shape[0] and 0 <= x < labels.shape[1]
    return bool(inside and labels[y, x] == label)


@compiled("UniTuple(i8, 2)(i4[:,::1], i8, i8, f8[:,::1])")
def _walk(labels: I32, y: int, x: int, ring: F64) -> tuple[int, int]:
    """The ring from the upper crack of pixel (y, x), clockwise on the screen, and closed.

    Returns its number of points and the pixels that it encloses, holes included. What ``ring`` has
    no room for is counted only.
    """
    label = labels[y, x]
    corner_x, corner_y, way = x, y, 0
    points, enclosed = 0, 0
    while True:
        dx, dy = STEP[way, 0], STEP[way, 1]
        if points < len(ring):
            ring[points, 0], ring[points, 1] = corner_x + dx / 2, corner_y + dy / 2
        points += 1
        enclosed += corner_x * dy
        corner_x, corner_y = corner_x + dx, corner_y + dy
        if _has(labels, corner_y + OUTER[way, 1], corner_x + OUTER[way, 0], label):
            way = (way + 3) % 4
        elif not _has(labels, corner_y + INNER[way, 1], corner_x + INNER[way, 0], label):
            way = (way + 1) % 4
        if corner_x == x and corner_y == y and way == 0:
            break
    if points < len(ring):
        ring[points] = ring[0]
    return points + 1, enclosed


@compiled("UniTuple(i4[::1], 2)(i4[:,::1], i4[:,::1], i4[::1])")
def _starts(labels: I32, runs: I32, runs_at: I32) -> tuple[I32, I32]:
    """Per cell, the run whose first pixel begins its longest ring, and that ring's points."""
    count = len(runs_at) - 1
    start, points = np.zeros(count, np.int32), np.zeros(count, np.int32)
    nowhere = np.empty((0, 2), np.float64)
    for i in range(count):
        first, last = runs_at[i], runs_at[i + 1]
        area = 0
        for r in range(first, last):
            area += runs[r, 2] - runs[r, 1]
        for r in range(first, last):
            y, x = runs[r, 0], runs[r, 1]
            if r > first and _has(labels, y - 1, x, labels[y, x]):
                continue
            length, enclosed = _walk(labels, y, x, nowhere)
            if length > points[i]:
                start[i], points[i] = r, length
            if enclosed >= area:
                break  # the cell is in one piece
    return start, points


@compiled("Tuple((f8[:,::1], i4[::1]))(i4[:,::1], i4[:,::1], i4[::1])")
def rings(labels: I32, runs: I32, runs_at: I32) -> tuple[F64, I32]:
    """The longest closed ring of each cell: (m, 2) points (x, y), and where each begins.

    Cell i has ``runs[runs_at[i]:runs_at[i + 1]]``, which hold one label. Pixel (y, x) covers
    x..x+1, y..y+1.
    """
    start, points = _starts(labels, runs, runs_at)
    at = np.zeros(len(points) + 1, np.int32)
    at[1:] = np.cumsum(points)
    out = np.empty((at[-1], 2), np.float64)
    for i in range(len(points)):
        if points[i]:
            _walk(labels, runs[start[i], 0], runs[start[i], 1], out[at[i] : at[i + 1]])
    return out, at


@compiled("f8(f8[:,::1], i8, i8, i8)")
def _turn(xy: F64, a: int, b: int, c: int) -> float:
    """Twice the signed area of the triangle of three points."""
    bx, by = xy[b, 0] - xy[a, 0], xy[b, 1] - xy[a, 1]
    cx, cy = xy[c, 0] - xy[a, 0], xy[c, 1] - xy[a, 1]
    return float(bx * cy - cx * by)


@compiled("f8[::1](f8[:,::1], i4[::1])")
def hull_areas(ring_xy: F64, ring_at: I32) -> F64:
    """Areas of the convex hulls of rings, by Andrew's monotone chain (1979).

    Ring i is ``ring_xy[ring_at[i]:ring_at[i + 1]]``. The area adds up from triangles on the hull's
    first point.
    """
    found = np.zeros(len(ring_at) - 1)
    for i in range(len(found)):
        first, count = ring_at[i], ring_at[i + 1] - ring_at[i]
        order = np.arange(first, ring_at[i + 1])
        for j in range(1, count):  # insertion sort by x, then y: rings are short
            at, k = order[j], j
            while k > 0 and (
                ring_xy[order[k - 1], 0] > ring_xy[at, 0]
                or (
                    ring_xy[order[k - 1], 0] == ring_xy[at, 0]
                    and ring_xy[order[k - 1], 1] > ring_xy[at, 1]
                )
            ):
                order[k] = order[k - 1]
                k -= 1
            order[k] = at
        hull, size = np.empty(2 * count + 1, np.int64), 0
        for half in range(2):
            base = size + 1
            for j in range(count):
                at = order[j] if half == 0 else order[count - 1 - j]
                while size > base and _turn(ring_xy, hull[size - 2], hull[size - 1], at) <= 0:
                    size -= 1
                hull[size] = at
                size += 1
            size -= 1
        for j in range(1, size - 1):
            found[i] += _turn(ring_xy, hull[0], hull[j], hull[j + 1]) / 2
    return found
