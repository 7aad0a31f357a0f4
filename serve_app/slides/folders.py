"""Folders of the server whose slides users may register: nothing else on the disk can be named.

A folder is named by its number among those that the operator allows, a file by its path below.
Links are followed first; what they lead to must lie in the same folder.
"""

from __future__ import annotations

import heapq
import os
from dataclasses import dataclass
from pathlib import Path

from raysched.errors import SlideMissing
from serve_app.slides.names import BEGINNINGS, ONLY_IN_ZIP

SLIDES = {*BEGINNINGS, *ONLY_IN_ZIP} - {".zip"}


@dataclass(frozen=True, slots=True)
class Found:
    """A folder or a slide in a folder of the server's. ``size_bytes``: of a slide's own file."""

    name: str
    is_folder: bool
    size_bytes: int | None


def find_below(folders: tuple[Path, ...], number: int, path: str) -> Path:
    """What a path below a folder leads to. Raises ``SlideMissing``, in the same words for what is
    not there and for what may not be named."""
    if 0 <= number < len(folders):
        top = folders[number].absolute()
        try:
            found = (top / path).resolve(strict=True)
            if not path.startswith("/") and found.is_relative_to(top.resolve()):
                return found
        except (OSError, ValueError, RuntimeError):  # no such file, NUL, too long, a link loop
            pass
    raise SlideMissing(
        f"The folder {number} has no {path[:200]!r} that this service may read.",
        remedy="GET /slide-folders lists what there is; the operator sets serve.slide_folders.",
    )


def listed(
    folders: tuple[Path, ...], at: tuple[int, str], limit: int, after: str | None
) -> tuple[list[Found], str | None]:
    """Up to ``limit`` folders and slides at a folder's number and a path below it, by name,
    that come after the name ``after``; and what to give as ``after`` for the next page.
    Raises ``SlideMissing``."""
    number, path = at
    folder = find_below(folders, number, path)
    if not folder.is_dir():
        raise SlideMissing(f"{path[:200]!r} is not a folder.", remedy="Name the folder it is in.")
    top = folders[number].resolve()
    with os.scandir(folder) as entries:
        names = (
            entry.name
            for entry in entries
            if (after is None or entry.name > after) and _is_shown(entry, top)
        )
        first = heapq.nsmallest(limit + 1, names)
    found = [_found(folder / name) for name in first[:limit]]
    return found, first[limit - 1] if len(first) > limit else None


def _is_shown(entry: os.DirEntry[str], top: Path) -> bool:
    try:
        entry.name.encode()
        if entry.name.startswith("."):
            return False
        if entry.is_symlink() and not Path(entry.path).resolve(strict=True).is_relative_to(top):
            return False
        return entry.is_dir() or (entry.is_file() and Path(entry.name).suffix.lower() in SLIDES)
    except (OSError, ValueError, RuntimeError):
        return False


def _found(path: Path) -> Found:
    is_folder = path.is_dir()
    return Found(path.name, is_folder, None if is_folder else path.stat().st_size)
