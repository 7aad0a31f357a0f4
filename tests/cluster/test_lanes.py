"""What a lane takes of the cluster, and how many there is room for."""

from __future__ import annotations

from dataclasses import replace

import pytest

from raysched.cluster.groups import bundle
from raysched.cluster.nodes import Node, room_for, staying
from raysched.config import ClusterSettings
from raysched.core.model import NodeId

GPU_NODE = Node(NodeId("gpu"), {"CPU": 16.0, "GPU": 2.0, "memory": 1e11})
SMALL_NODE = Node(NodeId("small"), {"CPU": 3.0})


@pytest.mark.parametrize(
    ("settings", "wanted", "room"),
    [
        ({}, {"CPU": 1.0}, 16),
        ({"lane_cpus": 0.125}, {"CPU": 0.125}, 128),
        ({"lane_gpus": 1.0}, {"CPU": 1.0, "GPU": 1.0}, 2),
        ({"lane_gpus": 0.25}, {"CPU": 1.0, "GPU": 0.25}, 8),
        ({"lane_gpus": 0.1, "lane_cpus": 4.0}, {"CPU": 4.0, "GPU": 0.1}, 4),
        ({"lane_gpus": 4.0}, {"CPU": 1.0, "GPU": 4.0}, 0),
    ],
)
def test_a_lane_takes_cpus_and_a_share_of_a_gpu(
    settings: dict[str, float], wanted: dict[str, float], room: int
) -> None:
    each = bundle(ClusterSettings(**settings))
    assert each == wanted
    assert room_for(each, [GPU_NODE]) == room
    assert room_for(each, []) == 0


def test_a_lane_lies_on_one_node_so_that_leftovers_of_several_make_none() -> None:
    each = bundle(ClusterSettings(lane_cpus=2.0))
    assert room_for(each, [SMALL_NODE, replace(SMALL_NODE, node=NodeId("other"))]) == 2
    assert room_for(each, [SMALL_NODE, GPU_NODE]) == 9


def test_lanes_stay_on_nodes_that_neither_ray_nor_the_operator_drains() -> None:
    going = replace(GPU_NODE, node=NodeId("going"), is_going=True)
    assert staying([GPU_NODE, going, SMALL_NODE], {SMALL_NODE.node}) == [GPU_NODE]
    assert staying([GPU_NODE, going], set()) == [GPU_NODE]
