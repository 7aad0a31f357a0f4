"""One of two results: its cells by region, by row group and by id, in bounded memory.

The parts' own statistics say where the cells of a row group lie, so only the groups that a region
meets are read; a few of the last ones are kept.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
import shapely

from raysched.errors import NotReady, StorageFailed
from raysched.results.damage import AGAIN, damaged, whole, without_result
from raysched.results.difference.matching import Polygons
from raysched.results.manifest import Manifest, read_manifest
from raysched.results.runs import U32
from raysched.results.schema import COVERING, GEOMETRY, SIDES
from raysched.results.storage import storage

F64 = npt.NDArray[np.float64]

GROUPS_KEPT = 8
"""Row groups whose outlines stay in memory: 10 MB each."""


@dataclass(frozen=True, slots=True)
class Group:
    """A row group with cells: where it is, its number of cells, their bounds in level-0 px."""

    path: Path
    index: int
    cells: int
    box: tuple[float, float, float, float]


@dataclass(frozen=True, slots=True)
class Outlines:
    """Some cells: (n,) ids, (n, 4) bounds xmin ymin xmax ymax in level-0 px, (n,) outlines (WKB in
    a ``pyarrow.BinaryArray``)."""

    ids: U32
    boxes: F64
    wkb: Any

    def take(self, places: npt.NDArray[Any]) -> Outlines:
        """Some of them."""
        return Outlines(self.ids[places], self.boxes[places], self.wkb.take(pa.array(places)))

    def polygons(self) -> Polygons:
        """The outlines as shapely polygons. Raises ``StorageFailed`` when one is none."""
        try:
            made: Polygons = shapely.from_wkb(self.wkb.to_numpy(zero_copy_only=False))
        except shapely.errors.GEOSException as error:
            raise StorageFailed(
                f"The outline of a cell from {self.ids[0]} to {self.ids[-1]} is damaged: {error}.",
                remedy=AGAIN,
            ) from error
        return made


class Side:
    """A finished result, opened for comparison.

    Raises ``NotReady`` when there is no finished result, ``StorageFailed`` when it is damaged.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        with storage(folder):
            manifest = read_manifest(folder)
            if manifest is None:
                raise _without(folder)
            self.manifest: Manifest = manifest
            self._ranges: dict[str, tuple[float, float]] = {}
            self.groups = self._find_groups()
        found = sum(group.cells for group in self.groups)
        if found != manifest.counts.cells:
            raise damaged(folder, f"there are {found} cells instead of {manifest.counts.cells}")
        self._first_ids = np.cumsum([1, *(group.cells for group in self.groups)])
        self._outlines = lru_cache(GROUPS_KEPT)(self._read_outlines)
        self._columns = lru_cache(GROUPS_KEPT)(self.read)

    def __len__(self) -> int:
        return self.manifest.counts.cells

    def range(self, column: str) -> tuple[float, float]:
        """The least and the largest finite value of a column; zeros where there is none."""
        return self._ranges.get(column, (0.0, 0.0))

    def read(self, place: int, columns: tuple[str, ...]) -> Any:
        """Columns of the row group at a place, as a ``pyarrow.Table`` in id order."""
        group = self.groups[place]
        with storage(group.path), whole(group.path), pq.ParquetFile(group.path) as file:
            table = file.read_row_group(group.index, columns=["id", *columns], use_threads=False)
        first = self._first_ids[place]
        if (table.column("id").to_numpy() != np.arange(first, first + group.cells)).any():
            raise damaged(group.path, "its ids are not in their places")
        return table

    def outlines(self, place: int) -> Outlines:
        """The outlines of the row group at a place."""
        return self._outlines(place)

    def within(self, box: F64) -> Outlines:
        """The cells whose bounds meet a box (4,), in level-0 px, in id order."""
        found = [_nothing()]
        for place, group in enumerate(self.groups):
            if _meets(np.array([group.box]), box)[0]:
                outlines = self.outlines(place)
                found.append(outlines.take(np.flatnonzero(_meets(outlines.boxes, box))))
        return Outlines(
            np.concatenate([each.ids for each in found]),
            np.concatenate([each.boxes for each in found]),
            pa.concat_arrays([each.wkb for each in found]),
        )

    def values(self, ids: U32, columns: Sequence[str]) -> dict[str, F64]:
        """Columns of some cells, in the order of ``ids``: (n,) each."""
        values = {name: np.empty(len(ids)) for name in columns}
        places = np.searchsorted(self._first_ids, ids, "right") - 1
        for place in np.unique(places):
            table = self._columns(int(place), tuple(columns))
            here = np.flatnonzero(places == place)
            rows = ids[here].astype(np.int64) - self._first_ids[place]
            for name in columns:
                values[name][here] = table.column(name).to_numpy()[rows]
        return values

    def forget(self) -> None:
        """Keep no row group in memory: what comes next reads others."""
        self._outlines.cache_clear()
        self._columns.cache_clear()

    def _read_outlines(self, place: int) -> Outlines:
        table = self.read(place, (GEOMETRY, COVERING)).combine_chunks()
        corners = table.column(COVERING).combine_chunks()
        boxes = np.stack([corners.field(side).to_numpy() for side in SIDES], axis=1)
        wkb = pa.concat_arrays(table.column(GEOMETRY).chunks)
        return Outlines(table.column("id").to_numpy(), boxes, wkb)

    def _find_groups(self) -> list[Group]:
        groups = []
        for path in sorted((self.folder / "cells").glob("part-*.parquet")):
            with storage(path), whole(path), pq.ParquetFile(path) as file:
                for index in range(file.metadata.num_row_groups):
                    told = file.metadata.row_group(index)
                    if told.num_rows:
                        ends = self._note(told)
                        box = _bounds(path, ends)
                        groups.append(Group(path, index, told.num_rows, box))
        return groups

    def _note(self, told: Any) -> dict[str, tuple[float, float]]:
        """Least and largest value of each column of a row group, by its statistics."""
        ends = {}
        for column in map(told.column, range(told.num_columns)):
            known = column.statistics
            if known and known.has_min_max and isinstance(known.min, int | float):
                name = column.path_in_schema
                ends[name] = (float(known.min), float(known.max))
                low, high = self._ranges.get(name, ends[name])
                if all(map(math.isfinite, ends[name])):
                    self._ranges[name] = (min(low, ends[name][0]), max(high, ends[name][1]))
        return ends


def _bounds(path: Path, ends: dict[str, tuple[float, float]]) -> tuple[float, float, float, float]:
    try:
        xmin, ymin, xmax, ymax = (ends[f"{COVERING}.{side}"] for side in SIDES)
    except KeyError as error:
        raise damaged(path, "it does not say where its cells lie") from error
    return xmin[0], ymin[0], xmax[1], ymax[1]


def _meets(boxes: F64, box: F64) -> npt.NDArray[np.bool_]:
    """Which boxes (n, 4) share a point with a box (4,)."""
    low, high = boxes[:, :2], boxes[:, 2:]
    return np.asarray(((low <= box[2:]) & (high >= box[:2])).all(axis=1), np.bool_)


def _nothing() -> Outlines:
    return Outlines(np.zeros(0, np.uint32), np.zeros((0, 4)), pa.array([], pa.binary()))


def _without(folder: Path) -> NotReady | StorageFailed:
    return without_result(
        folder,
        f"There is nothing to compare in {folder} yet: it holds no finished result.",
        "Wait until the job has succeeded (`raysched watch JOB`), then compare again.",
    )
