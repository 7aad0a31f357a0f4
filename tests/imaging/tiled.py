"""A slide cut into tiles and segmented without stages or a cluster, from any origin."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa

from raysched.imaging.cells import CellBatch
from raysched.imaging.engine import Engine, load_engine
from raysched.imaging.frames import read_working
from raysched.imaging.geometry import Rect, Tile
from raysched.imaging.plan import SlidePlan
from raysched.imaging.planning import chunks_with_tissue, make_plan
from raysched.imaging.request import SegmentationRequest
from raysched.imaging.segment import segment_tile
from raysched.imaging.slide import Slide, open_slide
from raysched.imaging.tissue import TissueMask
from raysched.results.chunks import SCHEMA, ChunkStore, batch_table
from raysched.results.storage import Disk
from raysched.results.survivors import Survivors, published


def request(slide: Path, tile_px: int = 1024, engine: str = "classical") -> SegmentationRequest:
    return SegmentationRequest(
        slide=str(slide),
        out="unused",
        engine=engine,
        params={},
        mpp=None,
        tile_px=tile_px,
        chunk_tiles=4,
    )


def cells_of(path: Path, tile_px: int = 1024) -> tuple[SlidePlan, TissueMask, list[CellBatch]]:
    """Everything that the tiles of a slide report."""
    with open_slide(path) as slide:
        plan, tissue, _ = make_plan(slide, request(path, tile_px))
        engine = load_engine(plan.engine)
        batches = [
            _report(slide, plan, tissue, tile, engine)
            for chunk in plan.chunks
            for tile in map(plan.tile, chunk)
        ]
    return plan, tissue, batches


class MovedPlan(SlidePlan):
    """A plan whose first tile does not begin at the slide's corner but before it."""

    before_x: int
    before_y: int

    @property
    def columns(self) -> int:
        return -(-(self.grid.width + self.before_x) // self.tile_px)

    @property
    def rows(self) -> int:
        return -(-(self.grid.height + self.before_y) // self.tile_px)

    def tile(self, index: int) -> Tile:
        row, column = divmod(index, self.columns)
        x, y = column * self.tile_px - self.before_x, row * self.tile_px - self.before_y
        owned = Rect(x, y, x + self.tile_px, y + self.tile_px).grow(0, self.grid.extent)
        return Tile(index, owned, owned.grow(self.halo_px, self.grid.extent))


def moved(plan: SlidePlan, tissue: TissueMask, before: tuple[int, int]) -> MovedPlan:
    """The same plan, its grid begun so many px before the slide's corner, in one chunk."""
    draft = MovedPlan(**plan.model_dump(), before_x=before[0], before_y=before[1])
    chunks = chunks_with_tissue(draft, tissue, draft.columns * draft.rows)
    return draft.model_copy(update={"chunks": chunks})


def reconciled(slide: Slide, plan: SlidePlan, tissue: TissueMask, folder: Path) -> Any:
    """The cells that would be published, with their masks, ordered by place.

    All columns of ``schema.CELLS`` but ``id`` and ``tile``, which tell where tiles begin, and from
    the chunk file ``runs`` and ``inside``. ``plan`` has one chunk, which is kept in ``folder``.
    """
    engine = load_engine(plan.engine)
    store = ChunkStore(folder, "tiled", Disk())
    writer = store.writer(0)
    tiles = (plan.tile(index) for index in plan.chunks[0])
    writer.write(batch_table(_report(slide, plan, tissue, tile, engine), plan) for tile in tiles)
    survivors = Survivors(plan, store, {0: store.keep(0, writer, 0.0)})
    tables = []
    for tile in survivors.tiles:
        ids, staged = survivors.read(tile, SCHEMA.names)
        cells = published(ids, staged, plan.grid).drop_columns(["id", "tile"])
        for name in ("runs", "inside"):
            cells = cells.append_column(name, staged.column(name))
        tables.append(cells)
    by_place = [(name, "ascending") for name in ("centroid_y_px", "centroid_x_px", "area_um2")]
    return pa.concat_tables(tables).sort_by(by_place).combine_chunks()


def _report(
    slide: Slide, plan: SlidePlan, tissue: TissueMask, tile: Tile, engine: Engine
) -> CellBatch:
    return segment_tile(read_working(slide, plan.grid, tile.read), plan, tissue, tile, engine)
