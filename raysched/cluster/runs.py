"""Carrying out ``RunUnit`` and ``StopRun``: every run ends as exactly one event.

One of the two files that change the cluster. Tile tasks are owned by this actor's process: when it
dies they die, so a new life never meets an old run.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import logging
import math
import re
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import astuple, dataclass, field
from pathlib import Path

import ray
from ray.exceptions import OutOfMemoryError, RayError, TaskCancelledError, WorkerCrashedError

from raysched.cluster import tasks
from raysched.cluster.capture import LogPlace
from raysched.cluster.fences import Fences
from raysched.cluster.guard import taken_held, taken_note, too_large, was_worn
from raysched.cluster.lanes import Lanes, Report
from raysched.config import Config
from raysched.core.commands import RunUnit
from raysched.core.events import (
    ChunkFinished,
    ChunksMissed,
    Event,
    MppMissed,
    ResultAssembled,
    ResultPublished,
    RunFailed,
    RunLost,
    RunStopped,
    SlidePlanned,
)
from raysched.core.model import Failure, JobId, PlanFacts, RunId, Stage, Unit, UserId
from raysched.core.state import Job
from raysched.errors import InternalError, RayschedError, WorkHung
from raysched.imaging.request import SegmentationRequest, SlideRequest, read_request
from raysched.journal.codec import whole
from raysched.logs import about, now_about
from raysched.results import outcomes

log = logging.getLogger(__name__)

USUAL_PX = {Stage.SEGMENT: 4 * 1024**2, Stage.ASSEMBLE: 1000 * 1024**2}
USUAL_PX[Stage.PUBLISH] = USUAL_PX[Stage.ASSEMBLE]
USUAL_CELLS = 1_000_000
"""What a unit has to do at most in ``unit_limit_s``; for more it gets more time. Assembling 1,000
usual tiles with a million cells takes a minute."""
MOST_WORN = 3
DEAF_S = 0.25
"""A process that is to end is gone at once, unless its engine holds the interpreter's lock: Ray's
own thread in it waits for the lock to interrupt, and hears of nothing after that. Then its lane is
given up, so that the node's raylet ends it."""
HALT_S = 10.0
"""How long closing waits for the tiles in hand."""
MARKERS_AT_ONCE = 8
MEMORY_SEEN = re.compile(r"was ([0-9.]+ ?GB / [0-9.]+ ?GB)")  # in what Ray says of a node
MARKER_S = 5.0
LANE_CHECK_S = 2.0  # a task whose group is gone may never answer: look at the lane meanwhile


@dataclass(frozen=True, slots=True)
class Extent:
    """How much a job is to begin and end with: its tiles, and the cells found so far."""

    workflow: str | None = None
    tiles: int = 0
    cells: int = 0

    @classmethod
    def of(cls, job: Job | None) -> Extent:
        """Of a job as the core knows it."""
        if job is None:
            return cls()
        tiles = sum(job.progress.plan.chunk_tiles) if job.progress is not None else 0
        return cls(job.workflow, tiles, job.cells)


@dataclass(slots=True)
class LiveRun:
    """A run in flight. ``order`` is set once it could be read, ``ref`` once Ray has the task."""

    command: RunUnit
    extent: Extent
    order: tasks.Order | None = None
    ref: ray.ObjectRef[tasks.Outcome] | None = None
    follower: asyncio.Task[None] | None = None
    stopper: asyncio.Task[None] | None = None
    told: asyncio.Event = field(default_factory=asyncio.Event)
    """Set once it is told to stop, and when it has ended."""


class Runs:
    """All runs in flight of one life, by id."""

    def __init__(self, config: Config, lanes: Lanes, fences: Fences, report: Report) -> None:
        self._config = config
        self._settings = config.cluster
        self._lanes = lanes
        self._fences = fences
        self._report = report
        self._live: dict[RunId, LiveRun] = {}
        # Results may be on a storage that hangs: threads of their own keep that from all others.
        self._markers = ThreadPoolExecutor(MARKERS_AT_ONCE, thread_name_prefix="markers")

    def start(self, command: RunUnit, extent: Extent) -> None:
        """Submit a unit into its lane and follow it to its end."""
        unit = command.unit
        live = self._live[command.run] = LiveRun(command, extent)
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
            ending = await self._death(command, live, error)
        except RayschedError as error:  # the result could not be handed over
            failure = Failure(error.code, error.message, error.remedy)
            ending = tasks.Failed(failure, retryable=True)
        except Exception as error:  # a fault of ours must not hold the lane for ever
            log.exception("Run %s could not be carried out.", command.run)
            ending = _failed(command.unit, error)
        seconds = loop.time() - begun
        if live.stopper is not None:
            live.stopper.cancel()
            if live.order is not None:
                await self._courtesy(_remove_marker, live.order)
        live.told.set()
        await self._report(lambda at: event_of(at, command.run, seconds, ending))
        await self._lanes.bury(command.lane)
        self._live.pop(command.run, None)

    async def _death(self, command: RunUnit, live: LiveRun, error: RayError) -> tasks.Failed | Lost:
        """What the end of a run's process means: if memory was the reason, the unit goes once more
        with care, and fails if that ends in the same way."""
        notes, run = self._config.notes, command.run
        said = await asyncio.to_thread(taken_note, notes, run)
        held = await asyncio.to_thread(taken_held, notes, run)
        by_itself = said is not None
        if said is None and live.stopper is None:
            said = await self._killed_for_memory(command, error, held)
        if said is None:
            return Lost(_cause(error))
        log.warning("Run %s: %s", run, said.message)
        if not command.careful:
            return Lost(said.message.removesuffix("."), too_large=True)
        return tasks.Failed(said, retryable=not by_itself)  # a machine may have room later

    async def _killed_for_memory(
        self, command: RunUnit, error: RayError, held: int | None
    ) -> Failure | None:
        """The failure of a unit whose machine was out of memory, as Ray or the system says."""
        was_ray = isinstance(error, OutOfMemoryError)
        if not was_ray:
            crashed = isinstance(error, WorkerCrashedError) and held is not None
            if not crashed or not await self._lanes.was_short_of_memory(command.lane):
                return None
        by = "Ray" if was_ray else "the system"
        seen = MEMORY_SEEN.search(str(error))
        facts = [f"the process held {held / 1e9:.1f} GB"] if held is not None else []
        facts += [f"{seen[1]} of the machine were in use"] if seen else []
        numbers = f" ({', '.join(facts)})" if facts else ""
        return too_large(
            f"The {command.unit.stage} stage was ended by {by}, because its machine had no memory "
            f"left{numbers}",
            command.careful,
        )

    async def _outcome(self, command: RunUnit, live: LiveRun) -> tasks.Outcome | Lost:
        if not self._lanes.has(command.lane):
            return Lost("its lane was gone before it began")
        most_bytes = int(self._config.logging.most_mb_per_job * 1e6 / max(1, len(self._lanes)))
        live.order = order = _order(command, self._config, most_bytes)
        if (ending := await self._before(command, live, order.request)) is not None:
            return ending
        for _ in range(MOST_WORN):
            if live.told.is_set():  # who told it saw no process that could be interrupted
                return tasks.Halted()
            try:
                return await self._answer(command, live, order)
            except RayError:
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
                return _hung(unit, most_s)
            fenced.result()
            return None
        finally:
            told.cancel()
            fenced.cancel()

    async def _answer(
        self, command: RunUnit, live: LiveRun, order: tasks.Order
    ) -> tasks.Outcome | Lost:
        """What one process answers. Raises ``RayError`` where it died."""
        live.ref = tasks.run_unit.options(
            name=_title(command.unit, order.request),
            num_cpus=self._lanes.cpus,
            num_gpus=self._lanes.gpus,
            scheduling_strategy=self._lanes.strategy(command.lane),
        ).remote(order)
        answer = asyncio.ensure_future(_get(live.ref))
        loop = asyncio.get_running_loop()
        stage, usual_s = command.unit.stage, self._settings.unit_limit_s
        most_s, begun = limit_s(usual_s, stage, order.request, live.extent), loop.time()
        while True:
            done, _ = await asyncio.wait({answer}, timeout=min(LANE_CHECK_S, most_s))
            if done:
                return answer.result()
            if not self._lanes.has(command.lane):
                answer.cancel()
                return Lost("its lane is gone")
            if loop.time() - begun > most_s:
                log.warning("Run %s hangs; its lane is replaced.", command.run)
                answer.cancel()
                ray.cancel(live.ref, force=True)
                await self._lanes.give_up(command.lane)  # whatever hangs in there, also before it
                return _hung(command.unit, most_s)

    async def _courtesy(self, work: Callable[[tasks.Order], None], order: tasks.Order) -> None:
        """Something in a results folder, waited for only for a moment."""
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


def limit_s(usual_s: float, stage: Stage, request: SlideRequest, extent: Extent) -> float:
    """How long a unit may take: as long as the setting says, and longer where there is more to do
    than usual."""
    if stage not in USUAL_PX or not isinstance(request, SegmentationRequest):
        return usual_s
    tiles = request.chunk_tiles if stage is Stage.SEGMENT else extent.tiles
    cells = 0 if stage is Stage.SEGMENT else extent.cells
    much = max(tiles * request.tile_px**2 / USUAL_PX[stage], cells / USUAL_CELLS)
    return usual_s * max(1.0, much)


def _hung(unit: Unit, most_s: float) -> tasks.Failed:
    what = {
        Stage.PLAN: "the plan",
        Stage.SEGMENT: f"chunk {unit.chunk}",
        Stage.ASSEMBLE: "the assembling",
        Stage.PUBLISH: "the publishing",
    }[unit.stage]
    who, then = "the storage of the results hangs", "look at the disk of the results folder"
    if unit.stage in (Stage.PLAN, Stage.SEGMENT):
        who = "the engine hangs, or the storage of the slide or of the results"
        then = "use other parameters or another engine"
    failure = Failure(
        WorkHung.code,
        f"After {most_s:g} s {what} was not done: {who}.",
        f"Retry later: finished chunks are kept. If it hangs again, {then}; if it only needs more "
        "time, ask the operator to raise cluster.unit_limit_s.",
    )
    return tasks.Failed(failure, retryable=True)


@dataclass(frozen=True, slots=True)
class Lost:
    """The process or node of a run died; ``too_large``: for its memory."""

    cause: str
    too_large: bool = False


def _order(command: RunUnit, config: Config, most_log_bytes: int) -> tasks.Order:
    request = read_request(command.kind, command.request)
    if command.mpp is not None:
        request = request.model_copy(update={"mpp": command.mpp})
    shelf = shelf_of(command.user, config)
    most_bytes = config.cluster.lane_gb * 1e9
    cpus = math.ceil(config.cluster.lane_cpus)
    level = config.logging.level
    place = LogPlace(config.logs, command.lane, most_log_bytes)
    workflow = now_about().get("workflow")
    names = tasks.Names(
        command.user, str(workflow) if workflow else None, config.logging.format, level
    )
    return tasks.Order(
        command.run,
        command.unit,
        request,
        shelf,
        most_bytes,
        config.notes,
        cpus,
        place,
        names,
        command.careful,
    )


def shelf_of(user: UserId, config: Config) -> tasks.ShelfPlace:
    """A folder for each user, under a name that any user's name can be made into."""
    name = hashlib.sha256(user.encode("utf-8", "surrogatepass")).hexdigest()[:32]
    return tasks.ShelfPlace(config.shelf / name, round(config.reuse.most_gb_per_user * 1e9))


def _failed(unit: Unit, error: Exception) -> tasks.Failed:
    failure = Failure(
        InternalError.code,
        f"The {unit.stage} stage could not be started: {error!r}.",
        "Report this with the scheduler actor's log.",
    )
    return tasks.Failed(failure, retryable=False)


async def _get(ref: ray.ObjectRef[tasks.Outcome]) -> tasks.Outcome:
    outcome: tasks.Outcome = await ref
    return outcome


def event_of(at: float, run: RunId, seconds: float, ending: tasks.Outcome | Lost) -> Event:
    """The one event that a run's ending becomes. Its texts are whole: they may quote file names
    that are no UTF-8, which the journal could not give back as they are."""
    match ending:
        case outcomes.Planned():
            facts = PlanFacts(
                ending.fingerprint,
                ending.chunk_tiles,
                ending.work,
                reused=ending.reused,
                may_fail=ending.may_fail,
            )
            return SlidePlanned(at, run, seconds, facts)
        case outcomes.Receipt():
            failed = len(ending.tiles_failed)
            return ChunkFinished(at, run, seconds, ending.cells, failed, ending.checksum)
        case outcomes.Assembled():
            return ResultAssembled(at, run, seconds, ending.cells)
        case tasks.Incomplete():
            return ChunksMissed(at, run, seconds, ending.chunks, ending.cells, ending.tiles_failed)
        case outcomes.Published():
            return ResultPublished(at, run, seconds, ending.cells, ending.checksum)
        case tasks.Failed():
            failure = Failure(*map(whole, astuple(ending.failure)))
            return RunFailed(at, run, seconds, failure, ending.retryable)
        case tasks.Asked():
            return MppMissed(at, run, whole(ending.question))
        case tasks.Halted():
            return RunStopped(at, run, seconds)
        case Lost():
            return RunLost(at, run, whole(ending.cause), ending.too_large)


def _cause(error: RayError) -> str:
    """Ray's own words, first line only."""
    first = str(error).strip().splitlines() or [""]
    return f"{type(error).__name__}: {first[0][:200]}"


def _title(unit: Unit, request: SlideRequest) -> str:
    """How the task is called in the Ray dashboard."""
    slide = Path(request.slide).stem
    if unit.stage is Stage.SEGMENT:
        return f"segment {slide} chunk {unit.chunk}"
    return f"{unit.stage} {slide}"


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
