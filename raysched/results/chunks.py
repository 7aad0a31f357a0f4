"""Finished chunks in the staging folder: one Arrow file each, and the receipt that vouches.

A chunk file has one record batch per tile that has cells, so that whoever reads holds one tile at a
time. It is read two or three times and then removed, so it is in Arrow's own format, which is
quicker to write and to read than Parquet. Its name carries its checksum and its folder the plan's
fingerprint: twins that write the same chunk at the same time cannot spoil each other's file, and a
new plan sees no old chunk.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from pydantic import TypeAdapter, ValidationError

from raysched.errors import StorageFailed
from raysched.imaging.cells import CellBatch
from raysched.imaging.plan import SlidePlan
from raysched.results.arrow import arrow_array, no_rows
from raysched.results.outcomes import Receipt
from raysched.results.runs import boxes
from raysched.results.storage import Disk, unique

SCHEMA = pa.schema(
    [
        ("tile", pa.int32()),
        ("place", pa.int32()),
        ("inside", pa.bool_()),
        ("rim", pa.bool_()),
        ("ref_x", pa.float64()),
        ("ref_y", pa.float64()),
        ("area_px", pa.int32()),
        ("perimeter_px", pa.float32()),
        ("eccentricity", pa.float32()),
        ("solidity", pa.float32()),
        ("haematoxylin_od", pa.float32()),
        ("eosin_od", pa.float32()),
        ("confidence", pa.float32()),
        ("polygon_xy", pa.list_(pa.float64())),
        ("runs", pa.list_(pa.int32())),
    ]
)
PLAIN = SCHEMA.names[4:13]
"""Columns taken from the batch as they are."""


WHOLE, WITH_HOLES = ".json", ".holes.json"
"""How receipts' names end: of chunks without failed tiles, and of the others."""
RECEIPT = TypeAdapter(Receipt)
RECEIPT_LIST = TypeAdapter(tuple[Receipt, ...])


class Mark(NamedTuple):
    """Which receipt a chunk has, as far as the list of a folder tells. ``file``: the number that
    the file system knows it by."""

    is_whole: bool
    file: int


class ChunkStore:
    """Chunks of one plan in one staging folder."""

    def __init__(self, staging: Path, fingerprint: str, disk: Disk) -> None:
        self._staging = staging
        self._fingerprint = fingerprint
        self._folder = staging / f"chunks-{fingerprint[:12]}"
        self._disk = disk

    def receipt(self, chunk: int, *, in_full: bool = True) -> Receipt | None:
        """The receipt of a chunk if it is valid: of this plan, and true of the file's bytes. Unless
        in full, of their number only: enough to look at what will be checked before it counts.
        Where there are two, the one with fewer failed tiles."""
        return _best(self._valid(path, chunk, in_full) for path in self._receipt_paths(chunk))

    def _valid(self, path: Path, chunk: int, in_full: bool) -> Receipt | None:
        try:
            receipt = RECEIPT.validate_json(path.read_bytes())
            if receipt.fingerprint != self._fingerprint or receipt.chunk != chunk:
                return None
            file = self._staging / receipt.file
            if file.stat().st_size != receipt.size_bytes:
                return None
            if in_full and _sha256(file) != receipt.checksum:
                return None
        except (FileNotFoundError, ValidationError):
            return None
        return receipt

    def receipts(self, plan: SlidePlan) -> dict[int, Receipt]:
        """All valid receipts by chunk, in increasing order."""
        found = ((chunk, self.receipt(chunk)) for chunk in range(len(plan.chunks)))
        return {chunk: receipt for chunk, receipt in found if receipt is not None}

    def told(self, plan: SlidePlan) -> dict[int, Receipt]:
        """As ``receipts``, without a look at the chunks' files: to be shown, often."""
        chunks = sorted(chunk for chunk in self.marks() if chunk < len(plan.chunks))
        found = ((chunk, _best(map(_read, self._receipt_paths(chunk)))) for chunk in chunks)
        return {chunk: receipt for chunk, receipt in found if receipt is not None}

    def marks(self) -> dict[int, Mark]:
        """Of each chunk that has a receipt, what tells it from another in its place."""
        found: dict[int, Mark] = {}
        with suppress(FileNotFoundError), os.scandir(self._folder) as entries:
            for entry in entries:
                chunk, point, rest = entry.name.partition(".")
                is_whole = point + rest == WHOLE
                if not chunk.isdecimal() or not (is_whole or point + rest == WITH_HOLES):
                    continue
                if is_whole or int(chunk) not in found:
                    found[int(chunk)] = Mark(is_whole, entry.inode())
        return found

    def writer(self, chunk: int) -> ChunkWriter:
        """A writer for one chunk. Finish it with ``ChunkWriter.close`` and then ``keep``."""
        self._disk.folder(self._folder)
        return ChunkWriter(self._folder / f".{chunk:06d}.{unique()}", self._disk)

    def keep(self, chunk: int, writer: ChunkWriter, seconds: float) -> Receipt:
        """Give a closed chunk its name, then leave the receipt. The receipt is always last."""
        checksum = _sha256(writer.path)
        path = self._folder / f"{chunk:06d}-{checksum[:12]}.arrow"
        size = writer.path.stat().st_size
        self._disk.rename(writer.path, path)
        receipt = Receipt(
            chunk=chunk,
            fingerprint=self._fingerprint,
            cells=sum(writer.tile_cells),
            tiles=len(writer.tile_cells),
            tiles_failed=tuple(writer.tiles_failed),
            seconds=seconds,
            checksum=checksum,
            file=str(path.relative_to(self._staging)),
            size_bytes=size,
            tile_cells=tuple(writer.tile_cells),
            reused=writer.reused,
        )
        whole, with_holes = self._receipt_paths(chunk)
        path = with_holes if receipt.tiles_failed else whole
        self._disk.write(path, RECEIPT.dump_json(receipt, indent=1))
        if path is whole and with_holes.exists():  # else it would count if the whole one is lost
            self._disk.step("remove", with_holes)
            with_holes.unlink(missing_ok=True)
        return receipt

    def read(self, receipt: Receipt, place: int, columns: Sequence[str]) -> Any:
        """Some columns of the chunk's ``place``-th tile as a ``pyarrow.Table``."""
        if not receipt.tile_cells[place]:
            return no_rows(SCHEMA).select(list(columns))
        group = sum(1 for cells in receipt.tile_cells[:place] if cells)
        return next(self._tables(receipt, [group], columns))

    def tables(self, receipt: Receipt, columns: Sequence[str]) -> Iterator[Any]:
        """The same of all its tiles that have cells, one after another."""
        return self._tables(
            receipt, range(sum(1 for cells in receipt.tile_cells if cells)), columns
        )

    def _tables(
        self, receipt: Receipt, groups: Iterable[int], columns: Sequence[str]
    ) -> Iterator[Any]:
        path = self._staging / receipt.file
        try:
            options = pa.ipc.IpcReadOptions(
                use_threads=False,
                included_fields=[SCHEMA.get_field_index(name) for name in columns],
            )
            with pa.OSFile(str(path)) as file, pa.ipc.open_file(file, options=options) as reader:
                for group in groups:
                    yield pa.Table.from_batches([reader.get_batch(group)]).select(list(columns))
        except (pa.ArrowException, OSError) as error:
            if isinstance(error, OSError) and error.errno is not None:
                raise  # the system's own; Arrow's have no number
            raise StorageFailed(
                f"The chunk file {path} is damaged: {error}.",
                remedy="Retry the job: the chunk is computed again.",
                path=str(path),
            ) from error

    def _receipt_paths(self, chunk: int) -> tuple[Path, Path]:
        """Of the whole chunk, and of one with failed tiles: a late twin that could not read what
        has been read since has no name to put that in the place of the whole one."""
        return self._folder / f"{chunk:06d}{WHOLE}", self._folder / f"{chunk:06d}{WITH_HOLES}"


class ChunkWriter:
    """Writes the tiles of one chunk as they come; a context manager that tidies up after itself."""

    def __init__(self, path: Path, disk: Disk) -> None:
        self.path = path
        self.tile_cells: list[int] = []
        self.tiles_failed: list[tuple[int, str]] = []
        self.reused = False
        self._disk = disk

    def write(self, tables: Iterator[Any]) -> None:
        """Write one record batch per table that has rows, in the order given."""
        options = pa.ipc.IpcWriteOptions(compression="lz4", use_threads=False)
        with (
            self._disk.fresh(self.path) as file,
            pa.ipc.new_file(file, SCHEMA, options=options) as writer,
        ):
            for table in tables:
                self.tile_cells.append(table.num_rows)
                if table.num_rows:
                    (batch,) = table.combine_chunks().to_batches()
                    writer.write_batch(batch)

    def fail(self, tile: int, reason: str) -> Any:
        """Note a tile as a hole; returns its table without rows."""
        self.tiles_failed.append((tile, reason))
        return no_rows(SCHEMA)

    def discard(self) -> None:
        """Remove what was written if it was not kept."""
        if self.path.exists():
            self._disk.step("remove", self.path)
            self.path.unlink(missing_ok=True)


def batch_table(batch: CellBatch, plan: SlidePlan) -> Any:
    """The columns of one tile as a ``pyarrow.Table`` of ``SCHEMA``."""
    n = len(batch)
    box = boxes(batch.runs, batch.runs_at)
    owned, far = plan.tile(batch.tile).owned, plan.halo_px
    rim = (
        (box[:, 0] < owned.x0 + far)
        | (box[:, 1] < owned.y0 + far)
        | (box[:, 2] > owned.x1 - far)
        | (box[:, 3] > owned.y1 - far)
    )
    columns = [
        arrow_array(np.full(n, batch.tile), pa.int32()),
        arrow_array(np.arange(n), pa.int32()),
        arrow_array(batch.inside, pa.bool_()),
        arrow_array(rim, pa.bool_()),
        *(arrow_array(getattr(batch, name), SCHEMA.field(name).type) for name in PLAIN),
        _lists(batch.polygon_xy, batch.polygon_at),
        _lists(batch.runs, batch.runs_at),
    ]
    return pa.Table.from_arrays(columns, schema=SCHEMA)


def flat(column: Any, width: int, kind: Any) -> tuple[Any, Any]:
    """A list column as an (m, width) array and (n + 1,) int32 offsets into its rows."""
    lists = column.combine_chunks()
    at = lists.offsets.to_numpy()
    values = lists.values.to_numpy()[at[0] : at[-1]] if len(at) else np.zeros(0)
    rows = np.asarray(values, kind).reshape(-1, width)
    return rows, ((at - at[0]) // width).astype(np.int32)


def _best(receipts: Iterable[Receipt | None]) -> Receipt | None:
    """The first without failed tiles, else the one with the fewest."""
    best: Receipt | None = None
    for receipt in receipts:
        if receipt is not None and not receipt.tiles_failed:
            return receipt
        if best is None or (receipt and len(receipt.tiles_failed) < len(best.tiles_failed)):
            best = receipt
    return best


def _read(path: Path) -> Receipt | None:
    try:
        return RECEIPT.validate_json(path.read_bytes())
    except (FileNotFoundError, ValidationError):  # published meanwhile, or no receipt
        return None


def _lists(rows: Any, at: Any) -> Any:
    """(m, k) rows cut at ``at`` as a list column of the flattened rows."""
    offsets = arrow_array(np.asarray(at) * rows.shape[1], pa.int32())
    values = arrow_array(np.ravel(rows), pa.from_numpy_dtype(rows.dtype))
    return pa.ListArray.from_arrays(offsets, values)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
