"""Keeps the process of a lane from growing without bound: an engine is somebody else's code.

A unit that makes its process grow beyond the limit is ended with the process, and leaves a note, so
that its job fails with the reason. A process that has grown already when a unit comes to it is
ended at once, and the unit goes to a fresh one: no job answers for what another's engine has kept.
"""

from __future__ import annotations

import logging
import os
import shutil
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from raysched.core.model import Failure, RunId, Unit
from raysched.errors import WorkTooLarge

log = logging.getLogger(__name__)

LOOK_S = 0.2
WORN_SHARE = 0.75
"""Of the limit: a process that holds more takes no new unit."""
NOTE = TypeAdapter(Failure)


@contextmanager
def guarded(unit: Unit, run: RunId, most_bytes: float, notes: Path) -> Iterator[None]:
    """Watch this process while it does a unit."""
    held = held_bytes()
    if held > WORN_SHARE * most_bytes:
        log.warning("This process holds %.1f GB; the next unit goes to another.", held / 1e9)
        _leave(_worn_of(notes, run), b"")
        _end_process()
    over = threading.Event()
    watching = threading.Thread(
        target=_watch, args=(unit, most_bytes, note_of(notes, run), over), daemon=True
    )
    watching.start()
    try:
        yield
    finally:
        over.set()
        watching.join()


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
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except FileNotFoundError:
        import resource

        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak if sys.platform == "darwin" else peak * 1024
    return pages * os.sysconf("SC_PAGESIZE")


def _watch(unit: Unit, most_bytes: float, note: Path, over: threading.Event) -> None:
    while not over.wait(LOOK_S):
        held = held_bytes()
        if held <= most_bytes:
            continue
        failure = Failure(
            WorkTooLarge.code,
            f"The {unit.stage} stage made its process hold {held / 1e9:.1f} GB, more than the "
            f"{most_bytes / 1e9:.1f} GB of a lane.",
            "Use smaller tiles or another engine, or ask the operator to raise cluster.lane_gb.",
        )
        log.error("%s", failure.message)
        _leave(note, NOTE.dump_json(failure))
        _end_process()


def _worn_of(notes: Path, run: RunId) -> Path:
    return notes / f"{run}.worn"


def _leave(note: Path, said: bytes) -> None:
    try:
        note.parent.mkdir(parents=True, exist_ok=True)
        note.write_bytes(said)
    except OSError:
        log.exception("The reason could not be left in %s.", note)


def _end_process() -> None:
    """At once: no handler of the engine's is asked."""
    sys.stderr.flush()
    os._exit(1)
