"""The four steps of an attempt, as plain functions on folders.

Each may be killed at any instruction and run again, also while a stale twin of it still runs:
what is valid is kept, what is half done was never visible under its final name, and after
publication every step answers from the published manifest without doing anything.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

from raysched.errors import OutputNotEmpty, SlideChanged, StorageFailed
from raysched.imaging.plan import SlidePlan, TissuePlan
from raysched.imaging.planning import (
    make_plan,
    make_tissue_plan,
    plan_work,
)
from raysched.imaging.request import SegmentationRequest, SlideRequest, TissueRequest
from raysched.imaging.slide import file_state, open_slide
from raysched.results.assembly import build
from raysched.results.chunks import RECEIPT_LIST
from raysched.results.equal import Unusable, copy_equal, find_equal, forget, remember
from raysched.results.folders import RESULT, handed_name, staging_folder
from raysched.results.manifest import (
    RECEIPTS,
    Manifest,
    TissueManifest,
    read_provenance,
)
from raysched.results.outcomes import Assembled, Planned, Published, Receipt, Stopped
from raysched.results.recall import Recalled, shelf_for
from raysched.results.segmentation import Earlier, write_chunk
from raysched.results.shelf import NO_SHELF, Shelf
from raysched.results.staging import (
    FreshPlan,
    Staged,
    check_unchanged,
    load_any_plan,
    load_plan,
    read_receipt,
    save_plan,
)
from raysched.results.storage import DISK, Disk, is_not_empty, storage, unique
from raysched.results.tissue import build_tissue, tissue_png

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
]

log = logging.getLogger(__name__)


def plan_slide(
    request: SlideRequest,
    job: str,
    should_stop: Callable[[], bool] = lambda: False,
    *,
    disk: Disk = DISK,
    shelf: Shelf = NO_SHELF,
) -> Planned:
    """Look at the whole slide once and leave the plan in the staging folder.

    ``should_stop`` is asked before each piece that is read of the slide, and before the plan is
    kept. Raises ``Stopped``, ``OutputNotEmpty``, ``MppMissing``, the other ``SlideError`` leaves,
    ``UnknownEngine``, ``InvalidSetting``, ``StorageFull`` and ``StorageFailed``. A slide that is
    refused, or a stop, leaves nothing behind. Chunks finished under an equal plan stay valid;
    others are ignored.
    """
    out = Path(request.out)
    staging = staging_folder(out, job)
    with storage(staging):
        if done := _published(out, job):
            return _planned_of(done, request)
        if _occupied(out):
            raise _not_empty(out)
        fresh, is_known = _look(request, job, shelf, lambda: _check(should_stop))
        _check(should_stop)
        if done := _published(out, job):  # while this stale twin was looking at the slide
            return _planned_of(done, request)
        receipt = save_plan(staging, fresh, disk)
        if isinstance(fresh.plan, TissuePlan):
            return Planned(receipt.fingerprint, ())
        chunk_tiles = tuple(len(chunk) for chunk in fresh.plan.chunks)
        return Planned(
            receipt.fingerprint,
            chunk_tiles,
            plan_work(fresh.plan) if _shelf_for(fresh.plan, shelf).is_there else "",
            reused=is_known,
            may_fail=_may_fail(request, chunk_tiles),
        )


def segment_chunk(
    request: SlideRequest,
    job: str,
    chunk: int,
    should_stop: Callable[[], bool],
    *,
    disk: Disk = DISK,
    shelf: Shelf = NO_SHELF,
) -> Receipt:
    """Segment the tiles of one chunk, or return the receipt of having done so. Of a chunk that is
    done but for some tiles, only these are read again.

    ``should_stop`` is asked before each tile, or each batch where the engine takes batches. A tile
    that cannot be read becomes a hole with its reason. Raises ``Stopped``, ``EngineFailed``,
    ``SlideError``, ``StorageFull``, ``StorageFailed``.
    """
    out = Path(request.out)
    staging = staging_folder(out, job)
    with storage(staging):
        if receipt := _published_receipt(out, job, chunk):
            return receipt
        try:
            staged = load_plan(staging)
            done = staged.chunks(disk).receipt(chunk)
            if done is not None and not done.tiles_failed:
                return done
            return _segment(staged, chunk, lambda: _check(should_stop), disk, shelf, done)
        except (OSError, StorageFailed):
            # A twin may have published and removed the staging folder meanwhile.
            if receipt := _published_receipt(out, job, chunk):
                return receipt
            raise


def assemble(
    request: SlideRequest,
    job: str,
    should_stop: Callable[[], bool],
    *,
    disk: Disk = DISK,
    shelf: Shelf = NO_SHELF,
) -> Assembled:
    """Make the complete result in the staging folder: from the finished chunks, or from an equal
    job's result.

    ``should_stop`` is asked before each tile and shard. Raises ``Stopped``, ``TooManyFailedTiles``
    (more than may fail), ``ChunksMissing``, ``StorageFull``, ``StorageFailed``.
    """
    out = Path(request.out)
    staging = staging_folder(out, job)
    with storage(staging):
        if done := _published(out, job):
            return _assembled(done)
        try:
            build = _builder(request, staging, lambda: _check(should_stop), disk, shelf)
            return _assembled(_assemble(staging, build, disk))
        except (OSError, StorageFailed):
            # A twin may have published and removed the staging folder meanwhile.
            if done := _published(out, job):
                disk.remove_tree(staging)  # what this twin may have made anew there
                return _assembled(done)
            raise


def publish(
    request: SlideRequest, job: str, run: str = "", *, disk: Disk = DISK, shelf: Shelf = NO_SHELF
) -> Published:
    """Give the complete result its final name by one rename, then remove the staging folder.

    ``run``: to whom it was handed over (``results/fencing.py``); what was taken back meanwhile is
    not there. Raises ``OutputNotEmpty`` when ``out`` holds anything else than this job's result,
    ``StorageFull``, ``StorageFailed``.
    """
    out = Path(request.out)
    staging = staging_folder(out, job)
    with storage(staging):
        manifest = _published(out, job) or _move(staging / handed_name(run), out, job, disk)
        disk.sync(out.parent)
        if staging.exists():
            disk.remove_tree(staging)
        remember(out, manifest, shelf_for(manifest.slide.vendor, Path(request.slide), shelf))
        cells = manifest.counts.cells if isinstance(manifest, Manifest) else 0
        return Published(cells, manifest.checksum, str(out))


def _look(
    request: SlideRequest, job: str, shelf: Shelf, check: Callable[[], None]
) -> tuple[FreshPlan, bool]:
    """Everything that planning finds out, and whether there is an equal job's result."""
    begun = perf_counter()
    plan: SlidePlan | TissuePlan
    with open_slide(request.slide) as slide:
        slide.before_read = check
        state = file_state(slide.path)
        shelf = shelf_for(slide.vendor, slide.path, shelf)
        sight = Recalled(shelf)
        if isinstance(request, SegmentationRequest):
            plan, tissue, seen = make_plan(slide, request, sight)
        elif isinstance(request, TissueRequest):
            plan, tissue, seen = make_tissue_plan(slide, request, sight)
        else:
            raise TypeError(f"no kind has the request {request!r}")
        is_known = isinstance(plan, SlidePlan) and find_equal(plan, shelf) is not None
        # An equal result has the same picture.
        picture = None if is_known else tissue_png(slide, plan, tissue, seen, check)
        if file_state(slide.path) != state:
            raise SlideChanged(
                f"{slide.path} changed while it was being looked at.",
                remedy="Submit it again when it is complete.",
                path=request.slide,
            )
    reused = ("tissue",) if sight.tissue_was_known else ()
    fresh = FreshPlan(job, plan, tissue, picture, perf_counter() - begun, state, reused)
    return fresh, is_known


def _segment(
    staged: Staged[SlidePlan],
    chunk: int,
    check: Callable[[], None],
    disk: Disk,
    shelf: Shelf,
    done: Receipt | None,
) -> Receipt:
    begun = perf_counter()
    store = staged.chunks(disk)
    writer = store.writer(chunk)
    earlier = Earlier(store, done) if done is not None else None
    try:
        write_chunk(staged, chunk, check, writer, _shelf_for(staged.plan, shelf), earlier)
        check()  # what is told to stop leaves no receipt any more
        return store.keep(chunk, writer, perf_counter() - begun)
    finally:
        writer.discard()


@dataclass(frozen=True, slots=True)
class Building:
    """How a result is built into a new folder. ``is_it``: whether one that is there already is what
    would be built."""

    build: Callable[[Path], Manifest | TissueManifest]
    is_it: Callable[[Manifest | TissueManifest], bool]


def _builder(
    request: SlideRequest, staging: Path, check: Callable[[], None], disk: Disk, shelf: Shelf
) -> Building:
    if isinstance(request, TissueRequest):
        tissue = load_any_plan(staging, TissuePlan)
        return Building(
            lambda folder: build_tissue(folder, tissue, check, disk),
            lambda there: there.fingerprint == tissue.receipt.fingerprint,
        )
    staged = load_plan(staging)
    may_fail = _may_fail(request, tuple(len(chunk) for chunk in staged.plan.chunks)) or 0

    def build_cells(folder: Path) -> Manifest:
        if equal := find_equal(staged.plan, _shelf_for(staged.plan, shelf)):
            try:
                return copy_equal(equal, folder, staged, check, disk)
            except Unusable as error:
                log.warning("%s: it is computed again.", error)
                forget(staged.plan, shelf)
                disk.remove_tree(folder)
        manifest = build(folder, staged, check, disk, may_fail)
        check_unchanged(staged)
        return manifest

    return Building(build_cells, lambda there: _is_of_these_chunks(there, staged, disk))


def _is_of_these_chunks(
    there: Manifest | TissueManifest, staged: Staged[SlidePlan], disk: Disk
) -> bool:
    """Whether a result is of this plan, and has no failed tiles that have been read since."""
    if not isinstance(there, Manifest) or there.fingerprint != staged.receipt.fingerprint:
        return False
    failed = {hole.tile for hole in there.counts.tiles_failed}
    if not failed:
        return True
    receipts = staged.chunks(disk).told(staged.plan).values()
    return failed == {tile for receipt in receipts for tile, _ in receipt.tiles_failed}


def _assemble(staging: Path, building: Building, disk: Disk) -> Manifest | TissueManifest:
    result = staging / RESULT
    if (ready := _ready(result, building)) is not None:
        return ready
    making = staging / f"{RESULT}.{unique()}"
    try:
        manifest = building.build(making)
        while True:
            if result.exists() and _ready(result, building) is None:
                _displace(result, disk)
            if _settle(making, result, disk):
                return manifest
            # A twin was faster; perhaps with chunks as they were for an earlier attempt.
            if (ready := _ready(result, building)) is not None:
                return ready
    finally:
        if making.exists():
            disk.remove_tree(making)


def _ready(result: Path, building: Building) -> Manifest | TissueManifest | None:
    there = read_provenance(result)
    return there if there is not None and building.is_it(there) else None


def _shelf_for(plan: SlidePlan | TissuePlan, shelf: Shelf) -> Shelf:
    return shelf_for(plan.slide.vendor, Path(plan.slide.path), shelf)


def _check(should_stop: Callable[[], bool]) -> None:
    if should_stop():
        raise Stopped


def _planned_of(done: Manifest | TissueManifest, request: SlideRequest) -> Planned:
    chunk_tiles = done.chunk_tiles if isinstance(done, Manifest) else ()
    may_fail = _may_fail(request, chunk_tiles)
    return Planned(done.fingerprint, chunk_tiles, may_fail=may_fail)


def _may_fail(request: SlideRequest, chunk_tiles: tuple[int, ...]) -> int | None:
    if not isinstance(request, SegmentationRequest):
        return None
    return request.may_fail(sum(chunk_tiles))


def _assembled(manifest: Manifest | TissueManifest) -> Assembled:
    if isinstance(manifest, TissueManifest):
        return Assembled(0, manifest.checksum, 0)
    counts = manifest.counts
    return Assembled(counts.cells, manifest.checksum, len(counts.tiles_failed))


def _settle(making: Path, result: Path, disk: Disk) -> bool:
    """Whether it was put there; not where there is one already."""
    try:
        disk.rename(making, result)
    except OSError as error:
        if not is_not_empty(error):
            raise
        return False
    return True


def _displace(result: Path, disk: Disk) -> None:
    """Move a result of an older plan, or with failed tiles that have been read since, away."""
    old = result.with_name(f"result.{unique()}")
    disk.rename(result, old)
    disk.remove_tree(old)


def _published_receipt(out: Path, job: str, chunk: int) -> Receipt | None:
    if _published(out, job) is None:
        return None
    return RECEIPT_LIST.validate_json((out / RECEIPTS).read_bytes())[chunk]


def _published(out: Path, job: str) -> Manifest | TissueManifest | None:
    manifest = read_provenance(out)
    return manifest if manifest is not None and manifest.job == job else None


def _move(result: Path, out: Path, job: str, disk: Disk) -> Manifest | TissueManifest:
    """Publish; if a twin was faster, its manifest is as good."""
    try:
        manifest = _complete(result)
        disk.rename(result, out)
    except (OSError, StorageFailed) as error:
        if done := _published(out, job):
            return done
        if isinstance(error, OSError) and is_not_empty(error):
            raise _not_empty(out) from error
        raise
    return manifest


def _complete(result: Path) -> Manifest | TissueManifest:
    manifest = read_provenance(result)
    planned = read_receipt(result.parent)
    if manifest is None or planned is None or manifest.fingerprint != planned.fingerprint:
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
