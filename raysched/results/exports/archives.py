"""Streams made smaller or out of many files: gzip by a thread of its own, zips of folders."""

from __future__ import annotations

import json
import shutil
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, Self

from isal import igzip_threaded

LEVEL = 1
BLOCK_BYTES = 1 << 20
COPY_BYTES = 1 << 20
LONG_AGO = (1980, 1, 1, 0, 0, 0)
_open_gzip: Any = igzip_threaded.open  # its arguments have no types


@contextmanager
def compressed(to: BinaryIO) -> Iterator[BinaryIO]:
    """A stream whose bytes go to ``to`` as one gzip member, the same for the same bytes.

    Compressing runs in a thread beside the writer. ``to`` stays open.
    """
    packed = _open_gzip(to, "wb", LEVEL, threads=1, block_size=BLOCK_BYTES)
    with packed:
        yield packed


class TreeZip:
    """A zip file of stored entries, written to a stream that need not seek; the same for the same
    files. A context manager; the comment goes in when it ends.
    """

    def __init__(self, to: BinaryIO, comment: Mapping[str, object] | None = None) -> None:
        self._zip = zipfile.ZipFile(to, "w", zipfile.ZIP_STORED)
        if comment is not None:
            self._zip.comment = json.dumps(comment).encode()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        self._zip.close()

    def add(self, name: str, data: bytes) -> None:
        """An entry of these bytes."""
        self._zip.writestr(zipfile.ZipInfo(name, LONG_AGO), data)

    def copy(self, path: Path, name: str) -> None:
        """An entry with the bytes of a file."""
        entry = zipfile.ZipInfo(name, LONG_AGO)
        entry.file_size = path.stat().st_size
        with path.open("rb") as source, self._zip.open(entry, "w") as target:
            shutil.copyfileobj(source, target, COPY_BYTES)


def zip_tree(folder: Path, to: BinaryIO) -> None:
    """A folder's files as a zip whose root is the folder."""
    with TreeZip(to) as archive:
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                archive.copy(path, path.relative_to(folder).as_posix())
