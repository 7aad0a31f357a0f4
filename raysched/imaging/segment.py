"""One tile, from pixels to the cells that it reports.

Here a seam is decided: a cell belongs to the tile whose owned rectangle holds its reference point,
the centroid of its mask. Cells within ``plan.seam_px`` of a seam are reported by both sides and
reconciled later (``raysched.results.seams``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from raysched.imaging.asking import ask_densities, run_engine_on
from raysched.imaging.cells import CellBatch
from raysched.imaging.engine import Engine, Labels, Rgb, engine_params
from raysched.imaging.geometry import Rect, Tile
from raysched.imaging.measure import (
    Moments,
    hull_areas,
    means,
    moments,
    ring_areas,
    ring_lengths,
)
from raysched.imaging.outline import mask_runs, outlines
from raysched.imaging.plan import SlidePlan
from raysched.imaging.tissue import TissueMask

I32 = npt.NDArray[np.int32]
F32 = npt.NDArray[np.float32]
F64 = npt.NDArray[np.float64]
Bool = npt.NDArray[np.bool_]


def segment_tile(
    rgb: Rgb, plan: SlidePlan, tissue: TissueMask, tile: Tile, engine: Engine
) -> CellBatch:
    """The cells that a tile reports, measured. Pure: the same arguments give the same arrays.

    ``rgb``: the pixels of ``tile.read``, (h, w, 3) uint8. Raises ``EngineFailed``.
    """
    (labels,) = find_labels([rgb], plan, engine)
    return measure_tile(rgb, labels, plan, tissue, tile, engine)


def find_labels(rgbs: Sequence[Rgb], plan: SlidePlan, engine: Engine) -> list[Labels]:
    """What the engine finds on the pixels of each tile: (h, w) int32. Raises ``EngineFailed``."""
    params = engine_params(plan.engine, plan.params)
    return run_engine_on(engine, rgbs, plan.grid.mpp, plan.context, params)


def measure_tile(
    rgb: Rgb, labels: Labels, plan: SlidePlan, tissue: TissueMask, tile: Tile, engine: Engine
) -> CellBatch:
    """The cells that a tile with these labels reports, measured. Raises ``EngineFailed``."""
    runs, owner = mask_runs(labels)
    shape = moments(_in_slide(runs, tile), owner, int(owner.max(initial=0)))
    chosen = _reported(shape, labels, plan, tissue, tile)
    masks = _masks_of(chosen, runs, owner)
    ring_px = max(1, round(plan.measure.ring_um / plan.grid.mpp))
    return _batch(tile, labels, masks, ask_densities(engine, rgb, plan.context), ring_px)


def _in_slide(runs: I32, tile: Tile) -> I32:
    """Runs of what was read, in the frame of the slide: there a centroid is the same number
    whichever tile finds the cell."""
    return runs + np.array([tile.read.y0, tile.read.x0, tile.read.x0], np.int32)


def _reported(
    shape: Moments, labels: Labels, plan: SlidePlan, tissue: TissueMask, tile: Tile
) -> I32:
    """Indices (label - 1) of the cells to report, in the order of a ``CellBatch``."""
    x, y = shape.x + 0.5, shape.y + 0.5
    seen = (shape.area > 0) & _within(x, y, tile.owned.grow(plan.seam_px, plan.grid.extent))
    seen &= tissue.at(x, y)
    seen[_cut_labels(labels, tile.read, plan.grid.extent) - 1] = False
    found = np.flatnonzero(seen)
    return found[np.lexsort((x[found], y[found]))].astype(np.int32)


@dataclass(frozen=True, slots=True)
class _Masks:
    """Runs of the cells to report, in their order; cell i has ``runs[at[i]:at[i + 1]]``."""

    runs: I32
    owner: I32  # 1..n
    at: I32


def _masks_of(chosen: I32, runs: I32, owner: I32) -> _Masks:
    """The runs of the chosen labels (index + 1), numbered anew in that order."""
    first = np.searchsorted(owner, chosen + 1)
    size = np.searchsorted(owner, chosen + 1, side="right") - first
    at = np.concatenate([[0], np.cumsum(size)])
    number = np.repeat(np.arange(len(chosen)), size)
    take = np.arange(at[-1]) - at[number] + first[number]
    return _Masks(runs[take], (number + 1).astype(np.int32), at.astype(np.int32))


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


def _batch(
    tile: Tile,
    labels: Labels,
    masks: _Masks,
    stains: tuple[F32, F32],
    ring_px: int,
) -> CellBatch:
    in_slide = _in_slide(masks.runs, tile)
    shape = moments(in_slide, masks.owner, len(masks.at) - 1)
    ring_xy, ring_at = outlines(labels, masks.runs, masks.at)
    haematoxylin, eosin = (means(image, masks.runs, masks.owner, shape.area) for image in stains)
    x, y = shape.x + 0.5, shape.y + 0.5
    solid = ring_areas(ring_xy, ring_at) / np.maximum(hull_areas(ring_xy, ring_at), 1e-9)
    return CellBatch(
        tile=tile.index,
        ref_x=x,
        ref_y=y,
        inside=_within(x, y, tile.owned),
        area_px=shape.area.astype(np.int32),
        perimeter_px=ring_lengths(ring_xy, ring_at).astype(np.float32),
        eccentricity=shape.eccentricity,
        solidity=np.minimum(solid, 1.0).astype(np.float32),
        haematoxylin_od=haematoxylin,
        eosin_od=eosin,
        confidence=_confidence(haematoxylin, stains[0], labels, masks, ring_px),
        polygon_xy=ring_xy + np.array([tile.read.x0, tile.read.y0]),
        polygon_at=ring_at,
        runs=in_slide,
        runs_at=masks.at,
    )


def _confidence(inside: F32, haematoxylin: F32, labels: Labels, masks: _Masks, ring_px: int) -> F32:
    """How much darker a cell is than the ring of background around it, squashed to 0..1.

    1 - exp(-difference / 0.1 OD): 0.63 for a nucleus 0.1 OD above its surroundings. The ring is
    the ``ring_px`` px around, all cells left out.
    """
    from raysched.imaging.kernels import runs

    around = runs.means_around(haematoxylin, labels, masks.runs, masks.at, ring_px)
    above = np.maximum(inside - around, 0.0)
    return np.asarray(1.0 - np.exp(-above / 0.1), np.float32)
