"""From a journal to the scheduler that wrote it: the newest snapshot, then the events after it.

The one way to come back, for the service, for ``raysched journal`` and for simulations.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from raysched.core.scheduler import Scheduler
from raysched.errors import InternalError, JournalDamaged, JournalTooNew, RayschedError
from raysched.journal import snapshots
from raysched.journal.journal import Journal

TOLD_EVERY: Final = 10_000


def recover(journal: Journal, told: Callable[[int], None] = lambda _: None) -> Scheduler:
    """The scheduler after the journal's last event; ``told`` hears how many have been replayed.

    A database that turns out to be damaged on the way is made anew from the segments, once; a
    snapshot that the events do not follow is left aside. Raises ``JournalDamaged``,
    ``JournalTooNew``, and ``InternalError`` when the events cannot have happened.
    """
    check_nothing_is_lost(journal)
    try:
        return _recover(journal, told)
    except JournalTooNew:
        raise
    except JournalDamaged as error:
        if _copies_agree(journal):
            raise
        journal.rebuild(error.message)
        return _recover(journal, told)


def _copies_agree(journal: Journal) -> bool:
    """Whether the segments would only say the same again."""
    try:
        journal.compare()
    except JournalDamaged:
        return False
    return True


def replayed(
    journal: Journal, core: Scheduler, after: int, told: Callable[[int], None] = lambda _: None
) -> Scheduler:
    """Give a scheduler all events after ``after``. Raises as ``recover``."""
    with _no_collection():
        for seq, event, decision in journal.history(after):
            before = core.revision
            try:
                core.handle(event, decision)
            except RayschedError as error:
                raise _impossible(seq, error.message) from error
            # What is written changed something; the first layout of the file kept everything.
            if core.revision == before and decision is not None:
                raise _impossible(seq, "it changes nothing.")
            if seq % TOLD_EVERY == 0:
                told(seq)
    return core


def _impossible(seq: int, why: str) -> InternalError:
    return InternalError(
        f"Event {seq} of the journal cannot have happened: {why}",
        remedy="Nothing was changed. Report this with `raysched journal export`.",
        seq=seq,
    )


def _recover(journal: Journal, told: Callable[[int], None]) -> Scheduler:
    found = snapshots.newest(journal.folder, journal.mark)
    if found is not None:
        seq, state = found
        try:
            return replayed(journal, Scheduler.of(state), seq, told)
        except (JournalDamaged, JournalTooNew):
            raise
        except InternalError as error:
            journal.notices.append(
                f"The snapshot after event {seq} was left aside: {error.message}"
            )
    return replayed(journal, Scheduler(), 0, told)


def check_nothing_is_lost(journal: Journal) -> None:
    """A snapshot is written after its events: one that is ahead says that events are gone."""
    ahead = [path for path in snapshots.paths(journal.folder) if int(path.stem) > len(journal)]
    if ahead:
        raise JournalDamaged(
            f"The journal ends with event {len(journal)}, but {ahead[0]} was written after event "
            f"{int(ahead[0].stem)}.",
            remedy="Restore a backup of the whole state folder; to go on without those events, "
            f"move {ahead[0].parent} away.",
            path=str(ahead[0]),
        )


@contextmanager
def _no_collection() -> Iterator[None]:
    """Replaying makes no garbage cycles; looking for them takes a tenth of its time."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()
