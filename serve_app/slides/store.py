"""The slides of one user, as folders that appear and go by one rename each.

    {state}/slides/{user}/{slide id}/        slide.json, content/, thumbnail.png
    {state}/slides/{user}/.uploads/{id}/     upload.json, data: what has not arrived in full
    {state}/slides/{user}/.gone/             what is being deleted

Slide ids sort by time. Every replica works on the same folders, so each change is made under a lock
of the file system, which ends with the process that holds it.
"""

from __future__ import annotations

import hashlib
import heapq
import os
import re
import secrets
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from raysched.errors import (
    LimitReached,
    NotFound,
    NotReady,
    StorageFailed,
    StorageFull,
    UploadRefused,
)
from raysched.results.storage import DISK, NO_ROOM, lock, unique
from serve_app.slides.names import checked_name, suffix_of
from serve_app.slides.record import (
    SlideRecord,
    SlideState,
    read_record,
    read_upload,
    write_record,
)

SLIDE_ID = re.compile(r"sl-[0-9a-f]{21}")
CONTENT, THUMBNAIL, DATA = "content", "thumbnail.png", "data"
MOST_SLIDES = 10_000
"""Of one user: what is counted each time that one is added."""


def new_id() -> str:
    """An id that nobody can guess and that sorts after all earlier ones, to the millisecond."""
    return f"sl-{time.time_ns() // 1_000_000:011x}{secrets.token_hex(5)}"


class SlideStore:
    """The folder of one user, below the folder of all: ``top``."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.top = folder.parent
        self.uploads = folder / ".uploads"

    # --- reading ----------------------------------------------------------------------------------

    def page(self, limit: int, before: str | None = None) -> tuple[list[SlideRecord], str | None]:
        """Up to ``limit`` slides, newest first, that are older than the slide ``before``; and what
        to give as ``before`` for the page after, if there is one. Holds no more than that many."""
        names = (name for name in _ids(self.folder) if before is None or name < before)
        newest = heapq.nlargest(limit + 1, names)
        records = [record for name in newest[:limit] if (record := self._read(name))]
        return records, newest[limit - 1] if len(newest) > limit else None

    def record(self, slide: str) -> SlideRecord:
        """One slide. Raises ``NotFound``."""
        record = self._read(slide) if SLIDE_ID.fullmatch(slide) else None
        if record is None:
            raise NotFound(f"There is no slide {slide[:40]}.", remedy="GET /slides lists yours.")
        return record

    def of(self, slide: str) -> Path:
        """The folder of a slide whose id is known to be one."""
        return self.folder / slide

    def file(self, record: SlideRecord) -> Path:
        """The file that opens as the slide. Raises ``NotReady``, or ``UploadRefused`` as the check
        did."""
        if record.trouble is not None:
            raise UploadRefused(
                f"The slide {record.id} ({record.name}) was refused: {record.trouble.message}",
                remedy=record.trouble.remedy,
            )
        if record.state is not SlideState.READY:
            raise NotReady(
                f"The slide {record.id} ({record.name}) is still being checked.",
                remedy="Ask again when GET /slides says that it is ready.",
                state=record.state,
            )
        return self.path(record)

    def path(self, record: SlideRecord) -> Path:
        """Where the file of a record is."""
        file = record.file or ""
        return Path(file) if record.from_server else self.of(record.id) / CONTENT / file

    def used(self) -> int:
        """Bytes that count against the user's quota: what is kept, and all that unfinished uploads
        have announced. An upload that becomes a slide meanwhile is counted twice, never missed."""
        announced = sum(size for _, size, _ in open_uploads(self.folder))
        records = filter(None, map(self._read, _ids(self.folder)))
        return announced + sum(record.held_bytes for record in records)

    # --- changing ---------------------------------------------------------------------------------

    def add(self, record: SlideRecord) -> None:
        """A slide that has no files of its own. Raises ``LimitReached``."""
        with self.locked(), storing(self.folder):
            self.check_count()
            fresh = self.uploads / f".{unique()}"
            fresh.mkdir(parents=True)
            write_record(fresh, record)
            DISK.rename(fresh, self.of(record.id))

    def check_count(self) -> None:
        """Raises ``LimitReached`` for a user who has all the slides that one may have."""
        if sum(1 for _ in _ids(self.folder)) >= MOST_SLIDES:
            raise LimitReached(
                f"You have {MOST_SLIDES:,} slides, which is the most.", remedy="Delete some."
            )

    def change(self, slide: str, to: Callable[[SlideRecord], SlideRecord]) -> SlideRecord:
        """Replace a record by what follows from it. Raises ``NotFound``."""
        with self.locked():
            record = to(self.record(slide))
            with storing(self.folder):
                write_record(self.of(slide), record)
            return record

    def rename(self, slide: str, name: str) -> SlideRecord:
        """Give a slide another name; its file, and what jobs have called it, stay as they are.
        Raises ``NotFound``, ``BadFileName``, ``UploadRefused`` for another extension."""
        record = self.record(slide)
        if suffix_of(checked_name(name)) != suffix_of(record.name) and not record.from_server:
            raise UploadRefused(
                f"{name!r} ends otherwise than {record.name!r}.", remedy="Keep the extension."
            )
        return self.change(slide, lambda record: record.model_copy(update={"name": name}))

    def discard(self, folder: Path) -> None:
        """Delete the folder of a slide or of an upload: at once for whoever looks. Raises
        ``FileNotFoundError``."""
        gone = self.folder / ".gone"
        gone.mkdir(exist_ok=True)
        away = gone / unique()
        DISK.rename(folder, away)
        DISK.remove_tree(away)

    def delete(self, slide: str) -> None:
        """Delete a slide with its files. Raises ``NotFound``."""
        self.record(slide)
        with self.locked(), storing(self.folder):
            with suppress(FileNotFoundError):  # a twin was faster
                self.discard(self.of(slide))
            for left in (self.folder / ".gone").iterdir():  # by a crash
                shutil.rmtree(left, ignore_errors=True)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Alone with the user's folder."""
        with storing(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
        with lock(self.folder / ".lock"):
            yield

    @contextmanager
    def in_use(self, *, shared: bool) -> Iterator[bool]:
        """Shared while slides become jobs; alone while one is found to be no job's and deleted.
        Does not wait: whether it is so."""
        with storing(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
        with lock(self.folder / ".use", shared=shared, wait=False) as is_held:
            yield is_held

    def _read(self, slide: str) -> SlideRecord | None:
        try:
            return read_record(self.of(slide))
        except FileNotFoundError:
            return None


def store_of(top: Path, user: str) -> SlideStore:
    """The slides of a user. The id is not in the path: it might be anything."""
    return SlideStore(top.absolute() / hashlib.sha256(user.encode()).hexdigest()[:32])


def _ids(folder: Path) -> Iterator[str]:
    """The ids of a user's slides, in no order."""
    with suppress(FileNotFoundError), os.scandir(folder) as entries:
        for entry in entries:
            if SLIDE_ID.fullmatch(entry.name):
                yield entry.name


def open_uploads(folder: Path) -> Iterator[tuple[Path, int, int]]:
    """Of each unfinished upload of a user's: its folder, the bytes announced and those arrived."""
    with suppress(FileNotFoundError), os.scandir(folder / ".uploads") as entries:
        for entry in entries:
            if not SLIDE_ID.fullmatch(entry.name):
                continue
            with suppress(FileNotFoundError):  # it ends meanwhile
                size = read_upload(Path(entry)).size_bytes
                yield Path(entry), size, (Path(entry) / DATA).stat().st_size


@contextmanager
def storing(place: Path) -> Iterator[None]:
    """What the system says of the slides' disk, as an error of ours; a missing file is the
    caller's."""
    try:
        yield
    except FileNotFoundError:
        raise
    except OSError as error:
        if error.errno in NO_ROOM:
            raise StorageFull(
                "The service's disk for slides is full.",
                remedy="Tell the operator; what has arrived is kept, go on later.",
            ) from error
        raise StorageFailed(
            f"The service cannot store slides: {error.strerror or error}.",
            remedy="Tell the operator.",
            path=str(place),
        ) from error
