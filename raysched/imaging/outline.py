"""Exact masks as horizontal runs, and outlines as polygons, of labelled cells."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import shapely

I32 = npt.NDArray[np.int32]
F64 = npt.NDArray[np.float64]

SIMPLIFY_PX = 0.25


def mask_runs(labels: I32) -> tuple[I32, I32]:
    """All runs of equal label of an image (h, w): (r, 3) as (y, x0, x1) half-open, and (r,) labels.

    Sorted by label, then by y, then by x.
    """
    from raysched.imaging.kernels import runs

    return runs.runs_of(np.ascontiguousarray(labels))


def outlines(labels: I32, runs: I32, runs_at: I32) -> tuple[F64, I32]:
    """A closed ring of points (x, y) around each cell, in the frame of ``labels``.

    Cell i has ``runs[runs_at[i]:runs_at[i + 1]]``, at least one, all of one label; its ring is
    ``xy[at[i]:at[i + 1]]`` of the two arrays returned. Pixel (y, x) covers x..x+1, y..y+1; the
    ring crosses half way between a pixel inside and one outside (marching squares, Lorensen &
    Cline 1987), so its area is that of the mask, filled, less half a pixel, and is then thinned by
    at most ``SIMPLIFY_PX`` (Douglas & Peucker 1973) without touching itself. A cell in several
    pieces gets the ring of the one with the longest.
    """
    from raysched.imaging.kernels import trace

    xy, at = trace.rings(np.ascontiguousarray(labels), runs, runs_at)
    if not len(xy):
        return xy, at
    full = shapely.linearrings(xy, indices=np.repeat(np.arange(len(at) - 1), np.diff(at)))
    thin = shapely.simplify(full, SIMPLIFY_PX, preserve_topology=False)
    # Thinning that looks after topology takes twenty times as long: only where it is needed.
    bad = (shapely.get_num_coordinates(thin) < 4) | ~shapely.is_simple(thin)
    if bad.any():
        careful = shapely.simplify(shapely.polygons(full[bad]), SIMPLIFY_PX)
        thin[bad] = shapely.get_exterior_ring(careful)
    points = shapely.get_num_coordinates(thin)
    return shapely.get_coordinates(thin), np.concatenate([[0], np.cumsum(points)]).astype(np.int32)
