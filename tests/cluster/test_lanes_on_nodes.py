"""Lanes on a real cluster of several raylets: spread, following the nodes, leaving without any loss
those that go."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

import pytest
from autoscaled import open_autoscaled
from driving import USER
from many_nodes import Nodes, busy_on, open_nodes, spread
from ray._raylet import GcsClient
from ray.core.generated import autoscaler_pb2

from raysched.cluster.node_drains import drain_node, resume_node
from raysched.core.events import ClusterPaused, ClusterResumed
from raysched.core.model import LOCAL_USER, JobState

pytestmark = [
    pytest.mark.ray,
    pytest.mark.slow,
    # Ray's own test cluster leaves a socket open
    pytest.mark.filterwarnings("ignore:.*unclosed <socket:pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning"),
]

CHUNKS: Any = {"tile_px": 512, "chunk_tiles": 1}
AN_HOUR_S = 3600


def test_fewer_lanes_than_there_is_room_for_are_spread_over_the_nodes(tmp_path: Path) -> None:
    with open_nodes(tmp_path, 4, 4, 4, lanes=3) as nodes:
        nodes.until_spread(1, 1, 1)


def test_a_node_that_comes_takes_part_and_one_that_dies_costs_nothing(
    tmp_path: Path, sample_slide: Path, checksum: str
) -> None:
    with open_nodes(tmp_path, 1) as nodes:
        nodes.until_spread(1)
        job = nodes.submit(sample_slide, **CHUNKS).job
        nodes.until(job, lambda view: view.chunks_done >= 1)
        asyncio.run(nodes.gateway.hold(ClusterPaused(0.0, LOCAL_USER)))  # a node takes its time
        added = nodes.add(1)
        nodes.until_spread(1, 1)
        asyncio.run(nodes.gateway.hold(ClusterResumed(0.0, LOCAL_USER)))
        nodes.until_seen(lambda view: busy_on(view, added.node_id) == 1)
        nodes.remove(added)
        done = nodes.finish(job)
        assert (done.checksum, done.attempt) == (checksum, 1)
        assert nodes.chunks_accepted(job) == done.chunks_total
        nodes.until_spread(1)


@pytest.mark.parametrize("who", ["ray", "operator"])
def test_what_runs_on_a_node_that_is_drained_ends_and_then_its_lanes_are_given_back(
    tmp_path: Path, sample_slide: Path, checksum: str, who: str
) -> None:
    with open_nodes(tmp_path, 1, 1) as nodes:
        view = nodes.until_spread(1, 1)
        (node,) = [each.node for each in view.nodes if not each.holds_state]
        job = nodes.submit(sample_slide, **CHUNKS).job
        nodes.until_seen(lambda view: busy_on(view, node) == 1)
        if who == "ray":
            drained_by_ray(nodes, node)
        else:
            seen = asyncio.run(drain_node(nodes.gateway, LOCAL_USER, node[:8]))
            assert (seen.node.is_draining, seen.lanes) == (True, 1)
        view = nodes.until_spread(1)
        assert node not in view.places.values()
        (seen,) = [each for each in view.nodes if each.node == node]
        assert seen.is_draining or (who == "ray" and not seen.is_alive)  # Ray lets it go then
        done = nodes.finish(job)
        assert (done.checksum, done.attempt) == (checksum, 1)
        told = nodes.kinds(job)
        assert (told["chunk_finished"], told["lane_lost"]) == (done.chunks_total, 0)
        # one may have been sent there before anybody knew of Ray's drain; it had not begun
        assert told["run_lost"] <= int(who == "ray")
        if who == "operator":
            asyncio.run(resume_node(nodes.gateway, LOCAL_USER, node))
            nodes.until_spread(1, 1)


def test_a_unit_that_is_sent_to_a_node_in_the_moment_of_its_drain_runs_elsewhere(
    tmp_path: Path, sample_slide: Path
) -> None:
    """Ray starts nothing there any more, and the unit would wait for it for ever."""
    with open_nodes(tmp_path, 0, 1) as nodes:
        view = nodes.until_spread(1)
        (node,) = [each.node for each in view.nodes if not each.holds_state]
        drained_by_ray(nodes, node)
        job = nodes.submit(sample_slide, tile_px=512).job
        nodes.until_seen(lambda view: not view.places)
        nodes.add(1)
        assert nodes.finish(job).attempt == 1


def drained_by_ray(nodes: Nodes, node: str) -> None:
    """A cloud that takes a machine back says so in this way."""
    deadline = int((time.time() + AN_HOUR_S) * 1000)
    preempted = autoscaler_pb2.DrainNodeReason.DRAIN_NODE_REASON_PREEMPTION
    GcsClient(nodes.raylets.address).drain_node(node, preempted, "spot", deadline)


def test_a_pool_has_its_own_lanes_and_one_that_no_node_can_hold_says_what_it_lacks(
    tmp_path: Path, sample_slide: Path
) -> None:
    small = {"name": "small", "engines": ["classical"], "lane_cpus": 0.5, "lanes": 2}
    pools = [small, {"name": "gpu", "engines": ["deep"], "lane_gpus": 1.0}]
    with open_nodes(tmp_path, 2, pools=pools) as nodes:
        view = nodes.until_seen(lambda view: view.overview.lanes_open == 3)
        names = sorted(each.lane for each in view.overview.lanes)
        assert names == ["raysched-lane-0", "raysched-lane-small-0", "raysched-lane-small-1"]
        counted = (view.overview.lanes_wanted, view.overview.lanes_room)
        assert counted == (4, 5)  # one of gpu is wanted; small has room for two more
        job = nodes.submit(sample_slide, tile_px=512).job
        view = nodes.until_seen(lambda view: view.overview.lanes_busy > 0)
        assert [x.lane for x in view.overview.lanes if x.run and "small" not in x.lane] == []
        assert nodes.finish(job).state is JobState.SUCCEEDED
        assert spread(nodes.seen()) == [3]
        assert asyncio.run(nodes.gateway.job(USER, job)).attempt == 1


def test_waiting_work_asks_for_lanes_and_idle_ones_are_given_back(
    tmp_path: Path, sample_slide: Path
) -> None:
    """As with an autoscaler, which starts a node when it sees a group that has no place."""
    with open_nodes(tmp_path, 1, most_lanes=2, idle_lane_s=2.0) as nodes:
        nodes.until_spread(1)
        assert pending_groups() == 0
        job = nodes.submit(sample_slide, tile_px=64, chunk_tiles=1).job
        nodes.until_seen(lambda _: pending_groups() == 1)
        added = nodes.add(1)
        nodes.until_seen(lambda view: busy_on(view, added.node_id) == 1)
        asyncio.run(nodes.gateway.cancel(USER, job))
        view = nodes.until_spread(1)
        assert added.node_id not in view.places.values()
        assert pending_groups() == 0


def test_waiting_work_has_ray_s_autoscaler_start_a_node_and_idle_lanes_let_it_go(
    tmp_path: Path, sample_slide: Path
) -> None:
    with open_autoscaled(tmp_path, 1, most_lanes=2, idle_lane_s=2.0) as nodes:
        nodes.until_spread(1)
        assert nodes.seen().nodes_alive == 1
        job = nodes.submit(sample_slide, tile_px=64, chunk_tiles=1).job
        view = nodes.until_spread(1, 1)
        (started,) = [each.node for each in view.nodes if not each.holds_state]
        nodes.until_seen(lambda view: busy_on(view, started) == 1)
        asyncio.run(nodes.gateway.cancel(USER, job))
        view = nodes.until_spread(1)
        assert started not in view.places.values()
        nodes.until_seen(lambda view: view.nodes_alive == 1)


def test_a_pool_that_keeps_no_lane_has_its_node_started_for_a_job_and_lets_it_go(
    tmp_path: Path, sample_slide: Path
) -> None:
    """So nodes with GPUs cost nothing while nobody uses them."""
    pool = {"name": "gpu", "engines": ["classical"], "lanes": 0, "most_lanes": 1, "lane_gpus": 1.0}
    with open_autoscaled(tmp_path, 1, gpus=1, lanes=1, pools=[pool], idle_lane_s=2.0) as nodes:
        nodes.until_spread(1)
        assert (nodes.seen().nodes_alive, pending_groups()) == (1, 0)
        for _ in range(2):
            job = nodes.submit(sample_slide, tile_px=512).job
            assert nodes.finish(job).state is JobState.SUCCEEDED
            view = nodes.until_seen(lambda view: view.nodes_alive == 1 and len(view.places) == 1)
            assert view.overview.lanes_wanted == 1


def pending_groups() -> int:
    from ray.util.placement_group import placement_group_table

    return sum(row["state"] == "PENDING" for row in placement_group_table().values())
