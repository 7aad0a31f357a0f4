"""A cancel in every state, on real Ray: nothing comes after it, the lane is free, what was done can
be read. How long it takes: ``scripts/bench cancel``."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from driving import USER, Cluster, open_cluster

from raysched.core.model import JobId, JobState
from raysched.core.views import JobView
from raysched.errors import Conflict
from raysched.imaging.engine import load_engine
from raysched.results.folders import staging_folder
from raysched.testing.ray_processes import UNITS, titled

pytestmark = [pytest.mark.ray, pytest.mark.slow]

ENGINES = """
import ctypes, os
from pathlib import Path

from raysched.imaging.classical import ClassicalEngine

def hang(library):
    Path(__file__).with_name(f"{os.getpid()}.hangs").touch()
    library.sleep(3600)

class Holding(ClassicalEngine):
    name = "holding"
    def segment(self, *asked):
        hang(ctypes.PyDLL(None))  # holds the interpreter's lock

class Deaf(ClassicalEngine):
    name = "deaf"
    def segment(self, *asked):
        hang(ctypes.CDLL(None))

class Preparing(ClassicalEngine):
    name = "preparing"
    def prepare(self, *asked):
        hang(ctypes.PyDLL(None))

class Raising(ClassicalEngine):
    name = "raising"
    def segment(self, *asked):
        raise RuntimeError("as it is asked to")
"""
NAMES = ("holding", "deaf", "preparing", "raising")


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the engines are, and where those that hang say so, by their process's id."""
    return tmp_path_factory.mktemp("packages")


@pytest.fixture(scope="module")
def cluster(packages: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """One lane, whose process has engines that never look whether they are to stop."""
    (packages / "never_looking.py").write_text(ENGINES)
    info = packages / "never_looking-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: never-looking\nVersion: 1\n")
    points = [f"{name} = never_looking:{name.capitalize()}" for name in NAMES]
    (info / "entry_points.txt").write_text("\n".join(["[raysched.engines]", *points]))
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(packages)
        known = [part for part in os.environ.get("PYTHONPATH", "").split(os.pathsep) if part]
        patch.setenv("PYTHONPATH", os.pathsep.join([str(packages), *known]))
        load_engine.cache_clear()
        folder = tmp_path_factory.mktemp("cluster")
        slow = {"retry_backoff_s": 300.0}
        with open_cluster(folder, lanes=1, scheduling=slow) as opened:
            opened.wait_for_lanes(1)
            yield opened
    load_engine.cache_clear()


async def hanging(packages: Path) -> int:
    """The id of the process in which an engine has begun to hang, told once."""
    async with asyncio.timeout(120):
        while not (said := list(packages.glob("*.hangs"))):
            await asyncio.sleep(0.02)
    said[0].unlink()
    return int(said[0].stem)


async def gone(pid: int) -> None:
    """Its last breath is a moment after its work's end is known."""
    async with asyncio.timeout(60):
        while psutil.pid_exists(pid):
            await asyncio.sleep(0.02)


def out_of(view: JobView) -> Path:
    return Path(json.loads(view.request)["out"])


def receipts(view: JobView) -> dict[Path, bytes]:
    staging = staging_folder(out_of(view), view.job)
    return {path: path.read_bytes() for path in staging.glob("chunks-*/0*.json")}


def cancelled(cluster: Cluster, job: JobId) -> JobView:
    """Cancel, wait for the end, and see that nothing came after the answer."""
    at_answer = asyncio.run(cluster.gateway.cancel(USER, job))
    done, was_there = receipts(at_answer), out_of(at_answer).exists()
    ended = cluster.until(job, lambda view: view.state is JobState.CANCELLED)
    assert ended.chunks_done == at_answer.chunks_done
    # The one chunk in flight may be past its last look, and is not counted.
    assert len(receipts(ended).keys() - done.keys()) <= 1
    assert out_of(ended).exists() == was_there
    assert asyncio.run(cluster.gateway.health()).lanes_busy == 0
    assert titled(*UNITS) == []
    return ended


def test_a_waiting_job_never_begins(cluster: Cluster, packages: Path, sample_slide: Path) -> None:
    first = cluster.submit(sample_slide, engine="deaf").job
    second = cluster.submit(sample_slide).job
    asyncio.run(cluster.gateway.cancel(USER, second))
    ended = cluster.until(second, lambda view: view.state is JobState.CANCELLED)
    assert ended.started_at is None
    asyncio.run(hanging(packages))
    cancelled(cluster, first)


@pytest.mark.parametrize(
    ("engine", "state"),
    [
        ("preparing", JobState.PLANNING),
        ("deaf", JobState.SEGMENTING),
        ("holding", JobState.SEGMENTING),
    ],
)
def test_an_engine_that_never_looks_is_ended_with_its_process(
    cluster: Cluster, packages: Path, sample_slide: Path, engine: str, state: JobState
) -> None:
    job = cluster.submit(sample_slide, engine=engine).job
    held = asyncio.run(hanging(packages))
    assert asyncio.run(cluster.gateway.job(USER, job)).state is state
    ended = cancelled(cluster, job)
    asyncio.run(gone(held))
    assert not out_of(ended).exists()


@pytest.mark.parametrize("state", [JobState.PLANNING, JobState.ASSEMBLING, JobState.PUBLISHING])
def test_a_stage_that_passes_quickly_is_stopped_or_was_faster(
    cluster: Cluster, sample_slide: Path, state: JobState
) -> None:
    """It is cancelled when it is first seen there; what had ended by then is asked for again."""
    for _ in range(20):
        job = cluster.submit(sample_slide, tile_px=1024, chunk_tiles=16).job
        seen = until_reached(cluster, job, state)
        try:
            ended = cancelled(cluster, job)
        except Conflict:
            continue
        assert ended.state is JobState.CANCELLED
        if seen.state is state:
            return
    pytest.fail(f"no job could be cancelled while {state}")


def until_reached(cluster: Cluster, job: JobId, state: JobState) -> JobView:
    """As soon as can be: asked again and again, since those who watch hear a little later."""

    async def ask() -> JobView:
        order = [*JobState]
        async with asyncio.timeout(120):
            while True:
                view = await cluster.gateway.job(USER, job)
                if view.state is state or order.index(view.state) > order.index(state):
                    return view

    return asyncio.run(ask())


def test_of_a_job_that_is_segmented_what_was_done_stays(
    cluster: Cluster, sample_slide: Path
) -> None:
    job = cluster.submit(sample_slide, tile_px=256, chunk_tiles=1).job
    cluster.until(job, lambda view: view.chunks_done >= 3)
    ended = cancelled(cluster, job)
    assert len(receipts(ended)) >= ended.chunks_done >= 3
    assert not out_of(ended).exists()


def test_a_job_that_waits_to_be_tried_again_is_not(cluster: Cluster, sample_slide: Path) -> None:
    job = cluster.submit(sample_slide, engine="raising").job
    cluster.until(job, lambda view: view.state is JobState.RETRY_WAITING)
    ended = cancelled(cluster, job)
    assert ended.attempt == 1
