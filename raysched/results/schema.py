"""The published columns: names, types, units, and the metadata that makes them GeoParquet 1.1.

``checksum`` of a result is defined here too: it covers the published columns and the masks, in id
order, and nothing else, so it does not see chunks, parts, times or paths.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

import numpy as np
import pyarrow as pa

GEOMETRY = "geometry"
COVERING = "bbox"
SIDES = ("xmin", "ymin", "xmax", "ymax")


def _field(name: str, kind: Any, unit: str, meaning: str) -> Any:
    return pa.field(name, kind, nullable=False, metadata={"unit": unit, "description": meaning})


_CORNERS = pa.struct([pa.field(side, pa.float64()) for side in SIDES])
FIELDS = (
    _field("id", pa.uint32(), "1", "dense 1..N; the value of the cell in labels.zarr"),
    _field(GEOMETRY, pa.binary(), "level-0 px", "outline, WKB Polygon"),
    _field("centroid_x_px", pa.float64(), "level-0 px", "mean x of the mask"),
    _field("centroid_y_px", pa.float64(), "level-0 px", "mean y of the mask, downwards"),
    _field("area_um2", pa.float64(), "um2", "pixels of the mask times the pixel's area"),
    _field("perimeter_um", pa.float64(), "um", "length of the mask's outline"),
    _field("circularity", pa.float64(), "1", "4 pi area / perimeter^2, at most 1"),
    _field("eccentricity", pa.float32(), "1", "of the ellipse of equal second moments"),
    _field("solidity", pa.float32(), "1", "area / area of the convex hull"),
    _field("haematoxylin_od_mean", pa.float32(), "OD", "mean haematoxylin over the mask"),
    _field("eosin_od_mean", pa.float32(), "OD", "mean eosin over the mask"),
    _field("confidence", pa.float32(), "1", "the engine's own, 0..1"),
    _field("tile", pa.int32(), "index", "tile that reported the cell, row by row"),
    _field(COVERING, _CORNERS, "level-0 px", "bounds of the outline, for reading by region"),
)
_GEO = {
    "version": "1.1.0",
    "primary_column": GEOMETRY,
    "columns": {
        GEOMETRY: {
            "encoding": "WKB",
            "geometry_types": ["Polygon"],
            "crs": None,
            "edges": "planar",
            "covering": {COVERING: {side: [COVERING, side] for side in SIDES}},
        }
    },
}
CELLS = pa.schema(FIELDS, metadata={"geo": json.dumps(_GEO)})
MEASURES = tuple(CELLS.names[4:12])
"""What was measured on each cell."""


def unit_of(name: str) -> str:
    """The unit of a published column: "um2"; "1" where it has none."""
    return str(CELLS.field(name).metadata[b"unit"].decode())


def description_of(name: str) -> str:
    """What a published column holds, in a sentence."""
    return str(CELLS.field(name).metadata[b"description"].decode())


class Digest:
    """The checksum of a result, fed in id order in pieces of any size."""

    def __init__(self) -> None:
        names = [name for name in CELLS.names if name != COVERING]
        self._columns = {name: hashlib.sha256() for name in [*names, "mask", "mask_runs"]}

    def add(self, cells: Any, runs: Any, runs_at: Any) -> None:
        """Take some cells: a table of ``CELLS`` and their masks as (k, 3) runs."""
        self._columns["mask"].update(runs.astype("<i4").tobytes())
        self._columns["mask_runs"].update(np.diff(runs_at).astype("<i4").tobytes())
        for name in self._columns.keys() & set(CELLS.names):
            column = cells.column(name).combine_chunks()
            # A WKB value holds its own length, so the values alone are unambiguous.
            values = _bytes_of(column) if name == GEOMETRY else column.to_numpy()
            self._columns[name].update(
                values.astype(values.dtype.newbyteorder("<"), copy=False).tobytes()
            )

    def columns(self) -> dict[str, str]:
        """SHA-256 of each column, and of the masks, as hex."""
        return {name: digest.hexdigest() for name, digest in self._columns.items()}

    def checksum(self) -> str:
        """SHA-256 over the columns' names and digests, as hex."""
        lines = (f"{name} {value}\n" for name, value in sorted(self.columns().items()))
        return hashlib.sha256("".join(lines).encode()).hexdigest()


def _bytes_of(column: Any) -> Any:
    """The concatenated values of a binary column: (bytes,) uint8."""
    _, at, body = column.buffers()
    if not len(column):
        return np.zeros(0, np.uint8)
    ends = np.frombuffer(at, np.int32)[column.offset : column.offset + len(column) + 1]
    return np.frombuffer(body, np.uint8)[ends[0] : ends[-1]]
