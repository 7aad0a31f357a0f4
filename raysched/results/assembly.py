"""Building the complete result of a job in a folder of its own, in bounded memory."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import CancelledError, Future, wait
from pathlib import Path
from threading import Event
from time import perf_counter

import numpy as np

from raysched.errors import ChunksMissing, TooManyFailedTiles
from raysched.imaging.plan import SlidePlan
from raysched.imaging.slide import open_slide
from raysched.imaging.tissue import read_overview
from raysched.results.care import is_careful
from raysched.results.cells import CellParts
from raysched.results.chunks import RECEIPT_LIST, SCHEMA, ChunkStore, flat
from raysched.results.labels import write_labels
from raysched.results.manifest import (
    MANIFEST,
    PREVIEW,
    RECEIPTS,
    Manifest,
    Timings,
    context_sha256,
    counts,
    file_notes,
    grid_note,
    slide_note,
    versions,
)
from raysched.results.outcomes import Receipt
from raysched.results.preview import Preview
from raysched.results.schema import Digest
from raysched.results.staging import PICTURE, TISSUE, Staged
from raysched.results.storage import Disk
from raysched.results.survivors import Survivors, published
from raysched.results.threads import thread
from raysched.results.tissue import tissue_png


def build(
    folder: Path, staged: Staged[SlidePlan], check: Callable[[], None], disk: Disk, may_fail: int
) -> Manifest:
    """Write everything that a published results folder holds into ``folder``, which is new.

    ``check`` is called before each tile and shard and may raise. Raises ``TooManyFailedTiles``
    (more than ``may_fail``) and ``ChunksMissing``, also where one is damaged.
    """
    begun = perf_counter()
    plan, store = staged.plan, staged.chunks(disk)
    receipts = _all_receipts(plan, store, may_fail)
    survivors = Survivors(plan, store, receipts)
    disk.folder(folder)
    # Both spend their time outside of Python. Where memory is spared, they go one after the other.
    over = Event()
    labels = thread("labels").submit(
        write_labels, folder / "labels.zarr", plan, survivors, _unless(over, check), disk
    )
    wait([labels] if is_careful() else [])
    try:
        preview = Preview(plan, staged.tissue)
        cells_check = _also_of(labels, check)
        digest = _write_cells(folder / "cells", plan, survivors, preview, cells_check, disk)
    except BaseException:
        over.set()
        raise
    finally:
        wait([labels])
    labels.result()
    disk.write(folder / PREVIEW, preview.png(survivors, check))
    _write_picture(folder / PICTURE, staged, check, disk)
    _copy(staged.folder / TISSUE, folder / TISSUE, disk)
    disk.write(folder / RECEIPTS, RECEIPT_LIST.dump_json(tuple(receipts.values())))
    manifest = Manifest(
        job=staged.receipt.job,
        created_at=staged.receipt.created_at,
        fingerprint=staged.receipt.fingerprint,
        checksum=digest.checksum(),
        column_checksums=digest.columns(),
        slide=slide_note(plan.slide),
        tissue=plan.tissue,
        engine=plan.engine,
        engine_version=plan.engine_version,
        params=plan.params,
        measure=plan.measure,
        context_sha256=context_sha256(plan.context),
        grid=grid_note(plan),
        chunk_tiles=tuple(len(chunk) for chunk in plan.chunks),
        counts=counts(plan, receipts, survivors.count),
        timings=_timings(staged, receipts, begun),
        reused=staged.receipt.reused + _labels_note(receipts.values()),
        versions=versions(),
        files=tuple(file_notes(folder)),
    )
    disk.write(folder / MANIFEST, manifest.model_dump_json(indent=2).encode())
    disk.sync_tree(folder)
    return manifest


def _write_picture(
    path: Path, staged: Staged[SlidePlan], check: Callable[[], None], disk: Disk
) -> None:
    """Copy the picture of the plan, or make it where an equal result had it that is gone now."""
    planned = staged.folder / PICTURE
    if planned.exists():
        _copy(planned, path, disk)
        return
    plan = staged.plan
    with open_slide(plan.slide.path) as slide:
        seen, _ = read_overview(slide, plan.slide.mpp)
        disk.write(path, tissue_png(slide, plan, staged.tissue, seen, check))


def _copy(source: Path, path: Path, disk: Disk) -> None:
    disk.step("copy", path)
    shutil.copyfile(source, path)


def _timings(staged: Staged[SlidePlan], receipts: Mapping[int, Receipt], begun: float) -> Timings:
    return Timings(
        plan_s=round(staged.receipt.seconds, 3),
        segment_s=round(sum(receipt.seconds for receipt in receipts.values()), 3),
        assemble_s=round(perf_counter() - begun, 3),
    )


def _unless(over: Event, check: Callable[[], None]) -> Callable[[], None]:
    """For the thread at the side: ends it when nobody waits for its work any more."""

    def either() -> None:
        check()
        if over.is_set():
            raise CancelledError

    return either


def _also_of(side: Future[None], check: Callable[[], None]) -> Callable[[], None]:
    """For who waits for the thread at the side: raises what that has raised."""

    def either() -> None:
        check()
        if side.done():
            side.result()

    return either


def _labels_note(receipts: Iterable[Receipt]) -> tuple[str, ...]:
    """Whether labels came from an earlier job, as the manifest says it."""
    receipts = tuple(receipts)
    reused = sum(receipt.reused for receipt in receipts)
    return (f"labels of {reused} of {len(receipts)} chunks",) if reused else ()


def _all_receipts(plan: SlidePlan, store: ChunkStore, may_fail: int) -> Mapping[int, Receipt]:
    receipts = store.receipts(plan)
    missing = [chunk for chunk in range(len(plan.chunks)) if chunk not in receipts]
    if missing:
        raise ChunksMissing(
            f"{len(missing)} of {len(plan.chunks)} chunks are missing or damaged, first "
            f"{missing[0]}.",
            remedy="Only these chunks are computed again.",
            chunks=tuple(missing),
            cells=sum(receipt.cells for receipt in receipts.values()),
            tiles_failed=sum(len(receipt.tiles_failed) for receipt in receipts.values()),
        )
    failed = [reason for receipt in receipts.values() for _, reason in receipt.tiles_failed]
    if len(failed) > may_fail:
        tiles = sum(len(chunk) for chunk in plan.chunks)
        raise TooManyFailedTiles(
            f"{len(failed):,} of {tiles:,} tiles could not be read, and at most {may_fail:,} may "
            f"fail. The first: {failed[0]}",
            remedy="Copy the file again from its source and compare sizes or checksums, or submit "
            "it with a higher max_failed_share.",
            path=plan.slide.path,
        )
    return receipts


def _write_cells(
    folder: Path,
    plan: SlidePlan,
    survivors: Survivors,
    preview: Preview,
    check: Callable[[], None],
    disk: Disk,
) -> Digest:
    disk.folder(folder)
    digest = Digest()
    with CellParts(folder, disk) as parts:
        for tile in survivors.tiles:
            check()
            ids, table = survivors.read(tile, SCHEMA.names)
            cells = published(ids, table, plan.grid)
            parts.add(cells)
            digest.add(cells, *flat(table.column("runs"), 3, np.int32))
            preview.add(table)
    return digest
