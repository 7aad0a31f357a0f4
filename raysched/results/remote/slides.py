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
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from raysched.errors import SlideMissing, StorageFailed
from raysched.imaging.slide import file_state, slide_sha256
from raysched.results.remote.bucket import Bucket
from raysched.results.remote.place import StorePlace
from raysched.results.storage import DISK, size_of

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
    top = path.parent
    digest = _digest(files, top, place)
    key = f"{SLIDES}/{digest}/{path.name}"
    if bucket.size(key) != path.stat().st_size:
        others = [str(file.relative_to(top)) for file in files if file != path]
        bucket.send_all(top, others, f"{SLIDES}/{digest}")
        bucket.send(path, key)  # last: where it is, all of it is
    return key


class NodeSlides:
    """The copies on this node. ``check`` is called while one is fetched, and may raise."""

    def __init__(self, bucket: Bucket, place: StorePlace) -> None:
        self._bucket = bucket
        self._top = place.folder / SLIDES
        self._most_bytes = place.slides_bytes

    @contextmanager
    def held(self, key: str, check: Callable[[], None]) -> Iterator[Path]:
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
                    check()
                    self._fetch(digest, folder / "all", name)
                fcntl.flock(lock, fcntl.LOCK_SH)
            os.utime(folder / "lock")
            yield folder / "all" / name

    def _fetch(self, digest: str, whole: Path, name: str) -> None:
        sizes = self._bucket.sizes(f"{SLIDES}/{digest}")
        if name not in sizes:
            raise SlideMissing(
                f"The slide {name} is no longer in the object store.",
                remedy="Submit it again: it is sent there anew.",
                path=f"{self._bucket.url}/{SLIDES}/{digest}/{name}",
            )
        self._make_room(sum(sizes.values()))
        coming = whole.with_name("coming")
        shutil.rmtree(coming, ignore_errors=True)
        self._bucket.fetch_all(f"{SLIDES}/{digest}", sizes, coming)
        if _digest_of(sorted(coming / each for each in sizes), coming) != digest:
            shutil.rmtree(coming, ignore_errors=True)
            raise StorageFailed(
                f"The slide {name} has not arrived from the object store as it was sent.",
                remedy=f"Retry; if it happens again, remove {SLIDES}/{digest} from the store and "
                "submit the slide again.",
            )
        coming.rename(whole)
        log.info("%s has come onto this node, %s bytes.", name, sum(sizes.values()))

    def _make_room(self, wanted: int) -> None:
        """Remove what is not in use, oldest first, until there is room within the bound."""
        kept = [(lock.stat().st_mtime, lock) for lock in self._top.glob("*/lock")]
        sizes = {lock: size_of(lock.parent / "all") for _, lock in kept}
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
        DISK.remove_tree(lock.parent / "all")
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
        return sorted(each for each in path.parent.rglob("*") if each.is_file())
    return [path]


def _digest(files: list[Path], top: Path, place: StorePlace) -> str:
    """As ``_digest_of``; known again as long as the system says that the files are untouched."""
    states = "\n".join(f"{file} {file_state(file)}" for file in files)
    known = place.folder / "digests" / hashlib.sha256(states.encode()).hexdigest()
    with suppress(FileNotFoundError):
        return known.read_text()
    digest = _digest_of(files, top)
    known.parent.mkdir(parents=True, exist_ok=True)
    DISK.write(known, digest.encode())
    return digest


def _digest_of(files: list[Path], top: Path) -> str:
    """SHA-256 as hex: of the file, or where there are several, of their names and digests."""
    if len(files) == 1:
        return slide_sha256(files[0])
    whole = "\n".join(f"{file.relative_to(top)} {slide_sha256(file)}" for file in files)
    return hashlib.sha256(whole.encode()).hexdigest()
