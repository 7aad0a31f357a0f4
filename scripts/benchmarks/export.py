"""Every export of 1,000,000 made-up cells: cells a second, peak RSS and size, beside plain ones."""

from __future__ import annotations

import gzip
import json
import multiprocessing
import os
import shutil
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import made_up
import numpy as np
import zarr
from figures import Figure
from made_up import ACROSS, L0_PER_W, MPP, PITCH_PX

from raysched.results.cells import GROUP_CELLS, CellParts
from raysched.results.exports.export import Export
from raysched.results.exports.formats import KINDS, Format
from raysched.results.labels import CHUNK_PX, SHARD_PX, level_sizes
from raysched.results.manifest import MANIFEST
from raysched.results.schema import COVERING, Digest
from raysched.results.storage import Disk

COUNT = int(os.environ.get("RAYSCHED_BENCH_CELLS", "1000000"))
PLAIN_COUNT = min(COUNT, 100_000)
"""So many cells take the plain ways: all of them would need minutes and gigabytes."""
GATE_RSS_MB = 600.0
GATE_GEOJSON = 100_000.0


def measure() -> Iterator[Figure]:
    """Each format in a process of its own, then the plain way on a tenth. About four minutes."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        results = folder / "results"
        _make(results, COUNT)
        few = folder / "few"
        _make(few, PLAIN_COUNT)
        geojson = 0.0
        for wanted, path in _wanted(folder):
            mine = _alone(_export, results, path, wanted)
            plain = _alone(PLAIN[wanted], few, path, wanted) if wanted in PLAIN else None
            rate = COUNT / mine.seconds
            geojson = rate if wanted is Format.GEOJSON else geojson
            gate = {Format.GEOJSON: GATE_GEOJSON, Format.CSV: geojson, Format.GEOPARQUET: geojson}
            yield Figure(
                f"{path.name}, cells a second", rate, "cells/s",
                PLAIN_COUNT / plain.seconds if plain else None, gate.get(wanted), "more",
            )  # fmt: skip
            yield Figure(f"{path.name}, peak RSS", mine.peak_mb, "MB", None, GATE_RSS_MB)
            yield Figure(
                f"{path.name}, bytes a cell", mine.size / COUNT, "B",
                plain.size / PLAIN_COUNT if plain else None,
            )  # fmt: skip


def _wanted(folder: Path) -> Iterator[tuple[Format, Path]]:
    """GeoJSON first, since others are held against it; the manifest alone is no figure."""
    yield Format.GEOJSON, folder / "cells.geojson.gz"
    for wanted, kind in KINDS.items():
        if wanted not in {Format.GEOJSON, Format.MANIFEST}:
            yield wanted, folder / f"cells{kind.suffix}"


# --- measuring ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Run:
    seconds: float
    peak_mb: float
    size: int


def _alone(work: Callable[..., None], results: Path, path: Path, wanted: Format) -> _Run:
    """Run one export in a process of its own and remove what it wrote."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(_timed, (work, results, path, wanted))


def _timed(work: Callable[..., None], results: Path, path: Path, wanted: Format) -> _Run:
    warnings.simplefilter("ignore")  # of the plain ways' libraries, about each other
    begun = time.perf_counter()
    work(results, path, wanted)
    seconds = time.perf_counter() - begun
    written = list(path.rglob("*")) if path.is_dir() else [path]
    size = sum(each.stat().st_size for each in written if each.is_file())
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    status = Path("/proc/self/status").read_text()
    peak = next(line for line in status.splitlines() if line.startswith("VmHWM")).split()[1]
    return _Run(seconds, int(peak) / 1000, size)


def _export(results: Path, path: Path, wanted: Format) -> None:
    """One file, without what would be written beside it."""
    Export(results, wanted).file(path)


# --- the plain ways -------------------------------------------------------------------------------


def _plain_geojson(results: Path, path: Path, wanted: Format) -> None:  # noqa: ARG001
    import geopandas

    cells = geopandas.read_parquet(results / "cells")
    with gzip.open(path, "wt") as file:
        json.dump(cells.to_geo_dict(drop_id=True), file)


def _plain_csv(results: Path, path: Path, wanted: Format) -> None:  # noqa: ARG001
    import pandas as pd

    pd.read_parquet(results / "cells").drop(columns=["geometry", COVERING]).to_csv(path)


def _plain_polygons(results: Path, path: Path, wanted: Format) -> None:  # noqa: ARG001
    import geopandas

    geopandas.read_parquet(results / "cells")[["id", "geometry"]].to_csv(path, index=False)


def _plain_geoparquet(results: Path, path: Path, wanted: Format) -> None:  # noqa: ARG001
    import geopandas

    geopandas.read_parquet(results / "cells").to_parquet(path, compression="zstd")


def _plain_h5ad(results: Path, path: Path, wanted: Format) -> None:  # noqa: ARG001
    _anndata(results).write_h5ad(path, compression="gzip")


def _anndata(results: Path) -> Any:
    import anndata
    import pandas as pd

    cells = pd.read_parquet(results / "cells")
    numbers = cells.iloc[:, 4:12].astype(np.float32)
    obs = cells[["id", "tile"]].set_axis(cells["id"].astype(str).to_numpy(), axis=0)
    table = anndata.AnnData(X=numbers.to_numpy(), obs=obs, var=pd.DataFrame(index=numbers.columns))
    table.obsm["spatial"] = cells[["centroid_x_px", "centroid_y_px"]].to_numpy()
    return table


def _plain_spatialdata(results: Path, path: Path, wanted: Format) -> None:  # noqa: ARG001
    """Without the label image, which ours has."""
    import geopandas
    import spatialdata
    from spatialdata.models import ShapesModel, TableModel

    cells = geopandas.read_parquet(results / "cells").set_index("id")[["geometry"]]
    table = _anndata(results)
    table.obs["region"] = "cells"
    table.obs["region"] = table.obs["region"].astype("category")
    annotated = TableModel.parse(table, region="cells", region_key="region", instance_key="id")
    shapes = {"cells": ShapesModel.parse(cells)}
    spatialdata.SpatialData(shapes=shapes, tables={"table": annotated}).write(path)


PLAIN = {
    Format.GEOJSON: _plain_geojson,
    Format.CSV: _plain_csv,
    Format.CSV_POLYGONS: _plain_polygons,
    Format.GEOPARQUET: _plain_geoparquet,
    Format.H5AD: _plain_h5ad,
    Format.SPATIALDATA: _plain_spatialdata,
}


# --- the cells ------------------------------------------------------------------------------------


def _make(folder: Path, count: int) -> None:
    """A results folder of cells on a grid, with outlines like those of real nuclei."""
    rows = -(-count // ACROSS)
    folder.mkdir()
    (folder / "cells").mkdir()
    digest, shapes = Digest(), made_up.shapes()
    with CellParts(folder / "cells", Disk()) as parts:
        for first in range(1, count + 1, GROUP_CELLS):
            ids = np.arange(first, min(first + GROUP_CELLS, count + 1), dtype=np.uint32)
            cells = made_up.cells(ids, made_up.on_the_grid(ids - 1), shapes)
            digest.add(cells, np.zeros((0, 3), np.int32), np.zeros(1, np.int32))
            parts.add(cells)
    _labels(folder / "labels.zarr", rows * PITCH_PX, ACROSS * PITCH_PX, count)
    manifest = made_up.manifest(folder, count, rows, digest)
    (folder / MANIFEST).write_text(manifest.model_dump_json(indent=2))


def _labels(path: Path, height: int, width: int, count: int) -> None:
    """Discs on the same grid, computed shard by shard on each level."""
    sizes = level_sizes(height, width)
    datasets = [
        {
            "path": str(level),
            "coordinateTransformations": [
                {"type": "scale", "scale": [MPP * L0_PER_W * 2**level] * 2}
            ],
        }
        for level in range(len(sizes))
    ]
    axes = [{"name": name, "type": "space", "unit": "micrometer"} for name in ("y", "x")]
    multiscale = {"name": "cells", "axes": axes, "datasets": datasets, "type": "nearest"}
    label = {"colors": [{"label-value": 0, "rgba": [0, 0, 0, 0]}]}
    ome = {"version": "0.5", "multiscales": [multiscale], "image-label": label}
    group = zarr.create_group(str(path), zarr_format=3, attributes={"ome": ome})
    for level, size in enumerate(sizes):
        image = group.create_array(
            str(level), shape=size, dtype="uint32", chunks=(CHUNK_PX, CHUNK_PX),
            shards=(SHARD_PX, SHARD_PX), fill_value=0, dimension_names=("y", "x"),
        )  # fmt: skip
        for top in range(0, size[0], SHARD_PX):
            for left in range(0, size[1], SHARD_PX):
                y = np.arange(top, min(top + SHARD_PX, size[0]))[:, None] << level
                x = np.arange(left, min(left + SHARD_PX, size[1]))[None, :] << level
                far = (y % PITCH_PX - 12) ** 2 + (x % PITCH_PX - 12) ** 2
                ids = y // PITCH_PX * ACROSS + x // PITCH_PX + 1
                block = np.where((far < 36) & (ids <= count), ids, 0)
                image[top : top + SHARD_PX, left : left + SHARD_PX] = block.astype(np.uint32)
