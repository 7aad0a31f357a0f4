"""What `ray up` reads is what Ray takes."""

from __future__ import annotations

from pathlib import Path

import yaml
from ray.autoscaler._private.util import prepare_config, validate_config

from raysched.cluster.scheduler_actor import STATE_RESOURCE

CONFIG = Path(__file__).parents[2] / "configs" / "ray-cluster.yaml"


def test_ray_takes_the_cluster_configuration() -> None:
    """Its own schema, with what it fills in; raises where a field is not one of its own."""
    config = prepare_config(yaml.safe_load(CONFIG.read_text()))
    validate_config(config)
    (node_type,) = config["available_node_types"].values()
    assert node_type["max_workers"] == len(config["provider"]["worker_ips"]) == 2
    head, worker = config["head_start_ray_commands"][-1], config["worker_start_ray_commands"][-1]
    assert STATE_RESOURCE in head and STATE_RESOURCE not in worker
    for command in (head, worker):
        assert "RAY_AUTH_MODE=token" in command
