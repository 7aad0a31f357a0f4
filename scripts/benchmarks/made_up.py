"""Made-up results: outlines like those of real nuclei, a table of cells of them, a manifest."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import shapely

from raysched.results.manifest import (
    Counts,
    GridNote,
    Manifest,
    SlideNote,
    Timings,
    file_notes,
    versions,
)
from raysched.results.schema import CELLS, COVERING, SIDES, Digest

PITCH_PX = 24
ACROSS = 1000
L0_PER_W = 2.016
"""A scale that is interpolated, so that coordinates have all their digits."""
MPP = 0.248
BOUNDS = (3_111, 4_222)
POINTS = (13, 41)
"""Fewest and most points of an outline; the sample slide's have 13 to 41, 24 on average."""


def shapes() -> list[Any]:
    """Outlines around (0, 0) in working px, on half pixels, as marching squares leaves them."""
    rng = np.random.default_rng(0)
    made = []
    while len(made) < 512:
        turns = np.sort(rng.uniform(0, 2 * np.pi, rng.integers(*POINTS)))
        radius = 6 + np.cumsum(rng.normal(0, 0.2, len(turns)))
        ring = np.round(2 * radius * np.array([np.cos(turns), np.sin(turns)])).T / 2
        ring = np.concatenate([ring, ring[:1]])
        ring = ring[np.concatenate([[True], (np.diff(ring, axis=0) != 0).any(axis=1)])]
        if len(ring) >= POINTS[0] and shapely.is_valid(shapely.polygons(ring)):
            made.append(ring)
    return made


def on_the_grid(places: Any) -> Any:
    """Centres in working px of places that are counted row by row: (n, 2)."""
    return np.stack([places % ACROSS, places // ACROSS], axis=1) * PITCH_PX + 12.0


def cells(ids: Any, centres: Any, outlines_of: list[Any]) -> Any:
    """A table of ``CELLS``, each with one of the outlines around its centre."""
    rng = np.random.default_rng(int(ids[0]))
    outlines = [outlines_of[chosen] for chosen in rng.integers(0, len(outlines_of), len(ids))]
    lengths = [len(outline) for outline in outlines]
    owner = np.repeat(np.arange(len(ids)), lengths)
    points = (np.concatenate(outlines) + centres[owner]) * L0_PER_W
    polygons = shapely.polygons(shapely.linearrings(points, indices=owner))
    corners = shapely.bounds(polygons).T
    columns: dict[str, Any] = {name: rng.random(len(ids)) for name in CELLS.names[4:12]}
    columns |= {
        "id": ids,
        "geometry": shapely.to_wkb(polygons, byte_order=1),
        "centroid_x_px": centres[:, 0] * L0_PER_W,
        "centroid_y_px": centres[:, 1] * L0_PER_W,
        "area_um2": 20 + 60 * rng.random(len(ids)),
        "perimeter_um": 15 + 20 * rng.random(len(ids)),
        "tile": ids // 200,
        COVERING: pa.StructArray.from_arrays(
            [pa.array(np.ascontiguousarray(corner)) for corner in corners], names=list(SIDES)
        ),
    }
    cast = {
        name: column if name == COVERING else pa.array(column).cast(CELLS.field(name).type)
        for name, column in columns.items()
    }
    return pa.table({name: cast[name] for name in CELLS.names}, schema=CELLS)


def manifest(folder: Path, count: int, rows: int, digest: Digest) -> Manifest:
    """Of a folder with so many cells on so many rows of the grid."""
    height, width = rows * PITCH_PX, ACROSS * PITCH_PX
    tiles = -(-count // 200)
    return Manifest(
        job="job-bench",
        created_at=datetime(2026, 1, 1, tzinfo=UTC),
        fingerprint="0" * 64,
        checksum=digest.checksum(),
        column_checksums=digest.columns(),
        slide=SlideNote(
            name="made-up.mrxs", sha256="0" * 64, size_bytes=0, vendor="mirax",
            width=round(width * L0_PER_W), height=round(height * L0_PER_W),
            bounds_x=BOUNDS[0], bounds_y=BOUNDS[1], mpp=MPP, mpp_source="user",
        ),
        engine="none",
        engine_version="1",
        params={},
        context_sha256="0" * 64,
        grid=GridNote(
            level=0, box=2, scale=1.008, l0_per_w=L0_PER_W, mpp=MPP * L0_PER_W, width=width,
            height=height, tile_px=1024, halo_px=64, seam_px=4, columns=1, rows=1,
        ),
        chunk_tiles=(tiles,),
        counts=Counts(
            cells=count, cells_reported=count, tiles=tiles, tissue_tiles=tiles,
            tissue_fraction=1.0, tiles_failed=(),
        ),
        timings=Timings(plan_s=0, segment_s=0, assemble_s=0),
        versions=versions(),
        files=tuple(file_notes(folder)),
    )  # fmt: skip
