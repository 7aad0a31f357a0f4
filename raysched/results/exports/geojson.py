"""GeoJSON for QuPath: a FeatureCollection of detections, in level-0 px minus the bounds offset.

QuPath's rules: ``id`` is a UUID, ``objectType`` stands inside ``properties``, rings are closed,
measurements are numbers. The UUID of a cell is version 5 of ``job/id``; those of an unfinished job
differ from all final ones, because its ids are provisional. Coordinates have at most two decimals,
measurements four; where a measurement is no number it is left out, as QuPath refuses NaN. The
collection's member ``raysched`` holds the provenance.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any, BinaryIO
from uuid import UUID

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from raysched.results.exports.cells import Cells
from raysched.results.exports.rings import joined, number_texts, ring_texts
from raysched.results.schema import GEOMETRY

CELL_NAMES = UUID("0d0f6c1e-6a8f-5c43-9b1c-6f7261797363")
"""Namespace of the UUIDv5 of cells; the name is ``job/id``."""
DECIMALS = 4
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
BETWEEN = ",\n"
UUID_CHARACTERS = 36
_HEX = np.frombuffer(b"".join(b"%02x" % byte for byte in range(256)), np.uint8).reshape(256, 2)
_GROUPS = ((0, 4, 0), (4, 6, 9), (6, 8, 14), (8, 10, 19), (10, 16, 24))
"""Bytes of a UUID, from and to, and where their hexadecimal digits begin in its text."""


def write_geojson(cells: Cells, to: BinaryIO) -> None:
    """Write the collection, one feature a line."""
    contents = cells.contents
    scope = contents.job if contents.complete else f"{contents.job}/partial"
    member = json.dumps(cells.provenance())
    to.write(f'{{"type":"FeatureCollection","raysched":{member},"features":[\n'.encode())
    between = ""
    for batch in cells.batches():
        if batch.num_rows:
            to.write(between.encode())
            to.write(_features(batch, scope, cells.origin))
            between = BETWEEN
    to.write(b"\n]}\n")


def _features(batch: Any, scope: str, origin: tuple[int, int]) -> memoryview:
    """Features of a batch, separated by commas; built column by column, not cell by cell."""
    ids = batch.column("id")
    measures = [_measure(name, batch.column(column)) for name, column in MEASURES.items()]
    features = pc.binary_join_element_wise(
        '{"type":"Feature","id":"',
        uuids(scope, ids.to_numpy()),
        '","geometry":{"type":"Polygon","coordinates":[[',
        ring_texts(batch.column(GEOMETRY), origin, b"[,],"),
        ']]},"properties":{"objectType":"detection","measurements":{"Cell ID":',
        ids.cast(pa.string()),
        *measures,
        "}}}" + BETWEEN,
        "",
    )
    return joined(features)[: -len(BETWEEN)]


def _measure(name: str, column: Any) -> Any:
    """``,"name":value`` for each cell; nothing where the value is not a number."""
    values = column.to_numpy(zero_copy_only=False)
    finite = np.isfinite(values)
    text = number_texts(np.where(finite, values, 0), DECIMALS)
    named = pc.binary_join_element_wise(f',"{name}":', text, "")
    return named if finite.all() else pc.if_else(pa.array(finite), named, "")


def uuids(scope: str, ids: Any) -> Any:
    """``str(uuid5(CELL_NAMES, f"{scope}/{id}"))`` of each id, as a ``pyarrow.StringArray``."""
    begun = hashlib.sha1(CELL_NAMES.bytes + f"{scope}/".encode(), usedforsecurity=False)
    digests = bytearray()
    for cell in ids.tolist():
        digest = begun.copy()
        digest.update(b"%d" % cell)
        digests += digest.digest()
    raw = np.frombuffer(digests, np.uint8).reshape(-1, begun.digest_size)[:, :16].copy()
    raw[:, 6] = (raw[:, 6] & 0x0F) | 0x50  # version 5
    raw[:, 8] = (raw[:, 8] & 0x3F) | 0x80  # the variant of RFC 9562
    text = np.full((len(raw), UUID_CHARACTERS), ord("-"), np.uint8)
    for first, end, at in _GROUPS:
        text[:, at : at + 2 * (end - first)] = _HEX[raw[:, first:end]].reshape(len(raw), -1)
    ends = np.arange(len(raw) + 1, dtype=np.int32) * UUID_CHARACTERS
    return pa.StringArray.from_buffers(len(raw), pa.py_buffer(ends), pa.py_buffer(text))
