"""SpatialData: polygons, table and, once the job has finished, label image in one Zarr folder.

Written in blocks as its container format 0.2 says, so that memory does not grow with the cells and
nothing but zarr is needed; the library ``spatialdata`` holds all polygons and the table in memory.
Elements: ``shapes/cells`` (index: the cell's id), ``labels/cell_masks``, ``tables/table``. All are
in the coordinate systems ``global``, level-0 px, and ``micrometers``. The provenance is the
attribute ``raysched`` of the object. An unfinished job has no ``cell_masks``.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import zarr
from zarr.codecs import ZstdCodec

from raysched import __version__
from raysched.results.cells import GROUP_CELLS
from raysched.results.exports.annotated import ARRAY, TEXT, TEXTS, AnnotatedTable
from raysched.results.exports.cells import Cells
from raysched.results.exports.images import label_files
from raysched.results.schema import GEOMETRY

SHAPES, MASKS, TABLE = "cells", "cell_masks", "table"
INDEX = "cell_id"
CONTAINER = {"version": "0.2", "spatialdata_software_version": f"raysched {__version__}"}
RASTER, RASTER_NGFF, SHAPES_VERSION, TABLES_VERSION = "0.3", "0.5-dev-spatialdata", "0.3", "0.2"


def write_spatialdata(cells: Cells, to: Path) -> None:
    """A folder that ``spatialdata.read_zarr`` reads. Memory: a few blocks."""
    attributes = {"spatialdata_attrs": CONTAINER, "raysched": cells.provenance()}
    root = zarr.create_group(str(to), zarr_format=3, attributes=attributes)
    if cells.contents.complete:
        _write_masks(cells, to, root)
    root.create_group(
        f"shapes/{SHAPES}",
        attributes={
            "encoding-type": "ngff:shapes",
            "axes": ["x", "y"],
            "coordinateTransformations": _into_systems("xy", (1.0, cells.contents.slide.mpp)),
            "spatialdata_attrs": {"version": SHAPES_VERSION},
        },
    )
    table = AnnotatedTable(cells, _Zarr(root.create_group(f"tables/{TABLE}")), SHAPES)
    root[f"tables/{TABLE}"].attrs.update(
        {
            "spatialdata-encoding-type": "ngff:regions_table",
            "region": SHAPES,
            "region_key": "region",
            "instance_key": INDEX,
            "version": TABLES_VERSION,
        }
    )
    path = to / "shapes" / SHAPES / "shapes.parquet"
    with pq.ParquetWriter(path, OUTLINES, compression="zstd", use_dictionary=False) as shapes:
        for block in cells.blocks():
            outlines = pa.table([block.column(GEOMETRY), block.column("id")], OUTLINES.names)
            shapes.write_table(outlines.cast(OUTLINES), row_group_size=GROUP_CELLS)
            table.add(block)


def _write_masks(cells: Cells, to: Path, root: Any) -> None:
    root.create_group("labels", attributes={"ome": {"labels": [MASKS]}})
    for path, name in label_files(cells):
        target = to / "labels" / MASKS / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)
    copied = root[f"labels/{MASKS}"]
    (multiscale,) = copied.attrs["ome"]["multiscales"]
    grid = cells.grid
    ome = {
        "version": RASTER_NGFF,
        "multiscales": [
            {
                "name": MASKS,
                "axes": [{"name": name, "type": "space"} for name in ("y", "x")],
                "datasets": [
                    {
                        "path": dataset["path"],
                        "coordinateTransformations": [{"type": "scale", "scale": [2.0**level] * 2}],
                    }
                    for level, dataset in enumerate(multiscale["datasets"])
                ],
                "coordinateTransformations": _into_systems("yx", (grid["l0_per_w"], grid["mpp"])),
            }
        ],
    }
    copied.attrs.put({"ome": ome, "spatialdata_attrs": {"version": RASTER}})


def _into_systems(axes: str, scales: tuple[float, float]) -> list[dict[str, Any]]:
    """Transformations into ``global`` (level-0 px) and ``micrometers``, by a scale each."""

    def frame(name: str, unit: str) -> dict[str, Any]:
        named = [{"name": axis, "type": "space", "unit": unit} for axis in axes]
        return {"name": name, "axes": named}

    systems = (("global", "unit"), ("micrometers", "micrometer"))
    return [
        {
            "type": "scale",
            "scale": [scale] * 2,
            "input": frame(axes, "unit"),
            "output": frame(system, unit),
        }
        for (system, unit), scale in zip(systems, scales, strict=True)
    ]


def _pandas_index() -> dict[str, Any]:
    """What tells pandas that the ids are the index, as ``DataFrame.to_parquet`` would."""
    return {
        "index_columns": [INDEX],
        "column_indexes": [],
        "columns": [
            {
                "name": INDEX,
                "field_name": INDEX,
                "pandas_type": "int64",
                "numpy_type": "int64",
                "metadata": None,
            }
        ],
        "pandas_version": "2.0.0",
    }


_GEO = {
    "version": "1.0.0",
    "primary_column": GEOMETRY,
    "columns": {
        GEOMETRY: {
            "encoding": "WKB",
            "geometry_types": ["Polygon"],
            "crs": None,
            "edges": "planar",
        }
    },
}
OUTLINES = pa.schema(
    [pa.field(GEOMETRY, pa.binary()), pa.field(INDEX, pa.int64())],
    metadata={"geo": json.dumps(_GEO), "pandas": json.dumps(_pandas_index())},
)


class _Zarr:
    """A Zarr v3 group as a ``Tree``."""

    def __init__(self, root: Any) -> None:
        self._root = root

    def group(self, path: str, attributes: Mapping[str, Any]) -> None:
        group = self._root.create_group(path) if path else self._root
        group.attrs.update(attributes)

    def numbers(self, path: str, shape: tuple[int, ...], dtype: Any) -> Any:
        return self._array(path, shape, dtype, ARRAY)

    def texts(self, path: str, count: int) -> Any:
        return self._array(path, (count,), str, TEXTS)

    def text(self, path: str, value: str) -> None:
        self._array(path, (), str, TEXT)[...] = value

    def _array(
        self, path: str, shape: tuple[int, ...], dtype: Any, attributes: Mapping[str, str]
    ) -> Any:
        return self._root.create_array(
            path,
            shape=shape,
            dtype=dtype,
            chunks=tuple(min(max(side, 1), GROUP_CELLS) for side in shape),
            compressors=ZstdCodec(level=1),
            attributes=dict(attributes),
        )
