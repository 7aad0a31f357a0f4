"""What a lane takes of the cluster, and how many there is room for."""

from __future__ import annotations

import pytest

from raysched.cluster.lanes import bundle, room_for
from raysched.config import ClusterSettings

GPU_NODE = {"CPU": 16.0, "GPU": 2.0, "memory": 1e11}


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
    assert room_for(each, GPU_NODE) == room
    assert room_for(each, {}) == 0
