"""Slides on their way: into the store once, and from there onto each node that works on them, once.

A slide goes by the digest of what it is made of, so a copy can be checked wherever it arrives. A
node keeps copies up to a bound; the one that was not used for longest goes first, never one in use.
"""

from __future__ import annotations

import fcntl
import hashlib
import logging
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from raysched.errors import SlideChanged, SlideMissing, StorageFailed
from raysched.imaging.slide import file_state, slide_sha256
from raysched.results.remote.bucket import Bucket, Check
from raysched.results.remote.place import StorePlace
from raysched.results.storage import DISK, size_of, unique

log = logging.getLogger(__name__)

SLIDES = "slides"
WITH_FOLDER = ".mrxs"
BY_FOLDER = {".dcm", ".vms", ".vmu"}
"""Of several files: with a folder of the same name, and with all that is in theirs."""


def keep_slide(path: Path, bucket: Bucket, place: StorePlace) -> str:
    """Have a slide in the store; returns its key. One that is there is not sent again.

    Raises ``StorageFailed`` and what reading the slide raises.
    """
    files = _files(path)
    top, states = path.parent, _states(files)
    digest = _digest(path, files, place)
    key = f"{SLIDES}/{digest}/{path.name}"
    there = bucket.sizes(f"{SLIDES}/{digest}")
    if all(there.get(str(file.relative_to(top))) == file.stat().st_size for file in files):
        return key
    others = [str(file.relative_to(top)) for file in files if file != path]
    bucket.send_all(top, others, f"{SLIDES}/{digest}")
    bucket.send(path, key)  # last: where it is, all of it is
    if _states(files) != states:
        bucket.drop([key])
        raise SlideChanged(
            f"{path.name} changed while it was sent to the object store.",
            remedy="Submit it again when it is complete.",
            path=str(path),
        )
    return key


class NodeSlides:
    """The copies on this node. ``check`` is called while one is fetched, and may raise."""

    def __init__(self, bucket: Bucket, place: StorePlace) -> None:
        self._bucket = bucket
        self._top = place.folder / SLIDES
        self._most_bytes = place.slides_bytes

    @contextmanager
    def held(self, key: str, check: Check) -> Iterator[Path]:
        """The file of a slide, fetched if need be; it stays for as long as this is entered.

        Raises ``SlideMissing``, ``StorageFailed``, ``StorageFull``.
        """
        _, digest, name = key.split("/", 2)
        folder = self._top / digest
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / "lock").open("ab") as lock:
            fcntl.flock(lock, fcntl.LOCK_SH)
            while not (folder / "all" / name).exists():
                fcntl.flock(lock, fcntl.LOCK_EX)  # whoever waited longer has fetched it meanwhile
                if not (folder / "all" / name).exists():
                    self._fetch(digest, folder / "all", name, check)
                fcntl.flock(lock, fcntl.LOCK_SH)
            os.utime(folder / "lock")
            yield folder / "all" / name

    def _fetch(self, digest: str, whole: Path, name: str, check: Check) -> None:
        sizes = self._bucket.sizes(f"{SLIDES}/{digest}")
        if name not in sizes:
            raise SlideMissing(
                f"The slide {name} is no longer in the object store.",
                remedy="Submit it again: it is sent there anew.",
                path=name,
            )
        self._make_room(sum(sizes.values()))
        coming = whole.with_name("coming")
        shutil.rmtree(coming, ignore_errors=True)
        self._bucket.fetch_all(f"{SLIDES}/{digest}", sizes, coming, check)
        if _digest_of(coming / name, sorted(coming / each for each in sizes)) != digest:
            shutil.rmtree(coming, ignore_errors=True)
            raise StorageFailed(
                f"The slide {name} has not arrived from the object store as it was sent.",
                remedy=f"Retry; if it happens again, remove {SLIDES}/{digest} from the store and "
                "submit the slide again.",
            )
        DISK.sync_tree(coming)  # it is not looked at so closely again
        DISK.rename(coming, whole)
        log.info("%s has come onto this node, %s bytes.", name, sum(sizes.values()))

    def _make_room(self, wanted: int) -> None:
        """Remove what is not in use, oldest first, until there is room within the bound."""
        kept = [(lock.stat().st_mtime, lock) for lock in self._top.glob("*/lock")]
        sizes = {lock: size_of(lock.parent) for _, lock in kept}
        total = sum(sizes.values())
        for _, lock in sorted(kept):
            if total + wanted <= self._most_bytes:
                return
            if sizes[lock] and _removed(lock):
                total -= sizes[lock]


def _removed(lock: Path) -> bool:
    """Whether a copy was not in use, and has gone."""
    with lock.open("ab") as file:
        if not _is_free(file):
            return False
        for left in lock.parent.glob("gone-*"):
            DISK.remove_tree(left)
        DISK.remove_tree(lock.parent / "coming")
        with suppress(FileNotFoundError):
            gone = lock.parent / f"gone-{unique()}"  # whole, or not there at all
            DISK.rename(lock.parent / "all", gone)
            DISK.remove_tree(gone)
        return True


def _is_free(lock: BinaryIO) -> bool:
    with suppress(BlockingIOError):
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return True
    return False


def _files(path: Path) -> list[Path]:
    """All files that a slide is made of."""
    ending = path.suffix.lower()
    if ending == WITH_FOLDER:
        beside = [each for each in path.with_suffix("").rglob("*") if each.is_file()]
        return sorted([path, *beside])
    if ending in BY_FOLDER:
        return sorted(each for each in path.parent.iterdir() if each.is_file())
    return [path]


def _states(files: list[Path]) -> str:
    """Names their content as far as the system tells without reading it."""
    return "\n".join(f"{file} {file_state(file)}" for file in files)


def _digest(path: Path, files: list[Path], place: StorePlace) -> str:
    """As ``_digest_of``; known again as long as the system says that the files are untouched."""
    name = hashlib.sha256(f"{path}\n{_states(files)}".encode()).hexdigest()
    known = place.folder / "digests" / name
    with suppress(FileNotFoundError):
        return known.read_text()
    digest = _digest_of(path, files)
    known.parent.mkdir(parents=True, exist_ok=True)
    DISK.write(known, digest.encode())
    return digest


def _digest_of(path: Path, files: list[Path]) -> str:
    """SHA-256 as hex of the slide's name, and of the names and digests of all that it is made of:
    the same bytes under another name are another slide."""
    each = [f"{file.relative_to(path.parent)} {slide_sha256(file)}" for file in files]
    return hashlib.sha256("\n".join([path.name, *each]).encode()).hexdigest()
