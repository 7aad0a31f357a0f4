"""What was said while a job's units ran: lines of JSON, in one folder for each job.

A lane does one unit at a time, so each lane writes a file of its own and nobody waits for anybody;
there are as many files as lanes, however many chunks a job has. A file is a row of pieces,
``LANE.000000.jsonl`` and on: the oldest and the two newest are kept, and the first line of a piece
says how many lines were dropped before it. A line that a crash has torn is passed over.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from raysched.errors import NotFound

PIECES: Final = 3
"""Pieces of one lane that are kept: the first, and the two newest."""
LEAST_PIECE_BYTES: Final = 64 * 1024
MOST_MESSAGE: Final = 8000
"""Characters of one message; a traceback of a hundred frames has room."""
NAME: Final = re.compile(r"(?P<lane>.+)\.(?P<piece>\d{6})\.jsonl")


@dataclass(frozen=True, slots=True)
class Line:
    """One thing that was said, at a time in seconds since the epoch. ``level`` is the name of a
    level of ``logging``, in small letters; ``source``: ``engine`` or ``system``; ``logger``: who,
    or ``stdout``, ``stderr``. ``stage`` and what follows: while which unit."""

    at: float
    level: str
    source: str
    logger: str
    message: str
    attempt: int | None = None
    stage: str | None = None
    chunk: int | None = None
    run: str | None = None


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """How far a lane has been read: everything before this byte of this piece."""

    piece: int = 0
    byte: int = 0


def folder_of(logs: Path, job: str) -> Path:
    """Where the lines of a job are. Raises ``NotFound`` for what can be no job's id."""
    if not re.fullmatch(r"[\w-]{1,100}", job):
        raise NotFound(f"There is no job {job[:100]!r}.", remedy="List your jobs.")
    return logs / job


class Logbook:
    """Writes what one lane says of one job. One writer at a time; ``close`` it."""

    def __init__(self, folder: Path, lane: str, most_bytes: int) -> None:
        """Raises ``OSError`` where the folder cannot be made or written."""
        self._folder, self._lane = folder, lane
        self._piece_bytes = max(LEAST_PIECE_BYTES, most_bytes // PIECES)
        folder.mkdir(parents=True, exist_ok=True)
        self._piece = max(pieces(folder).get(lane, [0]))
        self._open()

    def write(self, line: Line) -> None:
        """Keep a line. Raises ``OSError``."""
        data = _encoded(_shortened(line))
        if self._size + len(data) > self._piece_bytes and self._size:
            self._turn_over()
        self._put(data)

    def close(self) -> None:
        """Let the file go."""
        os.close(self._file)

    def _open(self) -> None:
        path = _path(self._folder, self._lane, self._piece)
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
        self._size = os.fstat(self._file).st_size
        if self._size and os.pread(self._file, 1, self._size - 1) != b"\n":
            self._put(b"\n")  # a line that a crash has torn ends here

    def _put(self, data: bytes) -> None:
        self._size += os.write(self._file, data)

    def _turn_over(self) -> None:
        """Begin a new piece; drop the one that is neither the first nor of the newest two."""
        dropped = dropped_before(self._folder, self._lane, self._piece)
        leaving = self._piece - PIECES + 2
        if leaving > 0:
            path = _path(self._folder, self._lane, leaving)
            with suppress(FileNotFoundError):
                with path.open("rb") as piece:
                    dropped += sum(1 for row in piece if not row.startswith(b'{"dropped"'))
                path.unlink()
        os.close(self._file)
        self._piece += 1
        self._open()
        self._put(json.dumps({"dropped": dropped}).encode() + b"\n")


def pieces(folder: Path) -> dict[str, list[int]]:
    """The numbers of the pieces of each lane, in order."""
    found: dict[str, list[int]] = {}
    with suppress(FileNotFoundError):
        for path in sorted(folder.iterdir()):
            if known := NAME.fullmatch(path.name):
                found.setdefault(known["lane"], []).append(int(known["piece"]))
    return found


def dropped_before(folder: Path, lane: str, piece: int) -> int:
    """How many lines of a lane were dropped before a piece, as its first line says."""
    known = suppress(OSError, ValueError, TypeError, KeyError)
    with known, _path(folder, lane, piece).open("rb") as file:
        return int(json.loads(file.readline(200))["dropped"])
    return 0


def lines_of(folder: Path, lane: str, place: Place) -> Iterator[tuple[Line, Place]]:
    """What a lane has said since a place, each with the place after it. Where lines were dropped
    meanwhile, one says so."""
    numbers = [number for number in pieces(folder).get(lane, []) if number >= place.piece]
    expected = place.piece
    for number in numbers:
        begun = place.byte if number == place.piece else 0
        missing = number > expected
        expected = number + 1
        with suppress(FileNotFoundError), _path(folder, lane, number).open("rb") as file:
            file.seek(begun)
            for row in file:
                begun += len(row)
                if not row.endswith(b"\n"):  # still being written, or torn by a crash
                    break
                if (line := _decoded(row)) is None:
                    continue
                if missing:
                    missing = False
                    dropped = dropped_before(folder, lane, numbers[-1])
                    yield _gap(line.at, dropped), Place(number, begun - len(row))
                yield line, Place(number, begun)


def delete_log(folder: Path) -> None:
    """Remove what a job has said; nothing if there is nothing."""
    shutil.rmtree(folder, ignore_errors=True)


def prune(logs: Path, most_bytes: float) -> list[str]:
    """Remove the logs of the jobs that have been silent for longest, until the rest fits; their
    ids."""
    found: list[tuple[float, int, str]] = []
    with suppress(FileNotFoundError):
        folders = [entry for entry in os.scandir(logs) if entry.is_dir(follow_symlinks=False)]
        found += [(*_extent(Path(entry.path)), entry.name) for entry in folders]
    held = sum(size for _, size, _ in found)
    removed = []
    for _, size, name in sorted(found):
        if held <= most_bytes:
            break
        delete_log(logs / name)
        held -= size
        removed.append(name)
    return removed


def _extent(folder: Path) -> tuple[float, int]:
    """When something was last written, and how many bytes there are."""
    latest, size = 0.0, 0
    with suppress(FileNotFoundError):
        for entry in os.scandir(folder):
            facts = entry.stat(follow_symlinks=False)
            latest, size = max(latest, facts.st_mtime), size + facts.st_size
    return latest, size


def _path(folder: Path, lane: str, piece: int) -> Path:
    return folder / f"{lane}.{piece:06}.jsonl"


def _gap(at: float, dropped: int) -> Line:
    said = f"{dropped:,} lines of this lane were dropped here, since a job's log is bounded."
    return Line(at, "warning", "system", "raysched.log", said)


def _shortened(line: Line) -> Line:
    if len(line.message) <= MOST_MESSAGE:
        return line
    left = len(line.message) - MOST_MESSAGE
    kept = asdict(line) | {"message": f"{line.message[:MOST_MESSAGE]} ... ({left:,} more)"}
    return Line(**kept)


def _encoded(line: Line) -> bytes:
    """In ASCII: what an engine prints may be half a character."""
    said = {name: value for name, value in asdict(line).items() if value is not None}
    return json.dumps(said, separators=(",", ":")).encode() + b"\n"


def _decoded(row: bytes) -> Line | None:
    try:
        said: dict[str, Any] = json.loads(row)
        return None if "dropped" in said else Line(**said)
    except (ValueError, TypeError):
        return None
