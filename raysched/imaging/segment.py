"""One tile, from pixels to the cells that it reports.

Here a seam is decided: a cell belongs to the tile whose owned rectangle holds its reference point,
the centroid of its mask. Cells within ``plan.seam_px`` of a seam are reported by both sides and
reconciled later (``raysched.results.seams``).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel
from scipy import ndimage

from raysched.errors import EngineFailed
from raysched.imaging.cells import CellBatch
from raysched.imaging.engine import Engine, Labels, Rgb, engine_params
from raysched.imaging.geometry import Rect, Tile
from raysched.imaging.measure import (
    Moments,
    hull_area,
    means,
    moments,
    ring_area,
    ring_length,
)
from raysched.imaging.outline import mask_runs, outlines
from raysched.imaging.plan import SlidePlan
from raysched.imaging.tissue import TissueMask

I32 = npt.NDArray[np.int32]
F64 = npt.NDArray[np.float64]
Bool = npt.NDArray[np.bool_]


def segment_tile(
    rgb: Rgb, plan: SlidePlan, tissue: TissueMask, tile: Tile, engine: Engine
) -> CellBatch:
    """The cells that a tile reports, measured. Pure: the same arguments give the same arrays.

    ``rgb``: the pixels of ``tile.read``, (h, w, 3) uint8. Raises ``EngineFailed``.
    """
    params = engine_params(plan.engine, plan.params)
    labels = run_engine(engine, rgb, plan.grid.mpp, plan.context, params)
    runs, owner = mask_runs(labels)
    count = int(labels.max(initial=0))
    shape = moments(runs, owner, count)
    chosen = _reported(shape, labels, plan, tissue, tile)
    renumber = np.zeros(count + 1, np.int32)
    renumber[chosen + 1] = np.arange(1, len(chosen) + 1)
    labels = renumber[labels]
    runs, owner = mask_runs(labels)
    haematoxylin, eosin = engine.optical_density(rgb, plan.context)
    return _batch(tile, plan, labels, (runs, owner), (haematoxylin, eosin))


def run_engine(
    engine: Engine, rgb: Rgb, mpp: float, context: dict[str, Any], params: BaseModel
) -> Labels:
    """Ask the engine and check its answer; whatever it raises becomes ``EngineFailed``."""
    try:
        labels = engine.segment(rgb, mpp, context, params)
    except Exception as error:
        raise EngineFailed(
            f"Engine {engine.name!r} failed on a tile: {error!r}.",
            remedy="Try other parameters or another engine; -v shows where it failed.",
            engine=engine.name,
        ) from error
    fits = isinstance(labels, np.ndarray) and labels.shape == rgb.shape[:2]
    if not fits or labels.dtype != np.int32 or labels.min(initial=0) < 0:
        raise EngineFailed(
            f"Engine {engine.name!r} answered with something else than int32 labels of the tile.",
            remedy="Report this to the engine's author.",
            engine=engine.name,
        )
    return labels


def _reported(
    shape: Moments, labels: Labels, plan: SlidePlan, tissue: TissueMask, tile: Tile
) -> I32:
    """Indices (label - 1) of the cells to report, in the order of a ``CellBatch``."""
    x, y = shape.x + 0.5 + tile.read.x0, shape.y + 0.5 + tile.read.y0
    seen = (shape.area > 0) & _within(x, y, tile.owned.grow(plan.seam_px, plan.grid.extent))
    seen &= tissue.at(x, y)
    seen[_cut_labels(labels, tile.read, plan.grid.extent) - 1] = False
    found = np.flatnonzero(seen)
    return found[np.lexsort((x[found], y[found]))].astype(np.int32)


def _cut_labels(labels: Labels, read: Rect, extent: Rect) -> I32:
    """Labels at an edge of what was read that is no edge of the slide: they are incomplete."""
    sides = [
        labels[:, 0] if read.x0 > extent.x0 else None,
        labels[:, -1] if read.x1 < extent.x1 else None,
        labels[0] if read.y0 > extent.y0 else None,
        labels[-1] if read.y1 < extent.y1 else None,
    ]
    cut = np.unique(np.concatenate([side for side in sides if side is not None] or [labels[:0, 0]]))
    return cut[cut > 0].astype(np.int32)


def _within(x: F64, y: F64, rect: Rect) -> Bool:
    return (x >= rect.x0) & (x < rect.x1) & (y >= rect.y0) & (y < rect.y1)


def _near_seam(x: F64, y: F64, plan: SlidePlan, owned: Rect) -> Bool:
    """Within ``seam_px`` of an edge that another tile shares."""
    extent, near = plan.grid.extent, np.zeros(len(x), np.bool_)
    for point, edge, outer in (
        (x, owned.x0, extent.x0),
        (x, owned.x1, extent.x1),
        (y, owned.y0, extent.y0),
        (y, owned.y1, extent.y1),
    ):
        if edge != outer:
            near |= np.abs(point - edge) <= plan.seam_px
    return near


def _batch(
    tile: Tile,
    plan: SlidePlan,
    labels: Labels,
    masks: tuple[I32, I32],
    stains: tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]],
) -> CellBatch:
    runs, owner = masks
    count = int(labels.max(initial=0))
    ids = np.arange(1, count + 1, dtype=np.int32)
    shape = moments(runs, owner, count)
    rings = outlines(labels, ndimage.find_objects(labels), ids)
    haematoxylin, eosin = (means(image, labels, count) for image in stains)
    x, y = shape.x + 0.5 + tile.read.x0, shape.y + 0.5 + tile.read.y0
    corner = np.array([tile.read.x0, tile.read.y0])
    full = np.array([max(hull_area(ring), 1e-9) for ring in rings])
    solid = np.array([ring_area(ring) for ring in rings]) / full
    return CellBatch(
        tile=tile.index,
        ref_x=x,
        ref_y=y,
        inside=_within(x, y, tile.owned),
        near_seam=_near_seam(x, y, plan, tile.owned),
        area_px=shape.area.astype(np.int32),
        perimeter_px=np.array([ring_length(ring) for ring in rings], np.float32),
        eccentricity=shape.eccentricity,
        solidity=np.minimum(solid, 1.0).astype(np.float32),
        haematoxylin_od=haematoxylin,
        eosin_od=eosin,
        confidence=_confidence(haematoxylin, stains[0], labels, count),
        polygon_xy=np.concatenate([np.zeros((0, 2)), *rings]) + corner,
        polygon_at=np.cumsum([0, *(len(ring) for ring in rings)]).astype(np.int32),
        runs=runs + np.array([tile.read.y0, tile.read.x0, tile.read.x0], np.int32),
        runs_at=np.searchsorted(owner, np.arange(1, count + 2)).astype(np.int32),
    )


def _confidence(
    inside: npt.NDArray[np.float32],
    haematoxylin: npt.NDArray[np.float32],
    labels: Labels,
    count: int,
) -> npt.NDArray[np.float32]:
    """How much darker a cell is than the ring of background around it, squashed to 0..1.

    1 - exp(-difference / 0.1 OD): 0.63 for a nucleus 0.1 OD above its surroundings. The ring is
    the ``RING_PX`` px around, cells left out.
    """
    ring = ndimage.grey_dilation(labels, size=(2 * RING_PX + 1, 2 * RING_PX + 1))
    around = means(haematoxylin, np.where(labels > 0, 0, ring), count)
    above = np.maximum(inside - around, 0.0)
    return np.asarray(1.0 - np.exp(-above / 0.1), np.float32)


RING_PX = 4
