"""How large an export will be, said before it is made.

What is in a fixed place or can be counted is exact. The rest is an estimate from the number of
cells, the bytes that a cell takes in that format (with 25 points to an outline, as cells have), and
how large the results' own files are.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path

from raysched.errors import InvalidSetting, NotReady
from raysched.results.exports.export import Export
from raysched.results.exports.formats import Format
from raysched.results.exports.images import LABELS

BYTES_PER_CELL = {
    Format.CSV: 140.0,
    Format.CSV_POLYGONS: 360.0,
    Format.GEOJSON: 760.0,
    Format.GEOPARQUET: 160.0,
    Format.H5AD: 60.0,
    Format.SPATIALDATA: 215.0,
}
FIXED_BYTES = {
    Format.H5AD: 75_000,
    Format.SPATIALDATA: 15_000,
    Format.GEOJSON: 4_000,
    Format.GEOPARQUET: 14_000,
}
OF_LABELS = {Format.OME_ZARR: 1.0, Format.OME_ZARR_ZIP: 1.0, Format.OME_ZARR_04: 3.6}
"""Beside the label image as it is stored: 0.4 has a faster codec, which packs less."""


@dataclass(frozen=True, slots=True)
class Offered:
    """A format that can be had of a folder, of about so many bytes; ``complete``: of all cells."""

    format: Format
    size_bytes: int
    exact: bool
    complete: bool


def offered(folder: Path) -> list[Offered]:
    """Every format that can be had now, of results or of what an unfinished job has so far.

    Formats whose library is missing, or which exist of finished jobs only, are left out. Raises
    ``NotReady`` when there are no cells, ``NotFound`` where results hold none, ``StorageFailed``.
    """
    found = []
    first = Export(folder, Format.MANIFEST)
    for wanted in Format:
        try:
            export = Export(folder, wanted, first.cells) if wanted is not first.format else first
        except (NotReady, InvalidSetting):
            continue
        complete = export.contents.complete
        if wanted is Format.MANIFEST:
            written = io.BytesIO()
            export.stream(written)
            found.append(Offered(wanted, len(written.getvalue()), complete, complete))
        else:
            found.append(Offered(wanted, _estimate(folder, export), exact=False, complete=complete))
    return found


def _estimate(folder: Path, export: Export) -> int:
    if export.format in OF_LABELS:
        stored: int = export.cells.file_note(LABELS)["size_bytes"]
        return round(OF_LABELS[export.format] * stored)
    if export.format is Format.GEOPARQUET and export.contents.complete:
        return sum(path.stat().st_size for path in (folder / "cells").glob("*.parquet"))
    return FIXED_BYTES.get(export.format, 0) + round(
        BYTES_PER_CELL[export.format] * export.contents.cells
    )
