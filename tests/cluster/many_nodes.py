"""A Ray cluster of several raylets on this machine, whose nodes come and go; with the real actor on
its head."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import psutil
import ray
from driving import USER, Cluster
from ray.cluster_utils import Cluster as Raylets

from raysched.cluster.scheduler_actor import STATE_RESOURCE
from raysched.cluster.session import connect
from raysched.cluster.sight import ClusterView
from raysched.config import load_config
from raysched.core.model import JobId, JobState, UserId
from raysched.core.views import JobView

STORE_BYTES = 80 * 1024**2
WAIT_S = 400.0
MOST = 10_000
STARTS = 4


@dataclass
class Nodes(Cluster):
    """A cluster whose nodes come and go."""

    raylets: Any

    def add(self, cpus: float) -> Any:
        """One more node; what ``remove`` takes."""
        more = partial(self.raylets.add_node, num_cpus=cpus, object_store_memory=STORE_BYTES)
        return patiently(more)

    def remove(self, node: Any) -> None:
        """A node dies with all that runs there."""
        self.raylets.remove_node(node, allow_graceful=False)

    def finish(self, job: JobId, user: UserId = USER) -> JobView:
        """Watch a job until it has succeeded: where many raylets are busy that takes long."""
        return self.until(job, lambda view: view.state is JobState.SUCCEEDED, WAIT_S, user)

    def seen(self) -> ClusterView:
        """What an administrator sees now."""
        return asyncio.run(self.gateway.cluster(MOST))

    def until_seen(self, reached: Callable[[ClusterView], bool]) -> ClusterView:
        """Look until something holds of what an administrator sees."""

        async def look() -> ClusterView:
            async with asyncio.timeout(WAIT_S):
                while not reached(view := await self.gateway.cluster(MOST)):
                    await asyncio.sleep(0.05)
                return view

        return asyncio.run(look())

    def until_spread(self, *lanes: int) -> ClusterView:
        """Look until the nodes have so many open lanes, the most first."""
        return self.until_seen(lambda view: spread(view) == [*lanes])

    def kinds(self, job: JobId) -> Counter[str]:
        """How many events of each kind the job's story has."""
        return Counter(event.kind for event in self._story(job))

    def chunks_accepted(self, job: JobId) -> int:
        """Reports of chunks that counted."""
        return self.kinds(job)["chunk_finished"]

    def _story(self, job: JobId) -> list[Any]:
        story = self.gateway.story(USER, job, after=0, most=MOST)
        return [*asyncio.run(story).events]


T = TypeVar("T")


def patiently(start: Callable[[], T]) -> T:
    """Start a node. Ray gives up after 30 s, which pass where many tests run at once; what it has
    started until then is ended."""
    before = {each.pid for each in psutil.Process().children(recursive=True)}
    for left in reversed(range(STARTS)):
        try:
            return start()
        except Exception as error:
            if not left or "timed out during startup" not in str(error):
                raise
            for each in psutil.Process().children(recursive=True):
                if each.pid not in before:
                    with suppress(psutil.NoSuchProcess):
                        each.kill()
    raise AssertionError


def spread(view: ClusterView) -> list[int]:
    """How many open lanes each node that has any has, the most first."""
    return sorted(Counter(view.places.values()).values(), reverse=True)


def busy_on(view: ClusterView, node: str) -> int:
    """Lanes of a node in which something runs."""
    return sum(
        each.run is not None and view.places.get(each.lane) == node for each in view.overview.lanes
    )


@contextmanager
def open_nodes(folder: Path, *cpus: float, **cluster_settings: Any) -> Iterator[Nodes]:
    """A head of so many CPUs, then nodes; the scheduler and the state folder are on the head."""
    head = {
        "num_cpus": cpus[0],
        "resources": {STATE_RESOURCE: 1},
        "include_dashboard": False,
        "object_store_memory": STORE_BYTES,
    }
    raylets = patiently(lambda: Raylets(initialize_head=True, head_node_args=head))
    try:
        for each in cpus[1:]:
            more = partial(raylets.add_node, num_cpus=each, object_store_memory=STORE_BYTES)
            patiently(more)
        config = load_config(
            state=folder / "state",
            cluster={
                "address": raylets.address,
                "spare_process": False,
                "start_timeout_s": 180.0,
                **cluster_settings,
            },
            reuse={"most_gb_per_user": 0.0},
        )
        with connect(config) as session:
            yield Nodes(config, session.gateway, folder, raylets)
    finally:
        ray.shutdown()
        raylets.shutdown()
