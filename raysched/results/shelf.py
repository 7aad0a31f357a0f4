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
import shutil
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import BinaryIO

import raysched
from raysched.imaging.planning import content_hash
from raysched.results.manifest import versions
from raysched.results.storage import DISK, Disk, unique

log = logging.getLogger(__name__)

DIGEST_BYTES = hashlib.sha256().digest_size
ROOM_LEFT = 0.9
"""A shelf that is too full is emptied to this share, so that not every job has to."""
LEAST_FREE_BYTES = 2 * 10**9
"""The journal is on the same disk: what only saves time leaves it this much."""
LOCKS, LOCK_WAIT_S, LOCK_LOOK_S = "locks", 10.0, 0.05
ABANDONED_S = 3600.0
"""A file still unnamed after this time was left by a process that died."""


class Shelf:
    """``most_bytes``: beyond this, what has not been used for longest goes; 0 keeps nothing."""

    def __init__(self, folder: Path | None, most_bytes: int = 0, disk: Disk = DISK) -> None:
        self._top = folder if most_bytes else None
        self._folder = self._top / _made_by() if self._top else None
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
        except FileNotFoundError:
            return None
        except OSError as error:
            log.warning("%s cannot be used again: %s.", path, error.strerror)
            return None
        with suppress(OSError):
            os.utime(path)  # it was used just now
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
            if shutil.disk_usage(path.parent).free < LEAST_FREE_BYTES + len(content):
                log.warning("%s is not kept for later jobs: the disk is nearly full.", path)
                return
            fresh.write_bytes(hashlib.sha256(content).digest() + content)
            fresh.replace(path)
        except OSError as error:
            log.warning("%s cannot be kept for later jobs: %s.", path, error.strerror)
            with suppress(OSError):
                fresh.unlink(missing_ok=True)
        else:
            self._count(len(content))

    def drop(self, kind: str, key: str) -> None:
        """Forget what was put under a key."""
        if self._folder is not None:
            self._disk.step("drop", self._folder / kind / key)
            with suppress(OSError):
                (self._folder / kind / key).unlink(missing_ok=True)

    @contextmanager
    def one_at_a_time(self, kind: str, key: str) -> Iterator[None]:
        """Hold back other processes that would compute the same, for some seconds at most; the
        kernel drops the lock when its holder ends, however it ends."""
        if self._folder is None:
            yield
            return
        # A few files for all keys, which are never removed: a lock on a removed file locks nothing.
        path = self._folder / LOCKS / hashlib.sha256(f"{kind}/{key}".encode()).hexdigest()[:2]
        with ExitStack() as held:
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
                _lock(held.enter_context(path.open("wb")))
            except OSError as error:
                log.warning("%s is not locked: %s. Work may be done twice.", path, error)
            yield

    def _count(self, size: int) -> None:
        """Trim at this process's first entry, and whenever it has added a good part of the limit:
        looking at every entry takes a second for a hundred thousand."""
        assert self._top is not None
        with _counting:
            added = _added.get(self._top)
            is_due = added is None or added + size > self._most_bytes * (1 - ROOM_LEFT)
            _added[self._top] = 0 if is_due else (added or 0) + size
        if is_due:
            self.trim()

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
                path.parent.rmdir()  # where that was the last


NO_SHELF = Shelf(None)


def _made_by() -> str:
    """Names the versions of what computes."""
    return content_hash([versions(), _own_code()])[:16]


@cache
def _own_code() -> str:
    """Digest of the code that finds and measures: its version does not change with every commit."""
    whole = hashlib.sha256()
    for folder in ("imaging", "results"):
        for path in sorted((Path(raysched.__file__).parent / folder).rglob("*.py")):
            whole.update(path.read_bytes())
    return whole.hexdigest()


_added: dict[Path, int] = {}
"""Bytes that this process has put on each shelf since it last trimmed it."""
_counting = threading.Lock()


def _lock(file: BinaryIO) -> None:
    """Raises ``TimeoutError`` where another holds the lock for long."""
    until = time.monotonic() + LOCK_WAIT_S
    while True:
        try:
            return fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > until:
                raise TimeoutError(f"another job has held it for {LOCK_WAIT_S:g} s") from None
        time.sleep(LOCK_LOOK_S)


def _entries(folder: Path) -> Iterator[tuple[float, int, Path]]:
    """When each entry was used last, in seconds since the epoch, and its bytes."""
    for top, folders, names in os.walk(folder):
        if LOCKS in folders:
            folders.remove(LOCKS)
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
