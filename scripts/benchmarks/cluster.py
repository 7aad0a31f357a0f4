"""Lanes: chunks that sleep on a cluster of four raylets, beside plain Ray; a thousand simulated."""

from __future__ import annotations

import asyncio
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice, pairwise
from math import ceil
from pathlib import Path
from statistics import quantiles
from typing import Any

from bench_engines import installed
from figures import Figure
from many_lanes import simulated

from raysched.cluster.listing import JobQuery
from raysched.config import load_config, set_ray_environment
from raysched.core.events import ChunkFinished, LaneOpened, SchedulerStarted
from raysched.core.model import JobState, UserId
from raysched.imaging.request import SegmentationRequest
from raysched.imaging.synthetic import write_synthetic_slide
from raysched.journal.journal import Journal
from raysched.testing.ray_processes import titled

COUNTS = tuple(map(int, os.environ.get("RAYSCHED_BENCH_LANES", "1,2,4,8,16,64").split(",")))
CHUNK_S = 0.25
EFFICIENCY_GATE, OVERHEAD_GATE_MS = 0.95, 1.0
SIDE_TILES = 32
TILE_PX = 64
MEASURED_S = 12.0
SETTLE_S, SETTLE_MOST, STEADY = 3.0, 15, 1.05
"""Looks at how fast chunks come: so far apart, at most so many, until none shows more of a rise."""
SHORT_S, ROUNDS = 4.0, 3
"""Chunks that do not sleep are measured for so long, so many times in turn with the plain loop."""
WAIT_S = 600.0
LEAST_CPUS = 0.005
REST_CPUS = 0.02
USER = UserId("bench")
ENGINE = """
import time
import numpy as np
from pydantic import BaseModel
from raysched.results import stages
from raysched.results.outcomes import Receipt

class Params(BaseModel):
    nap_s: float = 0.0

class Sleeping:
    name, version, Params, target_mpp, halo_um = "sleeping", "1", Params, 0.5, 0.0

    def prepare(self, overview, mpp, params):
        return {}

    def segment(self, rgb, mpp, context, params):
        return np.zeros(rgb.shape[:2], np.int32)

    def optical_density(self, rgb, context):
        nothing = np.zeros(rgb.shape[:2], np.float32)
        return nothing, nothing

segment_chunk = stages.segment_chunk

def napping(request, job, chunk, *rest, **more):
    nap_s = request.params.get("nap_s")
    if not nap_s:
        return segment_chunk(request, job, chunk, *rest, **more)
    time.sleep(nap_s)
    return Receipt(chunk, "", 0, 1, (), nap_s, "", "", 0, (0,))

stages.segment_chunk = napping
"""
"""Finds nothing. With ``nap_s`` a chunk is that sleep and no more: sixty-four lanes that also read,
write and sync have as many CPUs in life, and would share two of them here."""


def measure() -> Iterator[Figure]:
    """The real cluster, then the simulated lanes; about eight minutes in all."""
    set_ray_environment()
    with (
        tempfile.TemporaryDirectory() as name,
        installed(Path(name) / "engines", "sleeping_engine", ENGINE, {"sleeping": "Sleeping"}),
    ):
        yield from real(Path(name))
    yield from simulated()


@dataclass
class Seen:
    """What a life of the scheduler has seen: when each lane's chunks ended, from the journal."""

    began_at: float = 0.0
    lanes_at: list[float] = field(default_factory=list)
    ends: dict[str, list[float]] = field(default_factory=dict)

    @classmethod
    def in_journal(cls, state: Path) -> Seen:
        """Of the only life in a journal that is closed."""
        seen, number, lane_of = cls(), 0, dict[str, str]()
        with Journal.open(state) as journal:
            for _, event, decision in journal.history():
                if isinstance(event, SchedulerStarted):
                    seen.began_at, epoch = event.at, event.epoch
                elif isinstance(event, LaneOpened):
                    seen.lanes_at.append(event.at)
                elif isinstance(event, ChunkFinished):
                    seen.ends.setdefault(lane_of[event.run], []).append(event.at)
                for _, _, _, lane in decision.dispatches if decision else ():
                    number += 1
                    lane_of[f"{epoch}-{number}"] = lane
        return seen

    def per_s(self, begin: float, end: float) -> float:
        """Chunks per second between two times: each lane's own, added up."""
        total = 0.0
        for ends in self.ends.values():
            within = [at for at in ends if begin <= at <= end]
            if len(within) > 1:
                total += (len(within) - 1) / (within[-1] - within[0])
        return total

    def cycle_s(self, begin: float, end: float) -> float:
        """Seconds from one end of a chunk in a lane to the next: the slowest of the fastest
        tenth."""
        gaps = [
            later - earlier
            for ends in self.ends.values()
            for earlier, later in pairwise(at for at in ends if begin <= at <= end)
        ]
        return quantiles(gaps, n=10)[0]


@dataclass(frozen=True, slots=True)
class Span:
    """A time in which lanes did nothing but chunks, and how many CPUs were busy in it with what."""

    begin: float
    end: float
    cpus: dict[str, float]


class LaneLife:
    """One life of the scheduler, with so many lanes, on a cluster that is there."""

    def __init__(self, slides: Slides, address: str, lanes: int) -> None:
        self._slides = slides
        self._lanes = lanes
        cluster = {"address": address, "lanes": lanes, "lane_ready_s": WAIT_S}
        scheduling = {"max_running_jobs": 64, "max_jobs_per_user": 1000}
        self._gateway: Any = None
        self.config = load_config(
            state=slides.folder / f"state-{slides.number()}",
            cluster=cluster | {"spare_process": False},
            scheduling=scheduling,
            segmentation={"engine": "sleeping"},
        )

    @contextmanager
    def run(self) -> Iterator[None]:
        """Until it is closed with its lanes; work is done once these have loaded all."""
        from raysched.cluster.gateway import Gateway
        from raysched.cluster.scheduler_actor import close_service, ensure_scheduler

        ensure_scheduler(self.config, keeps=False)
        self._gateway = Gateway(self.config.cluster.namespace)
        try:
            until(lambda: asyncio.run(self._gateway.health()).lanes >= self._lanes)
            until(self._has_loaded)
            yield
        finally:
            close_service(self.config)

    def _has_loaded(self) -> bool:
        """Whether the lanes' processes, which load all that a chunk needs, have come to rest."""
        from raylets import CpuSeconds

        before = CpuSeconds.now()
        time.sleep(1.0)
        busy = CpuSeconds.now().since(before).get("lanes", 0.0)
        return busy < REST_CPUS * (self._lanes + 4) and not titled("ray::start", "ray::warm up")

    def work(self, jobs: int, nap_s: float, seconds: float) -> Span:
        """Have lanes do chunks of as many jobs for a while, then cancel these."""
        from raylets import CpuSeconds

        from raysched.cluster.submission import JobRequest, Submission, prepare

        asked = [self._slides.request(nap_s) for _ in range(jobs)]
        given = [each.model_dump(exclude_defaults=True) for each in asked]
        requests = tuple(JobRequest(branch=f"b{n}", **each) for n, each in enumerate(given))
        key = str(self._slides.number())
        prepared = prepare(Submission(jobs=requests), user=USER, key=key, config=self.config)
        asyncio.run(self._gateway.submit(prepared))
        until(lambda: self._states() <= {JobState.SEGMENTING})
        self._settle()
        before = CpuSeconds.now()
        time.sleep(seconds)
        after = CpuSeconds.now()
        if self._states() != {JobState.SEGMENTING}:
            raise SystemExit("there were too few chunks to measure so long")
        asyncio.run(self._gateway.cancel_all(USER))
        until(lambda: not self._states())
        return Span(before.at, after.at, after.since(before))

    def _settle(self) -> None:
        """Return when chunks do not come faster any more: the first of a lane's process loads what
        reads slides."""
        rate, done = 0.0, self._chunks_done()
        for _ in range(SETTLE_MOST):
            time.sleep(SETTLE_S)
            before, done, earlier = done, self._chunks_done(), rate
            rate = done - before
            if 0 < rate <= STEADY * earlier:
                return

    def _chunks_done(self) -> int:
        page = asyncio.run(self._gateway.jobs(USER, JobQuery(open=True), most=100))
        return sum(view.chunks_done for view in page.items)

    def _states(self) -> set[JobState]:
        """Those of the jobs that have not ended."""
        page = asyncio.run(self._gateway.jobs(USER, JobQuery(), most=100))
        return {view.state for view in page.items if not view.state.is_final}


@dataclass
class Slides:
    """The one slide, of tiles that cost next to nothing, and requests of it."""

    folder: Path
    made: int = 0

    @property
    def slide(self) -> Path:
        """Made once."""
        path = self.folder / "slide.tif"
        if not path.exists():
            side = SIDE_TILES * TILE_PX
            write_synthetic_slide(path, width_px=side, height_px=side, tissue="full", nuclei=0)
        return path

    def number(self) -> int:
        """One that was not given out before."""
        self.made += 1
        return self.made

    def request(self, nap_s: float) -> SegmentationRequest:
        """A chunk of it is a tile, or as long a nap."""
        return SegmentationRequest(
            slide=str(self.slide),
            out=str(self.folder / f"out-{self.number()}"),
            engine="sleeping",
            params={"nap_s": nap_s} if nap_s else {},
            tile_px=TILE_PX,
            chunk_tiles=1,
        )

    def chunks(self, nap_s: float) -> Iterator[tuple[SegmentationRequest, int]]:
        """Chunks without end for a plain loop, of results that are planned here."""
        from raysched.results import stages

        while True:
            request = self.request(nap_s)
            planned = stages.plan_slide(request, "bare")
            for chunk in range(len(planned.chunk_tiles)):
                yield request, chunk

    def own_s(self) -> float:
        """CPU seconds of a chunk in this process, once all is loaded."""
        from raysched.results import stages

        begun = 0.0
        for number, (request, chunk) in enumerate(islice(self.chunks(0.0), 250)):
            if number == 50:
                begun = time.process_time()
            stages.segment_chunk(request, "bare", chunk, lambda: False)
        return (time.process_time() - begun) / 200


def real(folder: Path) -> Iterator[Figure]:
    """All of the real cluster."""
    from raylets import NODES, raylets

    slides = Slides(folder)
    own_ms = 1e3 * slides.own_s()
    yield Figure("least that a chunk does itself: CPU", own_ms, "ms")
    with raylets(-(-max(COUNTS) // NODES) + 1, "raysched") as address:
        yield from overhead(slides, address)
        for lanes in COUNTS:
            yield from scaling(slides, address, lanes)


def overhead(slides: Slides, address: str) -> Iterator[Figure]:
    """What raysched adds to a chunk: in one lane, of chunks that do not sleep, the time from the
    end of one to the end of the next, less the same of a plain loop over tasks that do the same
    chunks by the same function. Both in turn, each at its best: its fastest tenth."""
    from raylets import Loop, bare_chunk, groups, nap

    life, spans, bare, empty = LaneLife(slides, address, 1), [], [], []
    chunks = slides.chunks(0.0)
    with life.run(), groups(1) as made:
        plain = Loop(made, lambda at: bare_chunk.options(**at).remote(*next(chunks)))
        nothing = Loop(made, lambda at: nap.options(**at).remote(0.0))
        for _ in range(ROUNDS):
            spans.append(life.work(jobs=4, nap_s=0.0, seconds=SHORT_S))
            bare.append(plain.cycle_s(SHORT_S))
            empty.append(nothing.cycle_s(SHORT_S / 4))
    seen = Seen.in_journal(life.config.state)
    ours = min(seen.cycle_s(each.begin, each.end) for each in spans)
    name = "one lane, chunks without sleep: end to end"
    yield Figure("plain Ray: an empty task, end to end", 1e3 * min(empty), "ms")
    yield Figure(name, 1e3 * ours, "ms", 1e3 * min(bare))
    added = 1e3 * (ours - min(bare))
    yield Figure("what raysched adds to a chunk", added, "ms", None, OVERHEAD_GATE_MS)


def scaling(slides: Slides, address: str, lanes: int) -> Iterator[Figure]:
    """Chunks of 250 ms beside tasks that sleep as long."""
    from raylets import CpuSeconds, Loop, groups, nap

    chunks = lanes * (MEASURED_S + (SETTLE_MOST + 2) * SETTLE_S) / CHUNK_S
    jobs = 4 + ceil(chunks / SIDE_TILES**2)
    life = LaneLife(slides, address, lanes)
    with life.run():
        span = life.work(jobs, CHUNK_S, MEASURED_S)
    seen = Seen.in_journal(life.config.state)
    with groups(lanes) as made:
        plain = Loop(made, lambda at: nap.options(**at).remote(CHUNK_S))
        before = CpuSeconds.now()
        bare = plain.per_s(MEASURED_S)
        bare_cpus = CpuSeconds.now().since(before)
    ideal, per_s = lanes / CHUNK_S, seen.per_s(span.begin, span.end)
    gate = EFFICIENCY_GATE if lanes == max(COUNTS) else None
    name = f"{lanes} lane{'s'[: lanes > 1]}"
    opened = max(seen.lanes_at) - seen.began_at
    yield Figure(f"{name}: open after", opened, "s")
    yield Figure(f"{name}: chunks of 250 ms", per_s, "chunks/s", bare)
    yield Figure(f"{name}: of the ideal", per_s / ideal, "", bare / ideal, gate, "more")
    for kind, cpus in sorted(span.cpus.items()):
        if lanes == max(COUNTS) and cpus >= LEAST_CPUS:
            plainly = 1e3 * bare_cpus.get(kind, 0.0) / bare
            yield Figure(f"{name}: CPU of the {kind}, a chunk", 1e3 * cpus / per_s, "ms", plainly)
    yield Figure(f"{name}: CPU of the actor", 100 * span.cpus.get("actor", 0.0), "% of one")


def until(is_so: Callable[[], Any]) -> None:
    """Return when something has become so."""
    deadline = time.monotonic() + WAIT_S
    while not is_so():
        if time.monotonic() > deadline:
            raise SystemExit("it has not become so in time")
        time.sleep(0.1)
