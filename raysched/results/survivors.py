"""The cells that remain when the seams are reconciled, with their ids, tile by tile.

Ids are dense, 1..N, in the order of (tile index, place in the tile's batch). With the receipts of
only some chunks the same code numbers what is finished so far; such ids change until the end.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from raysched.imaging.plan import SlidePlan, WorkingGrid
from raysched.results.chunks import ChunkStore, flat
from raysched.results.outcomes import Receipt
from raysched.results.runs import I32, I64, U32, boxes
from raysched.results.schema import CELLS, COVERING, GEOMETRY, SIDES
from raysched.results.seams import Rim, all_twins, dropped, places_by_tile, unsettled

RIM_COLUMNS = ("tile", "place", "inside", "rim", "area_px", "runs")


@dataclass(frozen=True, slots=True)
class Place:
    """Where a tile's cells are, and the id of its first surviving one."""

    receipt: Receipt
    position: int
    first_id: int
    drops: I32


class Survivors:
    """All surviving cells of the finished chunks of a plan."""

    def __init__(self, plan: SlidePlan, store: ChunkStore, receipts: Mapping[int, Receipt]) -> None:
        self._plan = plan
        self._store = store
        self._receipts = receipts
        self._reach = 1 + 2 * plan.halo_px // plan.tile_px
        self._to_come = {
            tile
            for chunk, tiles in enumerate(plan.chunks)
            if chunk not in receipts
            for tile in tiles
        }
        exposed = [np.zeros(0, np.int64)]
        pairs = all_twins(self._rims(exposed), plan.columns, self._reach)
        drops = dropped(pairs)
        self._unsettled = places_by_tile(unsettled(pairs, np.concatenate(exposed)))
        nothing = np.zeros(0, np.int32)
        self.tiles: dict[int, Place] = {}
        self.count = 0
        for tile, receipt, position in self._finished():
            drop = drops.get(tile, nothing)
            self.tiles[tile] = Place(receipt, position, self.count + 1, drop)
            self.count += receipt.tile_cells[position] - len(drop)

    def read(self, tile: int, columns: Sequence[str]) -> tuple[U32, Any]:
        """Ids and staged columns of a tile's surviving cells, in id order."""
        where = self.tiles[tile]
        table = self._store.read(where.receipt, where.position, columns)
        if len(where.drops):
            keep = np.delete(np.arange(table.num_rows), where.drops)
            table = table.take(pa.array(keep))
        return np.arange(where.first_id, where.first_id + table.num_rows, dtype=np.uint32), table

    def settled(self, tile: int) -> Any:
        """Which of a tile's surviving cells no tile to come can change: (n,) bool, in id order."""
        where = self.tiles[tile]
        is_settled = np.ones(where.receipt.tile_cells[where.position], np.bool_)
        is_settled[self._unsettled.get(tile, [])] = False
        return np.delete(is_settled, where.drops)

    def _finished(self) -> Iterator[tuple[int, Receipt, int]]:
        """(tile, receipt, position in the chunk) of tiles that have cells, in tile order."""
        for chunk, receipt in self._receipts.items():
            for position, tile in enumerate(self._plan.chunks[chunk]):
                if receipt.tile_cells[position]:
                    yield tile, receipt, position

    def _rims(self, exposed: list[I64]) -> Iterator[Rim]:
        """The rim of each finished tile; adds what a tile to come may see to ``exposed``."""
        for _, receipt, position in self._finished():
            table = self._store.read(receipt, position, RIM_COLUMNS)
            table = table.filter(table.column("rim"))
            runs, runs_at = flat(table.column("runs"), 3, np.int32)
            tile, place, inside, area = (
                table.column(name).to_numpy() for name in ("tile", "place", "inside", "area_px")
            )
            rim = Rim(tile, place, inside, area, runs, runs_at)
            if self._to_come and len(tile):
                exposed.append(rim.keys[self._is_exposed(rim)])
            yield rim

    def _is_exposed(self, rim: Rim) -> Any:
        """Which cells of a tile reach into what a tile to come will read."""
        box = boxes(rim.runs, rim.runs_at)
        found = np.zeros(len(box), np.bool_)
        for tile in self._around(int(rim.tile[0])):
            read = self._plan.tile(tile).read
            across = (box[:, 0] < read.x1) & (box[:, 2] > read.x0)
            found |= across & (box[:, 1] < read.y1) & (box[:, 3] > read.y0)
        return found

    def _around(self, tile: int) -> Iterator[int]:
        """Tiles to come that may see cells of a tile."""
        row, column = divmod(tile, self._plan.columns)
        for y in range(row - self._reach, row + self._reach + 1):
            for x in range(column - self._reach, column + self._reach + 1):
                if 0 <= x < self._plan.columns and y * self._plan.columns + x in self._to_come:
                    yield y * self._plan.columns + x


def published(ids: U32, table: Any, grid: WorkingGrid) -> Any:
    """Staged cells as a table of the published ``CELLS``: level-0 px and micrometres."""
    points, at = flat(table.column("polygon_xy"), 2, np.float64)
    points = points * grid.l0_per_w
    measured = measures_of(table, grid)
    columns = {
        "id": ids,
        GEOMETRY: _wkb(points, at),
        "centroid_x_px": table.column("ref_x").to_numpy() * grid.l0_per_w,
        "centroid_y_px": table.column("ref_y").to_numpy() * grid.l0_per_w,
        **measured,
        "tile": table.column("tile"),
        COVERING: _covering(points, at),
    }
    return pa.table(columns, schema=CELLS)


MEASURED = (
    *("area_px", "perimeter_px", "eccentricity", "solidity", "haematoxylin_od", "eosin_od"),
    "confidence",
)
"""The staged columns that ``measures_of`` reads."""


def measures_of(table: Any, grid: WorkingGrid) -> dict[str, Any]:
    """What was measured on staged cells, by published name and in published units."""
    area = table.column("area_px").to_numpy() * grid.mpp**2
    perimeter = table.column("perimeter_px").to_numpy().astype(np.float64) * grid.mpp
    round_ = 4 * np.pi * area / np.maximum(perimeter, 1e-9) ** 2
    return {
        "area_um2": area,
        "perimeter_um": perimeter,
        "circularity": np.minimum(round_, 1.0),
        "eccentricity": table.column("eccentricity"),
        "solidity": table.column("solidity"),
        "haematoxylin_od_mean": table.column("haematoxylin_od"),
        "eosin_od_mean": table.column("eosin_od"),
        "confidence": table.column("confidence"),
    }


def _wkb(points: Any, at: I32) -> Any:
    from raysched.imaging.kernels import wkb

    values = np.ascontiguousarray(points, "<f8").view(np.uint8).reshape(-1, wkb.POINT_BYTES)
    ends = wkb.HEAD_BYTES * np.arange(len(at), dtype=np.int32) + wkb.POINT_BYTES * at
    buffers = [None, pa.py_buffer(ends), pa.py_buffer(wkb.polygons(values, at))]
    return pa.Array.from_buffers(pa.binary(), len(at) - 1, buffers)


def _covering(points: Any, at: I32) -> Any:
    first = at[:-1]
    if not len(first):
        return pa.array([], CELLS.field(COVERING).type)
    corners = [np.minimum.reduceat(points, first), np.maximum.reduceat(points, first)]
    sides = [
        pa.array(np.ascontiguousarray(corner[:, axis])) for corner in corners for axis in (0, 1)
    ]
    return pa.StructArray.from_arrays(sides, names=list(SIDES))
