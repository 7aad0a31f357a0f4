"""The pool of lanes: long-lived, named, detached placement groups of one bundle each.

A group of a detached lifetime survives its creator, so a new life first looks at what exists:
groups that are ready are adopted, the rest is removed. Making a group on freed resources takes up
to a second, so lanes are never made per job. One of the two files that change the cluster.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Awaitable, Callable, Collection
from functools import partial
from typing import Any

import ray
from ray.util.placement_group import (
    PlacementGroup,
    get_placement_group,
    placement_group,
    placement_group_table,
    remove_placement_group,
)
from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

from raysched.cluster import tasks
from raysched.config import ClusterSettings, Config
from raysched.core.events import Event, LaneLost, LaneOpened
from raysched.core.model import LaneId

log = logging.getLogger(__name__)

Report = Callable[[Callable[[float], Event]], Awaitable[None]]
"""Stamps and posts one event; made from a function of its time."""

LANE_PREFIX = "raysched-lane-"
CHECK_S = 1.0


class Lanes:
    """Keeps as many lanes as the cluster has room for, and says which are open."""

    def __init__(self, config: Config, report: Report) -> None:
        self._settings = config.cluster
        self._engine = config.segmentation.engine
        self._report = report
        self._groups: dict[LaneId, PlacementGroup] = {}
        self._pending: dict[LaneId, PlacementGroup] = {}
        self._given_up: set[LaneId] = set()

    def __len__(self) -> int:
        return len(self._groups)

    def has(self, lane: LaneId) -> bool:
        """Whether a lane is open."""
        return lane in self._groups and lane not in self._given_up

    @property
    def cpus(self) -> float:
        """CPUs of one lane."""
        return self._settings.lane_cpus

    @property
    def gpus(self) -> float:
        """GPUs of one lane, also a fraction."""
        return self._settings.lane_gpus

    def strategy(self, lane: LaneId) -> PlacementGroupSchedulingStrategy:
        """Where Ray must put the work of a lane."""
        return PlacementGroupSchedulingStrategy(
            placement_group=self._groups[lane], placement_group_bundle_index=0
        )

    def places(self) -> dict[LaneId, str]:
        """The open lanes, each with the id of the node that it is on. Asks Ray: a few ms."""
        nodes = {
            LaneId(row["name"]): next(iter(row["bundles_to_node_id"].values()), "")
            for row in placement_group_table().values()
        }
        return {lane: nodes.get(lane, "") for lane in list(self._groups)}

    async def give_up(self, lane: LaneId) -> None:
        """Remove a lane with whatever process is in it; its work still has to be reported."""
        self._given_up.add(lane)
        await asyncio.to_thread(_remove, lane)

    async def bury(self, lane: LaneId) -> None:
        """Say that a lane is gone, if it was given up; another is opened in its place."""
        if lane in self._given_up:
            self._given_up.discard(lane)
            del self._groups[lane]
            await self._report(partial(_given_up, lane))

    async def keep(self) -> None:
        """Adopt, open and lose lanes as the cluster changes, until cancelled."""
        self._pending |= await asyncio.to_thread(_existing)
        while True:
            await self._keep_once()
            await asyncio.sleep(0.05 if self._pending else CHECK_S)

    async def _keep_once(self) -> None:
        states, wanted = await asyncio.to_thread(self._look)
        for lane in [lane for lane in self._groups if states.get(lane) != "CREATED"]:
            # One that was given up is reported by who did so, perhaps while this waits below.
            if lane in self._given_up or self._groups.pop(lane, None) is None:
                continue
            await self._report(partial(_lost, lane))
            await asyncio.to_thread(_remove, lane)
        for lane, group in list(self._pending.items()):
            match states.get(lane):
                case "CREATED":
                    self._groups[lane] = group
                    del self._pending[lane]
                    self._warm_up(lane)
                    await self._report(partial(_opened, lane))
                case "REMOVED" | None:
                    del self._pending[lane]
        missing = wanted - len(self._groups) - len(self._pending)
        for _ in range(missing):
            lane = self._free_name()
            self._pending[lane] = await asyncio.to_thread(self._make, lane)

    def _warm_up(self, lane: LaneId) -> None:
        """The lane's process starts and loads the usual engine. A unit that comes meanwhile waits
        for no longer than it would have taken itself."""
        tasks.warm_up.options(
            name="warm up",
            num_cpus=self.cpus,
            num_gpus=self.gpus,
            scheduling_strategy=self.strategy(lane),
        ).remote(self._engine, math.ceil(self.cpus))

    def _look(self) -> tuple[dict[LaneId, str], int]:
        states = {
            LaneId(row["name"]): str(row["state"])
            for row in placement_group_table().values()
            if str(row["name"]).startswith(LANE_PREFIX) and row["state"] != "REMOVED"
        }
        room = room_for(bundle(self._settings), ray.cluster_resources())
        return states, self._settings.lanes or max(1, room)

    def _free_name(self) -> LaneId:
        taken = self._groups.keys() | self._pending.keys()
        number = next(n for n in range(len(taken) + 1) if f"{LANE_PREFIX}{n}" not in taken)
        return LaneId(f"{LANE_PREFIX}{number}")

    def _make(self, lane: LaneId) -> PlacementGroup:
        bundles = [bundle(self._settings)]
        group: PlacementGroup = placement_group(bundles, name=lane, lifetime="detached")
        return group

    async def remove(self) -> None:
        """Give all lanes back to the cluster."""
        lanes = [*self._groups, *self._pending]
        self._groups.clear()
        self._pending.clear()
        for lane in lanes:
            await asyncio.to_thread(_remove, lane)


def bundle(settings: ClusterSettings) -> dict[str, float]:
    """What one lane takes of the cluster."""
    wanted = {"CPU": settings.lane_cpus, "GPU": settings.lane_gpus}
    return {name: amount for name, amount in wanted.items() if amount}


def room_for(each: dict[str, float], there: dict[str, float]) -> int:
    """How many such bundles a cluster of these resources holds at most."""
    return min(int(there.get(name, 0) / amount) for name, amount in each.items())


def _opened(lane: LaneId, at: float) -> Event:
    return LaneOpened(at, lane)


def _lost(lane: LaneId, at: float) -> Event:
    return LaneLost(at, lane, "its node is gone")


def _given_up(lane: LaneId, at: float) -> Event:
    return LaneLost(at, lane, "its work did not end")


def _existing() -> dict[LaneId, PlacementGroup]:
    """Lanes that an earlier life left behind, whatever their state."""
    names = [
        LaneId(row["name"])
        for row in placement_group_table().values()
        if str(row["name"]).startswith(LANE_PREFIX) and row["state"] != "REMOVED"
    ]
    return {name: get_placement_group(name) for name in names}


def remove_lanes(which: Collection[LaneId] | None = None) -> list[LaneId]:
    """Remove lanes of this namespace with the processes in them, whoever made them: those named, or
    all, for when no scheduler runs. Returns those that were there."""
    there = [LaneId(row["name"]) for row in placement_group_table().values() if _is_ours(row)]
    return [lane for lane in there if (which is None or lane in which) and _remove(lane)]


def _is_ours(row: dict[str, Any]) -> bool:
    return str(row["name"]).startswith(LANE_PREFIX) and row["state"] != "REMOVED"


def _remove(lane: LaneId) -> bool:
    try:
        remove_placement_group(get_placement_group(lane))
    except ValueError:
        log.debug("Lane %s was gone already.", lane)
        return False
    return True
