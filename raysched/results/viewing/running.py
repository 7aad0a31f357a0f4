"""The cells of a job that has not ended, or has ended early: painted from its finished chunks.

A cell is drawn by the tile that owns its centroid, so what two tiles report is there once. Where a
seam will be decided otherwise in the end (a centroid that two tiles see on different sides), a cell
may be missing or be there twice until then. A new chunk costs what it takes to read it.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from raysched.results.chunks import SCHEMA, Mark, flat
from raysched.results.outcomes import Receipt
from raysched.results.runs import I32, U32, spans
from raysched.results.schema import MEASURES
from raysched.results.staging import load_plan
from raysched.results.storage import Disk
from raysched.results.survivors import MEASURED, measures_of, published
from raysched.results.viewing.density import Counts, Density
from raysched.results.viewing.sources import (
    BLOCK_PX,
    F16,
    Caches,
    Frame,
    Range,
    alone,
    moved,
    narrowed,
    ranges_of,
)

LOOK_EVERY_S = 0.5
MOST_EARLY = 4
RANGE_TILES = 16
"""So many tiles, evenly spread over those that are done, say between which values colours lie."""

Mask = tuple[I32, U32]
"""Runs of a tile's cells, and the id of the cell that each is of."""


class RunningCells:
    """A ``CellSource`` over a staging folder. Ids are made of tile and place, so they stay the same
    while the job goes on. Raises ``StorageFailed`` where there is no whole plan."""

    complete = False

    def __init__(self, folder: Path, caches: Caches) -> None:
        staged = load_plan(folder)
        self._plan = staged.plan
        grid = self._plan.grid
        self.frame = Frame(grid.width, grid.height, grid.l0_per_w, grid.mpp)
        self._fingerprint = staged.receipt.fingerprint
        self._folder = folder
        self._store = staged.chunks(Disk())
        self._caches = caches
        self._key = (str(folder), self._fingerprint)
        self._place_bits = 32 - (self._plan.columns * self._plan.rows).bit_length()
        self._lock = threading.Lock()
        self._receipts: dict[int, Receipt] = {}
        self._marks: dict[int, Mark] = {}
        self._tiles: dict[int, tuple[Receipt, int]] = {}
        self._looked_at = -LOOK_EVERY_S
        self._early = 0
        self._counts = Counts(grid.width, grid.height)
        self._counted: set[int] = set()  # tiles
        self._to_count: set[int] = set()  # chunks that have others
        self.look()

    @property
    def version(self) -> str:
        """As ``CellSource``: the plan, and how many of its tiles have cells so far."""
        return self._version(len(self._tiles))

    @property
    def cells(self) -> int:
        """As ``CellSource``."""
        return sum(receipt.cells for receipt in tuple(self._receipts.values()))

    def look(self) -> None:
        """Take in chunks that have been finished since, at most every ``LOOK_EVERY_S``."""
        with self._lock:
            if time.monotonic() - self._looked_at >= LOOK_EVERY_S:
                self._early = 0
                self._take_in()

    def reach(self, version: str) -> None:
        """As ``CellSource``, by at most ``MOST_EARLY`` looks before the next one is due: anybody
        may tell of what there is not."""
        tiles = version.rpartition("-")[2]
        if not (tiles.isdecimal() and version == self._version(int(tiles))):
            return
        with self._lock:
            if len(self._tiles) < int(tiles) and self._early < MOST_EARLY:
                self._early += 1
                self._take_in()

    def block(self, level: int, row: int, column: int) -> U32 | None:
        """As ``CellSource``."""
        tiles = tuple(self._tiles_under(level, row, column))
        if not tiles:
            return None
        key = (*self._key, level, row, column, tiles)
        return self._caches.blocks.get(key, lambda: self._paint(level, row, column, tiles))

    def values(self, measure: str, ids: U32) -> F16:
        """As ``CellSource``."""
        tiles = (ids - np.uint32(1)) >> np.uint32(self._place_bits)
        places = (ids - np.uint32(1)) & np.uint32((1 << self._place_bits) - 1)
        found = np.full(len(ids), np.nan, np.float16)
        for tile in np.unique(tiles):
            its = tiles == tile
            values = self._values(int(tile))[MEASURES.index(measure)]
            known = places[its].clip(0, max(len(values) - 1, 0))
            if len(values):
                found[its] = values[known]
        return found

    def ranges(self) -> tuple[Range, ...]:
        """As ``CellSource``, of some tiles."""
        done = sorted(self._tiles)
        chosen = tuple(done[:: -(-len(done) // RANGE_TILES) or 1])

        def make() -> tuple[Range, ...]:
            values = [self._values(tile) for tile in chosen]
            joined = np.concatenate(values, axis=1) if values else np.zeros((len(MEASURES), 0))
            return ranges_of(lambda name: joined[MEASURES.index(name)])

        return self._caches.ranges.get((*self._key, chosen), make)

    def density(self) -> Density:
        """As ``CellSource``. Only chunks that are new or were done again are read."""
        with self._lock:
            for chunk in sorted(self._to_count):
                self._count(chunk)
            key = (*self._key, len(self._counted))
            return self._caches.densities.get(key, lambda: Density.of(self._counts, self.frame.mpp))

    def row(self, cell: int) -> Any:
        """As ``CellSource``."""
        tile, place = divmod(cell - 1, 1 << self._place_bits)
        if cell < 1 or tile not in self._tiles:
            return None
        table = self._table(tile, SCHEMA.names)
        if place >= table.num_rows or not table.column("inside")[place].as_py():
            return None
        return published(np.array([cell], np.uint32), table.slice(place, 1), self._plan.grid)

    # --- reading ----------------------------------------------------------------------------------

    def _version(self, tiles: int) -> str:
        return f"{self._fingerprint[:8]}-{tiles}"

    def _take_in(self) -> None:
        for chunk, mark in self._store.marks().items():
            if self._marks.get(chunk) == mark or chunk >= len(self._plan.chunks):
                continue
            receipt = self._store.receipt(chunk, in_full=False)
            if receipt is None:
                continue
            if mark.is_whole == (not receipt.tiles_failed):  # else it is another one's
                self._marks[chunk] = mark
            if receipt == self._receipts.get(chunk):
                continue
            # A tile has the same cells whenever it is read: what is kept of it stays true.
            for position, tile in enumerate(self._plan.chunks[chunk]):
                if receipt.tile_cells[position]:
                    self._tiles[tile] = (receipt, position)
            self._receipts[chunk] = receipt
            self._to_count.add(chunk)
        self._looked_at = time.monotonic()

    def _table(self, tile: int, columns: list[str] | tuple[str, ...]) -> Any:
        """Staged columns of all that a finished tile has reported. Raises ``Moved``."""
        receipt, position = self._tiles[tile]
        try:
            return self._store.read(receipt, position, columns)
        except FileNotFoundError:
            raise moved() from None

    def _count(self, chunk: int) -> None:
        receipt, columns = self._receipts[chunk], ["inside", "ref_x", "ref_y"]
        tiles = self._plan.chunks[chunk]
        seen = [tile for tile, cells in zip(tiles, receipt.tile_cells, strict=True) if cells]
        try:
            for tile, table in zip(seen, self._store.tables(receipt, columns), strict=True):
                if tile not in self._counted:
                    inside, x, y = (table.column(name).to_numpy() for name in columns)
                    self._counts.add(x[inside], y[inside])
                    self._counted.add(tile)
        except FileNotFoundError:
            raise moved() from None
        self._to_count.discard(chunk)

    def _values(self, tile: int) -> F16:
        """All measures of all cells that a tile reported: (measures, n)."""
        if tile not in self._tiles:
            return np.zeros((len(MEASURES), 0), np.float16)

        def load() -> F16:
            measured = measures_of(self._table(tile, MEASURED), self._plan.grid)
            return np.stack([narrowed(measured[name]) for name in MEASURES])

        return self._caches.values.get((*self._key, tile), alone("masks", load))

    def _mask(self, tile: int) -> Mask:
        """The cells that a tile owns: ids and runs."""

        def load() -> Mask:
            table = self._table(tile, ["place", "inside", "runs"])
            owned = table.column("inside").to_numpy() & (
                table.column("place").to_numpy() < 1 << self._place_bits
            )
            table = table.filter(pa.array(owned))
            runs, at = flat(table.column("runs"), 3, np.int32)
            place = table.column("place").to_numpy().astype(np.int64)
            ids = ((tile << self._place_bits | place) + 1).astype(np.uint32)
            return runs.copy(), np.repeat(ids, np.diff(at))

        mask: Mask = self._caches.masks.get((*self._key, tile), alone("masks", load))
        return mask

    # --- painting ---------------------------------------------------------------------------------

    def _tiles_under(self, level: int, row: int, column: int) -> Iterator[int]:
        """Finished tiles that may have cells in a block, in increasing order."""
        plan, step = self._plan, 1 << level
        reach, edge = plan.halo_px, BLOCK_PX * step

        def span(at: int, most: int) -> range:
            first = (at * edge - reach) // plan.tile_px
            return range(max(first, 0), min((at * edge + edge + reach) // plan.tile_px + 1, most))

        for y in span(row, plan.rows):
            for x in span(column, plan.columns):
                if y * plan.columns + x in self._tiles:
                    yield y * plan.columns + x

    def _paint(self, level: int, row: int, column: int, tiles: tuple[int, ...]) -> U32 | None:
        height, width = self.frame.sizes()[level]
        y, x = row * BLOCK_PX, column * BLOCK_PX
        block = np.zeros((min(BLOCK_PX, height - y), min(BLOCK_PX, width - x)), np.uint32)
        for tile in reversed(tiles):  # so that a lower id is painted later and wins
            _paint_every(block, (x << level, y << level), 1 << level, self._mask(tile))
        return block if block.any() else None


def _paint_every(block: U32, corner: tuple[int, int], step: int, mask: Mask) -> None:
    """Write cells into a block that shows every ``step``-th pixel both ways, from ``corner`` (x, y)
    among all pixels on; where cells meet the first wins. Without the compiled kernels: they would
    take 80 MB of a process that needs nothing else of them."""
    height, width = block.shape
    runs, ids = mask
    down, across = runs[:, 0] - corner[1], runs[:, 1:] - corner[0]
    seen = (down >= 0) & (down < height * step) & (down % step == 0)
    seen &= (across[:, 1] > 0) & (across[:, 0] < width * step)
    down, ids = down[seen] // step, ids[seen]
    ends = -(-across[seen] // step)  # the first pixel shown at or after each end
    first, last = ends[:, 0].clip(0, width), ends[:, 1].clip(0, width)
    lengths = np.maximum(last - first, 0)
    rows, values = np.repeat(down, lengths), np.repeat(ids, lengths)
    block[rows[::-1], spans(first, lengths)[::-1]] = values[::-1]
