"""Where a job's chunks lie on its slide, and how far each is: read from what the job has left."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from pydantic import ValidationError

from raysched.errors import Conflict, NotFound, NotReady
from raysched.imaging.plan import SlideFacts, SlidePlan, WorkingGrid
from raysched.imaging.planning import chunks_with_tissue
from raysched.imaging.tissue import TissueMask
from raysched.results.chunks import RECEIPT_LIST
from raysched.results.damage import damaged, unpacking
from raysched.results.manifest import RECEIPTS, Manifest, read_manifest
from raysched.results.outcomes import Receipt
from raysched.results.staging import TISSUE, load_plan, read_receipt, unpack_tissue
from raysched.results.storage import DISK, storage

MOST_CHUNKS = 100_000
"""That are shown: tiny tiles on a large slide are millions."""


class ChunkState(StrEnum):
    """How far a chunk is. ``FAILED``: it is done, and none of its tiles could be read."""

    WAITING = "waiting"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Chunk:
    """Some neighbouring tiles, by their index in the grid, row by row. ``cells``: reported by its
    tiles, seams not yet reconciled; ``failed``: tiles that are holes, with the reason."""

    number: int
    state: ChunkState
    tiles: tuple[int, ...]
    cells: int
    failed: tuple[tuple[int, str], ...]


@dataclass(frozen=True, slots=True)
class ChunkMap:
    """The grid of a job's tiles over its slide, and its chunks. ``l0_tile_px``: level-0 px across a
    tile, which is ragged at the right and bottom; ``width`` and ``height``: of the slide, level-0
    px. Tiles in no chunk have no tissue."""

    complete: bool
    columns: int
    rows: int
    l0_tile_px: float
    width: int
    height: int
    chunks: tuple[Chunk, ...]


@dataclass(frozen=True, slots=True)
class Scheduled:
    """What only the scheduler knows. ``running``: chunks in flight; ``reused``: all of them are
    done, in the result of an equal job."""

    running: Collection[int] = field(default_factory=frozenset)
    reused: bool = False


def chunk_map(folder: Path, scheduled: Scheduled) -> ChunkMap:
    """Of a results folder, or of a staging folder of a job that runs or has ended.

    Raises ``NotReady`` before there is a plan, ``NotFound`` for a tissue mask and for results that
    were published without their mask, ``Conflict`` for more than ``MOST_CHUNKS``,
    ``StorageFailed``.
    """
    with storage(folder):
        manifest = read_manifest(folder)
        if manifest is not None:
            _refuse_many(len(manifest.chunk_tiles))
            plan = published_plan(folder, manifest)
            receipts = {each.chunk: each for each in published_receipts(folder)}
            return _map(plan, receipts, Scheduled(), complete=True)
        planned = read_receipt(folder)
        if planned is None:
            raise NotReady(
                "The slide has not been looked at yet: there is no grid of tiles.",
                remedy="Ask again when the job has been planned.",
            )
        if planned.kind != "cell_segmentation":
            raise NotFound(
                "The job makes a tissue mask and has no chunks.",
                remedy="Name a job of the kind cell_segmentation.",
            )
        staged = load_plan(folder)
        _refuse_many(len(staged.plan.chunks))
        receipts = staged.chunks(DISK).told(staged.plan)
    return _map(staged.plan, receipts, scheduled, complete=False)


def _refuse_many(chunks: int) -> None:
    if chunks > MOST_CHUNKS:
        raise Conflict(
            f"The job has {chunks:,} chunks, which are too many to be shown.",
            remedy="Its progress has their number; larger tile_px or chunk_tiles make fewer.",
        )


def published_plan(folder: Path, manifest: Manifest) -> SlidePlan:
    """The plan that a published segmentation was made by, but for what the engine computed once and
    for the slide's path, which is its name here.

    Raises ``NotFound`` where the mask was not published with it, ``StorageFailed``.
    """
    grid = manifest.grid
    facts = manifest.slide.model_dump(exclude={"name"})
    plan = SlidePlan(
        slide=SlideFacts(path=manifest.slide.name, **facts),
        grid=WorkingGrid(**grid.model_dump(include=set(WorkingGrid.model_fields))),
        engine=manifest.engine,
        engine_version=manifest.engine_version,
        params=manifest.params,
        context={},
        tile_px=grid.tile_px,
        halo_px=grid.halo_px,
        seam_px=grid.seam_px,
        tissue=manifest.tissue,
        tissue_fraction=manifest.counts.tissue_fraction,
        measure=manifest.measure,
        chunks=(),
    )
    chunks = chunks_with_tissue(plan, published_mask(folder), max(manifest.chunk_tiles, default=1))
    if tuple(map(len, chunks)) != manifest.chunk_tiles:
        raise damaged(folder / TISSUE, "it is not the mask that the chunks were made by")
    return plan.model_copy(update={"chunks": chunks})


def published_mask(folder: Path) -> TissueMask:
    """The tissue of a published segmentation. Raises ``NotFound`` where it was not published."""
    try:
        with unpacking(folder / TISSUE):
            return unpack_tissue((folder / TISSUE).read_bytes())
    except FileNotFoundError as error:
        raise NotFound(
            "These results are of a time when the tissue mask was not kept with them.",
            remedy="Submit the slide again; tissue.png shows what was taken for tissue.",
        ) from error


def published_receipts(folder: Path) -> tuple[Receipt, ...]:
    """The receipts of a published segmentation, by chunk. Raises ``StorageFailed``."""
    try:
        return RECEIPT_LIST.validate_json((folder / RECEIPTS).read_bytes())
    except ValidationError as error:
        raise damaged(folder / RECEIPTS, "it is not a list of receipts") from error


def _map(
    plan: SlidePlan, receipts: dict[int, Receipt], scheduled: Scheduled, *, complete: bool
) -> ChunkMap:
    return ChunkMap(
        complete=complete,
        columns=plan.columns,
        rows=plan.rows,
        l0_tile_px=plan.tile_px * plan.grid.l0_per_w,
        width=plan.slide.width,
        height=plan.slide.height,
        chunks=tuple(_chunks(plan, receipts, scheduled)),
    )


def _chunks(plan: SlidePlan, receipts: dict[int, Receipt], scheduled: Scheduled) -> Iterable[Chunk]:
    for number, tiles in enumerate(plan.chunks):
        receipt = receipts.get(number)
        if receipt is not None:
            failed = receipt.tiles_failed
            state = ChunkState.FAILED if len(failed) == len(tiles) else ChunkState.DONE
            yield Chunk(number, state, tiles, receipt.cells, failed)
        elif scheduled.reused:
            yield Chunk(number, ChunkState.DONE, tiles, 0, ())
        else:
            is_running = number in scheduled.running
            state = ChunkState.RUNNING if is_running else ChunkState.WAITING
            yield Chunk(number, state, tiles, 0, ())
