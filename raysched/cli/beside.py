"""Folders that appear where people want them when they are whole."""

from __future__ import annotations

import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from raysched.results.storage import storage


@contextmanager
def beside(out: Path) -> Iterator[Path]:
    """A place for a new folder on the disk of ``out``; gone with all that is left in it."""
    with storage(out), tempfile.TemporaryDirectory(prefix=".raysched-", dir=out.parent) as name:
        yield Path(name) / "fresh"


def unpack(packed: Path, out: Path, inner: str = "") -> None:
    """Make what a zip holds, or its folder ``inner``, the folder ``out``."""
    with beside(out) as fresh:
        with zipfile.ZipFile(packed) as archive:
            archive.extractall(fresh)
        (fresh / inner).replace(out)
