"""One life of the scheduler: replay the journal, observe the lanes, then pump events.

The mailbox rule lives here: stamp, handle, log, then act or answer. ``handle`` comes before the
log so that a refused request leaves no record; nobody sees its effect before it is durable,
because callers, commands and reads all wait for the commit. When the journal cannot be written the
life ends and everything not yet durable is forgotten with it.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Callable, Coroutine, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeVar

from raysched.cluster.clock import Clock
from raysched.cluster.deadlines import Extent
from raysched.cluster.fences import Cancel, Fences, cancelled, stopped_last, to_shut
from raysched.cluster.guard import clear_notes
from raysched.cluster.job_log import prune_logs
from raysched.cluster.lanes import Lanes
from raysched.cluster.last_words import ending_of
from raysched.cluster.mailbox import Letter, Mailbox
from raysched.cluster.meters import meters
from raysched.cluster.minutes import Minutes, waits_of
from raysched.cluster.news import ChangeLog
from raysched.cluster.removals import Removals
from raysched.cluster.reports import Reports
from raysched.cluster.runs import Runs
from raysched.cluster.stores import mark_home, object_store
from raysched.config import Config
from raysched.core.commands import (
    Command,
    ReleaseLane,
    RemoveFiles,
    Retire,
    RunUnit,
    StopRun,
    WakeAt,
)
from raysched.core.events import Event, LaneLost, SchedulerStarted, TimePassed
from raysched.core.model import FAILED, SUCCEEDED, JobId, LaneId, NodeId, UserId
from raysched.core.reports import Report
from raysched.core.scheduler import Scheduler, Shown
from raysched.core.state import Job
from raysched.core.views import JobView
from raysched.errors import ClusterError, RayschedError, RequestError
from raysched.journal.entries import Entry, StoryLine
from raysched.journal.journal import Journal
from raysched.journal.recovery import recover
from raysched.journal.snapshots import frozen, save_snapshot
from raysched.journal.usage import Known, Usage, Wanted

log = logging.getLogger(__name__)

T = TypeVar("T")
Changed = tuple[Shown, tuple[Retire, ...]]

SNAPSHOT_EVENTS = 20_000
PRUNE_S = 3600.0
ENDED = {SUCCEEDED, FAILED}
TIMER_SLACK_S = 0.005  # so that the clock has really reached the time asked for


@dataclass(slots=True)
class Handled:
    """What became of a group of letters: what to write, to carry out, and to tell. ``ended``: jobs
    that a report has brought to their end; ``waits_s``: how long those waited that began;
    ``stopped``: jobs of which a result must not appear any more, and nobody waits to hear that."""

    entries: list[Entry] = field(default_factory=list)
    commands: list[Command] = field(default_factory=list)
    changes: list[Changed] = field(default_factory=list)
    ended: list[Job] = field(default_factory=list)
    waits_s: list[float] = field(default_factory=list)
    stopped: list[Job] = field(default_factory=list)
    cancels: list[tuple[Letter, set[JobId], list[Job]]] = field(default_factory=list)
    """Cancels that were taken in, each with the jobs that it names, and those of which the same is
    to hold before it is answered."""


class Life:
    """Owns the core, the journal's thread, the lanes and the runs. Begun once, run once."""

    def __init__(self, config: Config, journal: Journal, thread: ThreadPoolExecutor) -> None:
        self._config = config
        self._journal = journal
        self._thread = thread
        waiting = config.cluster.max_waiting_events, config.cluster.max_waiting_jobs
        self._mail = Mailbox(*waiting)
        self._settled = asyncio.Event()
        self._settled.set()
        self._news = asyncio.Event()
        self._timer: asyncio.TimerHandle | None = None
        self._small: set[asyncio.Task[None]] = set()
        self._clock = Clock()
        self._over: RayschedError | None = None
        self.began_at = time.time()
        self._snapshot_at = 0
        self._unsaved = False
        self._reports = Reports()
        self.core = Scheduler(config.scheduling)
        self._lanes = Lanes(config, self.report, lambda: self.core.state)
        self._fences = Fences(object_store(config))
        self._runs = Runs(config, self._lanes, self._fences, self.report)
        self._removals = Removals(config, self.report)
        self.changes = ChangeLog()
        self.epoch = 0
        """Its number, known before the core has heard of it."""
        self._meters = meters()
        self.minutes = Minutes(self.core.state, self.began_at)

    @classmethod
    async def begin(cls, config: Config, told: Callable[[int, int], None]) -> Life:
        """Open the journal and replay it. ``told`` hears, in another thread, how many events are
        replayed, of how many. Raises the journal's errors."""
        thread = ThreadPoolExecutor(1, thread_name_prefix="journal")
        journal: Journal | None = None
        try:
            journal = await _in(thread, lambda: Journal.open(config.state))
            life = cls(config, journal, thread)
            epoch = await _in(thread, lambda: life._recover(told))
        except BaseException:
            if journal is not None:
                await _in(thread, journal.close)
            thread.shutdown(wait=False)
            raise
        life.epoch = epoch
        started = SchedulerStarted(life.now(), epoch, config.scheduling)
        life._mail.put(Letter(started, _future()))
        return life

    def _recover(self, told: Callable[[int, int], None]) -> int:
        """Runs in the journal's thread, before anyone else can see the core."""
        events = len(self._journal)
        told(0, events)
        clear_notes(self._config.notes)  # of runs of an earlier life, which are dead
        mark_home(self._config.state)
        self.core = recover(self._journal, lambda replayed: told(replayed, events))
        for notice in self._journal.notices:
            log.warning("%s", notice)
        self._clock.go_on_from(self.core.state.now)
        self.minutes = Minutes(self.core.state, self.now())
        self._snapshot_at = events
        return self._journal.next_epoch()

    async def run(self, closing: asyncio.Event) -> None:
        """Pump until ``closing`` is set; raises when the journal fails. Ends all runs."""
        pump = asyncio.create_task(self._pump())
        lanes = asyncio.create_task(self._lanes.keep())
        shapes = self._config.cluster.shapes()
        meters = asyncio.create_task(self._meters.keep(lambda: self.core, self.now, shapes))
        minutes = asyncio.create_task(self.minutes.keep(lambda: self.core, self.now))
        upkeep = asyncio.create_task(self._keep_logs_small())
        closed = asyncio.create_task(closing.wait(), name="closing")
        try:
            tasks = {pump, lanes, closed, meters, minutes, upkeep}
            done, _ = await asyncio.wait(tasks, return_when="FIRST_COMPLETED")
            for task in done:
                task.result()
        finally:
            await self._end([*tasks], remove_lanes=closing.is_set())

    async def _keep_logs_small(self) -> None:
        while True:
            try:
                await asyncio.to_thread(prune_logs, self._config)
            except OSError as error:  # logs are a courtesy: jobs go on without
                log.warning("The jobs' logs cannot be looked through: %s", error)
            await asyncio.sleep(PRUNE_S)

    async def _end(self, tasks: list[asyncio.Task[Any]], *, remove_lanes: bool) -> None:
        if self._timer:
            self._timer.cancel()
        tasks += self._small
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._over = self._over or ClusterError(
            "The scheduler is pausing.", remedy="Ask again in a moment; nothing is lost."
        )
        for letter in self._mail.empty():
            _fail(letter.done, self._over)
        self._news.set()
        self._settled.set()
        if remove_lanes:  # closed in order
            await self._runs.halt()
        await self._runs.abandon()
        self._fences.end()
        await self._removals.abandon()
        if remove_lanes:
            await self._lanes.remove()
        await self._reports.end()
        if not self._unsaved:
            await self._save_snapshot()
        await _in(self._thread, self._journal.close)
        self._thread.shutdown(wait=False)

    # --- what others see ------------------------------------------------------------------------

    def now(self) -> float:
        """The time of what happens now, never before what happened in the journal."""
        return self._clock.now()

    async def post(self, event: Event) -> None:
        """Hand a request in; returns when it is durable. Raises what the core raises, ``Busy``
        when too much waits, and why this life is over if it is."""
        if self._over is not None:
            raise self._over
        letter = Letter(event, _future())
        self._mail.put_request(letter)
        await letter.done
        await self.settled()  # a cancel is answered later: what came meanwhile is not durable yet

    async def settled(self) -> None:
        """Wait until all that the core knows is durable. Raises why this life is over if it is."""
        await self._settled.wait()
        if self._over is not None:
            raise self._over

    async def news_after(self, seen: int, wait_s: float) -> None:
        """Wait until the core's revision is above ``seen`` and durable, or for ``wait_s``."""
        await self._wait(lambda: self.core.revision > seen, wait_s)

    async def changes_after(self, serial: int, wait_s: float) -> None:
        """Wait until something looks otherwise than at that change, or for ``wait_s``."""
        await self._wait(lambda: self.changes.serial > serial, wait_s)

    async def _wait(self, is_so: Callable[[], bool], wait_s: float) -> None:
        deadline = time.monotonic() + wait_s
        while not is_so() and (left := deadline - time.monotonic()) > 0:
            try:
                await asyncio.wait_for(self._news.wait(), left)
            except TimeoutError:
                return
            if self._over is not None:
                return

    async def look_up(self, user: UserId, **names: str) -> Retire | None:
        """An ended workflow of a user's that has left memory, by names as ``Journal.archived``
        takes them. Guessing names costs nothing unless some workflow of the user's has."""
        if not self.core.has_retired(user):
            return None
        found = await self.read(lambda journal: journal.archived(user=user, **names))
        if found is None or self.core.has_deleted(user, found.workflow.workflow):
            return None
        return found

    async def chapter(self, view: JobView, after: int, most: int) -> list[StoryLine]:
        """Events of a job's time, of those after ``after``. See ``Journal.chapter``."""
        since, until = view.submitted_at, view.ended_at or math.inf
        return await self.read(
            lambda journal: journal.chapter(
                view.job, after=after, since=since, until=until, most=most
            )
        )

    async def usage(self, wanted: Wanted) -> list[Usage]:
        """Who used how much, of what is durable now. Raises as ``UsageReader.rows``, and
        ``LimitReached`` when others wait for theirs already."""
        with self._reports.turn():
            reader = await self.read(lambda journal: journal.usage_reader())
            try:
                await self.settled()
            except RayschedError:
                reader.close()
                raise
            known = Known.of(self.core.state, len(self._journal), wanted.user)
            return await self._reports.rows(reader, wanted, known)

    @property
    def events(self) -> int:
        """Durable events."""
        return len(self._journal)

    def places(self) -> dict[LaneId, NodeId]:
        """The open lanes, each with the id of its node."""
        return self._lanes.places()

    async def read(self, work: Callable[[Journal], T]) -> T:
        """Read from the journal, in its thread. Raises why this life is over if it is."""
        if self._over is not None:
            raise self._over
        return await _in(self._thread, lambda: work(self._journal))

    def lanes_open(self) -> int:
        """Lanes that can take work."""
        return len(self._lanes)

    # --- the pump -------------------------------------------------------------------------------

    async def report(self, event_at: Callable[[float], Event]) -> None:
        """For lanes, runs and uses of keys: stamp and hand in, however much waits; a pausing life
        has no use for these."""
        letter = Letter(event_at(self.now()), _future())
        try:
            if self._over is not None:
                raise self._over
            self._mail.put(letter)
            await letter.done
        except RequestError:
            log.exception("A report was refused.")
        except ClusterError:
            log.info("A report came too late for this life.")

    async def _pump(self) -> None:
        most = self._config.cluster.group_commit_events
        while True:
            await self._settle(await self._mail.take(most, most_jobs=most))

    async def _settle(self, letters: list[Letter]) -> None:
        """One group: handle each, make all durable at once, then answer and act.

        Whatever goes wrong here but a refusal ends this life: its state may have gone further than
        the journal. Nobody is left waiting then, and nobody is shown that state.
        """
        self._settled.clear()
        self._unsaved = True
        try:
            handled = self._handle(letters)
            with self._meters.committing(len(handled.entries)):
                await _in(self._thread, lambda: self._journal.append(handled.entries))
        except BaseException as error:
            self._over = ending_of(error)
            for letter in letters:
                _fail(letter.done, self._over)
            raise
        self._unsaved = False
        for shown, retired in handled.changes:
            self.changes.note(shown, retired)
        self.minutes.tick(self.core.state, self.now())
        events = (entry.event for entry in handled.entries)
        self.minutes.note(events, handled.waits_s, self.core.state)
        self._settled.set()
        for job in handled.ended:
            if job.ended_at is not None:
                self._meters.ended(job.state, job.ended_at - job.submitted_at)
        self._answer(letters, handled)
        for command in handled.commands:
            self._carry_out(command)
        if handled.stopped:
            self._spawn(self._shut(handled.stopped))
        news, self._news = self._news, asyncio.Event()
        news.set()
        if len(self._journal) - self._snapshot_at >= self._snapshot_every():
            with self._meters.committing(0):  # nothing goes on meanwhile
                await self._save_snapshot()

    def _handle(self, letters: list[Letter]) -> Handled:
        """Only what changed something is logged: a repeat and a stale report leave no record."""
        handled = Handled()
        for letter in letters:
            before, job = self.core.revision, self._job_of(letter.event)
            known = self.core.state.jobs.get(job) if job else None
            named = {*cancelled(self.core.state, letter.event)}  # some may leave memory by it
            last = stopped_last(self.core.state, letter.event)
            try:
                done = self.core.handle(letter.event)
            except RayschedError as error:
                # What changed something before it raised, or keeps this life from beginning, is no
                # refusal: the state is in no journal, so it must go.
                if self.core.revision != before or isinstance(letter.event, SchedulerStarted):
                    raise
                _fail(letter.done, error)
                continue
            retired = tuple(command for command in done if isinstance(command, Retire))
            if isinstance(letter.event, Cancel):
                stopped = to_shut(self.core.state, named, retired)
                handled.cancels.append((letter, named, stopped))
            if self.core.revision == before:
                continue
            if not isinstance(letter.event, Cancel):
                stopped = to_shut(self.core.state, {*self.core.shown.jobs, *last}, retired)
                handled.stopped += stopped
            handled.entries.append(Entry(letter.event, job, self.core.decided(done), retired))
            handled.commands += done
            handled.waits_s += waits_of(done, self.core.state)
            handled.changes.append((self.core.shown, retired))
            if known is not None and known.state in ENDED and isinstance(letter.event, Report):
                handled.ended.append(known)
        return handled

    def _snapshot_every(self) -> int:
        """A snapshot takes as long to write as the state is large: it is more seldom then."""
        return max(SNAPSHOT_EVENTS, 2 * len(self.core.state.jobs))

    async def _save_snapshot(self) -> None:
        """Make the next start quick. The state is durable and stands still while it is frozen."""
        seq = self._snapshot_at = len(self._journal)
        if not seq:
            return
        try:
            content = frozen(self.core.state)
            await _in(self._thread, lambda: save_snapshot(self._journal, seq, content))
        except (OSError, ValueError, RayschedError) as error:
            log.warning("No snapshot could be saved after event %s: %s", seq, error)

    def _job_of(self, event: Event) -> JobId | None:
        """Whose story an event belongs to; reports carry only their run, a lane what ran in it."""
        if isinstance(event, LaneLost):
            lost = self.core.state.lanes.get(event.lane)
            return self.core.runs()[lost].unit.job if lost else None
        if isinstance(event, Report):
            run = self.core.runs().get(event.run)
            return run.unit.job if run else None
        return getattr(event, "job", None)

    def _carry_out(self, command: Command) -> None:
        match command:
            case RunUnit():
                self._runs.start(command, Extent.of(self.core.state.jobs.get(command.unit.job)))
            case StopRun():
                self._runs.stop(command.run)
            case ReleaseLane():
                self._spawn(self._lanes.release(command.lane))
            case WakeAt():
                self._wake_at(command.at)
            case RemoveFiles():
                self._removals.start(command)
            case Retire():
                pass  # it was archived with the event that retired it

    def _answer(self, letters: list[Letter], handled: Handled) -> None:
        for letter in letters:
            if not letter.done.done() and not isinstance(letter.event, Cancel):
                letter.done.set_result(None)
        for letter, named, stopped in handled.cancels:
            task = self._spawn(self._acknowledge(letter, named, stopped))
            # One that is ended before it has begun says nothing by itself.
            closing = ending_of(asyncio.CancelledError())
            task.add_done_callback(partial(_fail, letter.done, closing))

    async def _acknowledge(self, letter: Letter, named: set[JobId], stopped: list[Job]) -> None:
        """A cancel is answered when it is durable and nothing can come of its jobs any more."""
        try:
            await self._runs.told(named)
            await self._fences.shut(stopped)
        except BaseException as error:
            _fail(letter.done, ending_of(error))
            if not isinstance(error, RayschedError):
                raise
        else:
            if not letter.done.done():
                letter.done.set_result(None)

    async def shut(self, jobs: Iterable[Job]) -> None:
        """Let no result of jobs in the archive appear any more. Raises ``ClusterError``."""
        await self._fences.shut(jobs)

    async def _shut(self, stopped: list[Job]) -> None:
        try:
            await self._fences.shut(stopped)
        except ClusterError as error:
            log.warning("Of jobs that have stopped: %s", error.message)

    def _wake_at(self, at: float) -> None:
        if self._timer:
            self._timer.cancel()
        delay = max(0.0, at - self.now()) + TIMER_SLACK_S
        self._timer = asyncio.get_running_loop().call_later(delay, self._tick)

    def _tick(self) -> None:
        self._spawn(self.report(TimePassed))

    def _spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._small.add(task)
        task.add_done_callback(self._small.discard)
        return task


def _future() -> asyncio.Future[None]:
    return asyncio.get_running_loop().create_future()


def _fail(future: asyncio.Future[None], error: RayschedError, _: object = None) -> None:
    if not future.done():
        future.set_exception(error)


async def _in(thread: ThreadPoolExecutor, work: Callable[[], T]) -> T:
    return await asyncio.get_running_loop().run_in_executor(thread, work)
