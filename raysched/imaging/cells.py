"""Cells of one tile as columns: the form in which they leave an engine's worker."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

F64 = npt.NDArray[np.float64]
F32 = npt.NDArray[np.float32]
I32 = npt.NDArray[np.int32]
Bool = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class CellBatch:
    """The ``n`` cells that one tile reports, ordered by (ref_y, ref_x, first run).

    All coordinates are w_ px of the whole slide (pixel centres at +0.5). A tile reports the cells
    whose reference point (centroid of the mask) lies in its owned rectangle grown by
    ``plan.seam_px``; ``inside`` tells whether it lies in the owned rectangle itself.
    ``polygon_xy`` holds closed exterior rings (first point repeated); ring ``i`` is
    ``polygon_xy[polygon_at[i]:polygon_at[i + 1]]``. ``runs`` holds the exact mask as horizontal
    runs (y, x0, x1), half-open, sorted; cell ``i`` has ``runs[runs_at[i]:runs_at[i + 1]]``.
    """

    tile: int
    ref_x: F64
    ref_y: F64
    inside: Bool
    area_px: I32
    perimeter_px: F32
    eccentricity: F32
    solidity: F32
    haematoxylin_od: F32
    eosin_od: F32
    confidence: F32
    polygon_xy: F64
    polygon_at: I32
    runs: I32
    runs_at: I32

    def __len__(self) -> int:
        """Number of cells."""
        return len(self.ref_x)
