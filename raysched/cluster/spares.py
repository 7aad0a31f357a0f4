"""Where it is set, one more process on each node with lanes, loaded and idle.

When a lane's process is killed, or the scheduler, with which Ray ends the processes of all lanes,
the next unit gets this one instead of waiting for a new one to start and load: seconds. Ray keeps
processes that have done a task for the next task; so one is made by doing a task that needs no CPU
while all lanes are at work. Where lanes are idle their own processes are such.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Callable, Mapping

from ray.exceptions import RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from raysched.cluster import tasks
from raysched.config import Config
from raysched.core.model import LaneId

log = logging.getLogger(__name__)

LOOK_S = 5.0


class Spares:
    """Makes a spare process where there is none. ``places``: the open lanes, each with its node;
    ``are_busy``: whether all of them are at work."""

    def __init__(
        self,
        config: Config,
        places: Callable[[], Mapping[LaneId, str]],
        are_busy: Callable[[], bool],
    ) -> None:
        self._config = config
        self._places = places
        self._are_busy = are_busy

    async def keep(self) -> None:
        """Look again and again, until cancelled. A spare that is there answers at once."""
        while True:
            await asyncio.sleep(LOOK_S)
            if self._config.cluster.spare_process and self._are_busy():
                nodes = {*(await asyncio.to_thread(self._places)).values()} - {""}
                await asyncio.gather(*map(self._make, nodes))

    async def _make(self, node: str) -> None:
        place = NodeAffinitySchedulingStrategy(node, soft=False)
        spare = tasks.warm_up.options(name="spare", num_cpus=0, scheduling_strategy=place)
        cpus = math.ceil(self._config.cluster.lane_cpus)
        try:
            await spare.remote(self._config.segmentation.engine, cpus)
        except RayError as error:  # its node has gone, or it was killed: there is time for another
            log.info("No spare process on node %s: %s", node, type(error).__name__)
