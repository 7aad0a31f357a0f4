"""The exchange formats as one table: what each is called, holds, and in which frame it is.

Light to import: a writer is named, and imported with its libraries when it is used.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path


class Format(StrEnum):
    """The formats, as they are called in the command line and over HTTP."""

    CSV = "csv"
    CSV_POLYGONS = "csv-polygons"
    GEOJSON = "geojson"
    GEOPARQUET = "geoparquet"
    H5AD = "h5ad"
    SPATIALDATA = "spatialdata"
    OME_ZARR = "ome-zarr"
    OME_ZARR_04 = "ome-zarr-0.4"
    OME_ZARR_ZIP = "ome-zarr-zip"
    MANIFEST = "manifest"


class Shape(StrEnum):
    """What a writer fills: a stream from front to back, a file that it seeks in, or a folder."""

    STREAM = "stream"
    FILE = "file"
    FOLDER = "folder"


class Frame(StrEnum):
    """Where (0, 0) lies and what a unit is. y points downwards."""

    LEVEL_0 = "level-0 px of the slide"
    SHOWN = "level-0 px minus the slide's bounds offset, as QuPath shows the slide"
    MICROMETRES = "um from the corner of level 0, by the scale of each image"


@dataclass(frozen=True, slots=True)
class Kind:
    """One format.

    ``suffix`` ends its file names. ``writer``: ``module:function`` of
    ``(Cells, BinaryIO)`` for a stream, else ``(Cells, Path)``. ``beside``: what is written next to
    a file of it, because it cannot hold that. ``outlines``: whether polygons are written, which are
    then checked. ``whole``: whether it exists of finished jobs only. ``extra``: what of raysched
    must be installed as well.
    """

    suffix: str
    media_type: str
    frame: Frame
    shape: Shape
    writer: str
    beside: tuple[Format, ...] = ()
    outlines: bool = False
    whole: bool = False
    extra: str = ""


_HERE = "raysched.results.exports"
KINDS = {
    Format.CSV: Kind(
        ".csv", "text/csv; charset=utf-8", Frame.LEVEL_0, Shape.STREAM,
        f"{_HERE}.tables:write_csv", (Format.CSV_POLYGONS, Format.MANIFEST),
    ),
    Format.CSV_POLYGONS: Kind(
        ".polygons.csv", "text/csv; charset=utf-8", Frame.LEVEL_0, Shape.STREAM,
        f"{_HERE}.tables:write_polygons", (Format.MANIFEST,), outlines=True,
    ),
    Format.GEOJSON: Kind(
        ".geojson", "application/geo+json", Frame.SHOWN, Shape.STREAM,
        f"{_HERE}.geojson:write_geojson", outlines=True,
    ),
    Format.GEOPARQUET: Kind(
        ".parquet", "application/vnd.apache.parquet", Frame.LEVEL_0, Shape.STREAM,
        f"{_HERE}.tables:write_geoparquet", outlines=True,
    ),
    Format.H5AD: Kind(
        ".h5ad", "application/x-hdf5", Frame.LEVEL_0, Shape.FILE,
        f"{_HERE}.hdf5:write_h5ad", extra="spatial",
    ),
    Format.SPATIALDATA: Kind(
        ".spatialdata.zarr", "application/zip", Frame.LEVEL_0, Shape.FOLDER,
        f"{_HERE}.spatial:write_spatialdata", outlines=True,
    ),
    Format.OME_ZARR: Kind(
        ".ome.zarr", "application/zip", Frame.MICROMETRES, Shape.FOLDER,
        f"{_HERE}.images:write_ome_zarr", whole=True,
    ),
    Format.OME_ZARR_04: Kind(
        ".v04.ome.zarr", "application/zip", Frame.MICROMETRES, Shape.FOLDER,
        f"{_HERE}.images:write_ome_zarr_04", whole=True,
    ),
    Format.OME_ZARR_ZIP: Kind(
        ".ozx", "application/zip", Frame.MICROMETRES, Shape.STREAM,
        f"{_HERE}.images:write_ome_zarr_zip", whole=True,
    ),
    Format.MANIFEST: Kind(
        ".manifest.json", "application/json", Frame.LEVEL_0, Shape.STREAM,
        f"{_HERE}.tables:write_manifest",
    ),
}  # fmt: skip
PACKED = {Shape.STREAM: ".gz", Shape.FOLDER: ".zip"}
"""How a name ends that asks for a stream to be compressed or a folder to be one file."""


def named(name: str) -> Format | None:
    """The format whose suffix a file name ends in; the longest that fits."""
    fits = [each for each in KINDS if name.endswith(KINDS[each].suffix)]
    return max(fits, key=lambda each: len(KINDS[each].suffix), default=None)


def paths_of(path: Path, format: Format) -> list[Path]:  # noqa: A002
    """All that ``export_files`` would write, ``path`` first.

    ``cells.csv.gz``, ``cells.polygons.csv.gz``, ``cells.csv.manifest.json``.
    """
    whole = unpacked(path.name)
    packed = path.name.removeprefix(whole)
    stem = whole.removesuffix(KINDS[format].suffix)
    names = [
        whole + KINDS[other].suffix
        if other is Format.MANIFEST
        else stem + KINDS[other].suffix + packed
        for other in KINDS[format].beside
    ]
    return [path, *(path.with_name(name) for name in names)]


def unpacked(name: str) -> str:
    """A file name without the ending that asks for it to be packed."""
    for ending in PACKED.values():
        name = name.removesuffix(ending)
    return name
