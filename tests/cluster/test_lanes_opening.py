"""Lanes that do not open, on a real cluster of two CPUs: nobody waits for them, all are told, and
they are asked for again."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
import ray
from driving import USER, Cluster
from ray.util.placement_group import placement_group, placement_group_table
from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

from raysched.cluster.gateway import Gateway
from raysched.cluster.groups import LANE_PREFIX
from raysched.cluster.session import connect
from raysched.config import load_config
from raysched.core.model import JobState
from raysched.imaging.synthetic import write_synthetic_slide

pytestmark = [pytest.mark.ray, pytest.mark.slow]


@ray.remote(num_cpus=1)
class Squatter:
    """Sits in a lane, so that no process of ours can begin there."""

    def pid(self) -> int:
        return os.getpid()


@pytest.fixture
def squatted() -> Iterator[int]:
    """Ray with two CPUs, of which one belongs to a lane of an earlier life that somebody sits in;
    their process id."""
    ray.init(address="local", num_cpus=2, namespace="raysched", include_dashboard=False,
             log_to_driver=False)  # fmt: skip
    try:
        group = placement_group([{"CPU": 1.0}], name=f"{LANE_PREFIX}0", lifetime="detached")
        place = PlacementGroupSchedulingStrategy(group, placement_group_bundle_index=0)
        squatter = Squatter.options(scheduling_strategy=place, lifetime="detached",
                                    name="squatter").remote()  # fmt: skip
        yield ray.get(squatter.pid.remote(), timeout=120)
    finally:
        ray.shutdown()


def test_a_lane_that_does_not_open_holds_up_nobody_and_is_asked_for_again(
    squatted: int, tmp_path: Path
) -> None:
    settings = {"lanes": 3, "lane_cpus": 1.0, "lane_ready_s": 40.0}
    slide = tmp_path / "slide.tif"
    write_synthetic_slide(slide, width_px=900, height_px=700, nuclei=60)
    with connect(load_config(state=tmp_path / "state", cluster=settings)) as session:
        cluster = Cluster(load_config(state=tmp_path / "state"), session.gateway, tmp_path)
        jobs = [cluster.submit(slide, branch=branch, tile_px=64).job for branch in "ab"]
        cluster.wait_for_lanes(1)
        words = "1 of 3 lanes is open: the cluster has room for 2"
        waiting = cluster.until(jobs[1], lambda view: words in view.explanation.sentence)
        assert waiting.state is JobState.WAITING
        health = asyncio.run(session.gateway.health())
        assert (health.lanes, health.lanes_wanted, health.lanes_room) == (1, 3, 2)
        assert all(cluster.finish(job).cells > 30 for job in jobs)
        cluster.wait_for_lanes(2)  # whoever sat there is gone, with the lane
        with suppress(psutil.NoSuchProcess):
            psutil.Process(squatted).wait(timeout=60)
        asyncio.run(until_counted(session.gateway, (2, 3, 2)))
        seen = asyncio.run(session.gateway.cluster(10)).overview
        assert (seen.lanes_open, seen.lanes_wanted, seen.lanes_room) == (2, 3, 2)
        assert {lane.lane for lane in seen.lanes} <= {f"{LANE_PREFIX}{n}" for n in range(3)}
        assert "REMOVED" in states_of_groups()
        assert asyncio.run(session.gateway.job(USER, jobs[0])).attempt == 1


async def until_counted(gateway: Gateway, wanted: tuple[int, int, int]) -> None:
    """Return when so many lanes are open, wanted and possible."""
    async with asyncio.timeout(120):
        while True:
            health = await gateway.health()
            if (health.lanes, health.lanes_wanted, health.lanes_room) == wanted:
                return
            await asyncio.sleep(0.05)


def states_of_groups() -> set[str]:
    return {str(row["state"]) for row in placement_group_table().values()}
