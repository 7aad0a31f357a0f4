"""Whether a journal is whole: both copies of every event, and the state that they give."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from raysched.core.invariants import check
from raysched.core.scheduler import Scheduler
from raysched.errors import InternalError
from raysched.journal.journal import Journal
from raysched.journal.recovery import recover, replayed

LOCK_WAIT_S = 1.0  # a running service holds the journal for as long as it runs


@dataclass(frozen=True, slots=True)
class Verified:
    """A journal that is whole. ``notices``: what was found damaged and was mended."""

    core: Scheduler
    events: int
    notices: tuple[str, ...]


def verified(folder: Path) -> Verified:
    """Open the journal of a folder and verify it. What can be mended is, and is said.

    Raises as ``Journal.open`` and ``recover``, and ``InternalError`` when the snapshot gives
    another state than all events, or the state breaks a promise.
    """
    with Journal.open(folder, lock_wait_s=LOCK_WAIT_S) as journal:
        return verified_open(journal)


def verified_open(journal: Journal) -> Verified:
    """The same for one that is open."""
    events = journal.compare()
    core = replayed(journal, Scheduler(), 0)
    if recover(journal).state != core.state:
        raise InternalError(
            "The newest snapshot and the events after it give another state than all events.",
            remedy="Move the folder `snapshots` away, and report this with "
            "`raysched journal export`.",
        )
    try:
        check(core)
    except AssertionError as error:
        raise InternalError(
            f"The journal can be read, but the state it gives breaks a promise: {error}.",
            remedy="This is a fault in raysched: report it with `raysched journal export`.",
        ) from error
    return Verified(core, events, tuple(journal.notices))
