"""Exact masks as horizontal runs, and outlines as polygons, of labelled cells."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import shapely
from skimage.measure import find_contours

I32 = npt.NDArray[np.int32]
F64 = npt.NDArray[np.float64]

SIMPLIFY_PX = 0.25


def mask_runs(labels: I32) -> tuple[I32, I32]:
    """All runs of equal label of an image (h, w): (r, 3) as (y, x0, x1) half-open, and (r,) labels.

    Sorted by label, then by y, then by x.
    """
    height, width = labels.shape
    padded = np.zeros((height, width + 2), labels.dtype)
    padded[:, 1:-1] = labels
    change = padded[:, 1:] != padded[:, :-1]
    y, x = np.nonzero(change)
    value = padded[y, x + 1]
    begins = np.flatnonzero(value)
    # Where a run begins, the next change in reading order is where it ends.
    runs = np.stack([y[begins], x[begins], x[begins + 1]], axis=1).astype(np.int32)
    owner = value[begins].astype(np.int32)
    order = np.argsort(owner, kind="stable")
    return runs[order], owner[order]


def outlines(labels: I32, boxes: list[tuple[slice, slice]], ids: I32) -> list[F64]:
    """A closed ring (m, 2) of (x, y) around each cell, in the frame of ``labels``.

    ``boxes[i]`` is the bounding box of label ``ids[i]``. Pixel (i, j) covers i..i+1, j..j+1; the
    ring crosses half way between a pixel inside and one outside (marching squares, Lorensen &
    Cline 1987), so its area is that of the mask less half a pixel, and is then thinned by at most
    ``SIMPLIFY_PX`` (Douglas & Peucker 1973) without touching itself.
    """
    if not boxes:
        return []
    rings = [_ring(labels[box] == label, box) for box, label in zip(boxes, ids, strict=True)]
    polygons = shapely.polygons([shapely.linearrings(ring) for ring in rings])
    thin = shapely.simplify(polygons, SIMPLIFY_PX, preserve_topology=True)
    return [np.asarray(shapely.get_coordinates(polygon), np.float64) for polygon in thin]


def _ring(mask: npt.NDArray[np.bool_], box: tuple[slice, slice]) -> F64:
    """The outermost contour of a mask: the longest one, since holes and specks are shorter."""
    found = find_contours(np.pad(mask, 1).astype(np.float32), 0.5, fully_connected="high")
    ring = max(found, key=len)[:, ::-1]
    # Contours name pixel centres by whole numbers and the padding moved them by one.
    return np.asarray(ring + np.array([box[1].start - 0.5, box[0].start - 0.5]), np.float64)
