"""Using the result of an equal job of the same user: found by the plan's fingerprint, and copied.

A copy, because the folders are their owner's: whoever changes or deletes one keeps the other.
"""

from __future__ import annotations

import hashlib
import logging
import shutil
from collections.abc import Callable
from pathlib import Path
from time import perf_counter

from pydantic import BaseModel, ValidationError

from raysched.errors import NotFound
from raysched.imaging.plan import SlidePlan
from raysched.results.manifest import (
    MANIFEST,
    FileNote,
    Manifest,
    Timings,
    TissueManifest,
    folder_note,
    read_manifest,
    slide_note,
)
from raysched.results.recall import RESULTS
from raysched.results.shelf import Shelf
from raysched.results.staging import Staged
from raysched.results.storage import Disk

log = logging.getLogger(__name__)

PIECE_BYTES = 1024 * 1024


class Remembered(BaseModel):
    """Where a result was published."""

    job: str
    out: str


def remember(out: Path, manifest: Manifest | TissueManifest, shelf: Shelf) -> None:
    """Let later jobs find a published result of cells; a tissue mask is on the shelf itself."""
    if isinstance(manifest, Manifest) and not manifest.counts.tiles_failed:
        where = Remembered(job=manifest.job, out=str(out))
        shelf.put(RESULTS, manifest.fingerprint, where.model_dump_json().encode())
    shelf.trim()


def find_equal(fingerprint: str, shelf: Shelf) -> Path | None:
    """The results folder of an equal job, if it is still there."""
    content = shelf.take(RESULTS, fingerprint)
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
) -> Manifest | None:
    """Copy a published result into ``folder``, which is new, as the result of this job.

    None, and no folder, if any of it is not as its manifest says. ``check`` is called before each
    file and may raise. A full disk raises ``OSError``.
    """
    begun = perf_counter()
    manifest = read_manifest(source)
    if manifest is None:
        return None
    disk.folder(folder)
    for note in manifest.files:
        check()
        disk.step("copy", folder / note.path)
        if not _copied(source, folder, note):
            log.warning("%s is not as its manifest says: it is computed again.", source / note.path)
            disk.remove_tree(folder)
            return None
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


def _copied(source: Path, folder: Path, note: FileNote) -> bool:
    """Copy a file, or a folder of many; whether it is what was noted."""
    here, there = source / note.path, folder / note.path
    try:
        there.parent.mkdir(parents=True, exist_ok=True)
        if note.sha256 is None:
            shutil.copytree(here, there, copy_function=shutil.copyfile)
            return folder_note(there, folder) == note
        with here.open("rb") as old, there.open("wb") as new:
            digest = hashlib.sha256()
            while piece := old.read(PIECE_BYTES):
                digest.update(piece)
                new.write(piece)
        return digest.hexdigest() == note.sha256
    except FileNotFoundError:
        return False
