"""``manifest.json``: what made a result, and what is in it."""

from __future__ import annotations

import hashlib
import json
import platform
from collections.abc import Iterable, Mapping
from datetime import datetime
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from raysched import __version__
from raysched.errors import NotFound
from raysched.imaging.plan import SlideFacts, SlidePlan
from raysched.imaging.request import MeasureParams, TissueParams
from raysched.results.outcomes import Receipt

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
    """A file with its hash, or a folder (``labels.zarr``) with the number of its files and a hash
    over their names and hashes. Before there were such, folders had no hash."""

    path: str
    size_bytes: int
    sha256: str | None = None
    files: int | None = None


class Provenance(Part):
    """What every kind of result says of itself.

    ``checksum`` is equal for equal content; times are not in it. ``reused`` names what came from
    earlier jobs of the same user instead of being computed.
    """

    format: int = MANIFEST_FORMAT
    job: str
    created_at: datetime
    fingerprint: str
    checksum: str
    slide: SlideNote
    tissue: TissueParams = TissueParams()
    timings: Timings
    reused: tuple[str, ...] = ()
    versions: dict[str, str]
    files: tuple[FileNote, ...]


class Manifest(Provenance):
    """The provenance of a segmentation."""

    kind: Literal["cell_segmentation"] = "cell_segmentation"
    column_checksums: dict[str, str]
    engine: str
    engine_version: str
    params: dict[str, Any]
    measure: MeasureParams = MeasureParams()
    context_sha256: str
    grid: GridNote
    chunk_tiles: tuple[int, ...]
    counts: Counts


class TissueManifest(Provenance):
    """The provenance of a tissue mask. ``mask_*`` are px of the mask, which covers the slide."""

    kind: Literal["tissue_mask"] = "tissue_mask"
    tissue_version: str
    tissue_fraction: float
    area_mm2: float
    pieces: int
    mask_width: int
    mask_height: int
    mask_mpp: float


ANY_MANIFEST: TypeAdapter[Manifest | TissueManifest] = TypeAdapter(Manifest | TissueManifest)


def read_provenance(folder: Path) -> Manifest | TissueManifest | None:
    """The manifest of a results folder of any kind; None where there is none that can be read."""
    try:
        return ANY_MANIFEST.validate_json((folder / MANIFEST).read_bytes())
    except (FileNotFoundError, NotADirectoryError, ValidationError):
        return None


def read_manifest(folder: Path) -> Manifest | None:
    """The manifest of a segmentation's folder; None where there is none that can be read.

    Raises ``NotFound`` where the folder holds another kind of result.
    """
    found = read_provenance(folder)
    if isinstance(found, TissueManifest):
        raise NotFound(
            f"The results in {folder} are a tissue mask and hold no cells.",
            remedy="Name a job of the kind cell_segmentation.",
            path=str(folder),
        )
    return found


def slide_note(facts: SlideFacts) -> SlideNote:
    """The slide's facts without the server's path."""
    return SlideNote(name=Path(facts.path).name, **facts.model_dump(exclude={"path"}))


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


@cache
def versions() -> dict[str, str]:
    """Versions of Python and of the packages that decide pixels and files."""
    others = {name: version(name) for name in PACKAGES}
    return {"raysched": __version__, "python": platform.python_version(), **others}


def file_notes(folder: Path) -> Iterable[FileNote]:
    """Sizes and SHA-256 of all files of a result in the making; each Zarr counts as one."""
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder)
        if path.is_file() and not any(part.endswith(".zarr") for part in name.parts):
            yield FileNote(
                path=str(name), size_bytes=path.stat().st_size, sha256=_digest(path).hex()
            )
        elif path.is_dir() and path.suffix == ".zarr":
            yield folder_note(path, folder)


def folder_note(path: Path, top: Path) -> FileNote:
    """What is noted of a folder of many files."""
    inner = sorted(each for each in path.rglob("*") if each.is_file())
    whole = hashlib.sha256()
    for each in inner:
        whole.update(each.relative_to(path).as_posix().encode() + b"\0" + _digest(each))
    return FileNote(
        path=str(path.relative_to(top)),
        size_bytes=sum(each.stat().st_size for each in inner),
        sha256=whole.hexdigest(),
        files=len(inner),
    )


def _digest(path: Path) -> bytes:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").digest()
