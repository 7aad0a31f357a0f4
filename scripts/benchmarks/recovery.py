"""Killed and back: the scheduler with 10,000 jobs in its log, a lane's process; beside bare Ray.

What happened when is read from the journal of the run itself. Bare Ray is a detached actor that
does nothing but have one task done in a placement group each time it starts. Processes of lanes are
killed in the middle of chunks of half a second, of jobs that have a lane each.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import ray
from bench_engines import installed
from driver import Driver
from figures import Figure
from ray import cloudpickle
from ray.util.placement_group import placement_group
from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

from raysched.cluster.gateway import Gateway
from raysched.cluster.session import connect
from raysched.cluster.submission import JobRequest, Submission, prepare
from raysched.config import Config, load_config
from raysched.core.events import ChunkFinished, LaneOpened, SchedulerStarted
from raysched.core.model import UserId
from raysched.imaging.samples import sample_slide
from raysched.journal.journal import Journal
from raysched.testing.ray_processes import title_of, titled

JOBS = 10_000
KILLS = int(os.environ.get("RAYSCHED_BENCH_KILLS", "20"))
WORK = 200
"""Jobs with work to do: of a few hundred chunks each, so that none is ever without."""
LANES = 2
SPARE = os.environ.get("RAYSCHED_BENCH_SPARE", "1") == "1"
"""A spare process, as a service has: each kill waits for it to be there again."""
LEASE_S = 1.0
"""The spare's, which Ray gives back half a second after it has answered."""
SLOW_ENGINE = """
import time
from raysched.imaging.classical import ClassicalEngine

class Slow(ClassicalEngine):
    name = "slow"
    def segment(self, *asked):
        time.sleep(0.5)
        return super().segment(*asked)
"""
MISSED_S = 15.0
"""A process killed when it had just finished the chunk of its title: nobody does that again."""
USER = UserId("bench")
WAIT_S = 300.0
SCHEDULER, UNIT, BARE = "SchedulerActor", "segment", "Bare"


@dataclass
class Ways:
    """Seconds from each kill to what came next, by what it was."""

    seconds: dict[str, list[float]] = field(default_factory=dict)

    def add(self, what: str, seconds: float) -> None:
        self.seconds.setdefault(what, []).append(seconds)

    def p50(self, what: str) -> float:
        return statistics.median(self.seconds[what])

    def p99(self, what: str) -> float:
        return statistics.quantiles(self.seconds[what], n=100, method="inclusive")[98]

    def most(self, what: str) -> float:
        return max(self.seconds[what])


def measure() -> Iterator[Figure]:
    """All kills; about five minutes where nothing else runs."""
    with (
        tempfile.TemporaryDirectory() as name,
        installed(Path(name) / "engines", "slow_engine", SLOW_ENGINE, {"slow": "Slow"}),
    ):
        state = Path(name) / "state"
        _fill(state)
        # Half of a CPU for each of two lanes, so that bare Ray has room beside them.
        lanes = {"address": None, "lanes": LANES, "lane_cpus": 0.5, "spare_process": SPARE}
        scheduling = {"max_jobs_per_user": 2 * WORK, "max_running_jobs": 2}
        config = load_config(
            state=state,
            cluster=lanes,
            scheduling=scheduling,
            reuse={"most_gb_per_user": 0.0},  # else only the first job has anything to do
        )
        with connect(config) as session:
            gateway = session.gateway
            bare = _bare(KILLS)
            _submit(gateway, config, Path(name), LANES, tile_px=64, engine="slow")
            workers = _kill_workers(gateway)
            asyncio.run(gateway.cancel_all(USER))
            _until(lambda: not _processes(UNIT))
            _submit(gateway, config, Path(name), WORK, tile_px=128, engine="classical")
            kills = [_kill_scheduler(gateway) for _ in range(KILLS)]
        ways = _phases(state, kills)
    yield from _told(bare, ways, workers)


def _told(bare: Ways, ways: Ways, workers: Ways) -> Iterator[Figure]:
    floor = {"process up": "bare actor up", "first receipt": "bare task done"}
    gates: dict[str, tuple[float, float]] = {"first receipt": (3.0, 6.0), "dispatch": (3.0, 6.0)}
    for what in ways.seconds:
        base, gate = floor.get(what), gates.get(what, (None, None))
        name = f"scheduler killed: {what}"
        yield Figure(f"{name}, p50", ways.p50(what), "s", base and bare.p50(base), gate[0])
        yield Figure(f"{name}, p99", ways.p99(what), "s", base and bare.p99(base), gate[1])
        yield Figure(f"{name}, max of {KILLS}", ways.most(what), "s", base and bare.most(base))
    name = f"worker killed: its chunk goes again, {len(workers.seconds['again'])} seen"
    yield Figure(f"{name}, p50", workers.p50("again"), "s", bare.p50("bare task again"), 1.5)
    yield Figure(f"{name}, p99", workers.p99("again"), "s", bare.p99("bare task again"))


def _fill(state: Path) -> None:
    """A journal of jobs that have ended."""
    with Journal.open(state) as journal:
        journal.next_epoch()
        driver = Driver(journal)
        for _ in range(JOBS // 1000):
            driver.submit(1000, users=10)
            driver.work()
        driver.write(journal)


def _submit(
    gateway: Gateway, config: Config, folder: Path, count: int, *, tile_px: int, engine: str
) -> None:
    """So many jobs that take long, each of a slide of its own name; returns once one is at work."""
    sample = sample_slide(config.samples, config.cache).path
    begun = _chunks(gateway)
    jobs = []
    for n in range(count):
        name = f"{engine}-{n}"
        slide = folder / f"{name}.svs"
        slide.symlink_to(sample)
        jobs.append(
            JobRequest(
                slide=str(slide),
                out=str(folder / f"out-{name}"),
                branch=name,
                tile_px=tile_px,
                chunk_tiles=1,
                engine=engine,
            )
        )
    prepared = prepare(Submission(jobs=tuple(jobs)), user=USER, key=engine, config=config)
    asyncio.run(gateway.submit(prepared))
    _until(lambda: _chunks(gateway) > begun)


def _chunks(gateway: Gateway) -> int:
    return sum(job.chunks_done for job in asyncio.run(gateway.jobs(USER)).items)


def _until(is_so: Callable[[], Any], pause_s: float = 0.05) -> float:
    """When something became so, in seconds since the epoch."""
    deadline = time.monotonic() + WAIT_S
    while not is_so():
        if time.monotonic() > deadline:
            raise AssertionError("It has not come back.")
        time.sleep(pause_s)
    return time.time()


def _processes(*names: str) -> dict[int, str]:
    """Our own Ray's processes in whose title one of these is: title by pid."""
    return {each.pid: title_of(each) for each in titled(*names)}


def _rest(gateway: Gateway) -> None:
    """Let all be as it is when nothing was killed for a while, with work going on."""
    _until(_is_at_rest)
    time.sleep(LEASE_S)
    before = _chunks(gateway)
    _until(lambda: _chunks(gateway) > before)


def _is_at_rest() -> bool:
    if _processes("warm up", "spare", "start"):
        return False
    loaded = 0
    for process in titled(""):
        with contextlib.suppress(psutil.Error):
            loaded += process.nice() > 0  # what is of a lane gives way
    return loaded >= LANES + SPARE


def _kill_scheduler(gateway: Gateway) -> tuple[float, float]:
    """When it was killed, and when another had its name; returns once work goes on."""
    _rest(gateway)
    (pid,) = _processes(SCHEDULER)
    killed_at = time.time()
    psutil.Process(pid).kill()
    up_at = _until(lambda: _processes(SCHEDULER).keys() - {pid}, 0.01)
    before = _chunks(gateway)
    _until(lambda: _chunks(gateway) > before + 2)
    return killed_at, up_at


def _kill_workers(gateway: Gateway) -> Ways:
    """Seconds from the kill of a process at work to another that is at work on its chunk."""
    ways = Ways()
    for _ in range(KILLS):
        _rest(gateway)
        while True:
            pid, title = next(iter(_processes(UNIT).items()), (0, ""))
            try:
                psutil.Process(pid).kill() if pid else None
            except psutil.Error:
                continue
            if pid:
                break
        killed_at = time.time()
        missed = killed_at + MISSED_S
        again_at = _until(lambda: _others(pid, title) or time.time() > missed, 0.005)  # noqa: B023
        if again_at < missed:
            ways.add("again", again_at - killed_at)
    return ways


def _others(pid: int, title: str) -> bool:
    """Whether another process is at work under the same title."""
    return any(each == title for other, each in _processes(UNIT).items() if other != pid)


def _phases(state: Path, kills: list[tuple[float, float]]) -> Ways:
    """What the journal says of each life after a kill."""
    ways = Ways()
    with Journal.open(state) as journal:
        events = [(event, decision) for _, event, decision in journal.history(0)]
    starts = [n for n, (event, _) in enumerate(events) if isinstance(event, SchedulerStarted)]
    for killed_at, up_at in kills:
        ways.add("process up", up_at - killed_at)
        start = next(n for n in starts if events[n][0].at > killed_at)
        life = events[start:]
        ways.add("journal read", life[0][0].at - killed_at)
        lane = next(each for each, _ in life if isinstance(each, LaneOpened))
        ways.add("first lane", lane.at - killed_at)
        sent = next(each for each, decision in life if decision and decision.dispatches)
        ways.add("dispatch", sent.at - killed_at)
        done = next(each for each, _ in life if isinstance(each, ChunkFinished))
        ways.add("first receipt", done.at - killed_at)
    return ways


# --- bare Ray -------------------------------------------------------------------------------------


@ray.remote(max_retries=0)
def touch() -> int:
    return os.getpid()


@ray.remote(max_retries=0)
def stay() -> None:
    time.sleep(WAIT_S)


class Bare:
    """Has one task done in the group that is there, each time it starts."""

    def __init__(self, group: Any) -> None:
        place = PlacementGroupSchedulingStrategy(group, placement_group_bundle_index=0)
        ray.get(touch.options(num_cpus=0.5, scheduling_strategy=place).remote())
        self._done_at = time.time()

    def done_at(self) -> float:
        return self._done_at


def _bare(kills: int) -> Ways:
    cloudpickle.register_pickle_by_value(sys.modules[__name__])  # workers know no benchmarks
    group = placement_group([{"CPU": 0.5}], lifetime="detached", name="bare")
    ray.get(group.ready())
    options = {"max_restarts": -1, "num_cpus": 0, "lifetime": "detached", "name": "bare"}
    actor = ray.remote(Bare).options(**options).remote(group)
    ways, done_at = Ways(), ray.get(actor.done_at.remote())
    for _ in range(kills):
        (pid,) = _processes(BARE)
        killed_at = time.time()
        psutil.Process(pid).kill()
        up_at = _until(lambda: _processes(BARE).keys() - {pid}, 0.01)  # noqa: B023
        ways.add("bare actor up", up_at - killed_at)
        done_at = _asked(actor, done_at)
        ways.add("bare task done", done_at - killed_at)
    ray.kill(actor)
    place = PlacementGroupSchedulingStrategy(group, placement_group_bundle_index=0)
    staying = stay.options(num_cpus=0.5, scheduling_strategy=place)
    for _ in range(kills):
        ref = staying.remote()
        _until(lambda: _processes("stay"), 0.005)
        (pid,) = _processes("stay")
        killed_at = time.time()
        psutil.Process(pid).kill()
        try:
            ray.get(ref)
        except ray.exceptions.RayError:
            ref = staying.remote()
        again_at = _until(lambda: _processes("stay").keys() - {pid}, 0.005)  # noqa: B023
        ways.add("bare task again", again_at - killed_at)
        ray.cancel(ref, force=True)
        _until(lambda: not _processes("stay"))
    ray.util.remove_placement_group(group)
    return ways


def _asked(actor: Any, before: float) -> float:
    """What a restarted actor says."""
    while True:
        try:
            done_at: float = ray.get(actor.done_at.remote())
        except ray.exceptions.RayError:
            time.sleep(0.01)
            continue
        if done_at > before:
            return done_at
