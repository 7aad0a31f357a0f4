"""The pool of lanes: long-lived, named, detached placement groups of one bundle each.

A group of a detached lifetime survives its creator, so a new life first looks at what exists:
groups that are ready are adopted, the rest is removed. Making a group on freed resources takes up
to a second, so lanes are never made per job. A lane is open once a process in it has answered; one
that does not get so far in time is removed, and asked for again after a pause that doubles.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

from ray.exceptions import RayError
from ray.util.placement_group import PlacementGroup

from raysched.cluster import tasks
from raysched.cluster.groups import (
    LANE_PREFIX,
    Group,
    bundle,
    existing_groups,
    lane_groups,
    make_group,
    options_in,
    remove_group,
)
from raysched.cluster.guard import Kernel, kernel_here
from raysched.cluster.nodes import Node, living_nodes, room_for, staying
from raysched.cluster.spares import Spares
from raysched.config import Config
from raysched.core.events import (
    Event,
    LaneClosing,
    LaneLost,
    LaneOpened,
    LanesCounted,
    NodeResumed,
)
from raysched.core.model import LOCAL_USER, LaneId, NodeId

log = logging.getLogger(__name__)

Report = Callable[[Callable[[float], Event]], Awaitable[None]]
"""Stamps and posts one event; made from a function of its time."""

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


class Seen(NamedTuple):
    """The cluster at one moment: the lanes' groups, the nodes that live, and those that stay."""

    groups: Mapping[LaneId, Group]
    nodes: list[Node]
    stay: list[Node]


class Lanes:
    """Keeps as many lanes as the cluster has room for, and says which are open. ``drained``: the
    nodes that the operator drains."""

    def __init__(
        self, config: Config, report: Report, drained: Callable[[], Collection[NodeId]] = tuple
    ) -> None:
        self._config = config
        self._settings = config.cluster
        self._report = report
        self._drained = drained
        self._groups: dict[LaneId, PlacementGroup] = {}
        self._opening: dict[LaneId, Opening] = {}
        self._given_up: dict[LaneId, str] = {}
        self._closing: set[LaneId] = set()
        self._pause_s = 0.0
        self._asks_again_at = 0.0
        self._room = 0
        self._away: frozenset[NodeId] = frozenset()
        self._told = (0, 0)
        self._room_found: int | None = None
        self._boots: dict[LaneId, str] = {}
        self._kills: dict[str, int] = {}
        self._spares = Spares(config, self._lasting_places)

    def __len__(self) -> int:
        return len(self._groups.keys() - self._closing)

    def has(self, lane: LaneId) -> bool:
        """Whether a lane is open."""
        return lane in self._groups and lane not in self._given_up

    def options(self, lane: LaneId) -> dict[str, Any]:
        """Where Ray must put the work of a lane, and with what: options of its task."""
        return options_in(self._groups[lane], self._settings)

    def places(self) -> dict[LaneId, NodeId]:
        """The open lanes, each with the id of the node that it is on. Asks Ray: a few ms."""
        groups = lane_groups()
        return {lane: groups[lane].node for lane in list(self._groups) if lane in groups}

    def _lasting_places(self) -> dict[LaneId, NodeId]:
        """Where a spare process is of use: not beside lanes that are to go."""
        return {lane: node for lane, node in self.places().items() if lane not in self._closing}

    async def give_up(self, lane: LaneId, cause: str = "its work did not end") -> None:
        """Remove a lane with whatever process is in it; its work still has to be reported."""
        self._given_up.setdefault(lane, cause)
        await asyncio.to_thread(remove_group, lane)

    async def release(self, lane: LaneId) -> None:
        """Give back a lane that was to close, in which nothing runs."""
        if lane not in self._groups:  # its node was faster
            return
        await self.give_up(lane, "it was given back")
        await self.bury(lane)

    async def bury(self, lane: LaneId) -> None:
        """Say that a lane is gone, if it was given up; another is opened in its place."""
        cause = self._given_up.pop(lane, None)
        if cause is not None:
            self._closing.discard(lane)
            if self._groups.pop(lane, None) is not None:  # else its node was found gone meanwhile
                await self._report(partial(_lost, lane, cause))

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
        found = await asyncio.to_thread(existing_groups)
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
        seen = await asyncio.to_thread(self._look)
        room = room_for(bundle(self._settings), seen.stay)
        wanted = self._settings.lanes or max(1, room)
        away = frozenset(each.node for each in seen.nodes) - {each.node for each in seen.stay}
        if (room, away) != (self._room, self._away):  # what was found before is not so any more
            self._room, self._away, self._room_found, self._asks_again_at = room, away, None, 0.0
        await self._lose(seen)
        await self._leave(seen)
        for lane, opening in list(self._opening.items()):
            await self._open(lane, opening, seen.groups.get(lane))
        found = self._room_found
        told = room if found is None else max(found, len(self))
        if (wanted, told) != self._told:
            self._told = (wanted, told)
            await self._report(partial(_counted, wanted, told))
        now = asyncio.get_running_loop().time()
        if now < self._asks_again_at:
            return
        for _ in range(wanted - len(self) - len(self._opening)):
            lane = self._free_name(seen)
            group = await asyncio.to_thread(make_group, lane, self._settings, away)
            self._opening[lane] = Opening(group, now)

    async def _lose(self, seen: Seen) -> None:
        """Say which lanes are gone with their nodes."""
        gone = [lane for lane in self._groups if _state(seen, lane) != "CREATED"]
        for lane in gone:
            # One that was given up is reported by who did so, perhaps while this waits below.
            if lane in self._given_up or self._groups.pop(lane, None) is None:
                continue
            self._closing.discard(lane)
            await self._report(partial(_lost, lane, "its node is gone"))
            await asyncio.to_thread(remove_group, lane)

    async def _leave(self, seen: Seen) -> None:
        """Have the lanes of nodes that are to go closed: what runs there ends, nothing new starts.
        Those that are not open yet are given back at once. A drained node that is gone is
        forgotten."""
        for lane, group in seen.groups.items():
            if group.node not in self._away:
                continue
            if (opening := self._opening.pop(lane, None)) is not None:
                opening.forget()
                await asyncio.to_thread(remove_group, lane)
            elif lane in self._groups and lane not in self._closing:
                self._closing.add(lane)
                await self._report(partial(_closing, lane, "its node is drained"))
        living = {each.node for each in seen.nodes}
        for node in [node for node in self._drained() if node not in living]:
            await self._report(partial(_resumed, node))

    async def _open(self, lane: LaneId, opening: Opening, group: Group | None) -> None:
        """Go on with one lane, as far as it can go now."""
        if group is None:  # removed by somebody else: another is made in its place
            del self._opening[lane]
            opening.forget()
            return
        if group.state == "CREATED" and opening.greeting is None:
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
            await self._report(partial(_opened, lane, group.node))
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
        await asyncio.to_thread(remove_group, lane)

    async def _greet(self, group: PlacementGroup) -> Kernel:
        """What a process in a group says of itself. Raises ``RayError`` where none can start."""
        where = options_in(group, self._settings)
        kernel: Kernel = await tasks.greet.options(name="start", **where).remote()
        return kernel

    def _look(self) -> Seen:
        nodes = living_nodes()
        return Seen(lane_groups(), nodes, staying(nodes, self._drained()))

    def _free_name(self, seen: Seen) -> LaneId:
        taken = self._groups.keys() | self._opening.keys() | seen.groups.keys()
        number = next(n for n in range(len(taken) + 1) if f"{LANE_PREFIX}{n}" not in taken)
        return LaneId(f"{LANE_PREFIX}{number}")

    async def remove(self) -> None:
        """Give all lanes back to the cluster."""
        lanes = [*self._groups, *self._opening]
        self._groups.clear()
        self._opening.clear()
        for lane in lanes:
            await asyncio.to_thread(remove_group, lane)


def wake(config: Config) -> None:
    """Have a process started in each lane that an earlier life left, while the journal is still
    being read back: Ray has ended those of that life, and starting takes longer than reading."""
    for group in existing_groups().values():
        _warm_up(group, config)


def _warm_up(group: PlacementGroup, config: Config) -> None:
    """A lane's process starts and loads the usual engine. A unit that comes meanwhile waits for no
    longer than it would have taken itself."""
    where = options_in(group, config.cluster)
    cpus = math.ceil(config.cluster.lane_cpus)
    tasks.warm_up.options(name="warm up", **where).remote(config.segmentation.engine, cpus)


def _counted(wanted: int, room: int, at: float) -> Event:
    return LanesCounted(at, wanted, room)


def _opened(lane: LaneId, node: NodeId, at: float) -> Event:
    return LaneOpened(at, lane, node)


def _closing(lane: LaneId, cause: str, at: float) -> Event:
    return LaneClosing(at, lane, cause)


def _lost(lane: LaneId, cause: str, at: float) -> Event:
    return LaneLost(at, lane, cause)


def _resumed(node: NodeId, at: float) -> Event:
    return NodeResumed(at, LOCAL_USER, node)


def _state(seen: Seen, lane: LaneId) -> str:
    group = seen.groups.get(lane)
    return group.state if group is not None else ""
