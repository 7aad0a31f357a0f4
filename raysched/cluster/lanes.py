"""The pool of lanes: long-lived, named, detached placement groups of one bundle each.

A group of a detached lifetime survives its creator, so a new life first looks at what exists:
groups that are ready are adopted, the rest is removed. Making a group on freed resources takes up
to a second, so lanes are never made per job. A lane is open once a process in it has answered; one
that does not get so far in time is removed, and asked for again after a pause that doubles.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass
from functools import partial
from typing import Any

import ray
from ray.exceptions import RayError
from ray.util.placement_group import (
    PlacementGroup,
    get_placement_group,
    placement_group,
    placement_group_table,
    remove_placement_group,
)
from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

from raysched.cluster import tasks
from raysched.cluster.guard import Kernel, kernel_here
from raysched.cluster.spares import Spares
from raysched.config import ClusterSettings, Config
from raysched.core.events import Event, LaneLost, LaneOpened, LanesCounted
from raysched.core.model import LaneId

log = logging.getLogger(__name__)

Report = Callable[[Callable[[float], Event]], Awaitable[None]]
"""Stamps and posts one event; made from a function of its time."""

LANE_PREFIX = "raysched-lane-"
CHECK_S = 1.0
SOON_S = 10.0
"""For so long an opening lane is looked at often: most need less than a second."""
SOON_CHECK_S = 0.05
PAUSE_S = 5.0
PAUSE_MAX_S = 300.0
GREET_S = 20.0


@dataclass(slots=True)
class Opening:
    """A lane that is not open yet. ``since``: in the event loop's time. ``greeting``: asks for its
    process, once its group has a place."""

    group: PlacementGroup
    since: float
    greeting: asyncio.Task[Kernel] | None = None

    def forget(self) -> None:
        """Wait for its process no longer."""
        if self.greeting is not None:
            self.greeting.cancel()


class Lanes:
    """Keeps as many lanes as the cluster has room for, and says which are open."""

    def __init__(self, config: Config, report: Report) -> None:
        self._config = config
        self._settings = config.cluster
        self._report = report
        self._groups: dict[LaneId, PlacementGroup] = {}
        self._opening: dict[LaneId, Opening] = {}
        self._given_up: set[LaneId] = set()
        self._pause_s = 0.0
        self._asks_again_at = 0.0
        self._room = 0
        self._told = (0, 0)
        self._room_found: int | None = None
        self._boots: dict[LaneId, str] = {}
        self._kills: dict[str, int] = {}
        self._spares = Spares(config, self.places)

    def __len__(self) -> int:
        return len(self._groups)

    def has(self, lane: LaneId) -> bool:
        """Whether a lane is open."""
        return lane in self._groups and lane not in self._given_up

    def options(self, lane: LaneId) -> dict[str, Any]:
        """Where Ray must put the work of a lane, and with what: options of its task."""
        return options_in(self._groups[lane], self._settings)

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
            if self._groups.pop(lane, None) is not None:  # else its node was found gone meanwhile
                await self._report(partial(_given_up, lane))

    def lost_process(self) -> None:
        """A process that was at work in a lane has died."""
        self._spares.used()

    async def was_short_of_memory(self, lane: LaneId) -> bool:
        """Whether the system under a lane has killed a process for want of memory since this was
        asked last. Of another machine a new process of the lane says so, after a second or two."""
        boot, here = self._boots.get(lane, ""), await asyncio.to_thread(kernel_here)
        if not boot:
            return False
        kills = here.kills
        if boot != here.boot:
            try:
                greeting = self._greet(self._groups[lane])
                kills = (await asyncio.wait_for(greeting, GREET_S)).kills
            except (KeyError, TimeoutError, RayError):
                return False
        before, self._kills[boot] = self._kills[boot], kills
        return kills > before

    async def keep(self) -> None:
        """Adopt, open and lose lanes as the cluster changes, until cancelled."""
        found = await asyncio.to_thread(_existing)
        now = asyncio.get_running_loop().time()
        self._opening |= {lane: Opening(group, now) for lane, group in found.items()}
        spares = asyncio.create_task(self._spares.keep())
        try:
            while True:
                await self._keep_once()
                now = asyncio.get_running_loop().time()
                soon = any(now - each.since < SOON_S for each in self._opening.values())
                await asyncio.sleep(SOON_CHECK_S if soon else CHECK_S)
        finally:
            spares.cancel()
            for opening in self._opening.values():
                opening.forget()

    async def _keep_once(self) -> None:
        states, room = await asyncio.to_thread(self._look)
        wanted = self._settings.lanes or max(1, room)
        if room != self._room:  # nodes came or went: what was found before is not so any more
            self._room, self._room_found, self._asks_again_at = room, None, 0.0
        for lane in [lane for lane in self._groups if states.get(lane) != "CREATED"]:
            # One that was given up is reported by who did so, perhaps while this waits below.
            if lane in self._given_up or self._groups.pop(lane, None) is None:
                continue
            await self._report(partial(_lost, lane))
            await asyncio.to_thread(_remove, lane)
        for lane, opening in list(self._opening.items()):
            await self._open(lane, opening, states.get(lane))
        found = self._room_found
        told = room if found is None else max(found, len(self._groups))
        if (wanted, told) != self._told:
            self._told = (wanted, told)
            await self._report(partial(_counted, wanted, told))
        now = asyncio.get_running_loop().time()
        if now < self._asks_again_at:
            return
        for _ in range(wanted - len(self._groups) - len(self._opening)):
            lane = self._free_name()
            self._opening[lane] = Opening(await asyncio.to_thread(self._make, lane), now)

    async def _open(self, lane: LaneId, opening: Opening, state: str | None) -> None:
        """Go on with one lane, as far as it can go now."""
        if state is None:  # removed by somebody else: another is made in its place
            del self._opening[lane]
            opening.forget()
            return
        if state == "CREATED" and opening.greeting is None:
            opening.greeting = asyncio.create_task(self._greet(opening.group))
        answer = opening.greeting
        if answer is not None and answer.done() and answer.exception() is None:
            kernel = answer.result()
            self._boots[lane] = kernel.boot
            self._kills.setdefault(kernel.boot, kernel.kills)
            self._groups[lane] = opening.group
            del self._opening[lane]
            self._pause_s = 0.0
            _warm_up(opening.group, self._config)
            await self._report(partial(_opened, lane))
            return
        waited_s = asyncio.get_running_loop().time() - opening.since
        if (answer is not None and answer.done()) or waited_s > self._settings.lane_ready_s:
            await self._refuse(lane, opening, waited_s)

    async def _refuse(self, lane: LaneId, opening: Opening, waited_s: float) -> None:
        """Give back a lane that has not opened; the others go on, and it is asked for again."""
        opening.forget()
        del self._opening[lane]
        self._room_found = len(self._groups)
        if self._asks_again_at <= (now := asyncio.get_running_loop().time()):
            self._pause_s = min(max(PAUSE_S, 2 * self._pause_s), PAUSE_MAX_S)
            self._asks_again_at = now + self._pause_s
        what = "there was no room for it" if opening.greeting is None else "no process of it came"
        log.warning(
            "%s did not open in %.0f s: %s. It is asked for again in %.0f s.",
            *(lane, waited_s, what, self._pause_s),
        )
        await asyncio.to_thread(_remove, lane)

    async def _greet(self, group: PlacementGroup) -> Kernel:
        """What a process in a group says of itself. Raises ``RayError`` where none can start."""
        where = options_in(group, self._settings)
        kernel: Kernel = await tasks.greet.options(name="start", **where).remote()
        return kernel

    def _look(self) -> tuple[dict[LaneId, str], int]:
        return lane_states(), room_for(bundle(self._settings), ray.cluster_resources())

    def _free_name(self) -> LaneId:
        taken = self._groups.keys() | self._opening.keys()
        number = next(n for n in range(len(taken) + 1) if f"{LANE_PREFIX}{n}" not in taken)
        return LaneId(f"{LANE_PREFIX}{number}")

    def _make(self, lane: LaneId) -> PlacementGroup:
        bundles = [bundle(self._settings)]
        group: PlacementGroup = placement_group(bundles, name=lane, lifetime="detached")
        return group

    async def remove(self) -> None:
        """Give all lanes back to the cluster."""
        lanes = [*self._groups, *self._opening]
        self._groups.clear()
        self._opening.clear()
        for lane in lanes:
            await asyncio.to_thread(_remove, lane)


def wake(config: Config) -> None:
    """Have a process started in each lane that an earlier life left, while the journal is still
    being read back: Ray has ended those of that life, and starting takes longer than reading."""
    for group in _existing().values():
        _warm_up(group, config)


def bundle(settings: ClusterSettings) -> dict[str, float]:
    """What one lane takes of the cluster."""
    wanted = {"CPU": settings.lane_cpus, "GPU": settings.lane_gpus}
    return {name: amount for name, amount in wanted.items() if amount}


def room_for(each: dict[str, float], there: dict[str, float]) -> int:
    """How many such bundles a cluster of these resources holds at most."""
    return min(int(there.get(name, 0) / amount) for name, amount in each.items())


def options_in(group: PlacementGroup, settings: ClusterSettings) -> dict[str, Any]:
    """Options of a task that has a lane's group for itself."""
    return {
        "num_cpus": settings.lane_cpus,
        "num_gpus": settings.lane_gpus,
        "scheduling_strategy": PlacementGroupSchedulingStrategy(
            placement_group=group, placement_group_bundle_index=0
        ),
    }


def _warm_up(group: PlacementGroup, config: Config) -> None:
    """A lane's process starts and loads the usual engine. A unit that comes meanwhile waits for no
    longer than it would have taken itself."""
    where = options_in(group, config.cluster)
    cpus = math.ceil(config.cluster.lane_cpus)
    tasks.warm_up.options(name="warm up", **where).remote(config.segmentation.engine, cpus)


def _counted(wanted: int, room: int, at: float) -> Event:
    return LanesCounted(at, wanted, room)


def _opened(lane: LaneId, at: float) -> Event:
    return LaneOpened(at, lane)


def _lost(lane: LaneId, at: float) -> Event:
    return LaneLost(at, lane, "its node is gone")


def _given_up(lane: LaneId, at: float) -> Event:
    return LaneLost(at, lane, "its work did not end")


def lane_states() -> dict[LaneId, str]:
    """The lanes that Ray knows, whoever made them, with the state of each one's group."""
    return {
        LaneId(row["name"]): str(row["state"])
        for row in placement_group_table().values()
        if str(row["name"]).startswith(LANE_PREFIX) and row["state"] != "REMOVED"
    }


def _existing() -> dict[LaneId, PlacementGroup]:
    """Lanes that an earlier life left behind, whatever their state."""
    found = {}
    for name in lane_states():
        with contextlib.suppress(ValueError):  # it is of another namespace, or was removed just now
            found[name] = get_placement_group(name)
    return found


def remove_lanes(which: Collection[LaneId] | None = None) -> list[LaneId]:
    """Remove lanes of this namespace with the processes in them, whoever made them: those named, or
    all, for when no scheduler runs. Returns those that were there."""
    return [lane for lane in lane_states() if (which is None or lane in which) and _remove(lane)]


def _remove(lane: LaneId) -> bool:
    try:
        remove_placement_group(get_placement_group(lane))
    except ValueError:
        log.debug("Lane %s was gone already.", lane)
        return False
    return True
