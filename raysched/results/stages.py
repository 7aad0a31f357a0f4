"""The four steps of an attempt, as plain functions on folders.

Each may be killed at any instruction and run again, also while a stale twin of it still runs:
what is valid is kept, what is half done was never visible under its final name, and after
publication every step answers from the published manifest without doing anything.
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Generator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

from raysched.errors import EngineFailed, OutputNotEmpty, SlideUnreadable, StorageFailed
from raysched.imaging.engine import Engine, batch_of, load_engine
from raysched.imaging.planning import make_plan
from raysched.imaging.request import SegmentationRequest
from raysched.imaging.segment import segment_tiles
from raysched.imaging.slide import Slide, open_slide
from raysched.results.assembly import build
from raysched.results.chunks import RECEIPT_LIST, ChunkWriter, Receipt, batch_table
from raysched.results.manifest import RECEIPTS, Manifest, read_manifest
from raysched.results.pixels import pixels_ahead
from raysched.results.preview import tissue_png
from raysched.results.staging import FreshPlan, Staged, load_plan, save_plan, staging_folder
from raysched.results.storage import Disk, storage, unique

__all__ = [
    "Assembled",
    "Planned",
    "Published",
    "Receipt",
    "Stopped",
    "assemble",
    "plan_slide",
    "publish",
    "segment_chunk",
    "staging_folder",
]

NOT_EMPTY = {errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR}
DISK = Disk()


class Stopped(Exception):
    """``should_stop`` said so. Nobody's fault, hence outside the error tree; nothing is lost."""


@dataclass(frozen=True, slots=True)
class Planned:
    """The plan is in the staging folder. ``chunk_tiles[i]``: tiles in chunk ``i``."""

    fingerprint: str
    chunk_tiles: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Assembled:
    """The result is complete in the staging folder, under its checksum."""

    cells: int
    checksum: str
    tiles_failed: int


@dataclass(frozen=True, slots=True)
class Published:
    """The result is at ``out``."""

    cells: int
    checksum: str
    out: str


def plan_slide(request: SegmentationRequest, job: str, *, disk: Disk = DISK) -> Planned:
    """Look at the whole slide once and leave the plan in the staging folder.

    Raises ``OutputNotEmpty``, ``MppMissing``, the other ``SlideError`` leaves, ``UnknownEngine``,
    ``InvalidSetting``, ``StorageFull`` and ``StorageFailed``. A slide that is refused leaves
    nothing behind. Chunks finished under an equal plan stay valid; others are ignored.
    """
    out = Path(request.out)
    staging = staging_folder(out, job)
    with storage(staging):
        if done := _published(out, job):
            return Planned(done.fingerprint, done.chunk_tiles)
        if _occupied(out):
            raise _not_empty(out)
        begun = perf_counter()
        with open_slide(request.slide) as slide:
            plan, tissue, seen = make_plan(slide, request)
        picture = tissue_png(request.slide, plan, tissue, seen)
        fresh = FreshPlan(job, plan, tissue, picture, perf_counter() - begun)
        if done := _published(out, job):  # while this stale twin was looking at the slide
            return Planned(done.fingerprint, done.chunk_tiles)
        receipt = save_plan(staging, fresh, disk)
        return Planned(receipt.fingerprint, tuple(len(chunk) for chunk in plan.chunks))


def segment_chunk(
    request: SegmentationRequest,
    job: str,
    chunk: int,
    should_stop: Callable[[], bool],
    *,
    disk: Disk = DISK,
) -> Receipt:
    """Segment the tiles of one chunk, or return the receipt of having done so.

    ``should_stop`` is asked before each tile, or before each batch where the engine takes batches.
    A tile that cannot be read becomes a hole with its reason. Raises ``Stopped``,
    ``EngineFailed``, ``StorageFull``, ``StorageFailed``.
    """
    out = Path(request.out)
    staging = staging_folder(out, job)
    with storage(staging):
        if receipt := _published_receipt(out, job, chunk):
            return receipt
        try:
            staged = load_plan(staging)
            receipt = staged.chunks(disk).receipt(chunk)
            return receipt or _segment(staged, chunk, request.slide, should_stop, disk)
        except (OSError, StorageFailed):
            # A twin may have published and removed the staging folder meanwhile.
            if receipt := _published_receipt(out, job, chunk):
                return receipt
            raise


def assemble(
    request: SegmentationRequest,
    job: str,
    should_stop: Callable[[], bool],
    *,
    disk: Disk = DISK,
) -> Assembled:
    """Make the complete result in the staging folder from the finished chunks.

    ``should_stop`` is asked before each tile and shard. Raises ``Stopped``, ``SlideUnreadable``
    (no tile at all could be read), ``ChunksMissing``, ``StorageFull``, ``StorageFailed``.
    """
    out = Path(request.out)
    staging = staging_folder(out, job)
    with storage(staging):
        if done := _published(out, job):
            return _assembled(done)
        try:
            return _assembled(_assemble(staging, request.slide, should_stop, disk))
        except (OSError, StorageFailed):
            # A twin may have published and removed the staging folder meanwhile.
            if done := _published(out, job):
                disk.remove_tree(staging)  # what this twin may have made anew there
                return _assembled(done)
            raise


def publish(request: SegmentationRequest, job: str, *, disk: Disk = DISK) -> Published:
    """Give the complete result its final name by one rename, then remove the staging folder.

    Raises ``OutputNotEmpty`` when ``out`` holds anything else than this job's result,
    ``StorageFull``, ``StorageFailed``.
    """
    out = Path(request.out)
    staging = staging_folder(out, job)
    with storage(staging):
        manifest = _published(out, job) or _move(staging / "result", out, job, disk)
        disk.sync(out.parent)
        if staging.exists():
            disk.remove_tree(staging)
        return Published(manifest.counts.cells, manifest.checksum, str(out))


def _segment(
    staged: Staged, chunk: int, slide: str, should_stop: Callable[[], bool], disk: Disk
) -> Receipt:
    begun = perf_counter()
    store = staged.chunks(disk)
    writer = store.writer(chunk)
    try:
        with (
            open_slide(slide) as source,
            closing(_tables(staged, chunk, source, should_stop, writer)) as tables,
        ):
            writer.write(tables)
        return store.keep(chunk, writer, perf_counter() - begun)
    finally:
        writer.discard()


def _assemble(staging: Path, slide: str, should_stop: Callable[[], bool], disk: Disk) -> Manifest:
    staged = load_plan(staging)
    result = staging / "result"
    ready = read_manifest(result)
    if ready is not None and ready.fingerprint == staged.receipt.fingerprint:
        return ready
    making = staging / f"result.{unique()}"
    try:
        manifest = build(making, staged, slide, lambda: _check(should_stop), disk)
        if result.exists():
            _displace(result, staged.receipt.fingerprint, disk)
        _settle(making, result, disk)
        return manifest
    finally:
        if making.exists():
            disk.remove_tree(making)


def _tables(
    staged: Staged,
    chunk: int,
    slide: Slide,
    should_stop: Callable[[], bool],
    writer: ChunkWriter,
) -> Generator[Any]:
    """The staged table of each tile of a chunk, in order."""
    plan, engine = staged.plan, _engine(staged)
    tiles = [plan.tile(index) for index in plan.chunks[chunk]]
    with closing(pixels_ahead(slide, plan.grid, [tile.read for tile in tiles])) as pixels:
        for begin in range(0, len(tiles), batch_of(engine)):
            _check(should_stop)
            read = [(tile, next(pixels)) for tile in tiles[begin : begin + batch_of(engine)]]
            whole = [(tile, rgb) for tile, rgb in read if not isinstance(rgb, SlideUnreadable)]
            cells = segment_tiles(
                [rgb for _, rgb in whole], plan, staged.tissue, [tile for tile, _ in whole], engine
            )
            for tile, rgb in read:
                if isinstance(rgb, SlideUnreadable):
                    yield writer.fail(tile.index, rgb.message)
                else:
                    yield batch_table(next(cells), plan)


def _engine(staged: Staged) -> Engine:
    plan = staged.plan
    engine = load_engine(plan.engine)
    if engine.version != plan.engine_version:
        raise EngineFailed(
            f"This worker has {plan.engine} {engine.version}, but the slide was planned with "
            f"{plan.engine_version}.",
            remedy="Install the same version on all nodes, then retry the job.",
        )
    return engine


def _check(should_stop: Callable[[], bool]) -> None:
    if should_stop():
        raise Stopped


def _assembled(manifest: Manifest) -> Assembled:
    counts = manifest.counts
    return Assembled(counts.cells, manifest.checksum, len(counts.tiles_failed))


def _settle(making: Path, result: Path, disk: Disk) -> None:
    try:
        disk.rename(making, result)
    except OSError as error:
        # A twin has put an equal result there first.
        if error.errno not in NOT_EMPTY:
            raise


def _displace(result: Path, fingerprint: str, disk: Disk) -> None:
    """Move a result of an older plan out of the way, never one of this plan."""
    manifest = read_manifest(result)
    if manifest is None or manifest.fingerprint != fingerprint:
        old = result.with_name(f"result.{unique()}")
        disk.rename(result, old)
        disk.remove_tree(old)


def _published_receipt(out: Path, job: str, chunk: int) -> Receipt | None:
    if _published(out, job) is None:
        return None
    return RECEIPT_LIST.validate_json((out / RECEIPTS).read_bytes())[chunk]


def _published(out: Path, job: str) -> Manifest | None:
    manifest = read_manifest(out)
    return manifest if manifest is not None and manifest.job == job else None


def _move(result: Path, out: Path, job: str, disk: Disk) -> Manifest:
    """Publish; if a twin was faster, its manifest is as good."""
    try:
        manifest = _complete(result)
        disk.rename(result, out)
    except (OSError, StorageFailed) as error:
        if done := _published(out, job):
            return done
        if isinstance(error, OSError) and error.errno in NOT_EMPTY:
            raise _not_empty(out) from error
        raise
    return manifest


def _complete(result: Path) -> Manifest:
    manifest = read_manifest(result)
    if manifest is None or manifest.fingerprint != load_plan(result.parent).receipt.fingerprint:
        raise StorageFailed(
            f"There is no complete result in {result.parent}.",
            remedy="Retry the job: finished chunks are kept.",
            path=str(result),
        )
    return manifest


def _occupied(out: Path) -> bool:
    return out.exists() and not (out.is_dir() and not any(out.iterdir()))


def _not_empty(out: Path) -> OutputNotEmpty:
    return OutputNotEmpty(
        f"The results folder {out} exists and is not empty.",
        remedy="Choose another --out, or move what is there away, then retry.",
        path=str(out),
    )
