"""Tables of cells: CSV, its polygons in a second file, one GeoParquet file, and the manifest alone.

All are in level-0 px. The CSV files carry no remark, because readers take a comment line for
data: their manifest, and whether the job had finished, is in the file ``NAME.manifest.json``.
"""

from __future__ import annotations

import json
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq

from raysched.results.cells import GROUP_CELLS
from raysched.results.exports.cells import Cells
from raysched.results.exports.rings import joined, ring_texts
from raysched.results.schema import CELLS, COVERING, GEOMETRY

NO_OUTLINE = tuple(name for name in CELLS.names if name not in {GEOMETRY, COVERING})


def write_csv(cells: Cells, to: BinaryIO) -> None:
    """One row per cell, all columns but the outline."""
    schema = pa.schema([CELLS.field(name) for name in NO_OUTLINE])
    options = pa.csv.WriteOptions(quoting_style="none", batch_size=GROUP_CELLS)
    with pa.csv.CSVWriter(to, schema, write_options=options) as writer:
        for batch in cells.batches():
            writer.write_batch(batch.select(NO_OUTLINE).cast(schema))


def write_polygons(cells: Cells, to: BinaryIO) -> None:
    """``id,polygon`` with the outline as WKT, to 0.01 px, in the same order as the cells."""
    to.write(b"id,polygon\n")
    for batch in cells.batches():
        if batch.num_rows:
            to.write(_wkt_lines(batch))


def _wkt_lines(batch: Any) -> memoryview:
    lines = pc.binary_join_element_wise(
        batch.column("id").cast(pa.string()),
        ',"POLYGON ((',
        ring_texts(batch.column(GEOMETRY), (0, 0), b"\0 \0,"),
        '))"\n',
        "",
    )
    return joined(lines)


def write_geoparquet(cells: Cells, to: BinaryIO) -> None:
    """All columns in one GeoParquet 1.1 file; its metadata ``raysched`` holds the provenance."""
    note = {b"raysched": json.dumps(cells.provenance()).encode()}
    schema = CELLS.with_metadata({**CELLS.metadata, **note})
    # Only the tile has few different values: looking for them elsewhere costs a fifth of the time.
    options = {"compression": "zstd", "version": "2.6", "use_dictionary": ["tile"]}
    with pq.ParquetWriter(to, schema, **options) as writer:
        for block in cells.blocks():
            writer.write_table(block.cast(schema), row_group_size=GROUP_CELLS)


def write_manifest(cells: Cells, to: BinaryIO) -> None:
    """The provenance alone, for what is written beside a file that cannot hold it."""
    to.write(json.dumps(cells.provenance(), indent=2).encode() + b"\n")
