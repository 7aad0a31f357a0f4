"""Carrying out ``RunUnit`` and ``StopRun``: every run ends as exactly one event.

Tile tasks are owned by this actor's process: when it dies they die, so a new life never meets an
old run.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Literal

import ray
from ray.exceptions import RayError, TaskCancelledError

from raysched.cluster import tasks
from raysched.cluster.deadlines import Extent, hung, limit_s
from raysched.cluster.deaths import Died, meaning_of
from raysched.cluster.fences import Fences
from raysched.cluster.guard import was_worn
from raysched.cluster.lanes import Lanes, Report
from raysched.cluster.note_post import notes_at_hand
from raysched.cluster.orders import Orders, title_of
from raysched.cluster.run_endings import Lost, event_of, not_begun
from raysched.config import Config
from raysched.core.commands import RunUnit
from raysched.core.model import Failure, JobId, RunId, Stage
from raysched.errors import RayschedError
from raysched.imaging.request import SlideRequest
from raysched.logs import about

log = logging.getLogger(__name__)

MOST_WORN = 3
NOTES_S = 5.0
DEAF_S = 0.25
"""A process that is to end is gone at once, unless its engine holds the interpreter's lock: Ray's
own thread in it waits for the lock to interrupt, and hears of nothing after that. Then its lane is
given up, so that the node's raylet ends it."""
HALT_S = 10.0
"""How long closing waits for the tiles in hand."""
MARKERS_AT_ONCE = 8
MARKER_S = 5.0
"""How long anybody waits for a marker, which is a courtesy."""
LOOK_S = 2.0
"""A task whose group is gone may never answer: so often the lanes of all runs are looked at, by one
for all of them, since a timer for each run costs as much as the rest of it."""


@dataclass(slots=True)
class LiveRun:
    """A run in flight. ``order`` is set once it could be read, ``ref`` once Ray has the task."""

    command: RunUnit
    extent: Extent
    order: tasks.Order | None = None
    ref: ray.ObjectRef[tasks.Outcome] | None = None
    answer: asyncio.Future[tasks.Outcome] | None = None
    due: float = math.inf
    """When it hangs, in the event loop's time."""
    given_up: Literal["its lane is gone", "it hangs"] | None = None
    """Why its answer is waited for no longer."""
    follower: asyncio.Task[None] | None = None
    stopper: asyncio.Task[None] | None = None
    told: asyncio.Event = field(default_factory=asyncio.Event)
    """Set once it is told to stop, and when it has ended."""


class Runs:
    """All runs in flight of one life, by id."""

    def __init__(self, config: Config, lanes: Lanes, fences: Fences, report: Report) -> None:
        self._config = config
        self._settings = config.cluster
        self._orders = Orders(config)
        self._lanes = lanes
        self._fences = fences
        self._report = report
        self._live: dict[RunId, LiveRun] = {}
        self._looking: asyncio.Task[None] | None = None
        # The state folder may hang, too: threads of their own keep that from all others.
        self._markers = ThreadPoolExecutor(MARKERS_AT_ONCE, thread_name_prefix="markers")

    def start(self, command: RunUnit, extent: Extent) -> None:
        """Submit a unit into its lane and follow it to its end."""
        unit = command.unit
        live = self._live[command.run] = LiveRun(command, extent)
        if self._looking is None:
            self._looking = asyncio.create_task(self._look())
        names = {"user": command.user, "workflow": extent.workflow, "job": unit.job}
        with about(**names, attempt=unit.attempt, run=command.run):
            live.follower = asyncio.create_task(self._follow(command, live))

    def stop(self, run: RunId) -> None:
        """Stop a run: by its marker between tiles, then by interruption, then by force."""
        live = self._live.get(run)
        if live is not None and live.stopper is None:
            live.stopper = asyncio.create_task(self._stop(live))

    async def told(self, jobs: Iterable[JobId]) -> None:
        """Wait until the runs of these jobs that are to stop can see it, or have ended; for no
        longer than until they are interrupted."""
        names = set(jobs)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._settings.stop_interrupt_s):
                for live in list(self._live.values()):
                    if live.command.unit.job in names and live.stopper is not None:
                        await live.told.wait()

    async def halt(self) -> None:
        """Have what runs stop at its next tile, and wait for that a while: a tile that is done is
        not done again. For a life that is closed; nothing is reported any more."""
        live = [each for each in self._live.values() if each.order is not None and each.follower]
        orders = [each.order for each in live if each.order is not None]
        await asyncio.gather(*(self._courtesy(_place_marker, order) for order in orders))
        if live:
            await asyncio.wait({each.follower for each in live if each.follower}, timeout=HALT_S)
        await asyncio.gather(*(self._courtesy(_remove_marker, order) for order in orders))

    async def abandon(self) -> None:
        """Kill what still runs, without reports: the life is over."""
        if self._looking is not None:
            self._looking.cancel()
        for live in self._live.values():
            for task in (live.follower, live.stopper):
                if task is not None:
                    task.cancel()
            if live.ref is not None:
                ray.cancel(live.ref, force=True)
        self._live.clear()
        self._markers.shutdown(wait=False, cancel_futures=True)

    async def _follow(self, command: RunUnit, live: LiveRun) -> None:
        loop = asyncio.get_running_loop()
        begun = loop.time()
        ending: tasks.Outcome | Lost
        try:
            ending = await self._outcome(command, live)
        except TaskCancelledError:
            ending = tasks.Halted()
        except RayError as error:
            # A kill by force ends like a crash; the core knows that it asked for it.
            self._lanes.lost_process()
            died = Died(command, error, live.stopper is not None)
            memory_short = self._lanes.was_short_of_memory
            ending = await meaning_of(died, self._config.notes, memory_short)
        except RayschedError as error:  # the result could not be handed over
            failure = Failure(error.code, error.message, error.remedy)
            ending = tasks.Failed(failure, retryable=True)
        except Exception as error:  # a fault of ours must not hold the lane for ever
            log.exception("Run %s could not be carried out.", command.run)
            ending = not_begun(command.unit, error)
        seconds = loop.time() - begun
        if live.stopper is not None:
            live.stopper.cancel()
            if live.order is not None:
                await self._courtesy(_remove_marker, live.order)
        live.told.set()
        await self._report(lambda at: event_of(at, command.run, seconds, ending))
        await self._lanes.bury(command.lane)
        self._live.pop(command.run, None)

    async def _outcome(self, command: RunUnit, live: LiveRun) -> tasks.Outcome | Lost:
        if not self._lanes.has(command.lane):
            return Lost("its lane was gone before it began")
        most_bytes = int(self._config.logging.most_mb_per_job * 1e6 / max(1, len(self._lanes)))
        shape = self._lanes.shape(command.lane)
        live.order = order = self._orders.order_of(command, shape, most_bytes)
        if (ending := await self._before(command, live, order.request)) is not None:
            return ending
        for _ in range(MOST_WORN):
            if live.told.is_set():  # who told it saw no process that could be interrupted
                return tasks.Halted()
            try:
                return await self._answer(command, live, order)
            except RayError:
                notes = self._config.notes
                with contextlib.suppress(TimeoutError):  # else what it has left is not known
                    brought = asyncio.to_thread(notes_at_hand, order.store, notes, command.run)
                    await asyncio.wait_for(brought, NOTES_S)
                if not await asyncio.to_thread(was_worn, self._config.notes, command.run):
                    raise
        return Lost("process after process of its lane was too large before it began")

    async def _before(
        self, command: RunUnit, live: LiveRun, request: SlideRequest
    ) -> tasks.Outcome | None:
        """Have the result in this run's hands to publish, or in none's before a new plan; how the
        run ends where it was told to stop meanwhile, or where the storage hangs. Raises
        ``StorageFailed``, ``StorageFull``."""
        unit, user = command.unit, command.user
        if unit.stage is Stage.PUBLISH:
            work = self._fences.hand_over(user, request, unit.job, command.run)
        elif unit.stage is Stage.PLAN and unit.attempt > 1:
            work = self._fences.take_back(user, request, unit.job)
        else:
            return None
        fenced, told = asyncio.ensure_future(work), asyncio.ensure_future(live.told.wait())
        most_s = self._settings.unit_limit_s
        try:
            await asyncio.wait({fenced, told}, timeout=most_s, return_when="FIRST_COMPLETED")
            if live.told.is_set():
                return tasks.Halted()
            if not fenced.done():
                return hung(unit, most_s)
            fenced.result()
            return None
        finally:
            told.cancel()
            fenced.cancel()

    async def _answer(
        self, command: RunUnit, live: LiveRun, order: tasks.Order
    ) -> tasks.Outcome | Lost:
        """What one process answers. Raises ``RayError`` where it died."""
        stage, usual_s = command.unit.stage, self._settings.unit_limit_s
        most_s = limit_s(usual_s, stage, order.request, live.extent)
        live.due = asyncio.get_running_loop().time() + most_s
        live.ref = self._sent(live, order)
        live.answer = asyncio.wrap_future(live.ref.future())
        try:
            return await live.answer
        except asyncio.CancelledError:
            if live.given_up is None:
                raise
        if live.given_up == "it hangs":
            log.warning("Run %s hangs; its lane is replaced.", command.run)
            ray.cancel(live.ref, force=True)
            await self._lanes.give_up(command.lane)  # whatever hangs in there, also before it
            return hung(command.unit, most_s)
        return Lost(live.given_up)

    async def _look(self) -> None:
        """Again and again, give up the answers that may never come, until cancelled."""
        now = asyncio.get_running_loop().time
        while True:
            await asyncio.sleep(min(LOOK_S, self._settings.unit_limit_s))
            for live in self._live.values():
                if live.answer is None or live.answer.done():
                    continue
                if not self._lanes.has(live.command.lane):
                    live.given_up = "its lane is gone"
                elif now() > live.due:
                    live.given_up = "it hangs"
                else:
                    continue
                live.answer.cancel()

    def _sent(self, live: LiveRun, order: tasks.Order) -> ray.ObjectRef[tasks.Outcome]:
        """Have Ray begin it in its lane."""
        command = live.command
        return tasks.run_unit.options(
            name=title_of(command.unit, order.request, len(live.extent.chunk_tiles)),
            **self._lanes.options(command.lane),
        ).remote(order)

    async def _courtesy(self, work: Callable[[tasks.Order], None], order: tasks.Order) -> None:
        """Something about a marker, waited for only for a moment."""
        done = asyncio.get_running_loop().run_in_executor(self._markers, work, order)
        await asyncio.wait({done}, timeout=MARKER_S)

    async def _stop(self, live: LiveRun) -> None:
        """Each means is tried only if the one before did not end the run in time."""
        settings = self._settings
        if live.order is not None:
            marked = self._markers.submit(_place_marker, live.order)
            await asyncio.wait({asyncio.wrap_future(marked)}, timeout=settings.stop_interrupt_s)
        live.told.set()
        await asyncio.sleep(settings.stop_interrupt_s)
        if live.ref is not None:
            ray.cancel(live.ref, force=False)
        await asyncio.sleep(max(0.0, settings.stop_force_s - settings.stop_interrupt_s))
        if live.ref is not None:
            log.warning("Run %s did not stop by itself; its process is killed.", live.command.run)
            ray.cancel(live.ref, force=True)
            await asyncio.sleep(DEAF_S)
            await self._lanes.give_up(live.command.lane)


# Markers are a courtesy: where none can be placed, the run is interrupted and then killed, and one
# that stays behind stops nobody, since its run's id is never used again.


def _place_marker(order: tasks.Order) -> None:
    marker = tasks.stop_marker(order)
    with contextlib.suppress(OSError):
        marker.parent.mkdir(parents=True, exist_ok=True)
        marker.touch()


def _remove_marker(order: tasks.Order) -> None:
    with contextlib.suppress(OSError):
        tasks.stop_marker(order).unlink(missing_ok=True)
