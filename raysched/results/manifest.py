"""``manifest.json``: what made a result, and what is in it."""

from __future__ import annotations

import hashlib
import json
import platform
from collections.abc import Iterable, Mapping
from datetime import datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from raysched import __version__
from raysched.imaging.plan import SlidePlan
from raysched.results.chunks import Receipt

MANIFEST, RECEIPTS, PREVIEW = "manifest.json", "receipts.json", "preview.png"
MANIFEST_FORMAT = 1
PACKAGES = (
    "numpy",
    "numba",
    "scikit-image",
    "opencv-python-headless",
    "openslide-python",
    "openslide-bin",
    "pyarrow",
    "shapely",
    "simplejpeg",
    "zarr",
    "zarrs",
)


class Part(BaseModel):
    """Base of the manifest's values."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class SlideNote(Part):
    """The slide that was segmented. Sizes and bounds in level-0 px, mpp in um per level-0 px.

    ``reader`` and ``reader_note``: as in ``SlideFacts``.
    """

    name: str
    sha256: str
    size_bytes: int
    vendor: str
    width: int
    height: int
    bounds_x: int
    bounds_y: int
    mpp: float
    mpp_source: str
    reader: str = "openslide"
    reader_note: str = ""


class GridNote(Part):
    """The working frame and its tiles, in working px except where the name says otherwise."""

    level: int
    box: int
    scale: float
    l0_per_w: float
    mpp: float
    width: int
    height: int
    tile_px: int
    halo_px: int
    seam_px: int
    columns: int
    rows: int


class Hole(Part):
    """A tile that could not be read: the result has no cells there."""

    tile: int
    reason: str


class Counts(Part):
    """``tiles`` counts the full grid, ``tissue_tiles`` those that were segmented."""

    cells: int
    cells_reported: int
    tiles: int
    tissue_tiles: int
    tissue_fraction: float
    tiles_failed: tuple[Hole, ...]


class Timings(Part):
    """Seconds of work by stage, summed over lanes; publishing is one rename."""

    plan_s: float
    segment_s: float
    assemble_s: float


class FileNote(Part):
    """A file with its hash, or a folder (``labels.zarr``) with the number of its files."""

    path: str
    size_bytes: int
    sha256: str | None = None
    files: int | None = None


class Manifest(Part):
    """The provenance of a result. ``checksum`` is equal for equal cells; times are not in it."""

    format: int = MANIFEST_FORMAT
    job: str
    created_at: datetime
    fingerprint: str
    checksum: str
    column_checksums: dict[str, str]
    slide: SlideNote
    engine: str
    engine_version: str
    params: dict[str, Any]
    context_sha256: str
    grid: GridNote
    chunk_tiles: tuple[int, ...]
    counts: Counts
    timings: Timings
    versions: dict[str, str]
    files: tuple[FileNote, ...]


def read_manifest(folder: Path) -> Manifest | None:
    """The manifest of a results folder; None where there is none that can be read."""
    try:
        return Manifest.model_validate_json((folder / MANIFEST).read_bytes())
    except (FileNotFoundError, NotADirectoryError, ValidationError):
        return None


def slide_note(plan: SlidePlan) -> SlideNote:
    """The slide's facts without the server's path."""
    facts = plan.slide.model_dump(exclude={"path"})
    return SlideNote(name=Path(plan.slide.path).name, **facts)


def grid_note(plan: SlidePlan) -> GridNote:
    """The working frame and the tile grid."""
    return GridNote(
        **plan.grid.model_dump(),
        tile_px=plan.tile_px,
        halo_px=plan.halo_px,
        seam_px=plan.seam_px,
        columns=plan.columns,
        rows=plan.rows,
    )


def counts(plan: SlidePlan, receipts: Mapping[int, Receipt], cells: int) -> Counts:
    """What was looked at and what was found."""
    grid = grid_note(plan)
    return Counts(
        cells=cells,
        cells_reported=sum(receipt.cells for receipt in receipts.values()),
        tiles=grid.columns * grid.rows,
        tissue_tiles=sum(len(chunk) for chunk in plan.chunks),
        tissue_fraction=plan.tissue_fraction,
        tiles_failed=tuple(
            Hole(tile=tile, reason=reason)
            for receipt in receipts.values()
            for tile, reason in receipt.tiles_failed
        ),
    )


def context_sha256(context: Mapping[str, Any]) -> str:
    """Digest of what the engine computed once for the slide."""
    return hashlib.sha256(json.dumps(context, sort_keys=True).encode()).hexdigest()


def versions() -> dict[str, str]:
    """Versions of Python and of the packages that decide pixels and files."""
    others = {name: version(name) for name in PACKAGES}
    return {"raysched": __version__, "python": platform.python_version(), **others}


def file_notes(folder: Path) -> Iterable[FileNote]:
    """Sizes of all files of a result in the making, with SHA-256 except inside Zarr."""
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder)
        if path.is_file() and not any(part.endswith(".zarr") for part in name.parts):
            with path.open("rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
            yield FileNote(path=str(name), size_bytes=path.stat().st_size, sha256=digest)
        elif path.is_dir() and path.suffix == ".zarr":
            sizes = [inner.stat().st_size for inner in path.rglob("*") if inner.is_file()]
            yield FileNote(path=str(name), size_bytes=sum(sizes), files=len(sizes))
