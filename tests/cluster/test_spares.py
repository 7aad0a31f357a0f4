"""What is loaded already takes over where a process dies."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from driving import Cluster, open_cluster

from raysched.cluster.submission import JobRequest
from raysched.core.model import UserId
from raysched.testing.ray_processes import titled

pytestmark = [pytest.mark.ray, pytest.mark.slow]

SMALL_TILES: Any = {"tile_px": 128, "chunk_tiles": 1}
BOB = UserId("bob")
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


def keep_busy(cluster: Cluster, slide: Path) -> tuple[psutil.Process, psutil.Process]:
    """The lane, at work for longer than it takes to make a spare process, and the spare."""
    names = [f"{number}" for number in range(4)]
    jobs = cluster.submit_all(
        *(
            JobRequest(slide=str(slide), out=str(cluster.folder / f"out-{name}"), **SMALL_TILES)
            for name in names
        )
    )
    cluster.until(jobs[0].job, lambda view: view.chunks_done >= 2)
    lane = until(lambda: titled("ray::segment "))[0]
    return lane, until(lambda: loaded_beside(lane))[0]


def test_a_loaded_process_takes_over_where_one_dies(cluster: Cluster, sample_slide: Path) -> None:
    lane, spare = keep_busy(cluster, sample_slide)
    lane.kill()
    lane.wait(WAIT_S)
    assert until(lambda: titled("ray::segment "))[0] == spare
    job = cluster.submit(sample_slide, user=BOB, **SMALL_TILES).job
    cluster.finish(job, user=BOB)


def test_work_goes_on_in_it_where_the_scheduler_dies(cluster: Cluster, sample_slide: Path) -> None:
    """Ray ends what the scheduler had at work with it, and what is idle stays."""
    lane, spare = keep_busy(cluster, sample_slide)
    # Ray gives its lease back half a second after it has answered, and ends it with the scheduler
    # until then: far more chunks than that takes.
    job = cluster.submit(sample_slide, user=BOB, **SMALL_TILES).job
    cluster.until(job, lambda view: view.chunks_done >= 40, user=BOB)
    (scheduler,) = titled("SchedulerActor")
    scheduler.kill()
    scheduler.wait(WAIT_S)
    assert until(lambda: [each for each in titled("ray::segment ") if each != lane])[0] == spare
    cluster.finish(job, user=BOB)
