"""An object store as this package uses it: whole objects, and one that is replaced only as known.

Speaks S3, which most stores do. Credentials are those of the machine: the variables ``AWS_*``, a
web identity or the instance's own, found by the library on each node; none is kept or sent along.
"""

from __future__ import annotations

import errno
import logging
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import obstore
from obstore.exceptions import (
    AlreadyExistsError,
    BaseError,
    PermissionDeniedError,
    PreconditionError,
    UnauthenticatedError,
)
from obstore.store import S3Store

if TYPE_CHECKING:
    from obstore.store import S3Config

from raysched.errors import StorageFailed, StorageFull
from raysched.results.remote.place import StorePlace
from raysched.results.storage import unique

log = logging.getLogger(__name__)

PIECE_BYTES = 8 * 2**20
AT_ONCE = 8
"""Objects on the way at once, of one unit: each waits mostly for the other side."""
FETCH_BYTES = 64 * 2**20
"""Of one request: one that is cut off costs no more than that."""
PATIENCE = timedelta(seconds=60)
"""A store that is away for longer fails the unit, which is tried again later."""
SILENCE = timedelta(seconds=30)
REQUEST = timedelta(minutes=10)
"""A request may take so long, if something of it comes all the time."""

Check = Callable[[], None]


def go_on() -> None:
    """Nobody wants to stop it."""


class Bucket:
    """The objects below one URL, by key. Every method raises ``StorageFailed`` where the store does
    not do as told, ``StorageFull`` where this node's disk has no room."""

    def __init__(self, place: StorePlace) -> None:
        self.url = place.url.rstrip("/")
        self._store = _store(self.url, place.endpoint, place.region)

    def check(self) -> None:
        """Raise ``StorageFailed`` unless the store keeps what it is given and replaces an object
        only as known: publication rests on it, and not every store that speaks S3 does it."""
        key = f"checks/{unique()}"
        contents = [f"{number} {unique()}".encode() for number in range(4)]
        try:
            made = self.replace(key, contents[0], None)
            found = self.read_marked(key)
            if not made or found is None or found[0] != contents[0]:
                raise _unfit("does not keep what it is given")
            again = self.replace(key, contents[1], None)
            known = self.replace(key, contents[2], found[1])
            stale = self.replace(key, contents[3], found[1])
            if again or stale or not known:
                raise _unfit("does not heed If-Match and If-None-Match")
        finally:
            self.drop([key])

    def read(self, key: str) -> bytes | None:
        """An object's content; None where there is none."""
        found = self.read_marked(key)
        return None if found is None else found[0]

    def read_marked(self, key: str) -> tuple[bytes, str] | None:
        """Its content, and the mark by which ``replace`` knows this state of it again."""
        with self._reaching(key):
            try:
                got = obstore.get(self._store, key)
                return bytes(got.bytes()), got.meta["e_tag"] or ""
            except FileNotFoundError:
                return None

    def write(self, key: str, content: bytes) -> None:
        """Make or replace an object, all at once."""
        with self._reaching(key):
            obstore.put(self._store, key, content)

    def replace(self, key: str, content: bytes, known: str | None) -> bool:
        """Replace an object only if it still has the mark ``known``, or make it only if there is
        none (None). Whether that was so. ``content`` must be of this call alone: an answer may be
        lost after the store has done it, and then it is recognised by it."""
        with self._reaching(key):
            try:
                obstore.put(
                    self._store, key, content, mode="create" if known is None else {"e_tag": known}
                )
            except (AlreadyExistsError, PreconditionError, FileNotFoundError):
                return self.read(key) == content
            return True

    def size(self, key: str) -> int | None:
        """Bytes of an object; None where there is none."""
        with self._reaching(key):
            try:
                return int(obstore.head(self._store, key)["size"])
            except FileNotFoundError:
                return None

    def sizes(self, folder: str) -> dict[str, int]:
        """All objects below ``folder``: bytes by the rest of the key."""
        with self._reaching(folder):
            return {
                each["path"].removeprefix(f"{folder}/"): int(each["size"])
                for batch in obstore.list(self._store, folder)
                for each in batch
            }

    def fetch(self, key: str, path: Path, check: Check = go_on) -> None:
        """Copy an object into a file, which appears when it is complete. ``check`` is called before
        each piece, and may raise."""
        fresh = path.with_name(f".{path.name}.{unique()}")
        path.parent.mkdir(parents=True, exist_ok=True)
        with self._reaching(key):
            try:
                size = int(obstore.head(self._store, key)["size"])
                with fresh.open("wb") as file:
                    for start in range(0, size, FETCH_BYTES):
                        check()
                        length = min(FETCH_BYTES, size - start)
                        piece = obstore.get_range(self._store, key, start=start, length=length)
                        file.write(piece)
                fresh.replace(path)
            finally:
                fresh.unlink(missing_ok=True)

    def send(self, path: Path, key: str) -> None:
        """Copy a file into an object, which appears when it is complete."""
        with self._reaching(key):
            obstore.put(self._store, key, path, chunk_size=PIECE_BYTES)

    def fetch_all(
        self, folder: str, names: Iterable[str], into: Path, check: Check = go_on
    ) -> None:
        """``fetch`` several from below a folder, under the same names."""
        self._each(lambda name: self.fetch(f"{folder}/{name}", into / name, check), names)

    def send_all(self, top: Path, names: Iterable[str], folder: str) -> None:
        """``send`` several to below a folder, under the same names."""
        self._each(lambda name: self.send(top / name, f"{folder}/{name}"), names)

    def remove(self, folder: str) -> None:
        """Remove all objects below ``folder``; none is no fault."""
        self.drop([f"{folder}/{name}" for name in self.sizes(folder)])

    def drop(self, keys: list[str]) -> None:
        """Remove objects by key; those that are not there are passed over."""
        with self._reaching(keys[0] if keys else ""):
            if keys:
                obstore.delete(self._store, keys)

    def _each(self, work: Callable[[str], None], names: Iterable[str]) -> None:
        threads = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="objects")
        try:
            for done in [threads.submit(work, name) for name in names]:
                done.result()
        finally:  # the first failure is enough
            threads.shutdown(cancel_futures=True)

    @contextmanager
    def _reaching(self, key: str) -> Iterator[None]:
        try:
            yield
        except (BaseError, OSError) as error:
            if isinstance(error, OSError) and error.errno in {errno.ENOSPC, errno.EDQUOT}:
                raise StorageFull(
                    "The disk on which this node keeps copies from the object store is full.",
                    remedy="Free space on it or lower storage.slides_gb, then retry: finished "
                    "chunks are kept.",
                ) from error
            log.warning("The object store %s says of %s: %s", self.url, key, error)
            raise StorageFailed(
                f"The object store has not done as told with {key}: {_why(error)}.",
                remedy="Check storage.url, its endpoint and the credentials (AWS_*) on every node, "
                "then retry: finished chunks are kept.",
            ) from error


def _unfit(what: str) -> StorageFailed:
    return StorageFailed(
        f"The object store of storage.url {what}.",
        remedy="Use one that replaces objects conditionally: Amazon S3, MinIO, Ceph, Cloudflare R2 "
        "do in their present versions.",
    )


def _why(error: BaseException) -> str:
    """In words; the library's own, which go into the log, are a page long."""
    if isinstance(error, (UnauthenticatedError, PermissionDeniedError)):
        return "it does not take this node's credentials"
    if isinstance(error, FileNotFoundError):
        return "there is no such bucket or object"
    if isinstance(error, OSError):
        return error.strerror or str(error)
    return "it does not answer, or not as a store does"


@cache
def _store(url: str, endpoint: str | None, region: str | None) -> S3Store:
    """One for all uses in a process: it keeps connections open."""
    config: S3Config = {}
    if endpoint:
        config["endpoint"] = endpoint
    if region:
        config["region"] = region
    return S3Store.from_url(
        url,
        config=config,
        client_options={
            "allow_http": (endpoint or "").startswith("http://"),
            "connect_timeout": timedelta(seconds=10),
            "read_timeout": SILENCE,
            "timeout": REQUEST,
        },
        retry_config={"retry_timeout": PATIENCE},
    )
