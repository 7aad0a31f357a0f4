"""The cells of a published result: a block is a chunk of labels.zarr, a cell a row of Parquet."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import accumulate, islice
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import zarr

from raysched.errors import StorageFailed
from raysched.results.damage import damaged, whole
from raysched.results.labels import PIPELINE
from raysched.results.manifest import Manifest
from raysched.results.runs import U32
from raysched.results.storage import storage
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

BATCH = 65_536
FEW = 512
LABELS = "labels.zarr"
READ_BYTES = 64 * 1024


class FinishedCells:
    """A ``CellSource``. Holds open arrays and places of rows, nothing that grows with the cells."""

    complete = True

    def __init__(self, folder: Path, manifest: Manifest, caches: Caches) -> None:
        grid = manifest.grid
        self.frame = Frame(grid.width, grid.height, grid.l0_per_w, grid.mpp)
        self.version = manifest.checksum
        self.cells = manifest.counts.cells
        self._folder = folder
        self._key = (str(folder), manifest.checksum)
        self._caches = caches
        self._lock = threading.Lock()
        with _labels(folder), zarr.config.set(PIPELINE):
            group = zarr.open_group(folder / LABELS, mode="r")
            self._levels: list[Any] = [
                group[str(level)] for level in range(len(self.frame.sizes()))
            ]
        self._groups: list[tuple[int, Path, int]] = []

    def reach(self, version: str) -> None:
        """As ``CellSource``: nothing can be newer."""

    def block(self, level: int, row: int, column: int) -> U32 | None:
        """As ``CellSource``."""
        key = (*self._key, level, row, column)
        return self._caches.blocks.get(key, lambda: self._read(level, row, column))

    def values(self, measure: str, ids: U32) -> F16:
        """As ``CellSource``."""
        known = self._all(measure)
        if ids.size and int(ids.max()) >= len(known):
            raise damaged(self._folder / LABELS, f"it has a cell {int(ids.max())}")
        return known[ids]

    def ranges(self) -> tuple[Range, ...]:
        """As ``CellSource``."""
        return self._caches.ranges.get(
            self._key, lambda: ranges_of(lambda name: self._all(name)[1:])
        )

    def density(self) -> Density:
        """As ``CellSource``."""
        return self._caches.densities.get(self._key, alone("columns", self._density))

    def row(self, cell: int) -> Any:
        """As ``CellSource``. Reads one row group as far as the cell, a few rows at a time."""
        if not 1 <= cell <= self.cells:
            return None
        places = self._places()
        if not places:
            raise damaged(self._folder / "cells", "there are no rows")
        number = int(np.searchsorted([first for first, _, _ in places], cell, "right")) - 1
        first, path, group = places[number]

        few, place = divmod(cell - first, FEW)

        def read() -> Any:
            with _opened(path) as file:
                batches = file.iter_batches(FEW, row_groups=[group], use_threads=False)
                return pa.Table.from_batches(list(islice(batches, few, few + 1)), file.schema_arrow)

        table = self._caches.rows.get((*self._key, path.name, group, few), alone("rows", read))
        found = table.slice(place, 1)
        if not found.num_rows or found.column("id")[0].as_py() != cell:
            raise StorageFailed(
                f"Cell {cell} is not in its place in {path}.",
                remedy="Run the job again into another folder.",
                path=str(path),
            )
        return found

    def _read(self, level: int, row: int, column: int) -> U32 | None:
        y, x = row * BLOCK_PX, column * BLOCK_PX
        with _labels(self._folder):
            block = np.asarray(self._levels[level][y : y + BLOCK_PX, x : x + BLOCK_PX], np.uint32)
        if block.any():
            return block
        if not (self._folder / LABELS).is_dir():  # zarr takes a missing file for zeros
            raise moved()
        return None

    def _all(self, measure: str) -> F16:
        """A measure of all cells, by id; there is no cell 0."""
        load = alone("columns", lambda: self._load(measure))
        return self._caches.values.get((*self._key, measure), load)

    def _load(self, measure: str) -> F16:
        made = np.full(self.cells + 1, np.nan, np.float16)
        at = 1
        for batch in self._batches([measure]):
            if at + batch.num_rows > len(made):
                raise damaged(self._folder / "cells", f"there are more than {self.cells} rows")
            made[at : at + batch.num_rows] = narrowed(batch.column(0).to_numpy())
            at += batch.num_rows
        return made

    def _density(self) -> Density:
        counts = Counts(self.frame.width, self.frame.height)
        for batch in self._batches(["centroid_x_px", "centroid_y_px"]):
            x, y = (batch.column(each).to_numpy() / self.frame.l0_per_px for each in (0, 1))
            counts.add(x, y)
        return Density.of(counts, self.frame.mpp)

    def _parts(self) -> list[Path]:
        return sorted((self._folder / "cells").glob("part-*.parquet"))

    def _batches(self, columns: list[str]) -> Iterator[Any]:
        for path in self._parts():
            with _opened(path) as file:
                yield from file.iter_batches(BATCH, columns=columns, use_threads=False)

    def _places(self) -> list[tuple[int, Path, int]]:
        """Of each row group: the id of its first cell, its file, its number there."""
        with self._lock:
            if not self._groups:
                groups, sizes = [], []
                for path in self._parts():
                    with _opened(path) as file:
                        about = file.metadata
                    for group in range(about.num_row_groups):
                        groups.append((path, group))
                        sizes.append(about.row_group(group).num_rows)
                firsts = [1, *(1 + each for each in accumulate(sizes))]
                self._groups = [
                    (first, *group) for first, group in zip(firsts, groups, strict=False)
                ]
            return self._groups


@contextmanager
def _labels(folder: Path) -> Iterator[None]:
    """Turn what zarr says of damaged labels into one line. Raises ``Moved``, ``StorageFailed``."""
    try:
        yield
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        if not (folder / LABELS).is_dir():
            raise moved() from None
        raise damaged(folder / LABELS, str(error)) from error


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    """A Parquet file, read bit by bit. Raises ``Moved``, ``StorageFailed``."""
    try:
        with storage(path), whole(path), pq.ParquetFile(path, buffer_size=READ_BYTES) as file:
            yield file
    except StorageFailed:
        if path.exists():
            raise
        raise moved() from None
