"""What is said of published results that are not what they were, or not there yet."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa

from raysched.errors import NotReady, StorageFailed
from raysched.results.manifest import MANIFEST

AGAIN = "Restore the results from a copy, or run the job again into another folder."


@contextmanager
def whole(path: Path) -> Iterator[None]:
    """Turn what Parquet says of a damaged file into one line; what the system says passes."""
    try:
        yield
    except (pa.ArrowException, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise damaged(path, str(error)) from error


@contextmanager
def unpacking(path: Path) -> Iterator[None]:
    """Turn what numpy says of a damaged ``.npz`` into one line; what the system says passes."""
    try:
        yield
    except (ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise damaged(path, str(error)) from error


def damaged(path: Path, what: str) -> StorageFailed:
    """The error of a file or folder that is not what was published."""
    return StorageFailed(f"{path} is damaged: {what}.", remedy=AGAIN, path=str(path))


def without_result(folder: Path, message: str, remedy: str) -> NotReady | StorageFailed:
    """The error of a folder whose manifest was not read: there is none yet, or it is damaged."""
    if (folder / MANIFEST).exists():
        return damaged(folder / MANIFEST, "this raysched cannot read it")
    return NotReady(message, remedy=remedy, path=str(folder))
