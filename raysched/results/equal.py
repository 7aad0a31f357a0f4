"""Using the result of an equal job of the same user: found by the plan's fingerprint, and copied.

A copy, because the folders are their owner's: whoever changes or deletes one keeps the other.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path
from time import perf_counter
from typing import BinaryIO

from pydantic import BaseModel, ValidationError

from raysched.errors import NotFound
from raysched.imaging.engine import engine_code
from raysched.imaging.plan import SlidePlan
from raysched.imaging.planning import content_hash, plan_fingerprint
from raysched.results.manifest import (
    MANIFEST,
    Manifest,
    Timings,
    TissueManifest,
    file_notes,
    read_manifest,
    slide_note,
)
from raysched.results.recall import RESULTS
from raysched.results.shelf import Shelf
from raysched.results.staging import Staged
from raysched.results.storage import Disk

PIECE_BYTES = 1024 * 1024


class Remembered(BaseModel):
    """Where a result was published."""

    job: str
    out: str


class Unusable(Exception):
    """An older result is not what its manifest says, or cannot be read. Nobody's fault."""


def remember(out: Path, manifest: Manifest | TissueManifest, shelf: Shelf) -> None:
    """Let later jobs find a published result of cells; a tissue mask is on the shelf itself."""
    if isinstance(manifest, Manifest) and not manifest.counts.tiles_failed:
        where = Remembered(job=manifest.job, out=str(out))
        key = _key(manifest.fingerprint, manifest.slide.name, manifest.engine)
        shelf.put(RESULTS, key, where.model_dump_json().encode())


def find_equal(plan: SlidePlan, shelf: Shelf) -> Path | None:
    """The results folder of an equal job, if it is still there."""
    fingerprint, name = plan_fingerprint(plan), Path(plan.slide.path).name
    content = shelf.take(RESULTS, _key(fingerprint, name, plan.engine))
    if content is None:
        return None
    try:
        known = Remembered.model_validate_json(content)
        manifest = read_manifest(Path(known.out))
    except (OSError, ValidationError, NotFound):
        return None
    if manifest is None or (manifest.job, manifest.fingerprint) != (known.job, fingerprint):
        return None
    return Path(known.out)


def copy_equal(
    source: Path, folder: Path, staged: Staged[SlidePlan], check: Callable[[], None], disk: Disk
) -> Manifest:
    """Copy a published result into ``folder``, which is new, as the result of this job.

    ``check`` is called before each file and may raise. Raises ``Unusable``; what the disk that is
    written to says comes as ``OSError``.
    """
    begun = perf_counter()
    manifest = _manifest_of(source)
    disk.folder(folder)
    for path in _files(source):
        check()
        disk.step("copy", folder / path)
        _copy(source / path, folder / path)
    if tuple(file_notes(folder)) != manifest.files:
        raise Unusable(f"{source} is not as its manifest says")
    manifest = manifest.model_copy(
        update={
            "job": staged.receipt.job,
            "created_at": staged.receipt.created_at,
            "slide": slide_note(staged.plan.slide),
            "timings": Timings(
                plan_s=round(staged.receipt.seconds, 3),
                segment_s=0.0,
                assemble_s=round(perf_counter() - begun, 3),
            ),
            "reused": (f"result of {manifest.job}",),
        }
    )
    disk.write(folder / MANIFEST, manifest.model_dump_json(indent=2).encode())
    disk.sync_tree(folder)
    return manifest


def forget(plan: SlidePlan, shelf: Shelf) -> None:
    """Look for an equal result no more."""
    name = Path(plan.slide.path).name
    shelf.drop(RESULTS, _key(plan_fingerprint(plan), name, plan.engine))


def _key(fingerprint: str, slide_name: str, engine: str) -> str:
    """Pictures bear the slide's name: the same pixels under another are another result."""
    return content_hash([fingerprint, slide_name, engine_code(engine)])


def _manifest_of(source: Path) -> Manifest:
    try:
        manifest = read_manifest(source)
    except (OSError, NotFound) as error:
        raise Unusable(f"{source} cannot be read: {error}") from error
    if manifest is None:
        raise Unusable(f"{source} is gone")
    return manifest


def _files(source: Path) -> list[Path]:
    """All files but the manifest, relative; whatever is no plain file or folder is refused."""
    found = []
    try:
        for top, folders, names in os.walk(source, onerror=_refuse):
            for name in (*folders, *names):
                kind = (Path(top) / name).lstat().st_mode
                if not (stat.S_ISREG(kind) or stat.S_ISDIR(kind)):
                    raise Unusable(f"{top}/{name} is no plain file")
            found += [(Path(top) / name).relative_to(source) for name in names]
    except OSError as error:
        raise Unusable(f"{source} cannot be read: {error}") from error
    return sorted(path for path in found if path != Path(MANIFEST))


def _refuse(error: OSError) -> None:
    raise error


def _copy(here: Path, there: Path) -> None:
    there.parent.mkdir(parents=True, exist_ok=True)
    with there.open("xb") as new:
        try:
            # Without following a link that has taken the file's place meanwhile.
            old = os.fdopen(os.open(here, os.O_RDONLY | os.O_NOFOLLOW), "rb")
        except OSError as error:
            raise Unusable(f"{here} cannot be read: {error}") from error
        with old:
            while piece := _piece(old, here):
                new.write(piece)


def _piece(old: BinaryIO, here: Path) -> bytes:
    try:
        return old.read(PIECE_BYTES)
    except OSError as error:
        raise Unusable(f"{here} cannot be read: {error}") from error
