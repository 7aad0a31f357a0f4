"""A Ray cluster whose own autoscaler starts and ends nodes, each a raylet on this machine.

Ray's fake provider is told by hand: ``ray.cluster_utils.AutoscalingCluster`` would first end every
Ray that it finds here.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil
import ray
from many_nodes import STORE_BYTES, Nodes
from ray._private.services import get_node_ip_address

from raysched.cluster.scheduler_actor import STATE_RESOURCE
from raysched.cluster.session import connect
from raysched.config import load_config

RAY = Path(sys.executable).with_name("ray")
NO_COMMANDS = (
    *("setup_commands", "initialization_commands", "head_setup_commands"),
    *("worker_setup_commands", "head_start_ray_commands", "worker_start_ray_commands"),
    *("cluster_synced_files", "rsync_exclude", "rsync_filter"),
)
START_S = 180.0


def settings(address: str, most_nodes: int, gpus: int = 0) -> dict[str, Any]:
    """What the autoscaler is told: up to so many nodes of one CPU beside the head. ``gpus``: what
    each of these nodes says that it has."""
    head = {"resources": {"CPU": 1, STATE_RESOURCE: 1}, "node_config": {}, "max_workers": 0}
    node = {"CPU": 1, "GPU": gpus, "object_store_memory": STORE_BYTES}
    more = {"resources": node, "node_config": {}, "min_workers": 0, "max_workers": most_nodes}
    provider = {"type": "fake_multinode", "use_node_id_as_ip": True, "gcs_address": address}
    return {
        "cluster_name": "autoscaled",
        "max_workers": most_nodes,
        "idle_timeout_minutes": 0.1,
        "provider": provider,
        "available_node_types": {"ray.head.default": head, "more": more},
        "head_node_type": "ray.head.default",
        "auth": {},
        "file_mounts": {},
        "file_mounts_sync_continuously": False,
        **{name: [] for name in NO_COMMANDS},
    }


@contextmanager
def open_autoscaled(
    folder: Path, most_nodes: int, *, gpus: int = 0, **cluster_settings: Any
) -> Iterator[Nodes]:
    """A head of one CPU with the scheduler, and nodes as its autoscaler wants them."""
    with socket.socket() as free:
        free.bind(("", 0))
        port = free.getsockname()[1]
    address = f"{get_node_ip_address()}:{port}"
    told = folder / "autoscaling.json"
    told.write_text(json.dumps(settings(address, most_nodes, gpus)))
    command = [RAY, "start", "--head", "--block", f"--port={port}", "--num-cpus=1"]
    command += ["--include-dashboard=false", f"--object-store-memory={STORE_BYTES}"]
    command += [f"--resources={json.dumps({STATE_RESOURCE: 1})}", f"--autoscaling-config={told}"]
    env = {**os.environ, "AUTOSCALER_UPDATE_INTERVAL_S": "1", "RAY_FAKE_CLUSTER": "1"}
    with (folder / "ray.log").open("w") as log:
        head = subprocess.Popen(command, env=env, stdout=log, stderr=log, start_new_session=True)
    try:
        lanes = {"address": address, "spare_process": False, "start_timeout_s": START_S}
        config = load_config(state=folder / "state", cluster={**lanes, **cluster_settings})
        until_started(head, folder / "ray.log")
        with connect(config) as session:
            yield Nodes(config, session.gateway, folder, None)
    finally:
        ray.shutdown()
        end(head)


def until_started(head: subprocess.Popen[bytes], log: Path) -> None:
    """Return when Ray says that it runs."""
    deadline = time.monotonic() + START_S
    while "Ray runtime started" not in (said := log.read_text()):
        assert time.monotonic() < deadline, said
        with suppress(subprocess.TimeoutExpired):
            head.wait(0.2)
            raise AssertionError(said)


def end(head: subprocess.Popen[bytes]) -> None:
    """End what was started here, and what that has started."""
    top = psutil.Process(head.pid)
    for each in [*top.children(recursive=True), top]:
        with suppress(psutil.NoSuchProcess):
            each.kill()
    head.wait()
