"""A real cluster of four raylets, with the scheduler and the service on it.

A process of its own, as ``raysched up`` is: whoever tests can kill all of it and start it again on
the same state folder. It says on stdout, as lines of JSON, what it has started, and does what it is
told on stdin: ``add_node`` or ``stop``. When stdin ends it stops too.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from typing import Any

from raysched.config import load_config, set_ray_environment

STARTS = 3
STORE_BYTES = 100 * 1024**2
SYSTEM = {
    "idle_worker_killing_time_threshold_ms": 3_600_000,
    "worker_niceness": 0,
    "worker_register_timeout_seconds": 180,
    "health_check_initial_delay_ms": 1000,
    "health_check_period_ms": 1000,
    "health_check_timeout_ms": 5000,
    "health_check_failure_threshold": 3,
    "gcs_rpc_server_reconnect_timeout_s": 20,
}
"""As ``raysched up`` starts Ray; a node that is gone is noticed within seconds."""


def main() -> None:
    """``python raylets.py SETTINGS``: a JSON object with the arguments of ``load_config``, beside
    ``nodes`` (those with lanes) and ``lanes_per_node``."""
    told = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # Ray prints, too
    asked: dict[str, Any] = json.loads(sys.argv[1])
    set_ray_environment()
    serve(asked, lambda **said: print(json.dumps(said), file=told, flush=True))


def serve(asked: dict[str, Any], tell: Any) -> None:
    """Start everything, then obey until stdin ends."""
    from ray._private.authentication.authentication_token_setup import ensure_token_if_auth_enabled
    from ray.cluster_utils import Cluster

    from raysched.cluster.accounts import Accounts
    from raysched.cluster.session import connect
    from serve_app.service import serving

    nodes, each = asked.pop("nodes"), asked.pop("lanes_per_node")
    ensure_token_if_auth_enabled(None, create_token_if_missing=True)
    cluster = Cluster(
        initialize_head=True,
        head_node_args={
            "num_cpus": 0,
            "resources": {"raysched_state": 1},
            "object_store_memory": STORE_BYTES,
            "include_dashboard": False,
            "include_log_monitor": False,
            "no_monitor": True,
            "_system_config": SYSTEM,
        },
    )
    tell(node=pids_of(cluster.head_node), head=True)

    def add_node() -> None:
        node = added(cluster, num_cpus=each, object_store_memory=STORE_BYTES)
        tell(node=pids_of(node), head=False)

    for _ in range(nodes):
        add_node()
    asked["cluster"] = {**asked.get("cluster", {}), "address": cluster.address}
    config = load_config(**asked)
    with connect(config) as session:
        with serving(config, owned=False) as url:
            key = asyncio.run(Accounts(session.gateway).first_key())
            tell(up={"url": url, "admin_key": key.text if key else None})
            for line in sys.stdin:
                if line.strip() != "add_node":
                    break
                add_node()
        asyncio.run(session.gateway.close())
        tell(stopped={"groups": groups_left()})
    cluster.shutdown()


def added(cluster: Any, **how: Any) -> Any:
    """One more node. Ray gives a raylet 30 s to start, which a busy machine may not have."""
    for _ in range(STARTS):
        try:
            return cluster.add_node(wait=False, **how)
        except Exception as error:  # noqa: BLE001 - Ray raises no other
            last = error
            print(f"a node did not start: {error}", file=sys.stderr)
    raise last


def groups_left() -> list[str]:
    """Placement groups that are still there, each by its name."""
    from ray.util import placement_group_table

    rows = placement_group_table().values()
    return [str(row["name"]) for row in rows if row["state"] != "REMOVED"]


def pids_of(node: Any) -> dict[str, int]:
    """Of the processes that make up a node, by what they are; workers are the raylet's children."""
    return {name: entries[0].process.pid for name, entries in node.all_processes.items() if entries}


if __name__ == "__main__":
    main()
