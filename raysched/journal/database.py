"""The DuckDB file of the journal: the event log, the archive of ended workflows, the epochs.

One thread, one connection; it has no locks of its own and takes none but DuckDB's. The file is
``journal.duckdb`` with its write-ahead log ``journal.duckdb.wal``.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import duckdb

from raysched.errors import JournalDamaged, JournalTooNew
from raysched.journal.disk import sync_folder
from raysched.journal.faults import (
    damaged,
    is_lock_conflict,
    opening_fault,
    reading_fault,
    writing_fault,
)
from raysched.journal.lock import POLL_S
from raysched.journal.rows import ArchiveRow, Group, Row
from raysched.journal.statements import Statement, sql

JOURNAL_NAME: Final = "journal.duckdb"
FORMAT: Final = 2
"""How the file is laid out: the number that ``sql/create.sql`` writes."""

REPLAY_ROWS: Final = 4096
"""Rows in memory at a time while reading: about 1 MB."""
GROUP_ROWS: Final = 4096
"""Rows per statement when many are copied from one place to another."""

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


class Database:
    """One open file. Get one with ``open`` or ``create``."""

    def __init__(self, path: Path, db: duckdb.DuckDBPyConnection) -> None:
        self.path = path
        self._db = db
        self._log = log_of(path)
        self._log_seen: tuple[int, int] | None = None
        self._readers: list[duckdb.DuckDBPyConnection] = []
        self.format, self.end, self.epoch = _where_it_ends(db, path)

    @classmethod
    def open(cls, path: Path, deadline: float) -> Database:
        """Open what is there, waiting for others until ``deadline`` (``time.monotonic``).

        Raises ``StateLocked``, ``StorageFull``, ``StorageFailed``, ``JournalTooNew``, and
        ``JournalDamaged`` when it is not what was written (nothing is changed then).
        """
        db = _connect(path, deadline)
        try:
            return cls(path, db)
        except BaseException:
            db.close()
            raise

    @classmethod
    def create(cls, path: Path, groups: Iterable[Group] = (), epoch: int = 0) -> None:
        """Make a journal beside its place, fill it, and move it there whole.

        A crash half way leaves nothing that is in the way. Raises ``StorageFull`` and
        ``StorageFailed``, and whatever reading ``groups`` raises.
        """
        draft = path.with_suffix(".new")
        try:
            for leftover in (draft, log_of(draft)):
                leftover.unlink(missing_ok=True)
            with duckdb.connect(draft, config=_SETTINGS) as db:
                db.execute(sql(Statement.CREATE))
                for group in larger(groups):
                    _insert(db, group)
                if epoch:
                    db.execute(sql(Statement.NEXT_EPOCH), {"known": epoch - 1})
                db.execute("CHECKPOINT")
            draft.replace(path)
            sync_folder(path.parent)
            sync_folder(path.parent.parent)
        except (duckdb.Error, OSError) as error:
            raise writing_fault(error, path) from error

    def append(self, group: Group) -> None:
        """Make a group durable, all or nothing. Raises ``duckdb.Error`` or ``OSError``."""
        _insert(self._db, group)
        self._sync_new_log()
        self.end = group.last

    def next_epoch(self, known: int) -> int:
        """A durable number greater than all before and than ``known``. Raises as ``append``."""
        row = self._db.execute(sql(Statement.NEXT_EPOCH), {"known": known}).fetchone()
        self._sync_new_log()
        if row is None:
            raise damaged(self.path, "no epoch could be given out")
        return int(row[0])

    def rows(self, after: int = 0) -> Iterator[tuple[int, int, Row]]:
        """``seq``, epoch and row of all events after ``after``, in the order of writing.

        Raises ``JournalDamaged`` when one is missing, repeated or out of its epoch's order.
        """
        reader = self._db.cursor()
        self._readers.append(reader)
        seq, epoch, until = after, 0, self.end
        try:
            statement = Statement.REPLAY_FORMAT_1 if self.format == 1 else Statement.REPLAY
            reader.execute(sql(statement), {"after": after})
            while found := reader.fetchmany(REPLAY_ROWS):
                for row_seq, row_epoch, *rest in found:
                    if row_seq != seq + 1 or row_epoch < epoch:
                        raise self._out_of_order((seq, epoch), (row_seq, row_epoch))
                    seq, epoch = row_seq, row_epoch
                    yield seq, epoch, Row(*rest)
        except duckdb.Error as error:
            raise reading_fault(error, self.path) from error
        finally:
            reader.close()
            if reader in self._readers:
                self._readers.remove(reader)
        if seq < until:
            raise damaged(self.path, f"record {seq + 1} and all after it are missing")

    def groups(self, after: int = 0) -> Iterator[Group]:
        """The same as groups of one epoch each, with what they sent to the archive."""
        rows: list[Row] = []
        first = epoch = 0
        for seq, row_epoch, row in self.rows(after):
            if rows and (row_epoch != epoch or len(rows) == GROUP_ROWS):
                yield self._with_archive(first, epoch, rows)
                rows = []
            if not rows:
                first, epoch = seq, row_epoch
            rows.append(row)
        if rows:
            yield self._with_archive(first, epoch, rows)

    def find(self, statement: Statement, **names: object) -> list[Any]:
        """All rows that a reading statement gives. Raises ``StorageFailed``, ``JournalDamaged``."""
        try:
            return self._db.execute(sql(statement), names).fetchall()
        except duckdb.Error as error:
            raise reading_fault(error, self.path) from error

    def reader(self) -> duckdb.DuckDBPyConnection:
        """One more connection, for another thread to read what is committed; to be closed there."""
        return self._db.cursor()

    def archived_between(self, first: int, last: int) -> list[ArchiveRow]:
        """What these events sent to the archive, in order. Raises as ``find``."""
        found = self.find(Statement.ARCHIVED_BETWEEN, first=first, last=last)
        return [ArchiveRow(*row) for row in found]

    def close(self, *, tidy: bool) -> None:
        """Let the file go; ``tidy`` moves the log into the file, so that it opens quicker."""
        for reader in self._readers:
            reader.close()
        self._readers.clear()
        if tidy:
            # When it fails, the log still has everything.
            with contextlib.suppress(duckdb.Error):
                self._db.execute("CHECKPOINT")
        self._db.close()

    def _with_archive(self, first: int, epoch: int, rows: list[Row]) -> Group:
        last = first + len(rows) - 1
        if self.format == 1:
            return Group(first, epoch, rows)
        return Group(first, epoch, rows, self.archived_between(first, last))

    def _sync_new_log(self) -> None:
        """DuckDB syncs the log but not the folder entry of a log that it has just created."""
        try:
            now = self._log.stat()
        except FileNotFoundError:
            self._log_seen = None
            return
        seen, self._log_seen = self._log_seen, (now.st_ino, now.st_size)
        if seen is None or seen[0] != now.st_ino or seen[1] > now.st_size:
            sync_folder(self.path.parent)

    def _out_of_order(self, before: tuple[int, int], after: tuple[int, int]) -> JournalDamaged:
        (seq, epoch), (next_seq, next_epoch) = before, after
        if next_seq > seq + 1:
            why = f"record {seq + 1} is missing, record {next_seq} comes after record {seq}"
        elif next_seq <= seq:
            why = f"record {next_seq} is there again after record {seq}"
        else:
            why = f"record {next_seq} of epoch {next_epoch} comes after one of epoch {epoch}"
        return damaged(self.path, why)


def log_of(path: Path) -> Path:
    """The write-ahead log of a DuckDB file."""
    return Path(f"{path}.wal")


def _insert(db: duckdb.DuckDBPyConnection, group: Group) -> None:
    """One transaction. (As Arrow the columns would go over faster, but to take them DuckDB imports
    pandas wherever that is installed: 0.6 s and 60 MB in every process that writes.)"""
    append = sql(Statement.APPEND_ONE if len(group.rows) == 1 else Statement.APPEND)
    columns = {"first": group.first, "epoch": group.epoch}
    if len(group.rows) == 1:
        columns |= group.rows[0]._asdict()
    else:
        names = ("ats", "kinds", "versions", "jobs", "bodies", "decided")
        columns |= _columns(names, group.rows)
    if not group.archived:
        db.execute(append, columns)
        return
    db.execute("BEGIN")
    db.execute(append, columns)
    db.execute(sql(Statement.APPEND_ARCHIVE), _columns(ArchiveRow._fields, group.archived))
    db.execute("COMMIT")


def _columns(names: Sequence[str], rows: Sequence[tuple[Any, ...]]) -> dict[str, Any]:
    """Rows, of which there is at least one, turned into named columns."""
    return dict(zip(names, map(list, zip(*rows, strict=True)), strict=True))


def larger(groups: Iterable[Group]) -> Iterator[Group]:
    """The same rows in fewer groups of one epoch each: a statement costs about a millisecond."""
    rows: list[Row] = []
    archived: list[ArchiveRow] = []
    first = epoch = 0
    for group in groups:
        if rows and (group.epoch != epoch or len(rows) >= GROUP_ROWS):
            yield Group(first, epoch, rows, archived)
            rows, archived = [], []
        if not rows:
            first, epoch = group.first, group.epoch
        rows += group.rows
        archived += group.archived
    if rows:
        yield Group(first, epoch, rows, archived)


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


def _where_it_ends(db: duckdb.DuckDBPyConnection, path: Path) -> tuple[int, int, int]:
    """The format, the last ``seq`` and the last epoch, once the file is known to be one of ours."""
    try:
        layout, last_seq, epoch = db.execute(sql(Statement.WHERE_IT_ENDS)).fetchall()[0]
    except duckdb.Error as error:
        raise reading_fault(error, path) from error
    if layout is None:
        raise damaged(path, "it does not say how it is laid out.")
    if layout > FORMAT:
        raise JournalTooNew(
            f"The journal {path} was written by a newer raysched: it has format {layout}, this "
            f"version reads up to {FORMAT}.",
            remedy="Nothing was changed. Run the raysched that wrote it, or a newer one.",
            path=str(path),
            format=layout,
        )
    return int(layout), int(last_seq), int(epoch)
