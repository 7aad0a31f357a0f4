"""A thousand lanes and more, with all of the scheduler but Ray.

Real are the life with its pump, the runs and their orders, the journal on its two files, and one
replica that watches. Simulated is what Ray does: a lane is a name, and a unit that was sent there
has ended well so many seconds later. Orders and answers are pickled, as they are on their way.
"""

from __future__ import annotations

import asyncio
import gc
import pickle
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from statistics import median, quantiles
from typing import Any

from figures import Figure

from raysched.cluster import tasks
from raysched.cluster.lanes import Lanes
from raysched.cluster.life import Life
from raysched.cluster.news import Mark, news_of
from raysched.cluster.processes import collect_seldom
from raysched.cluster.runs import LiveRun, Runs
from raysched.config import Config, load_config
from raysched.core.events import Event, LaneOpened, LanesCounted, WorkflowSubmitted
from raysched.core.model import JobId, JobSpec, LaneId, Stage, UserId, WorkflowId
from raysched.journal.journal import Journal
from raysched.results.outcomes import Planned, Receipt

COUNTS = (64, 250, 500, 1000, 1500, 2000, 4000)
AIM = 1000
UNIT_S = 0.25
SPREAD = 0.6, 1.4
"""Of that, the quickest and the slowest."""
KEEPS_UP = 0.95
"""Of the ideal: a lane waits for 13 ms then between two chunks."""
USERS, JOBS_EACH, CHUNKS = 10, 4, 20_000
SETTLE_S, MEASURED_S = 2.0, 6.0
REQUEST = '{"slide":"/slides/a/case-0001.svs","out":"/results/a/case-0001","tile_px":1024}'


@dataclass
class Pace:
    """How long lanes were without work between the end of a unit and the next one, in the time that
    is measured."""

    due: dict[LaneId, float] = field(default_factory=dict)
    lags_s: list[float] = field(default_factory=list)
    sent: int = 0
    chance: Random = field(default_factory=lambda: Random(0))

    def begin(self, lane: LaneId, now: float) -> float:
        """A unit was sent to a lane; how long it takes there. Units differ, as tiles do: else all
        lanes would end at once, again and again."""
        if (due := self.due.get(lane)) is not None:
            self.lags_s.append(now - due)
        seconds = UNIT_S * self.chance.uniform(*SPREAD)
        self.due[lane] = now + seconds
        self.sent += 1
        return seconds

    def forget(self) -> None:
        """What was before is not measured."""
        self.lags_s.clear()
        self.sent = 0


class MadeUpLanes(Lanes):
    """Names that are open once there is work for all of them."""

    many = 0
    work_is_there = asyncio.Event()

    async def keep(self) -> None:
        """Report them, and no more."""
        await self.work_is_there.wait()
        names = [LaneId(f"raysched-lane-{n}") for n in range(self.many)]
        await self._report(lambda at: LanesCounted(at, self.many, self.many))
        self._groups |= dict.fromkeys(names)  # type: ignore[arg-type]
        await asyncio.gather(*(self._report(_opened(name)) for name in names))
        await asyncio.Event().wait()


class MadeUpRef:
    """Is awaited as Ray's references are: through a future of threads."""

    def __init__(self) -> None:
        self._future: Future[tasks.Outcome] = Future()

    def future(self) -> Future[tasks.Outcome]:
        """As of an ``ObjectRef``."""
        return self._future

    def __await__(self) -> Any:
        return asyncio.wrap_future(self._future).__await__()

    def ended(self, said: bytes) -> None:
        """The answer has come."""
        if not self._future.cancelled():
            self._future.set_result(pickle.loads(said))


class MadeUpRuns(Runs):
    """Sends units to nobody, who answers in time."""

    pace = Pace()

    def _sent(self, live: LiveRun, order: tasks.Order) -> Any:
        loop = asyncio.get_running_loop()
        pickle.dumps(order)
        unit, lane = live.command.unit, live.command.lane
        seconds = self.pace.begin(lane, loop.time())
        answer, said = MadeUpRef(), _ANSWERS[unit.stage]
        loop.call_later(seconds, lambda: answer.ended(said))
        return answer

    async def abandon(self) -> None:
        """Ray knows none of them."""
        for live in self._live.values():
            live.ref = None
        await super().abandon()


class MadeUpLife(Life):
    """As it is, on these."""

    def __init__(self, config: Config, journal: Journal, thread: ThreadPoolExecutor) -> None:
        super().__init__(config, journal, thread)
        self._lanes = MadeUpLanes(config, self.report, lambda: self.core.state)
        self._runs = MadeUpRuns(config, self._lanes, self._fences, self.report)


def simulated() -> Iterator[Figure]:
    """More and more lanes, until they wait. The best that kept up is told last."""
    collect_seldom()  # as the actor does
    best, most = 0, 0.0
    for lanes in COUNTS:
        with tempfile.TemporaryDirectory() as folder:
            seen = asyncio.run(_measured(Path(folder), lanes))
        gc.collect()
        name, ideal = f"{lanes:,} simulated lanes", lanes / UNIT_S
        gate = KEEPS_UP if lanes == AIM else None
        share = UNIT_S / (UNIT_S + median(seen.lags_s))
        best, most = lanes if share >= KEEPS_UP else best, max(most, seen.per_s)
        yield Figure(f"{name}: events", seen.per_s, "events/s", ideal)
        yield Figure(f"{name}: of the ideal", share, "", None, gate, "more")
        p99 = quantiles(seen.lags_s, n=100)[98]
        yield Figure(f"{name}: a lane waits, p50", 1e3 * median(seen.lags_s), "ms")
        yield Figure(f"{name}: a lane waits, p99", 1e3 * p99, "ms")
        yield Figure(f"{name}: CPU of the scheduler", 100 * seen.cpus, "% of one")
        yield Figure(f"{name}: CPU of an event", 1e6 * seen.cpus / seen.per_s, "us")
    yield Figure("lanes that the scheduler keeps up with", best, "lanes", None, AIM, "more")
    yield Figure("most events", most, "events/s", None, AIM / UNIT_S * KEEPS_UP, "more")


@dataclass(frozen=True, slots=True)
class Measured:
    """What was seen of one number of lanes."""

    per_s: float
    lags_s: list[float]
    cpus: float


async def _measured(folder: Path, lanes: int) -> Measured:
    MadeUpLanes.many, MadeUpLanes.work_is_there = lanes, asyncio.Event()
    MadeUpRuns.pace = pace = Pace()
    config = load_config(
        state=folder,
        cluster={"address": None, "spare_process": False},
        scheduling={
            "max_running_jobs": 64,
            "max_active_users": USERS,
            "max_jobs_per_user": 1000,
            "first_tile_estimate_s": UNIT_S / 4,  # turns are fair from the first chunk on
        },
    )
    life = await MadeUpLife.begin(config, lambda *_: None)
    living = asyncio.create_task(life.run(asyncio.Event()))
    watching = asyncio.create_task(_watch(life))
    for number in range(USERS):
        await life.post(_workflow(number))
    MadeUpLanes.work_is_there.set()
    deadline = time.monotonic() + 60
    while len(pace.due) < lanes and time.monotonic() < deadline:
        await asyncio.sleep(0.1)
    await asyncio.sleep(SETTLE_S)
    pace.forget()
    events, cpu, begun = life.events, time.process_time(), time.perf_counter()
    await asyncio.sleep(MEASURED_S)
    seconds = time.perf_counter() - begun
    events, cpu = life.events - events, time.process_time() - cpu
    lags_s = [*pace.lags_s]
    for each in (watching, living):
        each.cancel()
        with suppress(asyncio.CancelledError):
            await each
    return Measured(events / seconds, lags_s, cpu / seconds)


async def _watch(life: Life) -> None:
    """What one replica of the service does all the time."""
    mark: Mark | None = None
    while True:
        mark = (await news_of(life, mark, 10.0)).upto


def _workflow(number: int) -> Event:
    user, name = UserId(f"user-{number}"), f"w{number}"
    specs = tuple(
        JobSpec(JobId(f"{name}-{n}"), f"b{n}", "cell_segmentation", REQUEST)
        for n in range(JOBS_EACH)
    )
    return WorkflowSubmitted(1.0, user, name, WorkflowId(name), name, specs)


def _opened(lane: LaneId) -> Any:
    return lambda at: LaneOpened(at, lane)


_ANSWERS = {
    Stage.PLAN: pickle.dumps(Planned("f" * 64, (4,) * CHUNKS)),
    Stage.SEGMENT: pickle.dumps(
        Receipt(
            chunk=12_345, fingerprint="f" * 64, cells=4000, tiles=4, tiles_failed=(),
            seconds=UNIT_S, checksum="c" * 64, size_bytes=2_000_000, tile_cells=(1000,) * 4,
            file="chunks-ffffffffffff/012345-cccccccccccc.arrow",
        )
    ),
}  # fmt: skip
"""As a lane has pickled them."""
