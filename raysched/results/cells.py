"""Writing ``cells/part-*.parquet``: GeoParquet parts of fixed size, whatever size cells come in."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pyarrow as pa
import pyarrow.parquet as pq

from raysched.results.schema import CELLS
from raysched.results.storage import Disk

GROUP_CELLS = 16_384
PART_GROUPS = 16
"""A part holds 262,144 cells: about 100 MB."""


class CellParts:
    """Takes published tables in id order; row groups and parts do not depend on their sizes.

    A context manager; when the block ends well, what is left is written. Without any cell one
    empty part is written. At most one row group is in memory.
    """

    def __init__(self, folder: Path, disk: Disk) -> None:
        self._folder = folder
        self._disk = disk
        self._waiting = CELLS.empty_table()
        self._parts = 0
        self._open = ExitStack()
        self._writer: Any = None
        self._groups = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is None:
            if self._waiting.num_rows or not self._parts:
                self._group(self._waiting)
            self._end_part()
        self._open.__exit__(kind, error, trace)

    def add(self, cells: Any) -> None:
        """Take a table of ``CELLS``."""
        self._waiting = pa.concat_tables([self._waiting, cells])
        while self._waiting.num_rows >= GROUP_CELLS:
            self._group(self._waiting.slice(0, GROUP_CELLS))
            self._waiting = self._waiting.slice(GROUP_CELLS)

    def _group(self, cells: Any) -> None:
        if self._writer is None:
            path = self._folder / f"part-{self._parts:05d}.parquet"
            file = self._open.enter_context(self._disk.fresh(path))
            self._writer = self._open.enter_context(
                pq.ParquetWriter(file, CELLS, compression="zstd", version="2.6")
            )
            self._parts += 1
            self._groups = 0
        self._writer.write_table(cells.combine_chunks(), row_group_size=GROUP_CELLS)
        self._groups += 1
        if self._groups == PART_GROUPS:
            self._end_part()

    def _end_part(self) -> None:
        self._open.close()
        self._writer = None
