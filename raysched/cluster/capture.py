"""While a unit runs: what the engine and raysched say in this process goes into the job's log too.

Taken are records of ``logging``, warnings, and what Python code prints to stdout and stderr, each
still going where it went before. What C code writes by itself to file descriptors 1 and 2 is not:
those are Ray's, which reads its workers' files by name. A lane's process does one unit at a
time, so whatever is said in it, in whichever thread, is about that unit.
"""

from __future__ import annotations

import io
import logging
import sys
import threading
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple, TextIO

from raysched.core.model import RunId, Stage, Unit
from raysched.logs import exception_of, message_of, redacted
from raysched.results.logbook import MOST_MESSAGE, Line, Logbook, folder_of

log = logging.getLogger(__name__)

ENGINES_OWN = "raysched.imaging"
"""Engines that come with raysched live here; what else is called raysched is the system."""


LEVEL = logging.INFO
"""From where on records are kept: below, libraries speak about themselves."""


class LogPlace(NamedTuple):
    """Where what is said goes: the folder of all jobs' logs, who writes, how much."""

    logs: Path
    lane: str
    most_bytes: int


class _Ear(logging.Handler):
    """Writes lines of one unit. Never raises into the code that speaks."""

    def __init__(self, book: Logbook, unit: Unit, run: RunId) -> None:
        super().__init__(LEVEL)
        chunk = unit.chunk if unit.stage is Stage.SEGMENT else None
        self._book, self._run = book, run
        self._unit = (unit.attempt, unit.stage.value, chunk)
        self._broken = False
        self._within, self._turn = threading.local(), threading.Lock()

    def emit(self, record: logging.LogRecord) -> None:
        """A record of ``logging``."""
        ours = f"{record.name}.".startswith("raysched.")
        own = f"{record.name}.".startswith(f"{ENGINES_OWN}.")
        exception = exception_of(record)
        message = message_of(record) + (f"\n{exception}" if exception else "")
        source = "system" if ours and not own else "engine"
        self.hear(record.created, record.levelname.lower(), source, record.name, message)

    def hear(self, at: float, level: str, source: str, logger: str, message: str) -> None:
        """One thing said. Where it cannot be kept, the process says so once, and goes on."""
        if self._broken or getattr(self._within, "busy", False):
            return
        self._within.busy = True
        try:
            line = Line(at, level, source, logger, redacted(message), *self._unit, self._run)
            with self._turn:
                self._book.write(line)
        except OSError as error:
            self._broken = True
            log.warning("The log of run %s is not kept from here on: %s", self._run, error)
        finally:
            self._within.busy = False


class _Tee(io.TextIOBase):
    """A stream that also tells the ear each whole line that is printed to it."""

    def __init__(self, stream: TextIO, name: str, level: str, ear: _Ear) -> None:
        self._stream, self._name, self._level, self._ear = stream, name, level, ear
        self._begun = ""
        self._turn = threading.Lock()

    def write(self, text: str) -> int:
        """Pass on, and keep what makes up lines."""
        written = self._stream.write(text)
        with self._turn:
            *whole, self._begun = (self._begun + text).split("\n")
            if len(self._begun) > MOST_MESSAGE:
                whole, self._begun = [*whole, self._begun], ""
        for line in whole:
            self._tell(line)
        return written

    def flush(self) -> None:
        """Pass on."""
        self._stream.flush()

    def fileno(self) -> int:
        """The stream's own."""
        return self._stream.fileno()

    def isatty(self) -> bool:
        """As the stream."""
        return self._stream.isatty()

    def writable(self) -> bool:
        """As any stream that is printed to."""
        return True

    @property
    def encoding(self) -> str:  # type: ignore[override]
        """The stream's own."""
        return self._stream.encoding

    @property
    def buffer(self) -> object:
        """The stream's own: bytes that are written there are not kept."""
        return self._stream.buffer

    def finish(self) -> None:
        """Keep what was not ended by a new line."""
        with self._turn:
            rest, self._begun = self._begun, ""
        self._tell(rest)

    def _tell(self, line: str) -> None:
        shown = line.rsplit("\r", 1)[-1].rstrip()  # of a progress bar, its last state
        if shown:
            self._ear.hear(time.time(), self._level, "engine", self._name, shown)


@contextmanager
def captured(unit: Unit, run: RunId, place: LogPlace) -> Iterator[None]:
    """Keep what is said in this process meanwhile. A log that cannot be written fails no unit."""
    try:
        book = Logbook(folder_of(place.logs, unit.job), place.lane, place.most_bytes)
    except OSError as error:
        log.warning("The log of %s cannot be kept: %s", unit.job, error)
        yield
        return
    root = logging.getLogger()
    ear = _Ear(book, unit, run)
    out = _Tee(sys.stdout, "stdout", "info", ear)
    err = _Tee(sys.stderr, "stderr", "warning", ear)
    before = sys.stdout, sys.stderr
    root.addHandler(ear)
    if root.level != LEVEL:  # stays so: every logger of every library is told of each change
        root.setLevel(LEVEL)
    sys.stdout, sys.stderr = out, err
    try:
        with warnings.catch_warnings():  # what was warned of in an earlier unit is said again
            logging.captureWarnings(True)
            yield
    finally:
        logging.captureWarnings(False)
        sys.stdout, sys.stderr = before
        for tee in (out, err):
            tee.finish()
        root.removeHandler(ear)
        with suppress(OSError):
            book.close()
