"""A real cluster of several raylets on this machine, and the plain Ray loops that run on it.

The nodes claim as many CPUs as there are to be lanes: what is measured sleeps.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import quantiles
from typing import Any

import psutil
import ray
from ray import cloudpickle
from ray.util.placement_group import placement_group, remove_placement_group
from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

from raysched.cluster.scheduler_actor import STATE_RESOURCE

NODES = 4
STORE_BYTES = 100 * 1024**2
SYSTEM = {
    "idle_worker_killing_time_threshold_ms": 3_600_000,
    "worker_niceness": 0,
    "worker_register_timeout_seconds": 600,
    "prestart_worker_first_driver": False,
    "health_check_timeout_ms": 60_000,
}
"""As ``raysched up`` starts Ray, but that nothing is started before it is asked for, and that a
node that is slow while sixty processes start is no dead one."""
GROUP_S = 300.0


@contextmanager
def raylets(cpus: int, namespace: str) -> Iterator[str]:
    """A cluster with so many claimed CPUs on each of its nodes, joined; gives its address."""
    from ray._private.authentication.authentication_token_setup import ensure_token_if_auth_enabled
    from ray.cluster_utils import Cluster

    ensure_token_if_auth_enabled(None, create_token_if_missing=True)
    before = os.environ.get("RAY_TMPDIR")
    # Of its own, so that nobody on the machine finds this cluster by chance; short, for sockets.
    own = os.environ["RAY_TMPDIR"] = tempfile.mkdtemp(prefix="rs-", dir="/tmp")
    head = {
        "num_cpus": 0,
        "resources": {STATE_RESOURCE: 1},
        "object_store_memory": STORE_BYTES,
        "include_dashboard": False,
        "include_log_monitor": False,
        "no_monitor": True,
        "_system_config": SYSTEM,
    }
    cluster = Cluster(initialize_head=True, head_node_args=head)
    try:
        for _ in range(NODES):
            cluster.add_node(num_cpus=cpus, object_store_memory=STORE_BYTES)
        ray.init(
            address=cluster.address, namespace=namespace, log_to_driver=False, logging_level=30
        )
        cloudpickle.register_pickle_by_value(sys.modules[__name__])  # workers know no benchmarks
        yield cluster.address
    finally:
        ray.shutdown()
        cluster.shutdown()
        shutil.rmtree(own, ignore_errors=True)
        os.environ.pop("RAY_TMPDIR")
        if before is not None:
            os.environ["RAY_TMPDIR"] = before


@ray.remote(max_retries=0)
def nap(seconds: float) -> None:
    """What a chunk is to Ray alone."""
    time.sleep(seconds)


@ray.remote(max_retries=0)
def bare_chunk(request: Any, chunk: int) -> int:
    """A chunk by its plain function, without raysched's lanes, order, journal and log."""
    from raysched.results import stages

    return stages.segment_chunk(request, "bare", chunk, lambda: False).cells


@contextmanager
def groups(number: int) -> Iterator[list[Any]]:
    """So many placement groups of one CPU each, ready."""
    made = [placement_group([{"CPU": 1}]) for _ in range(number)]
    try:
        for each in made:
            if not each.wait(GROUP_S):
                raise SystemExit("a placement group did not become ready")
        yield made
    finally:
        for each in made:
            remove_placement_group(each)


class Loop:
    """A plain loop: one task in flight for each group, the next one sent when it has ended.
    ``send``: submits a task, given the options that put it into its group."""

    def __init__(self, made: list[Any], send: Callable[[dict[str, Any]], Any]) -> None:
        self._send = send
        self._places = [
            {"num_cpus": 1, "scheduling_strategy": PlacementGroupSchedulingStrategy(each, 0)}
            for each in made
        ]

    def cycle_s(self, seconds: float) -> float:
        """Seconds from one end of a task in a group to the next: the slowest of the fastest tenth,
        which is what it takes where nothing else is in the way."""
        return quantiles([gap for gaps in self._gaps(seconds) for gap in gaps], n=10)[0]

    def per_s(self, seconds: float) -> float:
        """Tasks per second: each group's own, added up."""
        return sum(len(gaps) / sum(gaps) for gaps in self._gaps(seconds) if gaps)

    def _gaps(self, seconds: float) -> list[list[float]]:
        """Of each group, the times from one end of a task to the next, measured for so long from
        when each has a process."""
        ends: dict[int, float] = {}
        gaps: list[list[float]] = [[] for _ in self._places]
        flying = {self._send(place): number for number, place in enumerate(self._places)}
        until = float("inf")
        while flying:
            (done,), _ = ray.wait(list(flying), num_returns=1)
            ray.get(done)
            now, number = time.perf_counter(), flying.pop(done)
            if number in ends:
                gaps[number].append(now - ends[number])
            elif len(ends) == len(self._places) - 1:
                until = now + seconds
            ends[number] = now
            if now < until:
                flying[self._send(self._places[number])] = number
        return gaps


@dataclass(frozen=True, slots=True)
class CpuSeconds:
    """CPU time that the cluster's processes have used so far, by what they are."""

    at: float
    used: dict[str, float]

    @classmethod
    def now(cls) -> CpuSeconds:
        """Of all processes below this one, and of this one."""
        used: dict[str, float] = {}
        here = psutil.Process()
        for each in [here, *here.children(recursive=True)]:
            try:
                times, kind = each.cpu_times(), _kind_of(each)
            except psutil.Error:
                continue
            used[kind] = used.get(kind, 0.0) + times.user + times.system
        return cls(time.time(), used)

    def since(self, before: CpuSeconds) -> dict[str, float]:
        """CPUs that were busy on average since then, by what they did."""
        s, earlier = self.at - before.at, before.used
        return {kind: (used - earlier.get(kind, 0.0)) / s for kind, used in self.used.items()}


def _kind_of(process: psutil.Process) -> str:
    if process.pid == os.getpid():
        return "driver"
    line = process.cmdline()
    title = " ".join(line)
    if "SchedulerActor" in title:
        return "actor"
    if title.startswith("ray::"):
        return "lanes"
    program = Path(line[0]).name if line else ""
    return {"raylet": "raylets", "gcs_server": "GCS"}.get(program, "other")
