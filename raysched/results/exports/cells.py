"""The cells as every format takes them: read ahead, checked on the way, with their provenance.

What is checked of each batch: ids run 1..N without a gap; every outline is one closed ring of
finite numbers and a valid polygon (where outlines are written). At the end: there are as many
cells as were promised, and, of a finished job, every column has the checksum of the manifest. An
export that fails a check ends with an error and leaves no file.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from raysched import __version__
from raysched.errors import InternalError, StorageFailed
from raysched.results.cells import GROUP_CELLS
from raysched.results.damage import AGAIN
from raysched.results.exports.ahead import ahead
from raysched.results.exports.formats import KINDS, Format, Frame
from raysched.results.exports.rings import rings, valid_rings
from raysched.results.manifest import context_sha256, grid_note, read_manifest, versions
from raysched.results.reading import CellFolder, Contents
from raysched.results.schema import CELLS, GEOMETRY, Digest
from raysched.results.staging import load_plan

BATCH_CELLS = 2048
"""Most cells that are worked on at once: what they need then stays in the processor's caches."""
NO_RUNS, NO_RUNS_AT = np.zeros((0, 3), np.int32), np.zeros(1, np.int32)


class Cells:
    """The cells of a folder for one export; ``same``: the very cells of another export, though
    the job may have gone on since. Raises like ``CellFolder``."""

    def __init__(
        self,
        folder: Path,
        format: Format,  # noqa: A002
        same: Cells | None = None,
    ) -> None:
        self.folder = folder
        self.format = format
        self.kind = KINDS[format]
        self._source: CellFolder = CellFolder(folder) if same is None else same._source
        self.contents: Contents = self._source.contents
        self._manifest: dict[str, Any] = self._known() if same is None else same._manifest

    def __len__(self) -> int:
        return self.contents.cells

    @property
    def origin(self) -> tuple[int, int]:
        """The point of level 0 that is (0, 0) in this format."""
        slide = self.contents.slide
        shown = self.kind.frame is Frame.SHOWN
        return (slide.bounds_x, slide.bounds_y) if shown else (0, 0)

    @property
    def grid(self) -> Any:
        """The working grid as the manifest has it: ``l0_per_w``, ``mpp``, ``width``, ..."""
        return self._manifest["grid"]

    def provenance(self) -> dict[str, Any]:
        """What made the cells and what this export holds of them, for JSON.

        ``manifest`` is the results' ``manifest.json``; of an unfinished job, what is known of it.
        """
        contents = self.contents
        return {
            "raysched": __version__,
            "format": self.format.value,
            "frame": self.kind.frame.value,
            "origin_px": list(self.origin),
            "job": contents.job,
            "slide": contents.slide.name,
            "slide_sha256": contents.slide.sha256,
            "um_per_px": contents.slide.mpp,
            "complete": contents.complete,
            "cells": contents.cells,
            "tiles": [contents.tiles_done, contents.tiles],
            "checksum": contents.checksum,
            "manifest": self._manifest,
        }

    def file_note(self, path: str) -> Any:
        """What the manifest of a finished job says of one of its files or Zarr folders."""
        return next(note for note in self._manifest["files"] if note["path"] == path)

    def batches(self) -> Iterator[Any]:
        """Checked ``pyarrow.RecordBatch`` of ``schema.CELLS`` in id order.

        Reading and checking run in two threads ahead of the caller. Memory: four batches. Raises
        ``StorageFailed`` when the cells are damaged, ``InternalError`` when they are wrong.
        """
        batches = self._counted()
        if self.kind.outlines:
            batches = map(_with_valid_outlines, ahead(batches))
        return ahead(batches)

    def blocks(self) -> Iterator[Any]:
        """The same as ``pyarrow.Table`` of ``GROUP_CELLS`` rows, the last one of what is left."""
        waiting = CELLS.empty_table()
        for batch in self.batches():
            waiting = pa.concat_tables([waiting, pa.Table.from_batches([batch], schema=CELLS)])
            while waiting.num_rows >= GROUP_CELLS:
                yield waiting.slice(0, GROUP_CELLS).combine_chunks()
                waiting = waiting.slice(GROUP_CELLS)
        if waiting.num_rows:
            yield waiting.combine_chunks()

    def _counted(self) -> Iterator[Any]:
        seen, digest = 0, Digest()
        for batch in self._read():
            ids = batch.column("id").to_numpy()
            wrong = ids != np.arange(seen + 1, seen + 1 + len(ids))
            if wrong.any():
                raise self._damaged(f"id {seen + 1 + int(np.argmax(wrong))} is not in its place")
            seen += len(ids)
            if self.contents.complete:
                digest.add(pa.Table.from_batches([batch]), NO_RUNS, NO_RUNS_AT)
            yield batch
        if seen != self.contents.cells:
            raise self._damaged(f"there are {seen} cells instead of {self.contents.cells}")
        if self.contents.complete:
            found, want = digest.columns(), self._manifest["column_checksums"]
            if differ := [name for name in CELLS.names if found.get(name) != want.get(name)]:
                raise self._damaged(f"the checksum of {', '.join(differ)} differs")

    def _read(self) -> Iterator[Any]:
        for batch in self._source.batches():
            for first in range(0, batch.num_rows, BATCH_CELLS):
                yield batch.slice(first, BATCH_CELLS).cast(CELLS)

    def _known(self) -> dict[str, Any]:
        manifest = read_manifest(self.folder)
        if manifest is not None:
            return manifest.model_dump(mode="json")
        staged = load_plan(self.folder)
        plan = staged.plan
        return {
            "job": staged.receipt.job,
            "created_at": staged.receipt.created_at.isoformat(),
            "fingerprint": staged.receipt.fingerprint,
            "slide": self.contents.slide.model_dump(mode="json"),
            "engine": plan.engine,
            "engine_version": plan.engine_version,
            "params": dict(plan.params),
            "tissue": plan.tissue.model_dump(mode="json"),
            "measure": plan.measure.model_dump(mode="json"),
            "context_sha256": context_sha256(plan.context),
            "grid": grid_note(plan).model_dump(mode="json"),
            "versions": versions(),
        }

    def _damaged(self, what: str) -> StorageFailed:
        return StorageFailed(
            f"The cells in {self.folder} are not those that were published: {what}.",
            remedy=AGAIN,
            path=str(self.folder),
        )


def _with_valid_outlines(batch: Any) -> Any:
    """The batch as it is. Raises ``InternalError`` when an outline is no valid polygon."""
    points, at = rings(batch.column(GEOMETRY))
    good = np.diff(at) >= 4
    if good.all():
        good = valid_rings(points, at)
    if not good.all():
        cell = batch.column("id")[int(np.argmin(good))].as_py()
        raise InternalError(
            f"The outline of cell {cell} is no valid polygon.",
            remedy="Report this with the manifest; the format csv has all that was measured.",
            cell=cell,
        )
    return batch
