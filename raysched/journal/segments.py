"""The journal's second copy: plain files of groups, each line with its own checksum.

A segment is named by its first ``seq`` and grows by one line per group; once it is large enough it
is sealed (read-only) and the next one begins. The last line of the last segment may be torn by a
crash; anything else that does not match its checksum is damage. Two copies are kept because one is
not enough: a deleted or flipped write-ahead log would take acknowledged events with it.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from io import FileIO
from pathlib import Path
from typing import Any, Final
from zlib import crc32

from pydantic_core import from_json, to_json

from raysched.errors import JournalDamaged, JournalTooNew
from raysched.journal.disk import quarantine, sync, sync_folder, write_all
from raysched.journal.rows import ArchiveRow, Group, Row

FOLDER: Final = "segments"
_NAME: Final = re.compile(r"[0-9]+\.log")
SEGMENT_BYTES: Final = 8_000_000
"""Opening reads the last segment only: about 40,000 events, 0.1 s."""


@dataclass(frozen=True, slots=True)
class Wound:
    """A damaged line: groups after ``after`` cannot be read from ``path``, though valid ones up
    to ``last`` follow."""

    path: Path
    after: int
    last: int


class Segments:
    """All segments of one folder. ``end`` and ``epoch`` are those of the last valid group;
    ``notices`` say what was cut off because it was no whole group."""

    def __init__(self, state: Path, folder: str = FOLDER) -> None:
        """Find where the segments end, cutting off a torn tail. Raises ``OSError`` and
        ``JournalTooNew``."""
        self._state = state
        self._folder = state / folder
        self._file: FileIO | None = None
        self._size = 0
        self._size_before = 0
        self.end = 0
        self.epoch = 0
        self.wound: Wound | None = None
        self.notices: list[str] = []
        for path in reversed(self.paths()):
            if self._look_at(path):
                break

    def paths(self) -> list[Path]:
        """All segments, oldest first."""
        try:
            return sorted(p for p in self._folder.iterdir() if _NAME.fullmatch(p.name))
        except FileNotFoundError:
            return []

    def append(self, group: Group) -> None:
        """Make a group durable, as one line. Raises ``OSError``."""
        line = _line(group)
        file = self._file
        if file is None or self._size + len(line) > SEGMENT_BYTES:
            file = self._begin(group.first)
        self._size_before = self._size
        self._size += len(line)
        write_all(file, line)
        sync(file.fileno())
        self.end, self.epoch = group.last, group.epoch

    def take_back(self) -> None:
        """Undo the last ``append``, whether it succeeded or not. Raises ``OSError``."""
        if self._file is not None:
            self._size = self._size_before
            self._file.truncate(self._size)
            sync(self._file.fileno())

    def groups(self, after: int = 0) -> Iterator[Group]:
        """All groups with events after ``after``, the first one perhaps in part.

        Raises ``JournalDamaged`` when a line is not what was written or a group is missing.
        """
        paths = self.paths()
        starts = [int(path.stem) for path in paths]
        epoch = 0
        begin = max((n for n, start in enumerate(starts) if start <= after + 1), default=0)
        expected = starts[begin] if starts else 1
        if expected > after + 1:
            raise _gap(paths[begin], after + 1)
        for path in paths[begin:]:
            for group in _read(path):
                if group.first != expected:
                    raise _gap(path, expected)
                if group.epoch < epoch:
                    raise _older(path, group, epoch)
                epoch = group.epoch
                expected = group.last + 1
                if group.last > after:
                    skip = max(0, after + 1 - group.first)
                    yield Group(group.first + skip, group.epoch, group.rows[skip:], group.archived)

    def forget(self, path: Path) -> None:
        """The last segment was moved away: what it held has to be appended again."""
        self.close()
        self.end = int(path.stem) - 1
        self.wound = None

    def close(self) -> None:
        """Let the open file go. Idempotent."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _begin(self, first: int) -> FileIO:
        self._folder.mkdir(exist_ok=True)
        if self._file is not None:
            os.fchmod(self._file.fileno(), 0o444)
            self._file.close()
        path = self._folder / f"{first:020d}.log"
        self._file = path.open("ab", buffering=0)
        self._size = self._size_before = self._file.tell()
        sync_folder(self._folder)
        sync_folder(self._folder.parent)
        return self._file

    def _look_at(self, path: Path) -> bool:
        """Read the last segment, and open it for appending if it is whole. False, and the file is
        gone, if nothing whole is in it: a crash came between making it and its first group."""
        self.end = int(path.stem) - 1
        good, bad_after = 0, None
        for line, group in _lines(path):
            if group is None:
                bad_after = self.end if bad_after is None else bad_after
            elif bad_after is None:
                good += len(line)
                self.end, self.epoch = group.last, group.epoch
            else:
                self.wound = Wound(path, bad_after, group.last)
                self.epoch = max(self.epoch, group.epoch)
        if self.wound is not None:
            return True
        path.chmod(0o644)
        self._file = path.open("ab", buffering=0)
        if self._file.tell() > good:
            self._cut(path, good)
        self._size = self._size_before = good
        if good:
            return True
        self.close()
        path.unlink()
        sync_folder(self._folder)
        self.end = 0
        return False

    def _cut(self, path: Path, good: int) -> None:
        """Cut off what is no whole group. A crash leaves half a line; a line that was finished and
        is not what was written may have been acknowledged, so it is kept aside."""
        assert self._file is not None
        tail = path.read_bytes()[good:]
        if b"\n" in tail:
            aside = quarantine(self._state, [])
            (aside / f"{path.name}.tail").write_bytes(tail)
            self.notices.append(
                f"The last {len(tail):,} bytes of the journal's segment {path.name} were not what "
                f"was written; they were cut off and are in {aside}."
            )
        self._file.truncate(good)
        sync(self._file.fileno())


def _line(group: Group) -> bytes:
    body = to_json([group.first, group.epoch, group.rows, group.archived])
    return b"%08x %b\n" % (crc32(body), body)


def _lines(path: Path) -> Iterator[tuple[bytes, Group | None]]:
    """Each line, and its group if it is what was written."""
    with path.open("rb") as file:
        for line in file:
            yield line, _group(line)


def _group(line: bytes) -> Group | None:
    body = line[9:-1]
    if not line.endswith(b"\n") or line[:9] != b"%08x " % crc32(body):
        return None
    first, epoch, rows, archived, *more = from_json(body)
    if more:
        raise _too_new(f"Group {first}", len(more))
    return Group(first, epoch, _tuples(Row, rows), _tuples(ArchiveRow, archived))


def _tuples(kind: Any, values: list[list[Any]]) -> list[Any]:
    """Rows of a kind; a shorter one is of an older raysched, and has the defaults of the rest."""
    known = len(kind._fields)
    for value in values:
        if len(value) > known:
            raise _too_new(f"A row of {kind.__name__}", len(value) - known)
    return [kind(*value) for value in values]


def _too_new(what: str, more: int) -> JournalTooNew:
    return JournalTooNew(
        f"{what} in the journal's segments has {more} more values than this raysched knows: a "
        "newer one wrote it.",
        remedy="Nothing was changed. Run the raysched that wrote it, or a newer one.",
    )


def _read(path: Path) -> Iterator[Group]:
    for number, (_, group) in enumerate(_lines(path), start=1):
        if group is None:
            raise JournalDamaged(
                f"Line {number} of the journal's segment {path} is not what was written.",
                remedy="`raysched journal repair` restores it from the database, if that is whole.",
                path=str(path),
            )
        yield group


def _older(path: Path, group: Group, epoch: int) -> JournalDamaged:
    return JournalDamaged(
        f"Event {group.first} in the journal's segment {path} is of epoch {group.epoch}, but comes "
        f"after one of epoch {epoch}.",
        remedy="`raysched journal repair` restores it from the database, if that is whole.",
        path=str(path),
    )


def _gap(path: Path, expected: int) -> JournalDamaged:
    return JournalDamaged(
        f"The journal's segments do not have event {expected}; {path} begins or goes on after it.",
        remedy="`raysched journal repair` restores it from the database, if that is whole.",
        path=str(path),
    )
