"""A cancel in each state: until it is acknowledged, and until the CPU is free (by process id)."""

from __future__ import annotations

import asyncio
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ray
from bench_engines import installed
from figures import Figure

from raysched.config import Config, load_config
from raysched.core.model import JobId, JobState, UserId
from raysched.core.views import JobView
from raysched.errors import Conflict
from raysched.imaging.samples import SAMPLE_NAME
from raysched.testing.ray_processes import UNITS, title_of, titled

USER = UserId("bench")
ACK_GATE_S, SLACK_S, FORCED_GATE_S = 0.25, 0.25, 3.0
LOOK_S, STILL_S, STILL_TICKS = 0.01, 0.4, 2
"""A process is still when it has used two ticks (20 ms) or less for so long."""
TIMES = int(os.environ.get("RAYSCHED_BENCH_TIMES", "3"))
ENGINES = """
import numba, numpy
from raysched.imaging.classical import ClassicalEngine

def loop(count):
    while count[0] >= 0:
        count[0] = (count[0] + 1) % 1000

without_lock, with_lock = numba.njit(nogil=True)(loop), numba.njit(loop)

def spin(compiled):
    compiled(numpy.zeros(1, numpy.int64))

class Holding(ClassicalEngine):
    name = "holding"
    def segment(self, *asked):
        spin(with_lock)

class Spinning(ClassicalEngine):
    name = "spinning"
    def segment(self, *asked):
        spin(without_lock)

class Preparing(ClassicalEngine):
    name = "preparing"
    def prepare(self, *asked):
        spin(without_lock)

class Raising(ClassicalEngine):
    name = "raising"
    def segment(self, *asked):
        raise RuntimeError("as it is asked to")
"""
"""Endless compiled loops: with the interpreter's lock, without it, and while a slide is planned."""
NAMES = ("holding", "spinning", "preparing", "raising")


def measure() -> Iterator[Figure]:
    """Each state on a warm cluster of one lane, beside bare Ray. About three minutes."""
    engines = {each: each.capitalize() for each in NAMES}
    with (
        tempfile.TemporaryDirectory() as name,
        installed(Path(name) / "engines", "spinning_engines", ENGINES, engines),
    ):
        folder = Path(name)
        config = load_config(
            state=folder / "state",
            cluster={"address": None, "lanes": 1},
            scheduling={"retry_backoff_s": 60.0},
            reuse={"most_gb_per_user": 0.0},  # else only the first job has anything to do
        )
        from raysched.cluster.session import connect

        with connect(config) as session:
            bench = Bench(config, session.gateway, folder)
            tile_s = bench.tile_s()
            yield Figure("one tile of the usual engine, the slowest", tile_s, "s")
            plain, forced = _bare(PYTHON_LOOP, force=False), _bare(COMPILED_LOOP, force=True)
            for case in cases():
                yield from bench.figures(case, tile_s, forced if case.is_forced else plain)


@dataclass(frozen=True, slots=True)
class Case:
    """A state to cancel in. ``engine``: which brings it about."""

    what: str
    state: JobState
    engine: str = "classical"
    is_forced: bool = False
    seconds_in: float = 0.0


def cases() -> Iterator[Case]:
    """Every state in which a cancel is taken, and engines that never look."""
    yield Case("waiting", JobState.WAITING)
    yield Case("planning", JobState.PLANNING)
    yield Case("planning, in an endless loop", JobState.PLANNING, "preparing", True, 2.0)
    yield Case("segmenting", JobState.SEGMENTING, seconds_in=0.1)
    yield Case("segmenting, in an endless loop", JobState.SEGMENTING, "spinning", True, 2.0)
    yield Case("the same, holding the GIL", JobState.SEGMENTING, "holding", True, 2.0)
    yield Case("assembling", JobState.ASSEMBLING)
    yield Case("in the middle of assembling", JobState.ASSEMBLING, seconds_in=0.2)
    yield Case("publishing", JobState.PUBLISHING)
    yield Case("retry_waiting", JobState.RETRY_WAITING, "raising")


@dataclass(frozen=True, slots=True)
class Seen:
    """What one cancel took; ``late``: receipts that came more than a tile after the answer."""

    ack_s: float
    free_s: float
    late: int


class Bench:
    """Sends jobs to a cluster of one lane and cancels them."""

    def __init__(self, config: Config, gateway: Any, folder: Path) -> None:
        self._config = config
        self._gateway = gateway
        self._folder = folder
        self._jobs = 0

    def figures(self, case: Case, tile_s: float, bare_s: float) -> Iterator[Figure]:
        """One state, so many times: the worst is told."""
        seen = [asyncio.run(self._cancelled(case)) for _ in range(TIMES)]
        ack, free = max(each.ack_s for each in seen), max(each.free_s for each in seen)
        yield Figure(f"{case.what}: acknowledged", ack, "s", None, ACK_GATE_S)
        gate = FORCED_GATE_S if case.is_forced else tile_s + SLACK_S
        yield Figure(f"{case.what}: CPU free", free, "s", bare_s, gate)
        yield Figure(
            f"{case.what}: chunks after the answer", sum(s.late for s in seen), "", None, 0
        )

    def tile_s(self) -> float:
        """What a tile takes, once everything is warm."""
        return [asyncio.run(self._whole()) for _ in range(2)][-1]

    async def _whole(self) -> float:
        job, out = await self._submit("classical")
        await self._until(job, lambda view: view.state is JobState.SUCCEEDED)
        from raysched.results.chunks import RECEIPT_LIST
        from raysched.results.manifest import RECEIPTS

        receipts = RECEIPT_LIST.validate_json((out / RECEIPTS).read_bytes())
        return max(each.seconds / each.tiles for each in receipts)  # a cancel waits for any

    async def _cancelled(self, case: Case) -> Seen:
        for _ in range(30):
            job, out = await self._submit(case.engine)
            name = job
            if case.state is JobState.WAITING:
                name, out = await self._submit(case.engine)
            view = await self._until(name, lambda view: view.state in _at_or_after(case.state))
            if view.state is case.state:
                await asyncio.sleep(case.seconds_in)
                while case.is_forced and not _lane_pids():
                    await asyncio.sleep(LOOK_S)
                try:
                    # A waiting job has no process: the lane's is the other job's, which goes on.
                    pids = _lane_pids() if name == job else []
                    seen = await self._cancel(name, out, pids)
                except Conflict:
                    continue
                finally:
                    await self._end(job)
                return seen
            await self._end(job)
        raise SystemExit(f"no job was seen {case.state}")

    async def _cancel(self, job: JobId, out: Path, pids: list[int]) -> Seen:
        busy = asyncio.create_task(asyncio.to_thread(_free_after, pids))
        await asyncio.sleep(0)
        begun = time.perf_counter()
        await self._gateway.cancel(USER, job)
        ack_s = time.perf_counter() - begun
        staging = out.parent / f".{out.name}.{job}.partial"
        receipts = _receipts(staging)
        was_there = out.exists()  # its rename was faster than the cancel
        free_s = await busy
        await self._until(job, lambda view: view.state is JobState.CANCELLED)
        late = not _receipts(staging) <= receipts
        if out.exists() and not was_there:
            raise SystemExit(f"{job} got a result after its cancel was acknowledged")
        return Seen(ack_s, free_s, int(late))

    async def _end(self, job: JobId) -> None:
        view = await self._gateway.job(USER, job)
        if not view.state.is_final and view.state is not JobState.CANCELLING:
            try:
                await self._gateway.cancel(USER, job)
            except Conflict:
                return
        await self._until(job, lambda view: view.state.is_final)

    async def _submit(self, engine: str) -> tuple[JobId, Path]:
        from raysched.cluster.submission import JobRequest, Submission, prepare

        self._jobs += 1
        out = self._folder / f"out-{self._jobs}"
        slide = str(_sample())
        request = JobRequest(slide=slide, out=str(out), engine=engine, chunk_tiles=1)
        submission = Submission(name="bench", jobs=(request,))
        prepared = prepare(submission, user=USER, key=str(self._jobs), config=self._config)
        await self._gateway.submit(prepared)
        return prepared.jobs[0].job, out

    async def _until(self, job: JobId, reached: Callable[[JobView], bool]) -> JobView:
        async with asyncio.timeout(120):
            while not reached(view := await self._gateway.job(USER, job)):
                if view.state.is_final:
                    raise SystemExit(f"{job} ended as {view}")
                await asyncio.sleep(0.003)
            return view


def _sample() -> Path:
    return Path(os.environ.get("RAYSCHED_SAMPLES", "../shared/data")) / SAMPLE_NAME


ORDER = (
    JobState.WAITING,
    JobState.PLANNING,
    JobState.SEGMENTING,
    JobState.ASSEMBLING,
    JobState.PUBLISHING,
    JobState.SUCCEEDED,
)


def _at_or_after(state: JobState) -> set[JobState]:
    return {*ORDER[ORDER.index(state) :]} if state in ORDER else {state}


def _receipts(staging: Path) -> set[tuple[str, int]]:
    """Each with when it was written. Its folder is renamed meanwhile: none may publish any more."""
    found = set()
    for path in staging.rglob("0*.json"):
        with suppress(FileNotFoundError):  # published, and removed, meanwhile
            found.add((path.name, path.stat().st_mtime_ns))
    return found


def _lane_pids() -> list[int]:
    """The processes that do a unit right now."""
    return [each.pid for each in titled(*UNITS)]


def _free_after(pids: list[int]) -> float:
    """Seconds until these processes use no CPU any more, or are gone."""
    begun = time.perf_counter()
    last = [(0.0, _ticks(pids))]
    while time.perf_counter() - begun < 30:
        time.sleep(LOOK_S)
        now = (time.perf_counter() - begun, _ticks(pids))
        if now[1] is None:
            return now[0]
        last.append(now)
        busy = (each for each in reversed(last) if now[1] - (each[1] or 0) > STILL_TICKS)
        since = next(busy, last[0])  # when they were last seen to have used more since
        if now[0] - since[0] >= STILL_S:
            return since[0]
    there = {each.pid: (title_of(each), each.cpu_times().user) for each in titled("")}
    raise SystemExit(f"the CPU was not free after 30 s: {pids} of {there}, ticks {last[-5:]}")


def _ticks(pids: list[int]) -> int | None:
    """CPU ticks that these have used; None once they are gone."""
    used, there = 0, 0
    for pid in pids:
        try:
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if fields[0] not in "ZX":
            there += 1
        used += int(fields[11]) + int(fields[12])
    return used if there else None


# --- bare Ray -------------------------------------------------------------------------------------


PYTHON_LOOP = """while True:
    pass"""
COMPILED_LOOP = "import spinning_engines as s; s.spin(s.without_lock)"


def _bare(loop: str, *, force: bool) -> float:
    """Seconds from ``ray.cancel`` of an endless loop until its process is still or gone."""

    def go_on() -> None:  # in here, so that it travels to a process that knows no benchmarks
        exec(loop)

    named = {"num_cpus": 0, "name": "segment nothing", "max_retries": 0}
    ref = ray.remote(go_on).options(**named).remote()
    while not (pids := _lane_pids()):
        time.sleep(LOOK_S)
    time.sleep(3.0)  # it is compiled first
    ray.cancel(ref, force=force)
    return _free_after(pids)
