"""Making bytes and names durable, and moving what is damaged out of the way."""

from __future__ import annotations

import contextlib
import fcntl
import os
from datetime import UTC, datetime
from io import FileIO
from pathlib import Path
from typing import Final

QUARANTINE: Final = "quarantine"
_FULL_SYNC: Final[int | None] = getattr(fcntl, "F_FULLFSYNC", None)  # macOS: past the disk's cache


def sync(handle: int) -> None:
    """Return once the file's bytes are on the disk."""
    if _FULL_SYNC is not None:
        fcntl.fcntl(handle, _FULL_SYNC)
    else:
        os.fdatasync(handle)


def write_all(file: FileIO, content: bytes) -> None:
    """Write every byte: an unbuffered file may take less than it is given."""
    left = memoryview(content)
    while left:
        left = left[file.write(left) :]


def sync_folder(folder: Path) -> None:
    """Return once the folder's entries are on the disk."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_whole(path: Path, content: bytes) -> None:
    """Give a file its content and its name at once: a crash leaves the old, the new or none."""
    draft = path.with_suffix(".new")
    with draft.open("wb") as file:
        file.write(content)
        file.flush()
        sync(file.fileno())
    draft.replace(path)
    sync_folder(path.parent)


def quarantine(state: Path, paths: list[Path]) -> Path:
    """Move files, those that exist, into a new folder under ``state`` that nothing reads again."""
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S.%fZ")
    folder = state / QUARANTINE / stamp
    folder.mkdir(parents=True)
    for path in paths:
        if path.exists():
            path.rename(folder / path.name)
            sync_folder(path.parent)
    sync_folder(folder)
    sync_folder(folder.parent)
    return folder


def size_bytes(state_folder: Path) -> int:
    """What the journal takes on the disk: both copies and the snapshots."""
    files = [
        *state_folder.glob("journal.duckdb*"),
        *state_folder.glob("segments/*"),
        *state_folder.glob("snapshots/*"),
    ]
    total = 0
    for path in files:
        with contextlib.suppress(OSError):  # a segment or snapshot that has just been replaced
            total += path.stat().st_size
    return total
