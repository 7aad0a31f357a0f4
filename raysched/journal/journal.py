"""The journal: events made durable in order, and read back in that order.

Written by the one process that holds the state folder, from the one thread that opened the journal
(the object has no locks of its own). The file is ``journal.duckdb`` with its write-ahead log
``journal.duckdb.wal``; ``append`` returns after DuckDB has synced the log to the disk.

Promises: ``seq`` starts at 1 and has no gaps; a group is there whole or not at all; a group that
was acknowledged is there after any crash; an epoch is given out once. After a failed write nobody
can know what reached the disk, so the journal then refuses all further writes: close it and open
it again, and the replay says what counts.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import duckdb

from raysched.core.events import Event
from raysched.errors import InternalError, JournalDamaged, StorageFailed
from raysched.journal.codec import Body, Record, mention, standard_codec, whole
from raysched.journal.faults import (
    damaged,
    is_lock_conflict,
    opening_fault,
    reading_fault,
    writing_fault,
)
from raysched.journal.lock import POLL_S, FolderLock
from raysched.journal.statements import Statement, sql

JOURNAL_NAME: Final = "journal.duckdb"
FORMAT: Final = 1
"""How the file is laid out: the number that ``sql/create.sql`` writes."""

REPLAY_ROWS: Final = 4096
"""Rows in memory at a time while replaying: about 1 MB."""

_SETTINGS: Final[dict[str, str | bool | int | float | list[str]]] = {
    # The work is one statement at a time; more threads would take cores from the tiles.
    "threads": 1,
    # Far above what the log's replay (16 MB) needs: DuckDB gives up a database that it cannot load.
    "memory_limit": "512MB",
    # Move the log into the file when it has this size: about 100k events, 50 ms.
    "checkpoint_threshold": "16MB",
    # The same as the default on Linux; on macOS fsync alone does not reach the disk.
    "fsync_mode": "FULL",
    # Nothing is ever fetched from elsewhere.
    "autoinstall_known_extensions": False,
    "autoload_known_extensions": False,
}


@dataclass(frozen=True, slots=True)
class Entry:
    """What is appended: an event and, if it is about one job alone, that job."""

    event: Event
    job: str | None = None


@dataclass(frozen=True, slots=True)
class StoryLine:
    """One event of a job's story; ``at`` in seconds since the epoch, ``body`` as JSON values."""

    seq: int
    at: float
    kind: str
    body: Body


class Journal:
    """The one door to the event log. One process, one thread; use ``open`` to get one."""

    def __init__(self, folder: Path, lock: FolderLock, db: duckdb.DuckDBPyConnection) -> None:
        self._folder = folder
        self._path = folder / JOURNAL_NAME
        self._log = Path(f"{self._path}.wal")
        self._lock = lock
        self._db = db
        self._codec = standard_codec()
        self._epoch = 0
        self._last_seq = _where_it_ends(db, self._path)
        self._replays: list[duckdb.DuckDBPyConnection] = []
        self._refusal: str | None = None
        self._log_seen: tuple[int, int] | None = None

    @classmethod
    def open(cls, folder: Path, *, lock_wait_s: float = 10.0) -> Journal:
        """The journal of a state folder; both are created if they do not exist.

        Raises ``StateLocked`` when another holds it for longer than ``lock_wait_s``,
        ``StorageFull`` or ``StorageFailed`` when the folder cannot be used, ``JournalDamaged``
        when the file is not what was written (nothing is changed then).
        """
        deadline = time.monotonic() + lock_wait_s
        path = folder / JOURNAL_NAME
        try:
            folder.mkdir(parents=True, exist_ok=True)
            lock = FolderLock.take(folder, deadline)
        except OSError as error:
            raise writing_fault(error, path) from error
        db: duckdb.DuckDBPyConnection | None = None
        try:
            if not path.exists():
                _create(path)
            db = _connect(path, deadline)
            return cls(folder, lock, db)
        except BaseException:
            if db is not None:
                db.close()
            lock.release()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def __len__(self) -> int:
        """The number of durable events, which is also the last event's ``seq``."""
        return self._last_seq

    def next_epoch(self) -> int:
        """Begin a new life of the scheduler: a number greater than all before, durable.

        What is appended from here on belongs to it. Raises as ``append``.
        """
        with self._writing():
            row = self._db.execute(sql(Statement.NEXT_EPOCH)).fetchone()
        if row is None:
            raise damaged(self._path, "no epoch could be given out")
        self._epoch = int(row[0])
        return self._epoch

    def append(self, entries: Sequence[Entry]) -> None:
        """Make a group of events durable, in this order, all or none.

        Returns once they are synced to the disk. Raises ``StorageFull`` or ``StorageFailed`` when
        that failed (open the journal anew), ``InternalError`` before anything is written when
        ``next_epoch`` was not called in this life or an event cannot be expressed.
        """
        if not self._epoch:
            raise InternalError(
                "An event was to be logged before its life of the scheduler had an epoch.",
                remedy="Call next_epoch once after opening the journal and before appending.",
            )
        if not entries:
            return
        records = [self._codec.encode(entry.event) for entry in entries]
        columns = {
            "first": self._last_seq + 1,
            "epoch": self._epoch,
            "ats": [entry.event.at for entry in entries],
            "kinds": [record.kind for record in records],
            "versions": [record.version for record in records],
            "jobs": [entry.job and whole(entry.job) for entry in entries],
            "bodies": [record.body for record in records],
        }
        with self._writing():
            self._db.execute(sql(Statement.APPEND), columns)
        self._last_seq += len(entries)

    def replay(self) -> Iterator[Event]:
        """All events up to now, in order, a few thousand in memory at a time.

        Raises ``JournalDamaged``, naming the record, when one is missing, repeated, out of its
        epoch's order or cannot be decoded.
        """
        for seq, record in self._records():
            yield self._codec.decode(seq, record)

    def lines(self) -> Iterator[StoryLine]:
        """All events as a person or another program reads them. Raises as ``replay``."""
        for seq, record in self._records():
            body = self._codec.body(seq, record)
            at = body.get("at")
            if not isinstance(at, int | float):
                raise damaged(self._path, f"record {seq} does not say when it happened")
            yield StoryLine(seq, float(at), record.kind, body)

    def _records(self) -> Iterator[tuple[int, Record]]:
        self._require_open()
        cursor = self._db.cursor()
        self._replays.append(cursor)
        seq, epoch = 0, 0
        try:
            cursor.execute(sql(Statement.REPLAY))
            while rows := self._next_rows(cursor):
                for row_seq, row_epoch, kind, version, body in rows:
                    if row_seq != seq + 1 or row_epoch < epoch:
                        raise self._out_of_order((seq, epoch), (row_seq, row_epoch))
                    seq, epoch = row_seq, row_epoch
                    yield seq, Record(kind, version, body)
        except duckdb.Error as error:
            raise reading_fault(error, self._path) from error
        finally:
            cursor.close()
            if cursor in self._replays:
                self._replays.remove(cursor)

    def story(self, job: str) -> list[StoryLine]:
        """All events that concern one job, in order: its submission, then what named it."""
        self._require_open()
        names = {"job": whole(job), "submitted": mention(job)}
        try:
            rows = self._db.execute(sql(Statement.STORY), names).fetchall()
        except duckdb.Error as error:
            raise reading_fault(error, self._path) from error
        return [
            StoryLine(seq, at, kind, self._codec.body(seq, Record(kind, version, body)))
            for seq, at, kind, version, body in rows
        ]

    def close(self) -> None:
        """Let the state folder go. Idempotent; all that was acknowledged is durable already."""
        for cursor in self._replays:
            cursor.close()
        self._replays.clear()
        if self._epoch and self._refusal is None:
            # Only makes the next start quicker: when it fails, the log still has everything.
            with contextlib.suppress(duckdb.Error):
                self._db.execute("CHECKPOINT")
        self._refusal = "it was closed"
        self._db.close()
        self._lock.release()

    # --- below: nothing for callers -------------------------------------------------------------

    def _require_open(self) -> None:
        if self._refusal is not None:
            raise StorageFailed(
                f"The journal {self._path} takes no more requests: {self._refusal}.",
                remedy="Open it again: the replay says what is durable.",
                path=str(self._path),
            )

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        """Around one transaction: whatever ends it but success leaves the journal refusing."""
        self._require_open()
        self._refusal = "an earlier write was cut short"
        try:
            yield
            self._sync_new_log()
        except (duckdb.Error, OSError) as error:
            fault = writing_fault(error, self._path)
            self._refusal = f"an earlier write failed ({fault.code})"
            raise fault from error
        self._refusal = None

    def _sync_new_log(self) -> None:
        """DuckDB syncs the log but not the folder entry of a log that it has just created."""
        try:
            now = self._log.stat()
        except FileNotFoundError:
            self._log_seen = None
            return
        seen, self._log_seen = self._log_seen, (now.st_ino, now.st_size)
        if seen is None or seen[0] != now.st_ino or seen[1] > now.st_size:
            _sync_folder(self._folder)

    def _next_rows(self, cursor: duckdb.DuckDBPyConnection) -> list[tuple[int, int, str, int, str]]:
        self._require_open()
        return cursor.fetchmany(REPLAY_ROWS)

    def _out_of_order(self, before: tuple[int, int], after: tuple[int, int]) -> JournalDamaged:
        (seq, epoch), (next_seq, next_epoch) = before, after
        if next_seq > seq + 1:
            why = f"record {seq + 1} is missing, record {next_seq} comes after record {seq}"
        elif next_seq <= seq:
            why = f"record {next_seq} is there again after record {seq}"
        else:
            why = f"record {next_seq} of epoch {next_epoch} comes after one of epoch {epoch}"
        return damaged(self._path, why)


def _create(path: Path) -> None:
    """Make an empty journal beside its place and move it there whole.

    A crash half way must not leave a file that cannot be opened.
    """
    log = Path(f"{path}.wal")
    if log.exists():
        raise damaged(path, f"the file is gone, but its log {log.name} is there.")
    draft = path.with_suffix(".new")
    try:
        for leftover in (draft, Path(f"{draft}.wal")):
            leftover.unlink(missing_ok=True)
        with duckdb.connect(draft, config=_SETTINGS) as db:
            db.execute(sql(Statement.CREATE))
            db.execute("CHECKPOINT")
        draft.replace(path)
        _sync_folder(path.parent)
        _sync_folder(path.parent.parent)
    except (duckdb.Error, OSError) as error:
        raise writing_fault(error, path) from error


def _connect(path: Path, deadline: float) -> duckdb.DuckDBPyConnection:
    while True:
        try:
            db = duckdb.connect(path, config=_SETTINGS)
            # Closing must not write: not after a failed write, and not to a damaged file.
            db.execute("PRAGMA disable_checkpoint_on_shutdown")
        except duckdb.Error as error:
            if not is_lock_conflict(error) or time.monotonic() >= deadline:
                raise opening_fault(error, path) from error
            time.sleep(POLL_S)
        else:
            return db


def _where_it_ends(db: duckdb.DuckDBPyConnection, path: Path) -> int:
    """The last ``seq`` that was given out, once the file is known to be a journal of ours."""
    try:
        layout, last_seq = db.execute(sql(Statement.WHERE_IT_ENDS)).fetchall()[0]
    except duckdb.Error as error:
        raise reading_fault(error, path) from error
    if layout is None:
        raise damaged(path, "it does not say how it is laid out.")
    if layout > FORMAT:
        raise JournalDamaged(
            f"The journal {path} was written by a newer raysched: it has format {layout}, this "
            f"version reads up to {FORMAT}.",
            remedy="Nothing was changed. Run the raysched that wrote it, or a newer one.",
            path=str(path),
            format=layout,
        )
    return int(last_seq)


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
