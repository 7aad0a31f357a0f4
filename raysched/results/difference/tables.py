"""Every cell of a difference with what became of it: one GeoParquet file, or GeoJSON for QuPath.

Rows: the cells of the first result by id, with the first's outline also where they are matched;
then those that the second gained, by id.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from raysched.results.difference.facts import CENTROID, Facts
from raysched.results.difference.status import COLOURS, Status
from raysched.results.exports.cells import BATCH_CELLS
from raysched.results.exports.geojson import BETWEEN, uuids
from raysched.results.exports.rings import joined, number_texts, ring_texts
from raysched.results.schema import CELLS, COVERING, GEOMETRY

TAKEN = (GEOMETRY, *CENTROID, COVERING)
IOU_DECIMALS = 4


def _field(name: str, kind: Any, meaning: str) -> Any:
    return pa.field(name, kind, nullable=name != "status", metadata={"description": meaning})


DIFFERENCE = pa.schema(
    [
        _field("status", pa.string(), "matched, lost (first alone) or gained (second alone)"),
        _field("id_first", pa.uint32(), "id in the first result; null where gained"),
        _field("id_second", pa.uint32(), "id in the second result; null where lost"),
        _field("iou", pa.float64(), "of the two outlines, above 0.5; null unless matched"),
        *(CELLS.field(name) for name in TAKEN),
    ],
    metadata={b"geo": CELLS.metadata[b"geo"]},
)


def tables(facts: Facts) -> Iterator[Any]:
    """``pyarrow.Table`` of ``DIFFERENCE``, one for each row group of either result."""
    partners = facts.partners
    for place in range(len(facts.first.groups)):
        cells = facts.first.read(place, TAKEN)
        ids = cells.column("id").to_numpy()
        other = partners.second[ids]
        lost = other == 0
        yield _table(
            np.where(lost, Status.LOST.value, Status.MATCHED.value),
            pa.array(ids),
            pa.array(other, mask=lost),
            pa.array(partners.iou[ids], mask=lost),
            cells,
        )
    for place in range(len(facts.second.groups)):
        cells = facts.second.read(place, TAKEN)
        alone = partners.first[cells.column("id").to_numpy()] == 0
        cells = cells.filter(pa.array(alone))
        rows = cells.num_rows
        yield _table(
            np.full(rows, Status.GAINED.value),
            pa.nulls(rows, pa.uint32()),
            cells.column("id"),
            pa.nulls(rows, pa.float64()),
            cells,
        )


def write_parquet(facts: Facts, note: dict[str, Any], to: BinaryIO) -> None:
    """GeoParquet 1.1 in level-0 px; its metadata ``raysched`` holds the numbers."""
    schema = DIFFERENCE.with_metadata(
        {**DIFFERENCE.metadata, b"raysched": json.dumps(note).encode()}
    )
    options = {"compression": "zstd", "version": "2.6", "use_dictionary": ["status"]}
    with pq.ParquetWriter(to, schema, **options) as writer:
        for table in tables(facts):
            if table.num_rows:
                writer.write_table(table.cast(schema), row_group_size=table.num_rows)


def write_geojson(facts: Facts, note: dict[str, Any], to: BinaryIO) -> None:
    """QuPath detections, classified by status, one a line; the frame is that of other GeoJSON:
    level-0 px minus the slide's bounds offset. The member ``raysched`` holds the numbers."""
    to.write(f'{{"type":"FeatureCollection","raysched":{json.dumps(note)},"features":[\n'.encode())
    between = ""
    for table in tables(facts):
        for first in range(0, table.num_rows, BATCH_CELLS):
            to.write(between.encode())
            to.write(_features(table.slice(first, BATCH_CELLS).combine_chunks(), facts))
            between = BETWEEN
    to.write(b"\n]}\n")


def _table(status: Any, first: Any, second: Any, iou: Any, cells: Any) -> Any:
    columns = [pa.array(status, pa.string()), first, second, iou, *map(cells.column, TAKEN)]
    return pa.table(columns, schema=DIFFERENCE)


def _features(table: Any, facts: Facts) -> memoryview:
    """Features of a table, separated by commas; built column by column, not cell by cell."""
    first, second, iou = (table.column(name) for name in ("id_first", "id_second", "iou"))
    slide = facts.first.manifest.slide
    which, ids = ("second", second) if first.null_count else ("first", first)
    jobs = f"{facts.first.manifest.job}/{facts.second.manifest.job}"
    features = pc.binary_join_element_wise(
        '{"type":"Feature","id":"',
        uuids(f"difference/{jobs}/{which}", ids.to_numpy()),
        '","geometry":{"type":"Polygon","coordinates":[[',
        ring_texts(
            table.column(GEOMETRY).combine_chunks(), (slide.bounds_x, slide.bounds_y), b"[,],"
        ),
        ']]},"properties":{"objectType":"detection","classification":',
        _classes(table.column("status")),
        ',"measurements":{',
        _measured("First ID", first, first.cast(pa.string()), ""),
        pc.if_else(pc.or_(pc.is_null(first), pc.is_null(second)), "", ","),
        _measured("Second ID", second, second.cast(pa.string()), ""),
        _measured("IoU", iou, number_texts(pc.fill_null(iou, 0).to_numpy(), IOU_DECIMALS), ","),
        "}}}" + BETWEEN,
        "",
    )
    return joined(features.combine_chunks())[: -len(BETWEEN)]


def _classes(status: Any) -> Any:
    """The classification of each cell, as QuPath has it: a name and a colour."""
    texts = [
        json.dumps({"name": each.value.capitalize(), "color": COLOURS[each]}) for each in Status
    ]
    place = pc.index_in(status, pa.array([each.value for each in Status]))
    return pc.take(pa.array(texts), place)


def _measured(name: str, column: Any, text: Any, before: str) -> Any:
    """``"name":value`` for each cell; nothing where there is no value."""
    named = pc.binary_join_element_wise(f'{before}"{name}":', pc.fill_null(text, "0"), "")
    return pc.if_else(pc.is_null(column), "", named)
