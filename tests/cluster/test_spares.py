"""What is loaded already takes over where a process dies."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from driving import Cluster, open_cluster

from raysched.testing.ray_processes import titled

pytestmark = pytest.mark.ray

SMALL_TILES = {"tile_px": 128, "chunk_tiles": 1}
WAIT_S = 120.0


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    with open_cluster(tmp_path, lanes=1, spare_process=True) as opened:
        yield opened


def until(found: Callable[[], list[psutil.Process]]) -> list[psutil.Process]:
    deadline = time.monotonic() + WAIT_S
    while not (there := found()):
        assert time.monotonic() < deadline
    return there


def loaded_beside(lane: psutil.Process) -> list[psutil.Process]:
    """Idle processes that have become one of a lane: they give way."""
    usual = psutil.Process().nice()
    return [each for each in titled("IDLE") if each != lane and each.nice() > usual]


def test_a_loaded_process_takes_over_where_one_dies(cluster: Cluster, sample_slide: Path) -> None:
    job = cluster.submit(sample_slide, **SMALL_TILES).job
    cluster.until(job, lambda view: view.chunks_done >= 2)
    lane = until(lambda: titled("ray::segment "))[0]
    spare = until(lambda: loaded_beside(lane))[0]
    lane.kill()
    lane.wait(WAIT_S)
    assert until(lambda: titled("ray::segment "))[0] == spare
    cluster.finish(job)


def test_work_goes_on_in_it_where_the_scheduler_dies(cluster: Cluster, sample_slide: Path) -> None:
    """Ray ends what the scheduler had at work with it, and what is idle stays."""
    job = cluster.submit(sample_slide, **SMALL_TILES).job
    cluster.until(job, lambda view: view.chunks_done >= 2)
    lane = until(lambda: titled("ray::segment "))[0]
    spare = until(lambda: loaded_beside(lane))[0]
    # Ray gives its lease back half a second after it has answered, and ends it with the scheduler
    # until then: far more chunks than that takes.
    begun = cluster.until(job, lambda view: view.chunks_done > 0).chunks_done
    cluster.until(job, lambda view: view.chunks_done >= begun + 40)
    (scheduler,) = titled("SchedulerActor")
    scheduler.kill()
    scheduler.wait(WAIT_S)
    assert until(lambda: [each for each in titled("ray::segment ") if each != lane])[0] == spare
    cluster.finish(job)
