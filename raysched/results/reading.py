"""Reading cells back: of a published result, or of what an unfinished job has done so far."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from raysched.errors import NotFound, NotReady, StorageFailed
from raysched.results.cells import GROUP_CELLS
from raysched.results.chunks import SCHEMA
from raysched.results.manifest import SlideNote, read_manifest, slide_note
from raysched.results.staging import PLANNED, load_plan, read_receipt
from raysched.results.storage import Disk, storage
from raysched.results.survivors import Survivors, published


@dataclass(frozen=True, slots=True)
class Contents:
    """What a folder holds. ``checksum`` is None and ids are provisional unless ``complete``."""

    job: str
    slide: SlideNote
    complete: bool
    cells: int
    tiles: int
    tiles_done: int
    checksum: str | None


class CellFolder:
    """The cells of a results folder, or of a staging folder of a running or ended job.

    A staging folder is read as it was when it was opened. Raises ``NotReady`` when the folder
    holds neither, ``StorageFailed`` when it cannot be read.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._parts: list[Path] = []
        with storage(folder):
            self.contents = self._open(folder)

    def batches(self, *, settled: bool = False) -> Iterator[Any]:
        """``pyarrow.RecordBatch`` of ``schema.CELLS`` in id order, of a tile or a row group.

        ``settled``: only cells that nothing still to come can change, but for their ids. All are
        once the job is complete.
        """
        if self.contents.complete:
            yield from self._of_parts()
            return
        for tile in self._survivors.tiles:
            try:
                ids, table = self._survivors.read(tile, SCHEMA.names)
            except OSError as error:
                raise StorageFailed(
                    f"The cells in {self._folder} cannot be read any more: "
                    f"{error.strerror or error}.",
                    remedy="If the job has finished, read its results; else check the disk.",
                    path=str(self._folder),
                ) from error
            cells = published(ids, table, self._grid)
            if settled:
                cells = cells.filter(pa.array(self._survivors.settled(tile)))
            yield from cells.to_batches()

    def _of_parts(self) -> Iterator[Any]:
        for path in self._parts:
            try:
                with storage(path), pq.ParquetFile(path) as file:
                    yield from file.iter_batches(GROUP_CELLS, use_threads=False)
            except pa.ArrowInvalid as error:
                raise StorageFailed(
                    f"The cells in {path} are damaged: {error}.",
                    remedy="Run the job again into another folder.",
                    path=str(path),
                ) from error

    def _open(self, folder: Path) -> Contents:
        manifest = read_manifest(folder)
        if manifest is not None:
            self._parts = sorted((folder / "cells").glob("part-*.parquet"))
            tiles = manifest.counts.tissue_tiles
            return Contents(
                job=manifest.job,
                slide=manifest.slide,
                complete=True,
                cells=manifest.counts.cells,
                tiles=tiles,
                tiles_done=tiles,
                checksum=manifest.checksum,
            )
        if not (folder / PLANNED).exists():
            raise NotReady(
                f"There are no cells in {folder} yet.",
                remedy="Wait until the job has finished its first chunk, then try again.",
                path=str(folder),
            )
        receipt = read_receipt(folder)
        if receipt is not None and receipt.kind != "cell_segmentation":
            raise NotFound(
                f"The job at work in {folder} makes a tissue mask and has no cells.",
                remedy="Name a job of the kind cell_segmentation.",
                path=str(folder),
            )
        staged = load_plan(folder)
        store = staged.chunks(Disk())
        receipts = store.receipts(staged.plan)
        self._grid = staged.plan.grid
        self._survivors = Survivors(staged.plan, store, receipts)
        return Contents(
            job=staged.receipt.job,
            slide=slide_note(staged.plan.slide),
            complete=False,
            cells=self._survivors.count,
            tiles=sum(len(chunk) for chunk in staged.plan.chunks),
            tiles_done=sum(receipt.tiles for receipt in receipts.values()),
            checksum=None,
        )
