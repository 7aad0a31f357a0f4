"""What DuckDB and the operating system say went wrong, in raysched's errors.

DuckDB has no error codes for these: its messages carry the system's own text (``strerror``), and
that text is what is looked for. ``tests/journal`` provokes each of them for real.
"""

from __future__ import annotations

import errno
import os
import re
from pathlib import Path

import duckdb

from raysched.errors import (
    JournalDamaged,
    RayschedError,
    StateLocked,
    StorageFailed,
    StorageFull,
)

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_FAILED = (
    errno.EACCES,
    errno.EPERM,
    errno.EROFS,
    errno.EIO,
    errno.ENOENT,
    errno.ENOTDIR,
    errno.EISDIR,
    errno.EMFILE,
    errno.ENFILE,
    errno.ENOMEM,
    errno.ESTALE,
)
_UNREADABLE = "The journal {} cannot be read as it was written:"
_LOCKED = "Could not set lock on file"


def is_lock_conflict(error: duckdb.Error) -> bool:
    """Whether another process has the file itself open (a DuckDB shell, for example)."""
    return _LOCKED in str(error)


def opening_fault(error: duckdb.Error, path: Path) -> RayschedError:
    """Why the journal could not be opened: locked, full, failed; anything else is damage."""
    if is_lock_conflict(error):
        holder = re.search(r"PID (\d+)", str(error))
        return locked(path, f"process {holder[1]}" if holder else None)
    return _storage_fault(error, path) or damaged(path, error)


def reading_fault(error: duckdb.Error, path: Path) -> RayschedError:
    """Why records could not be read back."""
    return _storage_fault(error, path) or damaged(path, error)


def writing_fault(error: duckdb.Error | OSError, path: Path) -> RayschedError:
    """Why records could not be made durable."""
    return _storage_fault(error, path) or _failed(error, path)


def locked(path: Path, holder: str | None) -> StateLocked:
    """Someone else has the journal; ``holder`` names who, if that is known."""
    who = holder or "another process"
    return StateLocked(
        f"The journal {path} is in use by {who}.",
        remedy=f"Stop {who} or wait until it ends, or choose another state folder.",
        path=str(path),
        holder=holder,
    )


def damaged(path: Path, why: object) -> JournalDamaged:
    """The file is there and can be read, but is not what was written."""
    words = _UNREADABLE.format(path)
    return JournalDamaged(
        f"{words} {_first_line(why).removeprefix(words).strip()}",
        remedy="Nothing was changed. Stop the service and run `raysched journal repair`; if that "
        f"cannot mend it, keep a copy of {path.parent}, then restore a backup or start a new one.",
        path=str(path),
    )


def _storage_fault(error: duckdb.Error | OSError, path: Path) -> RayschedError | None:
    if _means(error, _FULL):
        return StorageFull(
            f"There is no room to write the journal {path}: {_first_line(error)}",
            remedy=f"Make room on the disk of {path.parent}; what was acknowledged is safe.",
            path=str(path),
        )
    if _means(error, _FAILED) or isinstance(error, duckdb.OutOfMemoryException):
        return _failed(error, path)
    return None


def _failed(error: duckdb.Error | OSError, path: Path) -> StorageFailed:
    return StorageFailed(
        f"The journal {path} cannot be used: {_first_line(error)}",
        remedy=f"Check that {path.parent} is a folder on a healthy local disk that this user may "
        "write, or choose another state folder; what was acknowledged is safe.",
        path=str(path),
    )


def _means(error: duckdb.Error | OSError, codes: tuple[int, ...]) -> bool:
    if isinstance(error, OSError):
        return error.errno in codes
    return any(os.strerror(code) in str(error) for code in codes)


def _first_line(error: object) -> str:
    return str(error).partition("\n")[0].strip()
