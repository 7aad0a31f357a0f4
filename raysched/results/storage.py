"""The one door through which this package changes files, and what a failing disk is called.

Every change is preceded by ``Disk.step``. Tests pass a disk whose steps fail, to stop the work
between any two changes; nothing else is hooked.
"""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from raysched.errors import StorageFailed, StorageFull

NO_ROOM = {errno.ENOSPC, errno.EDQUOT}
SYNCS_AT_ONCE = 8
NOT_EMPTY = {errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR}
NOT_ONE_SYSTEM = {errno.EXDEV, errno.EBUSY}


class Disk:
    """Changes files so that a reader, or a twin of the writer, never sees half of one."""

    def step(self, what: str, path: Path) -> None:
        """Called before each change of a file or folder. Raising here stops the change."""

    def folder(self, path: Path) -> None:
        """Make a folder; its parent must exist, so a removed staging folder is not revived."""
        self.step("folder", path)
        path.mkdir(exist_ok=True)

    def write(self, path: Path, data: bytes) -> None:
        """Replace a file by ``data`` atomically and durably."""
        with self.replacing(path) as file:
            file.write(data)

    @contextmanager
    def replacing(self, path: Path) -> Iterator[BinaryIO]:
        """A new file that takes its name only when it is complete and on the disk."""
        fresh = path.parent / f".{path.name}.{unique()}"
        try:
            with self.fresh(fresh) as file:
                yield file
            self.step("replace", path)
            fresh.replace(path)
        finally:
            self._forget(fresh)
        self.sync(path.parent)

    @contextmanager
    def fresh(self, path: Path) -> Iterator[BinaryIO]:
        """A new file in a folder that nobody else reads yet; synced when it is closed."""
        self.step("create", path)
        with path.open("wb") as file:
            yield file
            self.step("sync", path)
            file.flush()
            os.fsync(file.fileno())

    def rename(self, old: Path, new: Path) -> None:
        """Give a file or folder another name on the same file system, durably."""
        self.step("rename", new)
        old.rename(new)
        self.sync(new.parent)
        if old.parent != new.parent:
            self.sync(old.parent)

    def sync(self, folder: Path) -> None:
        """Make the names in a folder durable."""
        self.step("sync", folder)
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)

    def sync_tree(self, top: Path) -> None:
        """Make everything below a folder durable. Several at once: then one commit of the file
        system's own journal serves many."""
        folders = []
        with ThreadPoolExecutor(SYNCS_AT_ONCE, thread_name_prefix="sync") as threads:
            synced = []
            for folder, _, names in os.walk(top, topdown=False):
                folders.append(Path(folder))
                synced += [threads.submit(_sync_file, Path(folder) / name) for name in names]
            for each in synced:
                each.result()
        for folder_path in folders:
            self.sync(folder_path)

    def remove_tree(self, top: Path) -> None:
        """Remove a folder. A twin that does the same, or still writes there, does no harm."""
        self.step("remove", top)
        shutil.rmtree(top, ignore_errors=True)

    def _forget(self, path: Path) -> None:
        if path.exists():
            self.step("remove", path)
            path.unlink(missing_ok=True)


class Scratch(Disk):
    """For folders that are thrown away as soon as their content is elsewhere: nothing is synced."""

    @contextmanager
    def fresh(self, path: Path) -> Iterator[BinaryIO]:
        """See ``Disk.fresh``."""
        self.step("create", path)
        with path.open("wb") as file:
            yield file

    def sync(self, folder: Path) -> None:
        """See ``Disk.sync``."""

    def sync_tree(self, top: Path) -> None:
        """See ``Disk.sync_tree``."""


def _sync_file(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())


DISK = Disk()
SCRATCH = Scratch()


def unique() -> str:
    """A name part that no other writer uses."""
    return uuid.uuid4().hex[:12]


@contextmanager
def lock(path: Path, *, shared: bool = False, wait: bool = True) -> Iterator[bool]:
    """Hold the lock of a file; whether it is held: without ``wait`` another may have it. Locks of
    one process exclude each other as those of several do."""
    how = (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | (0 if wait else fcntl.LOCK_NB)
    with path.open("ab") as file:
        try:
            fcntl.flock(file, how)
        except BlockingIOError:
            yield False
            return
        yield True


@contextmanager
def storage(place: Path) -> Iterator[None]:
    """Turn what the operating system says about a results folder into ``ClusterError`` leaves.

    Raises ``StorageFull`` when the disk or the quota has no room, ``StorageFailed`` otherwise.
    """
    try:
        yield
    except OSError as error:
        if error.errno in NO_ROOM:
            raise StorageFull(
                f"The disk that holds {place.parent} is full.",
                remedy=f"Free space on it ({_free(place)} left) or choose another --out, then "
                "retry: finished chunks are kept.",
                path=str(place),
            ) from error
        remedy = "Check that the folder exists, is writable and its disk is healthy, then retry."
        if error.errno in NOT_ONE_SYSTEM:
            remedy = "Give --out a folder below the mount point, not the mount point itself."
        where = error.filename or place
        raise StorageFailed(
            f"{where} cannot be written or read: {error.strerror or error}.",
            remedy=remedy,
            path=str(where),
        ) from error


def is_not_empty(error: OSError) -> bool:
    """Whether a rename failed because something has the new name already."""
    return error.errno in NOT_EMPTY


def size_of(place: Path) -> int:
    """Bytes of a file, or of all files in a folder; 0 when it is gone. Links are passed over."""
    inside = place.rglob("*") if place.is_dir() else [place]
    return sum(path.stat().st_size for path in inside if path.is_file() and not path.is_symlink())


def readable_size(size_bytes: int) -> str:
    """Bytes in the unit that suits them."""
    for unit, many in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if size_bytes >= many:
            return f"{size_bytes / many:,.1f} {unit}"
    return f"{size_bytes} bytes"


def _free(place: Path) -> str:
    for folder in place.parents:
        if folder.is_dir():
            return f"{shutil.disk_usage(folder).free / 1e6:,.0f} MB"
    return "unknown room"
