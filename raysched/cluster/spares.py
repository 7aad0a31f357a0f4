"""One more process on each node with lanes, loaded and idle, for whichever dies.

When a lane's process is killed, or the scheduler, with which Ray ends the processes of all lanes at
work, the next unit gets this one instead of waiting for a new one to start and load: seconds. Ray
keeps processes that have done a task for the next task; so one is made by doing a task that needs
no CPU while the lanes are at work. Where a lane is idle its own process is such, and does it.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
from collections.abc import Callable, Mapping

import ray
from ray.exceptions import RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from raysched.cluster import tasks
from raysched.config import Config
from raysched.core.model import LaneId

log = logging.getLogger(__name__)

LOOK_S = 30.0
"""Seldom: for half a second after each look Ray would end the spare with the scheduler."""
AFTER_S = 5.0
"""Left to the lanes' own processes to load, before one that nobody waits for."""


class Spares:
    """Makes a spare process where there is none. ``places``: the open lanes, each with its node."""

    def __init__(self, config: Config, places: Callable[[], Mapping[LaneId, str]]) -> None:
        self._config = config
        self._places = places
        self._used = asyncio.Event()

    def used(self) -> None:
        """A process has died: a spare has taken its place, or would have."""
        self._used.set()

    async def keep(self) -> None:
        """Look again and again, until cancelled. A spare that is there answers at once."""
        while self._config.cluster.spare_process:
            await asyncio.sleep(AFTER_S)
            try:
                nodes = {*(await asyncio.to_thread(self._places)).values()} - {""}
                await asyncio.gather(*map(self._make, nodes))
            except Exception:  # a courtesy: without a spare the lanes go on all the same
                log.exception("The spare processes could not be looked after.")
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._used.wait(), LOOK_S)
            self._used.clear()

    async def _make(self, node: str) -> None:
        place = NodeAffinitySchedulingStrategy(node, soft=False)
        spare = tasks.warm_up.options(name="spare", num_cpus=0, scheduling_strategy=place)
        cpus = math.ceil(self._config.cluster.lane_cpus)
        made = spare.remote(self._config.segmentation.engine, cpus)
        try:
            await asyncio.wait_for(_done(made), self._config.cluster.lane_ready_s)
        except (RayError, TimeoutError) as error:  # its node has gone, or it was killed, or hangs
            log.info("Node %s has no spare process: %s", node, type(error).__name__)
            ray.cancel(made, force=True)


async def _done(ref: ray.ObjectRef[None]) -> None:
    await ref
