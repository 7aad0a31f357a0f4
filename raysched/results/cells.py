"""Writing ``cells/part-*.parquet``: GeoParquet parts of fixed size, whatever size cells come in."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from raysched.results.schema import CELLS, COVERING, geo_metadata
from raysched.results.storage import Disk

GROUP_CELLS = 16_384
PART_GROUPS = 16
"""A part holds 262,144 cells: about 100 MB."""


class CellParts:
    """Takes published tables in id order; row groups and parts do not depend on their sizes."""

    def __init__(self, folder: Path, disk: Disk) -> None:
        self._folder = folder
        self._disk = disk
        self._waiting = CELLS.empty_table()
        self._groups: list[Any] = []
        self._parts = 0

    def add(self, cells: Any) -> None:
        """Take a table of ``CELLS``."""
        self._waiting = pa.concat_tables([self._waiting, cells])
        while self._waiting.num_rows >= GROUP_CELLS:
            self._group(self._waiting.slice(0, GROUP_CELLS))
            self._waiting = self._waiting.slice(GROUP_CELLS)

    def close(self) -> None:
        """Write what is left. Without any cell one empty part is written."""
        if self._waiting.num_rows:
            self._group(self._waiting)
        if self._groups or not self._parts:
            self._part()

    def _group(self, cells: Any) -> None:
        self._groups.append(cells.combine_chunks())
        if len(self._groups) == PART_GROUPS:
            self._part()

    def _part(self) -> None:
        path = self._folder / f"part-{self._parts:05d}.parquet"
        schema = CELLS.with_metadata(geo_metadata(_bounds(self._groups)))
        with (
            self._disk.fresh(path) as file,
            pq.ParquetWriter(file, schema, compression="zstd", version="2.6") as writer,
        ):
            for group in self._groups or [CELLS.empty_table()]:
                writer.write_table(group.cast(schema), row_group_size=GROUP_CELLS)
        self._groups = []
        self._parts += 1


def _bounds(groups: list[Any]) -> tuple[float, float, float, float] | None:
    if not groups:
        return None

    def side(name: str, best: Any) -> float:
        columns = (group.column(COVERING).combine_chunks().field(name) for group in groups)
        return float(best([best(column.to_numpy()) for column in columns]))

    return side("xmin", np.min), side("ymin", np.min), side("xmax", np.max), side("ymax", np.max)
