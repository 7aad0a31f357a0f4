"""Taking a file in piece by piece. What has arrived is the size of a file, and nothing else says
so: a process that dies in the middle of a piece leaves what it wrote, and the sender goes on there.

Pieces of one upload are written by one request at a time, under a lock that ends with its holder.
"""

from __future__ import annotations

import base64
import hashlib
import os
import shutil
import time
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from raysched.errors import (
    ChecksumDiffers,
    Conflict,
    LimitReached,
    NotFound,
    PieceTooLarge,
    QuotaFull,
    StorageFull,
    UploadBusy,
    UploadRefused,
)
from raysched.results.shelf import LEAST_FREE_BYTES
from raysched.results.storage import DISK, lock, readable_size, unique
from serve_app.slides.names import HEAD_BYTES, check_beginning, checked_name, suffix_of
from serve_app.slides.record import (
    UPLOAD,
    SlideRecord,
    UploadRecord,
    read_record,
    read_upload,
    write_record,
)
from serve_app.slides.store import (
    DATA,
    SLIDE_ID,
    SlideStore,
    new_id,
    open_uploads,
    storing,
)

MOST_OPEN = 100
"""Unfinished uploads of one user."""
BUSY = "busy.lock"


@dataclass(frozen=True, slots=True)
class Arriving:
    """An upload: what was announced, and how much is there. ``slide``: it is whole."""

    record: UploadRecord
    offset: int
    active_at: float
    slide: SlideRecord | None = None


class Uploads:
    """The uploads of one user. ``keep_s``: how long one is kept without a byte, in seconds."""

    def __init__(self, store: SlideStore, keep_s: float) -> None:
        self._store = store
        self._keep_s = keep_s

    def create(self, name: str, size: int, quota: int, sha256: str | None = None) -> Arriving:
        """Make room for a file of ``size`` bytes. ``quota`` 0: none.

        Raises ``BadFileName``, ``UploadRefused``, ``QuotaFull``, ``StorageFull``, ``LimitReached``.
        """
        suffix_of(checked_name(name))
        if size == 0:
            raise UploadRefused(f"{name!r} is empty (0 bytes).", remedy="Upload the whole slide.")
        self.sweep()
        store, now = self._store, datetime.now(UTC)
        record = UploadRecord(
            id=new_id(),
            name=name,
            created_at=now,
            size_bytes=size,
            quota_bytes=quota,
            wanted_sha256=sha256,
        )
        with store.locked(), storing(store.folder):
            store.check_count()
            if sum(1 for _ in open_uploads(store.folder)) >= MOST_OPEN:
                raise LimitReached(
                    f"You have {MOST_OPEN} unfinished uploads.", remedy="Finish or delete some."
                )
            check_quota(f"{name!r} has", size, store.used(), quota)
            with lock(store.top / ".lock"):  # everybody's: the disk is shared
                check_disk(store.top, size)
                self._make(record)
        return Arriving(record, 0, now.timestamp())

    def _make(self, record: UploadRecord) -> None:
        fresh = self._store.uploads / f".{unique()}"
        fresh.mkdir(parents=True)
        (fresh / DATA).touch()
        DISK.write(fresh / UPLOAD, record.model_dump_json().encode())
        DISK.rename(fresh, self._store.uploads / record.id)

    def find(self, upload: str) -> Arriving:
        """One upload, also one that has become a slide. Raises ``NotFound``."""
        folder = self._store.uploads / upload
        if SLIDE_ID.fullmatch(upload):
            with suppress(FileNotFoundError):
                record = read_upload(folder)
                with (folder / DATA).open("rb") as data:
                    os.fsync(data.fileno())  # what is said to be there stays there
                    state = os.fstat(data.fileno())
                return Arriving(record, state.st_size, state.st_mtime)
            with suppress(FileNotFoundError):
                whole = self._store.of(upload)
                slide, record = read_record(whole), read_upload(whole)
                return Arriving(record, record.size_bytes, slide.uploaded_at.timestamp(), slide)
        raise _no_upload(upload)

    def list(self) -> list[Arriving]:
        """All unfinished uploads, newest first."""
        found = []
        for folder, _, arrived in open_uploads(self._store.folder):
            with suppress(FileNotFoundError):
                at = (folder / DATA).stat().st_mtime
                found.append(Arriving(read_upload(folder), arrived, at))
        return sorted(found, key=lambda each: each.record.id, reverse=True)

    def expires_at(self, upload: Arriving) -> float:
        """When an upload is deleted unless more of it arrives; seconds since the epoch."""
        return upload.active_at + self._keep_s

    def delete(self, upload: str) -> None:
        """Give an upload up and free its room, also while a piece of it arrives. Raises
        ``NotFound``; what has become a slide is deleted as a slide."""
        if not SLIDE_ID.fullmatch(upload):
            raise _no_upload(upload)
        with self._store.locked(), storing(self._store.folder):
            try:
                self._store.discard(self._store.uploads / upload)
            except FileNotFoundError:
                raise _no_upload(upload) from None

    def sweep(self) -> None:
        """Delete everybody's uploads of which nothing has arrived for long."""
        limit = time.time() - self._keep_s
        for user in self._store.top.glob("*/.uploads"):
            for folder in user.iterdir():
                with suppress(FileNotFoundError):
                    data = folder / DATA if SLIDE_ID.fullmatch(folder.name) else folder
                    if data.stat().st_mtime < limit:
                        _discard_idle(folder)


class Piece:
    """One request's part in an upload, from its first byte to its last. All calls come from one
    thread, in this order: ``begin``, ``write`` as often as needed, ``end``. Whoever has begun must
    end: what was written is kept, but for a piece with a wrong checksum."""

    def __init__(self, store: SlideStore, upload: str, checksum: str | None = None) -> None:
        self._store = store
        self._folder = store.uploads / upload
        self._upload = upload
        self._held = ExitStack()
        self._is_known = self._is_refused = False
        self._wanted, self._digest = _checksum(checksum)

    def begin(self, offset: int) -> UploadRecord:
        """Raises ``NotFound``, ``UploadBusy``, ``Conflict`` for an offset that is not where the
        upload ends."""
        try:
            self._open(offset)
        except FileNotFoundError:
            self._held.close()
            raise _no_upload(self._upload) from None
        except BaseException:
            self._held.close()
            raise
        return self._record

    def _open(self, offset: int) -> None:
        if not SLIDE_ID.fullmatch(self._upload):
            raise _no_upload(self._upload)
        if not self._held.enter_context(lock(self._folder / BUSY, wait=False)):
            raise UploadBusy(
                f"Another request is sending to {self._upload}.",
                remedy="Wait for it, ask for the offset with HEAD, and go on from there.",
            )
        self._record = read_upload(self._folder)
        data = (self._folder / DATA).open("r+b", buffering=0)
        self._data = self._held.enter_context(data)
        self._begun_at = self._at = self._data.seek(0, os.SEEK_END)
        if offset != self._at:
            raise Conflict(
                f"{self._upload} has {self._at} bytes; this piece begins at {offset}.",
                remedy="Go on from the offset that HEAD says.",
                offset=self._at,
            )

    def write(self, some: bytes) -> None:
        """Append. Raises ``PieceTooLarge`` beyond the size announced, ``UploadRefused`` once it is
        seen that the file is not what its name says: the upload is deleted then."""
        if self._at + len(some) > self._record.size_bytes:
            raise PieceTooLarge(
                f"{self._upload} was announced with {self._record.size_bytes} bytes; this is more.",
                remedy="Send what was announced, or begin a new upload.",
            )
        with storing(self._folder):
            view = memoryview(some)
            while view:
                written = self._data.write(view)
                view = view[written:]
                self._at += written
        if self._digest is not None:
            self._digest.update(some)
        if self._at >= HEAD_BYTES:
            self._look()

    def end(self) -> int:
        """Make what was written durable; the size that it has now. The last byte makes a slide of
        the upload. Raises ``ChecksumDiffers``: nothing of the piece is kept; ``UploadRefused``."""
        with self._held:
            if self._digest is not None and self._digest.digest() != self._wanted:
                self._data.truncate(self._begun_at)
                raise ChecksumDiffers(
                    f"A piece of {self._upload} has another checksum than Upload-Checksum says.",
                    remedy="Send the piece again.",
                )
            with storing(self._folder):
                os.fsync(self._data.fileno())
            if self._at == self._record.size_bytes:
                self._look()
                self._finish()
            return self._at

    def give_up(self) -> None:
        """End without an answer: the sender has gone. What is whole becomes a slide all the same;
        with a checksum, what was written was not checked, so it is not kept."""
        if self._is_refused:
            self._held.close()
        elif self._digest is not None:
            with self._held:
                self._data.truncate(self._begun_at)
        else:
            self.end()

    def _look(self) -> None:
        if not self._is_known:
            try:
                check_beginning(self._record.name, os.pread(self._data.fileno(), 256, 0))
            except UploadRefused:
                self._is_refused = True
                with self._store.locked(), suppress(FileNotFoundError):
                    self._store.discard(self._folder)
                raise
            self._is_known = True

    def _finish(self) -> None:
        """The upload becomes a slide, by one rename."""
        record = SlideRecord(
            id=self._record.id,
            name=self._record.name,
            uploaded_at=datetime.now(UTC),
            size_bytes=self._record.size_bytes,
            held_bytes=self._record.size_bytes,
            quota_bytes=self._record.quota_bytes,
            wanted_sha256=self._record.wanted_sha256,
        )
        try:
            with storing(self._folder):
                write_record(self._folder, record)
                DISK.rename(self._folder, self._store.of(record.id))
        except FileNotFoundError:  # given up meanwhile
            raise _no_upload(self._upload) from None


def check_quota(what: str, size: int, used: int, quota: int) -> None:
    """Raises ``QuotaFull`` where ``size`` more bytes do not fit."""
    if quota and used + size > quota:
        raise QuotaFull(
            f"{what} {readable_size(size)}, and of your {readable_size(quota)} there are "
            f"{readable_size(max(quota - used, 0))} left.",
            remedy="Delete slides or unfinished uploads, or ask an administrator for more room.",
            needed_bytes=size,
            used_bytes=used,
            quota_bytes=quota,
        )


def check_disk(top: Path, size: int) -> None:
    """Raises ``StorageFull`` where the disk has no room for ``size`` more bytes beside all that has
    been announced by anybody, and the journal's reserve."""
    users = [folder for folder in top.iterdir() if folder.is_dir()]
    coming = sum(
        announced - arrived for user in users for _, announced, arrived in open_uploads(user)
    )
    if shutil.disk_usage(top).free - LEAST_FREE_BYTES - coming < size:
        raise StorageFull(
            f"The service's disk has no room for {readable_size(size)} more.",
            remedy="Ask the operator for room, or wait until other uploads have ended.",
        )


def _discard_idle(folder: Path) -> None:
    """Delete an upload unless a piece of it arrives just now."""
    with lock(folder / BUSY, wait=False) as is_idle:
        if is_idle:
            SlideStore(folder.parent.parent).discard(folder)


def _checksum(header: str | None) -> tuple[bytes, hashlib._Hash | None]:
    if header is None:
        return b"", None
    name, _, encoded = header.partition(" ")
    try:
        made = {"sha256": hashlib.sha256, "sha1": hashlib.sha1}[name]
        return base64.b64decode(encoded, validate=True), made(usedforsecurity=False)
    except (KeyError, ValueError):
        raise Conflict(
            "Upload-Checksum is not understood.", remedy="Send `sha256` or `sha1` and base64."
        ) from None


def _no_upload(upload: str) -> NotFound:
    return NotFound(
        f"There is no upload {upload[:40]}.",
        remedy="It may have expired or been refused; begin a new one.",
    )
