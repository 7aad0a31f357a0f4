"""Exchange formats, streamed from a results folder or from what an unfinished job has so far.

An export of an unfinished job says so: in GeoJSON by ``"complete": false`` in the collection's
member ``raysched``. CSV carries no remark, because readers take a comment line for data; name such
a file accordingly (``CellFolder.contents.complete``). Ids of an unfinished job are provisional,
and their GeoJSON UUIDs differ from all final ones.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO, Literal
from uuid import UUID, uuid5

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import shapely

from raysched.errors import InvalidSetting
from raysched.results.reading import CellFolder, Contents
from raysched.results.schema import CELLS, COVERING, GEOMETRY
from raysched.results.storage import Disk, storage

Format = Literal["csv", "geojson"]

CELL_NAMES = UUID("0d0f6c1e-6a8f-5c43-9b1c-6f7261797363")
"""Namespace of the UUIDv5 of cells; the name is ``job/id``."""
GZIP_LEVEL = 4
DECIMALS = 2
MEASURE_DECIMALS = 4
MEASURES = {
    "Area \u00b5m^2": "area_um2",
    "Perimeter \u00b5m": "perimeter_um",
    "Circularity": "circularity",
    "Eccentricity": "eccentricity",
    "Solidity": "solidity",
    "Haematoxylin OD mean": "haematoxylin_od_mean",
    "Eosin OD mean": "eosin_od_mean",
    "Confidence": "confidence",
}
"""Names of measurements as QuPath shows them."""


def export(result: Path, format: Format, to: BinaryIO) -> Contents:  # noqa: A002
    """Write all cells to a binary stream; returns what was exported.

    ``csv``: one row per cell, all columns but the outline. ``geojson``: a FeatureCollection of
    detections for QuPath, in level-0 px minus the slide's bounds offset. Memory: one batch.
    Raises ``NotReady``, ``StorageFull``, ``StorageFailed``, ``InvalidSetting``.
    """
    writer = WRITERS.get(format)
    if writer is None:
        raise InvalidSetting(
            f"There is no export format {format!r}.", remedy=f"Choose one of: {', '.join(WRITERS)}."
        )
    cells = CellFolder(result)
    writer(cells, to)
    return cells.contents


def export_file(result: Path, path: Path, format: Format | None = None) -> Contents:  # noqa: A002
    """Export into a file that appears when it is complete; ``.gz`` at its end compresses it.

    Without ``format`` the name decides: ``cells.csv``, ``cells.geojson.gz``.
    """
    zipped = path.suffix == ".gz"
    suffix = path.with_suffix("").suffix if zipped else path.suffix
    chosen: Any = format or suffix.lstrip(".") or "csv"
    with storage(path), Disk().replacing(path) as file:
        if not zipped:
            return export(result, chosen, file)
        with gzip.GzipFile("", "wb", GZIP_LEVEL, file, mtime=0) as packed:
            return export(result, chosen, packed)  # type: ignore[arg-type]


def _write_csv(cells: CellFolder, to: BinaryIO) -> None:
    names = [name for name in CELLS.names if name not in {GEOMETRY, COVERING}]
    schema = pa.schema([CELLS.field(name) for name in names])
    options = pa.csv.WriteOptions(quoting_style="none")
    with pa.csv.CSVWriter(to, schema, write_options=options) as writer:
        for batch in cells.batches():
            writer.write_batch(batch.select(names).cast(schema))


def _write_geojson(cells: CellFolder, to: BinaryIO) -> None:
    contents = cells.contents
    head = {
        "job": contents.job,
        "slide": contents.slide.name,
        "slide_sha256": contents.slide.sha256,
        "um_per_px": contents.slide.mpp,
        "origin_px": [contents.slide.bounds_x, contents.slide.bounds_y],
        "complete": contents.complete,
        "tiles": [contents.tiles_done, contents.tiles],
        "checksum": contents.checksum,
    }
    opening = f'{{"type":"FeatureCollection","raysched":{json.dumps(head)},"features":[\n'
    to.write(opening.encode())
    between = b""
    for batch in cells.batches():
        if batch.num_rows:
            to.write(between + _features(batch, contents))
            between = b",\n"
    to.write(b"\n]}\n")


def _features(batch: Any, contents: Contents) -> bytes:
    """Features of a batch, separated by commas; built column by column, not cell by cell."""
    scope = contents.job if contents.complete else f"{contents.job}/partial"
    ids = batch.column("id")
    names = pa.array([str(uuid5(CELL_NAMES, f"{scope}/{cell}")) for cell in ids.to_pylist()])
    measures = [_measure(name, batch.column(column)) for name, column in MEASURES.items()]
    features = pc.binary_join_element_wise(
        '{"type":"Feature","id":"',
        names,
        '","geometry":{"type":"Polygon","coordinates":[[',
        _rings(batch.column(GEOMETRY), (contents.slide.bounds_x, contents.slide.bounds_y)),
        ']]},"properties":{"objectType":"detection","measurements":{"Cell ID":',
        ids.cast(pa.string()),
        *measures,
        "}}}",
        "",
    )
    everything = pa.ListArray.from_arrays(pa.array([0, len(features)], pa.int32()), features)
    return bytes(pc.binary_join(everything, ",\n")[0].as_buffer())


def _measure(name: str, column: Any) -> Any:
    """``,"name":value`` for each cell; nothing where the value is not a number."""
    values = np.round(column.to_numpy(zero_copy_only=False).astype(np.float64), MEASURE_DECIMALS)
    text = pc.binary_join_element_wise(f',"{name}":', pa.array(values).cast(pa.string()), "")
    return pc.if_else(pa.array(np.isfinite(values)), text, "")


def _rings(wkb: Any, origin: tuple[int, int]) -> Any:
    """``[x,y],[x,y],...`` of each exterior ring, with short coordinates."""
    shapes = shapely.from_wkb(wkb.to_numpy(zero_copy_only=False))
    points = np.round(shapely.get_coordinates(shapes) - origin, DECIMALS)
    x, y = (pa.array(np.ascontiguousarray(points[:, axis])).cast(pa.string()) for axis in (0, 1))
    pairs = pc.binary_join_element_wise("[", pc.binary_join_element_wise(x, y, ","), "]", "")
    at = np.concatenate([[0], np.cumsum(shapely.get_num_coordinates(shapes))])
    return pc.binary_join(pa.ListArray.from_arrays(pa.array(at, pa.int32()), pairs), ",")


WRITERS: dict[str, Callable[[CellFolder, BinaryIO], None]] = {
    "csv": _write_csv,
    "geojson": _write_geojson,
}
