"""Keeps the process of a lane from growing without bound: an engine is somebody else's code.

A unit that makes its process grow beyond the limit is ended with the process, and leaves a note
with the reason; it is tried once more with care before its job fails for that. A process that has
grown already when a unit comes to it is ended at once, and the unit goes to a fresh one: no job
answers for what another's engine has kept. A unit that is done with care gets a fresh one always.
"""

from __future__ import annotations

import logging
import os
import shutil
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from itertools import count
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from raysched.cluster.note_post import NotePost
from raysched.core.model import Failure, RunId, Unit
from raysched.errors import WorkTooLarge

log = logging.getLogger(__name__)

LOOK_S = 0.2
WORN_SHARE = 0.75
"""Of the limit: a process that holds more takes no new unit."""
NOTED_BYTES = 0.5e9
"""From here on a process notes what it holds, each time that it has grown by ``NOTED_GROWTH``: who
is killed by the system cannot say it any more."""
NOTED_GROWTH = 1.2
NOTE = TypeAdapter(Failure)
STATM = Path("/proc/self/statm")
VMSTAT = Path("/proc/vmstat")
BOOT = Path("/proc/sys/kernel/random/boot_id")

_begun = count()


@dataclass(frozen=True, slots=True)
class Watch:
    """What a unit's process may hold, and where it leaves the reason if it is ended for that.
    ``post``: takes notes from there to the scheduler, where that sees other folders."""

    unit: Unit
    run: RunId
    most_bytes: float
    notes: Path
    careful: bool
    post: NotePost | None = None

    def leave(self, note: Path, said: bytes) -> None:
        """Leave a note for the scheduler."""
        try:
            note.parent.mkdir(parents=True, exist_ok=True)
            note.write_bytes(said)
        except OSError:
            log.exception("The reason could not be left in %s.", note)
            return
        if self.post is not None:
            self.post.leave(note)

    def drop(self, note: Path) -> None:
        """Take a note back, if it was left."""
        try:
            note.unlink()
        except OSError:
            return
        if self.post is not None:
            self.post.drop(note)


@contextmanager
def guarded(watch: Watch) -> Iterator[None]:
    """Watch this process while it does a unit."""
    held, is_fresh = held_bytes(), next(_begun) == 0
    if held > WORN_SHARE * watch.most_bytes or (watch.careful and not is_fresh):
        log.warning("This process holds %.1f GB; the next unit goes to another.", held / 1e9)
        watch.leave(_worn_of(watch.notes, watch.run), b"")
        _end_process()
    watcher = _watcher()
    try:
        watcher.begin(watch)
        yield
    finally:
        watcher.end()


def note_of(notes: Path, run: RunId) -> Path:
    """Where a run that is ended leaves the reason."""
    return notes / f"{run}.json"


def taken_note(notes: Path, run: RunId) -> Failure | None:
    """The reason that a run has left, if it has; it is removed."""
    path = note_of(notes, run)
    try:
        failure = NOTE.validate_json(path.read_bytes())
        path.unlink()
    except (OSError, ValidationError):
        return None
    return failure


def taken_held(notes: Path, run: RunId) -> int | None:
    """Bytes that a run's process held when it was last seen, if that was much; said once."""
    path = _held_of(notes, run)
    try:
        held = int(path.read_bytes())
        path.unlink()
    except (OSError, ValueError):
        return None
    return held


@dataclass(frozen=True, slots=True)
class Kernel:
    """Which system a process runs on, and how many processes that has killed for want of memory
    since it was started; 0 where it does not say."""

    boot: str
    kills: int


def kernel_here() -> Kernel:
    """Of this process."""
    try:
        told = dict(line.split() for line in VMSTAT.read_text().splitlines())
        return Kernel(BOOT.read_text().strip(), int(told.get("oom_kill", 0)))
    except (OSError, ValueError):
        return Kernel("", 0)


def was_worn(notes: Path, run: RunId) -> bool:
    """Whether a run's process ended because it was too large before; said once."""
    try:
        _worn_of(notes, run).unlink()
    except OSError:
        return False
    return True


def clear_notes(notes: Path) -> None:
    """Remove what nobody will ask for any more."""
    shutil.rmtree(notes, ignore_errors=True)


def held_bytes() -> int:
    """Bytes of memory that this process holds; where the system does not say, ever held."""
    try:
        with STATM.open("rb", buffering=0) as statm:
            pages = int(statm.read(200).split()[1])
    except FileNotFoundError:
        import resource

        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak if sys.platform == "darwin" else peak * 1024
    return pages * os.sysconf("SC_PAGESIZE")


class _Watcher:
    """Looks at this process while it does a unit: one thread for all of its units, since to start
    and join one for each costs as much as all the rest around a chunk."""

    def __init__(self) -> None:
        self._turn = threading.Lock()
        self._some = threading.Event()
        self._watch: Watch | None = None
        self._noted = 0.0
        threading.Thread(target=self._go, name="memory guard", daemon=True).start()

    def begin(self, watch: Watch) -> None:
        """A unit begins."""
        with self._turn:
            self._watch, self._noted = watch, 0.0
        self._some.set()

    def end(self) -> None:
        """It has ended; nothing more is said of it once this returns."""
        watch, self._watch = self._watch, None  # first: who waits may be interrupted
        with self._turn:  # for a look that is being taken
            noted = self._noted
        if watch is not None and noted:
            watch.drop(_held_of(watch.notes, watch.run))

    def _go(self) -> None:
        while True:
            self._some.wait()
            time.sleep(LOOK_S)
            with self._turn:
                if (watch := self._watch) is None:
                    self._some.clear()
                    continue
                try:
                    self._look(watch)
                except Exception:  # the next look may fare better, and who would take it else?
                    with suppress(Exception):
                        log.exception("The memory of this process could not be looked at.")

    def _look(self, watch: Watch) -> None:
        held = held_bytes()
        if held > max(NOTED_BYTES, NOTED_GROWTH * self._noted):
            self._noted = held
            watch.leave(_held_of(watch.notes, watch.run), b"%d" % held)
        if held <= watch.most_bytes:
            return
        failure = too_large(
            f"The {watch.unit.stage} stage made its process hold {held / 1e9:.1f} GB, more than "
            f"the {watch.most_bytes / 1e9:.1f} GB of a lane",
            watch.careful,
        )
        try:
            watch.leave(note_of(watch.notes, watch.run), NOTE.dump_json(failure))
            log.error("%s", failure.message)
        finally:
            _end_process()


@cache
def _watcher() -> _Watcher:
    return _Watcher()


def too_large(what: str, careful: bool) -> Failure:
    """Why a unit was ended for its memory. ``what``: a sentence without its full stop."""
    also = ", also in a fresh process and one tile at a time" if careful else ""
    return Failure(
        WorkTooLarge.code,
        f"{what}{also}.",
        "Use smaller tiles or another engine, or ask the operator to raise cluster.lane_gb, or to "
        "open fewer lanes on a machine.",
    )


def _held_of(notes: Path, run: RunId) -> Path:
    return notes / f"{run}.held"


def _worn_of(notes: Path, run: RunId) -> Path:
    return notes / f"{run}.worn"


def _end_process() -> None:
    """At once: no handler of the engine's is asked."""
    with suppress(Exception):
        sys.stderr.flush()
    os._exit(1)
