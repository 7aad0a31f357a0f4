"""The journal: events made durable in order, and read back in that order.

Written by the one process that holds the state folder, from the one thread that opened the journal
(the object has no locks of its own). Everything is kept twice: in the DuckDB file, where it can be
asked about, and in segments, plain files with a checksum on each group. ``append`` returns after
both are synced; opening makes the two equal again, whichever of them a crash, a deleted log or a
damaged disk has set back.

Promises: ``seq`` starts at 1 and has no gaps; a group is there whole or not at all; a group that
was acknowledged is there after any crash; an epoch is given out once. After a failed write nobody
can know what reached the disk, so the journal then refuses all further writes: close it and open
it again, and the replay says what counts.
"""

from __future__ import annotations

import contextlib
import shutil
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import duckdb

from raysched.core.commands import Retire
from raysched.core.decision import Decision
from raysched.core.events import Event
from raysched.errors import InternalError, JournalDamaged, StorageFailed
from raysched.journal import archive
from raysched.journal.codec import Record, mention, standard_codec, whole
from raysched.journal.database import FORMAT, JOURNAL_NAME, Database, larger, log_of
from raysched.journal.decisions import decision_text, read_decision
from raysched.journal.disk import quarantine, sync_folder
from raysched.journal.entries import Archived, Entry, StoryLine
from raysched.journal.faults import damaged, reading_fault, writing_fault
from raysched.journal.lock import FolderLock
from raysched.journal.rows import Group, Row
from raysched.journal.segments import FOLDER as SEGMENTS
from raysched.journal.segments import Segments
from raysched.journal.statements import Statement
from raysched.journal.usage_reader import UsageReader

LOCK_WAIT_S: Final = 10.0
INDEX_ROWS: Final = 500


class Journal:
    """The one door to the event log. One process, one thread; use ``open`` to get one.

    ``notices`` are sentences about what opening found damaged and has put right.
    """

    def __init__(self, folder: Path, lock: FolderLock) -> None:
        self.folder = folder
        self.notices: list[str] = []
        self._path = folder / JOURNAL_NAME
        self._lock = lock
        self._codec = standard_codec()
        self._epoch = 0
        self._refusal: str | None = None
        self._database: Database | None = None
        self._segments = Segments(folder)

    @classmethod
    def open(cls, folder: Path, *, lock_wait_s: float = LOCK_WAIT_S) -> Journal:
        """The journal of a state folder; both are created if they do not exist.

        Raises ``StateLocked`` when another holds it for longer than ``lock_wait_s``,
        ``StorageFull`` or ``StorageFailed`` when the folder cannot be used, ``JournalTooNew``, and
        ``JournalDamaged`` when neither copy has every event (nothing is changed then).
        """
        deadline = time.monotonic() + lock_wait_s
        try:
            folder.mkdir(parents=True, exist_ok=True)
            lock = FolderLock.take(folder, deadline)
        except OSError as error:
            raise writing_fault(error, folder / JOURNAL_NAME) from error
        journal: Journal | None = None
        try:
            journal = cls(folder, lock)
            journal._open(deadline)
        except BaseException as error:
            if journal is not None:
                journal.close()
            lock.release()
            if isinstance(error, OSError):
                raise writing_fault(error, folder / JOURNAL_NAME) from error
            raise
        return journal

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
        return self._segments.end

    def next_epoch(self) -> int:
        """Begin a new life of the scheduler: a number greater than all before, durable.

        What is appended from here on belongs to it. Raises as ``append``.
        """
        with self._writing() as database:
            self._epoch = database.next_epoch(self._segments.epoch)
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
        group = self._group(entries)
        with self._writing() as database:
            try:
                self._segments.append(group)
                database.append(group)
            except BaseException:
                with contextlib.suppress(OSError):
                    self._segments.take_back()
                raise

    def replay(self, after: int = 0) -> Iterator[Event]:
        """All events up to now, in order, a few thousand in memory at a time.

        Raises ``JournalDamaged``, naming the record, when one is missing, repeated, out of its
        epoch's order or cannot be decoded; ``JournalTooNew`` when it is not known here.
        """
        return (event for _, event, _ in self.history(after))

    def history(self, after: int = 0) -> Iterator[tuple[int, Event, Decision | None]]:
        """The same with ``seq``, and with what was decided (None where it was not kept)."""
        for seq, row in self._rows(after):
            event = self._codec.decode(seq, Record(row.kind, row.version, row.body))
            yield seq, event, read_decision(seq, row.decided)

    def lines(self) -> Iterator[StoryLine]:
        """All events, with what was decided after each, as a person or another program reads them.
        Raises as ``replay``."""
        for seq, row in self._rows():
            record = Record(row.kind, row.version, row.body)
            body, decided = self._codec.body(seq, record), read_decision(seq, row.decided)
            yield StoryLine(seq, row.at, row.kind, body, decided)

    def story(self, job: str) -> list[StoryLine]:
        """All events that concern one job, in order: its submission, then what named it."""
        found = self._opened().find(Statement.STORY, job=whole(job), submitted=mention(job))
        return [
            StoryLine(seq, at, kind, self._codec.body(seq, Record(kind, version, body)))
            for seq, at, kind, version, body in found
        ]

    def chapter(
        self, job: str, *, after: int, since: float, until: float, most: int
    ) -> list[StoryLine]:
        """Up to ``most`` events after the event ``after``, between two times, that concern one job
        or made the scheduler send or park it; with what was decided."""
        found = self._opened().find(
            Statement.CHAPTER,
            job=whole(job),
            named=f'"{whole(job)}"',
            submitted=mention(job),
            after=after,
            since=since,
            until=until,
            most=most,
        )
        return [
            StoryLine(
                seq,
                at,
                kind,
                self._codec.body(seq, Record(kind, version, body)),
                read_decision(seq, decided),
                about,
            )
            for seq, at, kind, version, body, decided, about in found
        ]

    def mark(self, seq: int) -> str | None:
        """The body of one event, by which a snapshot knows its journal again."""
        found = self._opened().find(Statement.MARK, seq=seq)
        return str(found[0][0]) if found else None

    def archived(
        self,
        *,
        user: str | None = None,
        workflow: str | None = None,
        key: str | None = None,
        job: str | None = None,
    ) -> Retire | None:
        """The ended workflow that all the given names fit, if it has left memory."""
        names = {"user": user, "workflow": workflow, "key": key, "job": job}
        kept = {name: text and whole(text) for name, text in names.items()}
        found = self._opened().find(Statement.ARCHIVED, **kept)
        return archive.read(*found[0]) if found else None

    def archived_index(
        self,
        user: str,
        until: tuple[float, str] | None = None,
        without: Collection[str] = (),
        only: str | None = None,
    ) -> Iterator[list[Archived]]:
        """Where a user's workflows that have left memory are, the latest first, some at a time:
        from (submitted at, workflow) on, that one included, without those named or only one."""
        at, workflow = until or (None, None)
        names = {"user": whole(user), "until": at, "workflow": workflow, "only": only}
        skip = 0
        while True:
            found = self._opened().find(
                Statement.ARCHIVED_INDEX,
                **names,
                without=list(without),
                most=INDEX_ROWS,
                skip=skip,
            )
            yield [Archived(*row) for row in found]
            skip += len(found)
            if len(found) < INDEX_ROWS:
                return

    def archived_rows(self, places: Sequence[Archived]) -> Iterator[Retire]:
        """Workflows by where they are, the latest first. Raises ``JournalDamaged``."""
        rows = [place.row for place in places]
        for found in self._opened().find(Statement.ARCHIVED_ROWS, rows=rows):
            yield archive.read(*found)

    def usage_reader(self) -> UsageReader:
        """Who used how much, to be read in a thread of its own; stop and wait before ``close``."""
        return UsageReader(self._opened().reader(), lambda error: reading_fault(error, self._path))

    def compare(self) -> int:
        """Read both copies from end to end, archive included, and return the number of events.

        Raises ``JournalDamaged`` where one of them is damaged or the two differ.
        """
        with self._storage():
            events = self._compare_events()
            self._compare_archive()
        return events

    def repair(self) -> None:
        """Make a damaged copy anew from the whole one, and read both back; ``notices`` say which.

        Raises ``JournalDamaged`` and changes nothing when both are damaged, or both are whole in
        themselves and have other events.
        """
        database = self._opened()
        with self._storage():
            faults = [
                _fault(lambda: _read_all(database.groups())),
                _fault(lambda: _read_all(self._segments.groups())),
            ]
            match faults:
                case None, None:
                    self._compare_events()
                    # Each line of the segments has a checksum, a row of the archive has none.
                    why = _fault(self._compare_archive)
                    if why is None:
                        return
                    self.rebuild(why)
                case str(why), None:
                    self.rebuild(why)
                case None, str(why):
                    self._remake_segments(database, why)
                case _:
                    raise damaged(self._path, " ".join(why for why in faults if why))
        self.compare()

    def rebuild(self, why: object) -> None:
        """Make the database anew from the segments; the damaged one goes into quarantine.

        Raises ``JournalDamaged`` and changes nothing when the segments do not have everything that
        the database is known to have had.
        """
        known = None if self._database is None else self._database.end
        if self._database is not None:
            self._database.close(tidy=False)
            self._database = None
        end = self._segments.end
        if not self._segments.paths() or self._segments.wound is not None or (known or 0) > end:
            raise damaged(self._path, why)
        try:
            with self._storage():
                aside = self._remake(self._segments.epoch)
        except JournalDamaged as other:
            raise damaged(
                self._path, f"{why} The segments cannot replace it: {other.message}"
            ) from other
        lost = "" if known is None else ", no event is lost"
        self.notices.append(
            f"The journal's database was not what was written ({_one_line(why)}); it was made anew "
            f"from the {end:,} events of the segments{lost}, and the old one is in {aside}."
        )

    def close(self) -> None:
        """Let the state folder go. Idempotent; all that was acknowledged is durable already."""
        is_sound = self._epoch != 0 and self._refusal is None
        self._refusal = self._refusal or "it was closed"
        if self._database is not None:
            self._database.close(tidy=is_sound)
            self._database = None
        self._segments.close()
        self._lock.release()

    # --- opening: two copies become equal -------------------------------------------------------

    def _open(self, deadline: float) -> None:
        path, log = self._path, log_of(self._path)
        if not path.exists() and not log.exists() and not self._segments.paths():
            Database.create(path)
        try:
            if not path.exists():
                raise damaged(path, "the file is gone.")
            self._database = Database.open(path, deadline)
        except JournalDamaged as error:
            self.rebuild(error.message)
        self.notices += self._segments.notices
        database = self._opened()
        self._heal_segments(database)
        if database.end < self._segments.end:
            self.notices.append(
                f"The journal's database had {database.end:,} of {self._segments.end:,} events; "
                "the others were restored from the segments."
            )
            for group in self._segments.groups(database.end):
                database.append(group)
        if database.end > self._segments.end:
            for group in database.groups(self._segments.end):
                self._segments.append(group)
        if database.end != self._segments.end:
            raise damaged(
                path, f"it ends with event {database.end}, the segments with {self._segments.end}."
            )
        if database.format < FORMAT:
            database.close(tidy=False)
            aside = self._remake(database.epoch)
            self.notices.append(
                f"The journal's database had the older format {database.format}; it was written "
                f"anew in format {FORMAT}, and the old one is in {aside}."
            )

    def _compare_events(self) -> int:
        rows, seq = self._opened().rows(), 0
        for group in self._segments.groups():
            for row in group.rows:
                seq += 1
                if next(rows, None) != (seq, group.epoch, row):
                    raise damaged(self._path, f"its record {seq} is not the one in the segments.")
        if next(rows, None) is not None:
            raise damaged(self._path, f"the segments do not have its record {seq + 1}.")
        return seq

    def _compare_archive(self) -> None:
        database = self._opened()
        for group in larger(self._segments.groups()):
            if database.archived_between(group.first, group.last) != list(group.archived):
                raise damaged(
                    self._path,
                    f"what events {group.first} to {group.last} sent to its archive is not what "
                    "the segments have.",
                )

    def _remake_segments(self, database: Database, why: str) -> None:
        """New segments from the database, complete before an old one is moved away."""
        draft = self.folder / "segments.new"
        shutil.rmtree(draft, ignore_errors=True)
        fresh = Segments(self.folder, draft.name)
        for group in database.groups():
            fresh.append(group)
        fresh.close()
        self._segments.close()
        aside = quarantine(self.folder, self._segments.paths())
        for path in fresh.paths():
            path.rename(self.folder / SEGMENTS / path.name)
        sync_folder(self.folder / SEGMENTS)
        shutil.rmtree(draft)
        self._segments = Segments(self.folder)
        self.notices.append(
            f"The journal's segments were not what was written ({_one_line(why)}); they were made "
            f"anew from the {database.end:,} events of the database, and the old ones are in "
            f"{aside}."
        )

    def _remake(self, epoch: int) -> Path:
        """A new database from the segments; returns where the old one now is."""
        draft = self.folder / "rebuilt.duckdb"
        Database.create(draft, self._segments.groups(), epoch)
        aside = quarantine(self.folder, [self._path, log_of(self._path)])
        draft.replace(self._path)
        sync_folder(self.folder)
        self._database = Database.open(self._path, time.monotonic() + LOCK_WAIT_S)
        return aside

    def _heal_segments(self, database: Database) -> None:
        wound = self._segments.wound
        if wound is None:
            return
        if database.end < wound.last:
            raise damaged(
                wound.path,
                f"events {wound.after + 1} to {wound.last} are damaged in it, and the database "
                f"ends at {database.end}.",
            )
        _read_all(database.groups(int(wound.path.stem) - 1))  # it can replace the segment
        aside = quarantine(self.folder, [wound.path])
        self._segments.forget(wound.path)
        self.notices.append(
            f"The journal's segment {wound.path.name} was not what was written; it was made anew "
            f"from the database, and the old one is in {aside}."
        )

    # --- below: nothing for callers -------------------------------------------------------------

    def _group(self, entries: Sequence[Entry]) -> Group:
        rows, archived, seq = [], [], self._segments.end
        for entry in entries:
            seq += 1
            record = self._codec.encode(entry.event)
            job = entry.job and whole(entry.job)
            decided = decision_text(entry.decision)
            rows.append(Row(entry.event.at, record.kind, record.version, job, record.body, decided))
            archived += [archive.row(seq, each) for each in entry.retired]
        return Group(self._segments.end + 1, self._epoch, rows, archived)

    def _rows(self, after: int = 0) -> Iterator[tuple[int, Row]]:
        for seq, _, row in self._opened().rows(after):
            yield seq, row
            self._opened()

    def _opened(self) -> Database:
        if self._refusal is not None or self._database is None:
            raise StorageFailed(
                f"The journal {self._path} takes no more requests: {self._refusal}.",
                remedy="Open it again: the replay says what is durable.",
                path=str(self._path),
            )
        return self._database

    @contextlib.contextmanager
    def _storage(self) -> Iterator[None]:
        """Around reading and mending: what the operating system says, in raysched's errors."""
        try:
            yield
        except OSError as error:
            raise writing_fault(error, self._path) from error

    @contextlib.contextmanager
    def _writing(self) -> Iterator[Database]:
        """Around one group: whatever ends it but success leaves the journal refusing."""
        database = self._opened()
        self._refusal = "an earlier write was cut short"
        try:
            yield database
        except (duckdb.Error, OSError) as error:
            fault = writing_fault(error, self._path)
            self._refusal = f"an earlier write failed ({fault.code})"
            raise fault from error
        self._refusal = None


def _read_all(values: Iterable[object]) -> None:
    for _ in values:
        pass


def _fault(read: Callable[[], None]) -> str | None:
    try:
        read()
    except JournalDamaged as error:
        return error.message
    return None


def _one_line(text: object) -> str:
    return " ".join(str(text).split()).rstrip(".")
