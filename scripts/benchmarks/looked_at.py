"""Made-up jobs to look at: a result and a half-done job, of any number of cells on a grid."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import made_up
import numpy as np
import pyarrow as pa
import zarr
from zarr.codecs import ZstdCodec

from raysched.imaging.kernels.runs import runs_of
from raysched.imaging.plan import SlideFacts, SlidePlan, WorkingGrid
from raysched.imaging.planning import plan_fingerprint
from raysched.imaging.tissue import TissueMask
from raysched.results.cells import GROUP_CELLS, CellParts
from raysched.results.chunks import SCHEMA, ChunkStore
from raysched.results.labels import CHUNK_PX, PIPELINE, Pyramid, level_sizes, shard_px, z_order
from raysched.results.manifest import MANIFEST, GridNote
from raysched.results.schema import Digest
from raysched.results.staging import FreshPlan, save_plan
from raysched.results.storage import Disk

PITCH, RADIUS = 24, 6
TILE_PX, PER_TILE = 1024, 42
"""So many cells along a tile of the half-done job."""


class NoSync(Disk):
    """Writes as ever, but waits for no disk."""

    def sync(self, folder: Path) -> None:
        """Not at all."""


def frame(across: int, rows: int) -> tuple[int, int]:
    """(width, height) of the working frame of so many cells."""
    return across * PITCH, rows * PITCH


def result(folder: Path, job: str, across: int, rows: int) -> None:
    """A published result of ``across`` x ``rows`` cells."""
    folder.mkdir(parents=True)
    (folder / "cells").mkdir()
    digest, shapes, count = Digest(), made_up.shapes(), across * rows
    with CellParts(folder / "cells", NoSync()) as parts:
        for first in range(1, count + 1, GROUP_CELLS):
            ids = np.arange(first, min(first + GROUP_CELLS, count + 1), dtype=np.uint32)
            places = (ids - 1).astype(np.int64)
            centres = np.stack([places % across, places // across], axis=1) * PITCH + PITCH / 2
            cells = made_up.cells(ids, centres, shapes)
            digest.add(cells, np.zeros((0, 3), np.int32), np.zeros(1, np.int32))
            parts.add(cells)
    width, height = frame(across, rows)
    _labels(folder / "labels.zarr", across, rows)
    made = made_up.manifest(folder, count, 1, digest)
    grid = GridNote(**{**made.grid.model_dump(), "width": width, "height": height})
    made = made.model_copy(update={"job": job, "grid": grid})
    (folder / MANIFEST).write_text(made.model_dump_json(indent=2))


def _labels(path: Path, across: int, rows: int) -> None:
    width, height = frame(across, rows)
    with zarr.config.set(PIPELINE):
        group = zarr.create_group(str(path), zarr_format=3)
        levels = [
            group.create_array(
                str(level), shape=size, dtype="uint32", chunks=(CHUNK_PX, CHUNK_PX),
                shards=(shard_px(level), shard_px(level)), compressors=ZstdCodec(level=1),
                fill_value=0,
            )
            for level, size in enumerate(level_sizes(height, width))
        ]  # fmt: skip
    pyramid = Pyramid(levels, lambda: None)
    edge = shard_px(0)
    shards = [(y, x) for y in range(-(-height // edge)) for x in range(-(-width // edge))]
    for row, column in sorted(shards, key=z_order):
        block = pyramid.blank(0, row, column)
        y = np.arange(row * edge, row * edge + block.shape[0])
        x = np.arange(column * edge, column * edge + block.shape[1])
        far = ((y % PITCH - PITCH // 2) ** 2)[:, None] + ((x % PITCH - PITCH // 2) ** 2)[None]
        ids = (y // PITCH * across)[:, None] + (x // PITCH + 1)[None]
        np.multiply(ids, far < RADIUS**2, out=block, casting="unsafe")
        pyramid.add(0, row, column, block)
    pyramid.finish()


def half_done(staging: Path, job: str, side_tiles: int) -> SlidePlan:
    """A staging folder of a job on ``side_tiles`` x ``side_tiles`` tiles, of which three of four
    chunks are done."""
    side = side_tiles * TILE_PX
    tiles = range(side_tiles**2)
    l0_per_w, mpp = made_up.L0_PER_W, made_up.MPP
    plan = SlidePlan(
        slide=SlideFacts(
            path="/made-up.svs", sha256="0" * 64, size_bytes=0, vendor="aperio",
            width=round(side * l0_per_w), height=round(side * l0_per_w), bounds_x=0, bounds_y=0,
            mpp=mpp, mpp_source="user",
        ),
        grid=WorkingGrid(
            level=0, box=2, scale=l0_per_w / 2, l0_per_w=l0_per_w, mpp=mpp * l0_per_w, width=side,
            height=side,
        ),
        engine="none", engine_version="1", params={}, context={}, tile_px=TILE_PX, halo_px=64,
        seam_px=4, tissue_fraction=1.0,
        chunks=tuple(tuple(tiles[at : at + 4]) for at in range(0, len(tiles), 4)),
    )  # fmt: skip
    mask = TissueMask(mask=np.ones((side // 32, side // 32), bool), w_per_px=32.0)
    save_plan(staging, FreshPlan(job, plan, mask, None, 0.0, ""), NoSync())
    store = ChunkStore(staging, plan_fingerprint(plan), NoSync())
    for chunk, members in enumerate(plan.chunks):
        if chunk % 4 < 3:
            writer = store.writer(chunk)
            writer.write(_tables(plan, members))
            store.keep(chunk, writer, 1.0)
    return plan


def _tables(plan: SlidePlan, tiles: tuple[int, ...]) -> Iterator[Any]:
    runs, owner = runs_of(_disc())
    n = PER_TILE**2
    rng = np.random.default_rng(tiles[0])
    lengths = np.bincount(owner, minlength=n + 1)[1:]
    ends = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
    turns = np.linspace(0, 2 * np.pi, 25)
    ring = np.stack([np.cos(turns), np.sin(turns)], axis=1) * RADIUS
    place = np.arange(n)
    at = np.stack([place % PER_TILE, place // PER_TILE], axis=1) * PITCH + PITCH / 2
    for tile in tiles:
        corner = plan.tile(tile).owned
        xy = at + np.array([corner.x0, corner.y0])
        moved = np.array([corner.y0, corner.x0, corner.x0], np.int32)
        points = xy[:, None] + ring[None]
        columns: dict[str, Any] = {
            name: pa.array(rng.random(n) * 100).cast(SCHEMA.field(name).type)
            for name in SCHEMA.names[6:13]
            if name != "area_px"
        }
        columns |= {
            "tile": pa.array(np.full(n, tile, np.int32)),
            "place": pa.array(place.astype(np.int32)),
            "inside": pa.array(np.ones(n, bool)), "rim": pa.array(np.zeros(n, bool)),
            "ref_x": pa.array(xy[:, 0]), "ref_y": pa.array(xy[:, 1]),
            "area_px": pa.array((50 + 300 * rng.random(n)).astype(np.int32)),
            "polygon_xy": pa.ListArray.from_arrays(
                pa.array(np.arange(n + 1, dtype=np.int32) * 50), pa.array(points.reshape(-1))
            ),
            "runs": pa.ListArray.from_arrays(
                pa.array(ends * 3), pa.array((runs + moved).reshape(-1))
            ),
        }  # fmt: skip
        yield pa.table({name: columns[name] for name in SCHEMA.names}, schema=SCHEMA)


def _disc() -> Any:
    """The labels of a tile: discs on the grid."""
    at = np.arange(PER_TILE * PITCH)
    far = (at % PITCH - PITCH // 2) ** 2
    ids = (at // PITCH * PER_TILE)[:, None] + (at // PITCH + 1)[None]
    return (ids * (far[:, None] + far[None] < RADIUS**2)).astype(np.int32)
