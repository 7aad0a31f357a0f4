"""The chunks of the kind ``cell_segmentation``: from tiles to the tables of their cells."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from raysched.errors import EngineFailed, SlideUnreadable
from raysched.imaging.engine import Engine, Labels, Rgb, batch_of, engine_code, load_engine
from raysched.imaging.geometry import Tile
from raysched.imaging.plan import SlidePlan
from raysched.imaging.planning import content_hash
from raysched.imaging.segment import find_labels, measure_tile
from raysched.imaging.slide import Slide, open_slide
from raysched.results.care import is_careful
from raysched.results.chunks import SCHEMA, ChunkStore, ChunkWriter, batch_table
from raysched.results.outcomes import Receipt
from raysched.results.pixels import pixels_ahead
from raysched.results.recall import LABELS, PackedLabels, pack_tiles, unpack_tiles
from raysched.results.shelf import Shelf
from raysched.results.staging import Staged, check_unchanged


class ChunkLabels:
    """The labels of a chunk's tiles: what an earlier job of the user found under a plan that finds
    the same, else what the engine finds now."""

    def __init__(self, staged: Staged[SlidePlan], chunk: int, engine: Engine, shelf: Shelf) -> None:
        self.engine = engine
        self._plan = staged.plan
        self._shelf = shelf
        work = content_hash([staged.work, engine_code(staged.plan.engine)])
        self._key = f"{work}/{chunk:06d}"
        content = shelf.take(LABELS, self._key)
        self._packed: dict[int, PackedLabels] = unpack_tiles(content) if content else {}
        self.all_known = bool(content)
        """Whether the engine was not asked so far."""

    def of(self, tiles: list[tuple[Tile, Rgb]]) -> dict[int, Labels]:
        """The labels of tiles with their pixels, by tile index: (h, w) int32 each."""
        asked = [(tile, rgb) for tile, rgb in tiles if tile.index not in self._packed]
        found = {
            tile.index: self._packed[tile.index].labels()
            for tile, _ in tiles
            if tile.index in self._packed
        }
        if asked:
            self.all_known = False
            labels = find_labels([rgb for _, rgb in asked], self._plan, self.engine)
            found |= {tile.index: each for (tile, _), each in zip(asked, labels, strict=True)}
        if self._shelf.is_there:
            self._packed |= {tile.index: PackedLabels.of(found[tile.index]) for tile, _ in asked}
        return found

    def keep(self) -> None:
        """Put what was found where later jobs find it."""
        if self._packed and not self.all_known:
            self._shelf.put(LABELS, self._key, pack_tiles(self._packed))


@dataclass(frozen=True, slots=True)
class Earlier:
    """What the job has found in a chunk already, but for the tiles that failed."""

    store: ChunkStore
    receipt: Receipt

    def has(self, tile: int) -> bool:
        """Whether the tile was read."""
        return all(tile != failed for failed, _ in self.receipt.tiles_failed)

    def table(self, place: int) -> Any:
        """The staged table of the chunk's ``place``-th tile. Raises ``StorageFailed``."""
        return self.store.read(self.receipt, place, SCHEMA.names)


def write_chunk(
    staged: Staged[SlidePlan],
    chunk: int,
    check: Callable[[], None],
    writer: ChunkWriter,
    shelf: Shelf,
    earlier: Earlier | None,
) -> None:
    """Write the cells of a chunk's tiles; a tile that cannot be read becomes a hole. What is there
    of ``earlier`` is taken from it.

    ``check`` is called before each tile, or each batch where the engine takes batches, and may
    raise. Raises ``EngineFailed``.
    """
    engine = planned_engine(staged.plan)
    labels = ChunkLabels(staged, chunk, engine, shelf)
    indices = staged.plan.chunks[chunk]
    wanted = [index for index in indices if earlier is None or not earlier.has(index)]
    tiles = [staged.plan.tile(index) for index in wanted]
    with (
        open_slide(staged.plan.slide.path) as slide,
        closing(_tables(staged, slide, tiles, check, writer, labels)) as tables,
    ):
        writer.write(tables if earlier is None else _with_earlier(indices, tables, earlier))
    check_unchanged(staged)  # before anything is kept of what was read
    writer.reused = labels.all_known and (earlier is None or earlier.receipt.reused)
    labels.keep()


def _with_earlier(indices: Sequence[int], fresh: Iterator[Any], earlier: Earlier) -> Iterator[Any]:
    """The tables of all of a chunk's tiles, in order."""
    for place, index in enumerate(indices):
        yield earlier.table(place) if earlier.has(index) else next(fresh)


def planned_engine(plan: SlidePlan) -> Engine:
    """The plan's engine. Raises ``EngineFailed`` where another version of it is installed."""
    engine = load_engine(plan.engine)
    if engine.version != plan.engine_version:
        raise EngineFailed(
            f"This worker has {plan.engine} {engine.version}, but the slide was planned with "
            f"{plan.engine_version}.",
            remedy="Install the same version on all nodes, then retry the job.",
        )
    return engine


def _tables(
    staged: Staged[SlidePlan],
    slide: Slide,
    tiles: list[Tile],
    check: Callable[[], None],
    writer: ChunkWriter,
    labels: ChunkLabels,
) -> Generator[Any]:
    """The staged table of each of some tiles, in order; in memory is a batch of tiles, and one tile
    where care is taken."""
    plan, most = staged.plan, 1 if is_careful() else batch_of(labels.engine)
    with closing(pixels_ahead(slide, plan.grid, [tile.read for tile in tiles])) as pixels:
        for begin in range(0, len(tiles), most):
            check()
            read = [(tile, next(pixels)) for tile in tiles[begin : begin + most]]
            whole = [(tile, rgb) for tile, rgb in read if not isinstance(rgb, SlideUnreadable)]
            found = labels.of(whole)
            for tile, rgb in read:
                if isinstance(rgb, SlideUnreadable):
                    yield writer.fail(tile.index, reason_of(rgb.message, slide.path))
                    continue
                mine = found.pop(tile.index)
                cells = measure_tile(rgb, mine, plan, staged.tissue, tile, labels.engine)
                yield batch_table(cells, plan)


def reason_of(message: str, slide: Path) -> str:
    """Why a tile failed, as its owner may read it: where the server keeps slides is not theirs.
    Some formats name files beside the slide's own."""
    return message.replace(str(slide), slide.name).replace(f"{slide.parent}/", "")
