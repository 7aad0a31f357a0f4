"""What changed, for those who watch everything: one watcher for each replica of the HTTP service.

The log knows which jobs look otherwise since when, each once, at its latest change: however long
somebody does not ask, the answer is no longer than there are jobs. It is bounded all the same; who
was away for longer than it reaches back is told so (``missed``) and lists anew. It belongs to one
life, and is empty at the start of the next.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, NamedTuple

from raysched.core.commands import Retire
from raysched.core.model import JobId, UserId, WorkflowId
from raysched.core.scheduler import Scheduler, Shown
from raysched.core.views import JobView
from raysched.errors import NotFound

if TYPE_CHECKING:
    from raysched.cluster.life import Life

KEPT: Final = 20_000
"""Jobs that changed last: twice the largest workflow, which changes at once when it comes."""
AT_ONCE: Final = 500
PAUSE_S: Final = 0.1  # a burst of changes is told once


class Mark(NamedTuple):
    """How far somebody has heard: changes are numbered within each life (epoch)."""

    epoch: int
    serial: int


@dataclass(frozen=True, slots=True)
class Change:
    """One job as it is now, or a workflow (``deleted``) that its owner has deleted."""

    serial: int
    user: UserId
    job: JobView | None = None
    deleted: WorkflowId | None = None


@dataclass(frozen=True, slots=True)
class News:
    """What changed up to ``upto``. ``missed``: something before that cannot be told any more."""

    upto: Mark
    missed: bool = False
    changes: tuple[Change, ...] = ()


@dataclass(frozen=True, slots=True)
class Entry:
    """A job or, with ``deleted``, a workflow that changed; where it is found if it has left."""

    serial: int
    user: UserId
    job: JobId | None = None
    deleted: WorkflowId | None = None
    retired: Retire | None = None


class ChangeLog:
    """Written by the life as events become durable, read by whoever watches."""

    def __init__(self, kept: int = KEPT) -> None:
        self._kept = kept
        self._entries: OrderedDict[str, Entry] = OrderedDict()
        self._floor = 0
        self.serial = 0
        """The number of the latest change."""

    def note(self, shown: Shown, retired: Sequence[Retire]) -> None:
        """Take in what one event has changed."""
        for job, user in shown.jobs.items():
            self.serial += 1
            self._put(job, Entry(self.serial, user, job=job))
        for workflow, user in shown.deleted.items():
            self.serial += 1
            self._put(workflow, Entry(self.serial, user, deleted=workflow))
        for each in retired:
            for old in each.jobs:
                known = self._entries.get(old.id)
                if known is not None:  # in its place: it does not change by leaving memory
                    self._entries[old.id] = replace(known, retired=each)

    def _put(self, name: str, entry: Entry) -> None:
        self._entries.pop(name, None)
        self._entries[name] = entry
        if len(self._entries) > self._kept:
            _, lost = self._entries.popitem(last=False)
            self._floor = lost.serial

    def after(self, serial: int, most: int = AT_ONCE) -> list[Entry] | None:
        """The first changes after that one, oldest first; None when some are not known any more."""
        if not self._floor <= serial <= self.serial:
            return None
        found = []
        for entry in reversed(self._entries.values()):
            if entry.serial <= serial:
                break
            found.append(entry)
        return found[::-1][:most]


async def news_of(life: Life, after: Mark | None, wait_s: float) -> News:
    """What changed after a mark, once something did or ``wait_s`` is over; None: nothing is known,
    so all was missed."""
    await life.settled()
    log = life.changes
    here = Mark(life.epoch, log.serial)
    if after is None or after.epoch != here.epoch or log.after(after.serial) is None:
        return News(here, missed=True)
    if log.serial == after.serial:
        await life.changes_after(after.serial, wait_s)
        await asyncio.sleep(PAUSE_S)
        await life.settled()
    entries = log.after(after.serial)
    if entries is None:
        return News(Mark(here.epoch, log.serial), missed=True)
    upto = entries[-1].serial if len(entries) == AT_ONCE else log.serial
    told, elsewhere = [], []
    known: dict[WorkflowId, Scheduler] = {}
    for entry in entries:
        change = _seen(life, entry, known)
        if change is None and entry.job is not None:
            elsewhere.append(entry)
        elif change is not None:
            told.append(change)
    told += [change for entry in elsewhere if (change := await _looked_up(life, entry))]
    return News(Mark(here.epoch, upto), changes=tuple(sorted(told, key=lambda one: one.serial)))


def _seen(life: Life, entry: Entry, known: dict[WorkflowId, Scheduler]) -> Change | None:
    """What memory and the log know of it; None when it is in the archive alone, or deleted.
    ``known``: those to read retired workflows from, each made once, since it may be large."""
    if entry.job is None:
        return Change(entry.serial, entry.user, deleted=entry.deleted)
    core = life.core
    if entry.retired is not None:
        workflow = entry.retired.workflow.workflow
        if core.has_deleted(entry.user, workflow):
            return None
        if workflow not in known:
            known[workflow] = Scheduler.of_retired(entry.retired, core.cleared_by(entry.user))
        core = known[workflow]
    try:
        view = core.job_view(entry.user, entry.job, life.now())
    except NotFound:
        return None
    return Change(entry.serial, entry.user, job=view)


async def _looked_up(life: Life, entry: Entry) -> Change | None:
    """The same from the archive, for what changed there: its results were deleted."""
    assert entry.job is not None, "only jobs are looked up"
    found = await life.look_up(entry.user, job=entry.job)
    if found is None:
        return None
    core = Scheduler.of_retired(found, life.core.cleared_by(entry.user))
    return Change(entry.serial, entry.user, job=core.job_view(entry.user, entry.job, life.now()))
