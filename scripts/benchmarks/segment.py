"""Slides M and L from submission to published results on a warm cluster, beside a plain pool."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil
import pyarrow.parquet as pq
from figures import Figure
from slides import bench_slide

from raysched.config import Config, load_config
from raysched.core.model import UserId
from raysched.core.views import JobView
from raysched.errors import NotReady, StorageFailed
from raysched.imaging.engine import engine_params, load_engine
from raysched.imaging.frames import read_working
from raysched.imaging.planning import make_plan
from raysched.imaging.request import SegmentationRequest
from raysched.imaging.segment import segment_tile
from raysched.imaging.slide import open_slide
from raysched.results.chunks import SCHEMA, batch_table
from raysched.results.reading import CellFolder

WORKERS = os.cpu_count() or 1
GATES_S = {"M": 9.0, "L": 55.0}
SLIDES = os.environ.get("RAYSCHED_BENCH_SLIDES", "M,L").split(",")
TIMES = {"M": 3, "L": 1}


def measure() -> Iterator[Figure]:
    """M three times and L once, the best counted; then a tiny slide. About four minutes."""
    with warm_bench() as bench:
        for slide in SLIDES:
            yield from bench.large(slide, GATES_S.get(slide))
        yield bench.tiny()


@contextmanager
def warm_bench(**settings: Any) -> Iterator[Bench]:
    """A cluster on all cores whose lanes have started and whose kernels are loaded."""
    from raysched.cluster.session import connect

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        cluster = {"address": None, "lanes": WORKERS}
        config = load_config(state=folder / "state", cluster=cluster, **settings)
        with connect(config) as session:
            bench = Bench(config, session.gateway, folder)
            bench.first_cells(bench_slide("S"))  # imports what reads cells, too
            yield bench


class Bench:
    """Sends slides to a cluster, one after another, and times them."""

    def __init__(self, config: Config, gateway: Any, folder: Path) -> None:
        self._config = config
        self._gateway = gateway
        self._folder = folder
        self._jobs = 0

    def large(self, name: str, gate: float | None) -> Iterator[Figure]:
        """One slide, by the cluster and by the pool in turn; both must find as many cells."""
        path = bench_slide(name)
        ours, plain = [], []
        for _ in range(TIMES.get(name, 3)):
            seconds, view = self.run(path)
            ours.append(seconds)
            seconds, cells = _pool(path, self._folder / "pool")
            plain.append(seconds)
            if abs(view.cells - cells) > 0.001 * cells:
                raise SystemExit(f"slide {name}: {view.cells} cells and {cells} in the pool")
        yield Figure(f"slide {name}, submit to published", min(ours), "s", min(plain), gate)
        yield Figure(f"slide {name}, against the pool", min(ours) / min(plain), "x", 1.0, 1.15)
        yield Figure(f"slide {name}, cells", view.cells, "", cells)
        first = self.first_cells(path)
        yield Figure(f"slide {name}, first settled cells readable", first, "s", None, 2.0)
        peak = _peak_worker_mb()
        yield Figure(f"slide {name}, peak RSS of a worker", peak, "MB", None, 700.0)

    def tiny(self) -> Figure:
        """What a job costs that has nearly nothing to do."""
        samples = Path(os.environ.get("RAYSCHED_SAMPLES", "../shared/data"))
        path = samples / "slides" / "openslide-python__small.svs"
        seconds = min(self.run(path, mpp=0.5)[0] for _ in range(5))
        return Figure(f"a tiny slide ({path.name})", seconds, "s", None, 1.0)

    def first_cells(self, path: Path) -> float:
        """Seconds from submission until another process could read cells that will not change."""
        return asyncio.run(self._first_cells(path))

    async def _first_cells(self, path: Path) -> float:
        begun = time.perf_counter()
        running = asyncio.create_task(self._run(path))
        while not await asyncio.to_thread(_has_settled_cells, self._folder, self._jobs):
            if running.done():
                await running
                raise SystemExit(f"{path.name} ended before any cells could be read")
            await asyncio.sleep(0.02)
        seconds = time.perf_counter() - begun
        await running
        return seconds

    def run(self, path: Path, **options: Any) -> tuple[float, JobView]:
        """Seconds from submission to success, and the job."""
        return asyncio.run(self._run(path, **options))

    async def _run(self, path: Path, **options: Any) -> tuple[float, JobView]:
        from raysched.cluster.submission import JobRequest, Submission, prepare

        self._jobs += 1
        out = self._folder / f"out-{self._jobs}"
        begun = time.perf_counter()
        request = JobRequest(slide=str(path), out=str(out), **options)
        submission = Submission(name="bench", jobs=(request,))
        prepared = prepare(submission, user="bench", key=str(self._jobs), config=self._config)
        await self._gateway.submit(prepared)
        job, seen = prepared.jobs[0].job, 0
        while True:
            seen, view = await self._gateway.watch(UserId("bench"), job, seen)
            if view.state.is_final:
                break
        seconds = time.perf_counter() - begun
        if view.state.value != "succeeded":
            raise SystemExit(f"{path.name} {view.state}: {view.failure}")
        if not self._config.reuse.most_gb_per_user:
            shutil.rmtree(out)
        return seconds, view


def _has_settled_cells(folder: Path, job: int) -> bool:
    for staging in folder.glob(f".out-{job}.*"):
        with suppress(NotReady, StorageFailed):  # not planned yet, or published meanwhile
            return any(cells.num_rows for cells in CellFolder(staging).batches(settled=True))
    return False


def _pool(path: Path, folder: Path) -> tuple[float, int]:
    """The same kernel and reader in a pool of processes that write Parquet and nothing else: no
    seams reconciled, no labels, no pictures, nothing durable."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    engine = "classical"
    params = engine_params(engine, {}).model_dump(mode="json")
    request = SegmentationRequest(
        slide=str(path), out="unused", engine=engine, params=params, tile_px=1024, chunk_tiles=2,
        mpp=None,
    )  # fmt: skip
    with multiprocessing.get_context("spawn").Pool(WORKERS) as pool:
        pool.map(_warm, range(WORKERS))
        begun = time.perf_counter()
        with open_slide(path) as slide:
            plan, tissue, _ = make_plan(slide, request)
        work = [(path, plan, tissue, chunk, folder) for chunk in range(len(plan.chunks))]
        cells = sum(pool.imap_unordered(_one, work))
        return time.perf_counter() - begun, cells


def _warm(_: int) -> None:
    load_engine("classical")
    time.sleep(0.5)  # so that each process takes one


def _one(work: tuple[Any, ...]) -> int:
    path, plan, tissue, chunk, folder = work
    engine = load_engine(plan.engine)
    inside = 0
    with (
        open_slide(path) as slide,
        pq.ParquetWriter(folder / f"{chunk}.parquet", SCHEMA, compression="zstd") as writer,
    ):
        for index in plan.chunks[chunk]:
            tile = plan.tile(index)
            rgb = read_working(slide, plan.grid, tile.read)
            batch = segment_tile(rgb, plan, tissue, tile, engine)
            writer.write_table(batch_table(batch, plan))
            inside += int(batch.inside.sum())
    return inside


def _peak_worker_mb() -> float:
    """The largest peak among the processes that have run tiles in this cluster."""
    peaks = [0.0]
    for process in psutil.process_iter(["cmdline"]):
        line = " ".join(process.info["cmdline"] or [])
        if line.startswith("ray::") and "SchedulerActor" not in line:
            try:
                status = Path(f"/proc/{process.pid}/status").read_text()
            except OSError:
                continue
            kilobytes = next(x for x in status.splitlines() if x.startswith("VmHWM")).split()[1]
            peaks.append(int(kilobytes) / 1000)
    return max(peaks)
