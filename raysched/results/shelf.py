"""The shelf of one user: what their jobs have computed, by content, for their later jobs.

    {state}/shelf/{user}/{made by}/{kind}/{key}        checksum, then the content

``made by`` names the versions of what computes: another one computes anew. An entry is a copy that
may go at any time: what is missing or damaged is computed again, and a shelf that cannot be written
or read makes nothing fail. Nobody else's jobs are told where it is.
"""

from __future__ import annotations

import fcntl
import hashlib
import logging
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from raysched.imaging.planning import content_hash
from raysched.results.manifest import versions
from raysched.results.storage import DISK, Disk, unique

log = logging.getLogger(__name__)

DIGEST_BYTES = hashlib.sha256().digest_size
ROOM_LEFT = 0.9
"""A shelf that is too full is emptied to this share, so that not every job has to."""
ABANDONED_S = 3600.0
"""A file still unnamed after this time was left by a process that died."""


class Shelf:
    """``most_bytes``: beyond this, what has not been used for longest goes; 0 keeps nothing."""

    def __init__(self, folder: Path | None, most_bytes: int = 0, disk: Disk = DISK) -> None:
        self._top = folder if most_bytes else None
        self._folder = self._top / content_hash(versions())[:16] if self._top else None
        self._most_bytes = most_bytes
        self._disk = disk

    @property
    def is_there(self) -> bool:
        """Whether anything is kept at all."""
        return self._folder is not None

    def take(self, kind: str, key: str) -> bytes | None:
        """What was put under a key; None if nothing was, or it is damaged."""
        if self._folder is None:
            return None
        path = self._folder / kind / key
        try:
            entry = path.read_bytes()
            os.utime(path)  # it was used just now
        except FileNotFoundError:
            return None
        except OSError as error:
            log.warning("%s cannot be used again: %s.", path, error.strerror)
            return None
        content = entry[DIGEST_BYTES:]
        if hashlib.sha256(content).digest() != entry[:DIGEST_BYTES]:
            log.warning("%s is damaged; what it held is computed again.", path)
            return None
        return content

    def put(self, kind: str, key: str, content: bytes) -> None:
        """Keep something under a key, in place of what is there."""
        if self._folder is None:
            return
        path = self._folder / kind / key
        fresh = path.with_name(f".{path.name}.{unique()}")
        self._disk.step("shelve", path)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            fresh.write_bytes(hashlib.sha256(content).digest() + content)
            fresh.replace(path)
        except OSError as error:
            log.warning("%s cannot be kept for later jobs: %s.", path, error.strerror)
            with suppress(OSError):
                fresh.unlink(missing_ok=True)

    @contextmanager
    def one_at_a_time(self, kind: str, key: str) -> Iterator[None]:
        """Hold back other processes that would compute the same; the kernel drops the lock when its
        holder ends, however it ends."""
        if self._folder is None:
            yield
            return
        path = self._folder / "locks" / f"{kind}-{key}"
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            lock = path.open("wb")
            fcntl.flock(lock, fcntl.LOCK_EX)
        except OSError as error:
            log.warning("%s cannot be locked: %s. Work may be done twice.", path, error.strerror)
            yield
            return
        with lock:
            yield

    def trim(self) -> None:
        """Keep within the limit: what was not used for longest goes first."""
        if self._top is None:
            return
        entries = sorted(_entries(self._top), key=lambda entry: entry[0])
        total = sum(size for _, size, _ in entries)
        if total <= self._most_bytes:
            return
        self._disk.step("trim", self._top)
        for _, size, path in entries:
            if total <= self._most_bytes * ROOM_LEFT:
                return
            with suppress(OSError):  # tried again by the next job
                path.unlink(missing_ok=True)
                total -= size


NO_SHELF = Shelf(None)


def _entries(folder: Path) -> Iterator[tuple[float, int, Path]]:
    """When each entry was used last, in seconds since the epoch, and its bytes."""
    for top, _, names in os.walk(folder):
        for name in names:
            path = Path(top) / name
            try:
                status = path.stat()
            except OSError:  # a twin trims too
                continue
            if not name.startswith("."):
                yield status.st_mtime, status.st_size, path
            elif status.st_mtime < time.time() - ABANDONED_S:
                yield 0.0, status.st_size, path
