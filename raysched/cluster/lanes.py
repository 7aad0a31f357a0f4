"""The lanes of all pools: long-lived, named, detached placement groups of one bundle each.

A group of a detached lifetime survives its creator, so a new life first looks at what exists:
groups that are ready are adopted, the rest is removed. Making a group on freed resources takes up
to a second, so lanes are never made per job. A lane is open once a process in it has answered; one
that does not get so far in time is removed, and asked for again after a pause that doubles. How
many a pool is to have says ``cluster/sizing.py``, from what the nodes have and the work that waits.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, NamedTuple

import ray
from ray.exceptions import RayError
from ray.util.placement_group import PlacementGroup

from raysched.cluster import tasks
from raysched.cluster.groups import (
    Group,
    existing_groups,
    lane_groups,
    lane_of,
    make_group,
    options_in,
    pool_of,
    remove_group,
    unused_groups,
)
from raysched.cluster.guard import Kernel, kernel_here
from raysched.cluster.idling import Idling, lanes_busy, unneeded
from raysched.cluster.nodes import Node, living_nodes, staying
from raysched.cluster.sizing import Demand, counts, is_elastic, kept, shunned, totals
from raysched.cluster.spares import Spares
from raysched.config import Config, PoolSettings
from raysched.core.demand import is_waited_for, waiting_units
from raysched.core.events import (
    Event,
    LaneClosing,
    LaneLost,
    LaneOpened,
    LanesCounted,
    NodeResumed,
)
from raysched.core.model import LOCAL_USER, MAIN, SOMEWHERE, LaneId, NodeId, PoolCount, PoolName
from raysched.core.state import State

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
STRANDED_S = 3.0
"""For so long nothing is at work in a lane of a node that Ray drains, although a unit was sent
there: what Ray tells of it may be a second old."""


@dataclass(slots=True)
class Opening:
    """A lane that is not open yet. ``since``: in the event loop's time, as ``placed_at``, when its
    group had a place. ``greeting``: asks for its process from then on."""

    group: PlacementGroup
    since: float
    placed_at: float | None = None
    greeting: asyncio.Task[Kernel] | None = None

    def forget(self) -> None:
        """Wait for its process no longer."""
        if self.greeting is not None:
            self.greeting.cancel()


@dataclass(slots=True)
class Pace:
    """Of a pool: the room that there is, and that was found by asking; when to ask again."""

    room: int = 0
    room_found: int | None = None
    pause_s: float = 0.0
    asks_again_at: float = 0.0


class Seen(NamedTuple):
    """The cluster at one moment: the lanes' groups, the nodes that live, and those that stay."""

    groups: Mapping[LaneId, Group]
    nodes: list[Node]
    stay: list[Node]


class Lanes:
    """Keeps as many lanes as there are to be, and says which are open. ``state``: the core's, which
    knows what waits, what is idle, and which nodes the operator drains."""

    def __init__(self, config: Config, report: Report, state: Callable[[], State] = State) -> None:
        self._config = config
        self._settings = config.cluster
        self._shapes = config.cluster.shapes()
        self._report = report
        self._state = state
        self._groups: dict[LaneId, PlacementGroup] = {}
        self._opening: dict[LaneId, Opening] = {}
        self._given_up: dict[LaneId, str] = {}
        self._closing: set[LaneId] = set()
        self._unremoved: set[LaneId] = set()
        self._unused: dict[LaneId, float] = {}
        self._paces = {name: Pace() for name in self._shapes}
        self._away: frozenset[NodeId] = frozenset()
        self._told: tuple[int, int, tuple[PoolCount, ...]] = (0, 0, ())
        self._home = ""
        self._idling = Idling()
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
        return options_in(self._groups[lane], self.shape(lane))

    def shape(self, lane: LaneId) -> PoolSettings:
        """What a lane has."""
        return self._shapes[pool_of(lane)]

    def places(self) -> dict[LaneId, NodeId]:
        """The open lanes, each with the id of the node that it is on. Asks Ray: a few ms."""
        groups = lane_groups()
        return {lane: groups[lane].node for lane in list(self._groups) if lane in groups}

    def _lasting_places(self) -> dict[LaneId, NodeId]:
        """Where a spare process is of use: beside lanes of the main pool that are not to go."""
        places = self.places().items()
        return {x: node for x, node in places if x not in self._closing and pool_of(x) == MAIN}

    async def give_up(self, lane: LaneId, cause: str = "its work did not end") -> None:
        """Remove a lane with whatever process is in it; its work still has to be reported."""
        self._given_up.setdefault(lane, cause)
        await asyncio.to_thread(remove_group, lane)

    async def release(self, lane: LaneId) -> None:
        """Give back a lane that was to close, in which nothing runs."""
        if lane not in self._groups:  # its node was faster
            return
        try:
            await self.give_up(lane, "it was given back")
        except Exception:  # Ray has no one name for all that may go wrong there
            log.exception("%s takes no work, but Ray did not remove it; it is asked again.", lane)
            self._unremoved.add(lane)
        await self.bury(lane)  # in any case, or the drain of its node would never end

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
                greeting = self._greet(lane, self._groups[lane])
                kills = (await asyncio.wait_for(greeting, GREET_S)).kills
            except (KeyError, TimeoutError, RayError):
                return False
        before, self._kills[boot] = self._kills[boot], kills
        return kills > before

    async def keep(self) -> None:
        """Adopt, open and lose lanes as the cluster changes, until cancelled."""
        self._home = ray.get_runtime_context().get_node_id()
        found = await asyncio.to_thread(existing_groups, self._shapes)
        now = asyncio.get_running_loop().time()
        self._opening |= {lane: Opening(group, now) for lane, group in found.items()}
        spares = asyncio.create_task(self._spares.keep())
        try:
            while True:
                await self._keep_once()
                now = asyncio.get_running_loop().time()
                begun = [each.placed_at or each.since for each in self._opening.values()]
                soon = any(now - at < SOON_S for at in begun)
                await asyncio.sleep(SOON_CHECK_S if soon else CHECK_S)
        finally:
            spares.cancel()
            for opening in self._opening.values():
                opening.forget()

    async def _keep_once(self) -> None:
        seen = await asyncio.to_thread(_look, frozenset(self._state().drained_nodes))
        away = frozenset(each.node for each in seen.nodes) - {each.node for each in seen.stay}
        found = counts(self._shapes, seen.stay, self._demand())
        for name, pace in self._paces.items():
            room = found[name].room
            if (room, away) != (pace.room, self._away):  # what was found before is not so any more
                pace.room, pace.room_found, pace.asks_again_at = room, None, 0.0
        self._away = away
        await self._lose(seen)
        await self._remove_again(seen)
        await self._leave(seen)
        for lane, opening in list(self._opening.items()):
            await self._open(lane, opening, seen.groups.get(lane))
        told = totals({name: self._as_found(count) for name, count in found.items()})
        if told != self._told:
            self._told = told
            await self._report(partial(_counted, told))
        for name, count in found.items():
            await self._resize(name, count, seen)

    def _demand(self) -> dict[PoolName, Demand]:
        """What elastic pools are at, and what waits for them."""
        state = self._state()
        return {
            name: Demand(
                lanes_busy(state, name),
                waiting_units(state, name),
                is_some=not kept(shape) and is_waited_for(state, name),
            )
            for name, shape in self._shapes.items()
            if is_elastic(shape)
        }

    def _as_found(self, count: PoolCount) -> PoolCount:
        """With the room that was found by asking, where Ray gave less than the nodes have."""
        found = self._paces[count.pool].room_found
        return (
            count if found is None else replace(count, room=max(found, self._open_in(count.pool)))
        )

    def _open_in(self, name: PoolName) -> int:
        return sum(pool_of(lane) == name for lane in self._groups.keys() - self._closing)

    async def _resize(self, name: PoolName, count: PoolCount, seen: Seen) -> None:
        """Ask for the lanes that a pool lacks; of an elastic one give back what nobody needs."""
        shape, pace, now = self._shapes[name], self._paces[name], asyncio.get_running_loop().time()
        opening = [lane for lane in self._opening if pool_of(lane) == name]
        missing = count.wanted - self._open_in(name) - len(opening)
        if is_elastic(shape):
            unplaced = [lane for lane in opening if self._opening[lane].placed_at is None]
            for lane in unplaced[missing:] if missing < 0 else []:  # what waited has gone
                self._opening.pop(lane).forget()
                await asyncio.to_thread(remove_group, lane)
            idle = self._idling.noted(name, self._state(), now)
            beyond = max(0, self._open_in(name) - count.wanted)
            after_s = self._settings.idle_lane_s
            for lane in unneeded(idle, after_s, seen.groups, self._home)[:beyond]:
                await self._close(lane, "nobody needs it")
        elif count.lacks:  # a node that has it would make room
            return
        if now < pace.asks_again_at:
            return
        not_on = self._away | shunned(self._shapes, shape, seen.stay)
        for _ in range(missing):
            lane = self._free_name(name, seen)
            group = await asyncio.to_thread(make_group, lane, shape, not_on)
            self._opening[lane] = Opening(group, now)

    async def _close(self, lane: LaneId, cause: str) -> None:
        """Have the core let what runs in a lane end, and then give it back."""
        if lane in self._groups and lane not in self._closing:
            self._closing.add(lane)
            await self._report(partial(_closing, lane, cause))

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

    async def _remove_again(self, seen: Seen) -> None:
        """Remove the groups of lost lanes that Ray failed to remove, as long as they are there: one
        that is not may be made anew under the same name."""
        self._unremoved &= seen.groups.keys()
        for lane in list(self._unremoved):
            try:
                await asyncio.to_thread(remove_group, lane)
            except Exception:  # one group that Ray does not remove holds up no lane
                log.exception("%s was not removed again.", lane)
            else:
                self._unremoved.discard(lane)

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
            else:
                await self._close(lane, "its node is drained")
        await self._free_stranded(seen)
        living = {each.node for each in seen.nodes}
        for node in [node for node in self._state().drained_nodes if node not in living]:
            await self._report(partial(_resumed, node))

    async def _free_stranded(self, seen: Seen) -> None:
        """Ray starts nothing on a node that it drains, also not a unit that was sent to a lane
        there before anybody here knew: it would wait for ever. It runs elsewhere instead."""
        going = {each.node for each in seen.nodes if each.is_going}
        left = {x: self._groups[x] for x in self._closing if x in self._groups}
        left = {x: group for x, group in left.items() if _node(seen, x) in going}
        now, cpus = asyncio.get_running_loop().time(), {x: self.shape(x).lane_cpus for x in left}
        unused = await asyncio.to_thread(unused_groups, left, cpus) if left else set()
        self._unused = {lane: self._unused.get(lane, now) for lane in unused}
        for lane, since in self._unused.items():
            if now - since > STRANDED_S and lane not in self._given_up:
                await self.give_up(lane, "its node is drained")

    async def _open(self, lane: LaneId, opening: Opening, group: Group | None) -> None:
        """Go on with one lane, as far as it can go now."""
        if group is None:  # removed by somebody else: another is made in its place
            del self._opening[lane]
            opening.forget()
            return
        now, name = asyncio.get_running_loop().time(), pool_of(lane)
        if group.state == "CREATED" and opening.greeting is None:
            opening.placed_at = now
            opening.greeting = asyncio.create_task(self._greet(lane, opening.group))
        answer = opening.greeting
        if answer is not None and answer.done() and answer.exception() is None:
            kernel = answer.result()
            self._boots[lane] = kernel.boot
            self._kills.setdefault(kernel.boot, kernel.kills)
            self._groups[lane] = opening.group
            del self._opening[lane]
            self._paces[name].pause_s = 0.0
            _warm_up(lane, opening.group, self._config)
            await self._report(partial(_opened, lane, group.node))
            return
        # A pool that grows with its work waits for a new node, which takes as long as it takes.
        since = opening.placed_at if is_elastic(self._shapes[name]) else opening.since
        waited_s = 0.0 if since is None else now - since
        if (answer is not None and answer.done()) or waited_s > self._settings.lane_ready_s:
            await self._refuse(lane, opening, waited_s)

    async def _refuse(self, lane: LaneId, opening: Opening, waited_s: float) -> None:
        """Give back a lane that has not opened; the others go on, and it is asked for again."""
        opening.forget()
        del self._opening[lane]
        name, now = pool_of(lane), asyncio.get_running_loop().time()
        pace = self._paces[name]
        pace.room_found = self._open_in(name)
        if pace.asks_again_at <= now:
            pace.pause_s = min(max(PAUSE_S, 2 * pace.pause_s), PAUSE_MAX_S)
            pace.asks_again_at = now + pace.pause_s
        what = "there was no room for it" if opening.greeting is None else "no process of it came"
        log.warning(
            "%s did not open in %.0f s: %s. It is asked for again in %.0f s.",
            *(lane, waited_s, what, pace.pause_s),
        )
        await asyncio.to_thread(remove_group, lane)

    async def _greet(self, lane: LaneId, group: PlacementGroup) -> Kernel:
        """What a process in a group says of itself. Raises ``RayError`` where none can start."""
        where = options_in(group, self.shape(lane))
        kernel: Kernel = await tasks.greet.options(name="start", **where).remote()
        return kernel

    def _free_name(self, name: PoolName, seen: Seen) -> LaneId:
        taken = self._groups.keys() | self._opening.keys() | seen.groups.keys()
        named = (lane_of(name, number) for number in range(len(taken) + 1))
        return next(lane for lane in named if lane not in taken)

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
    for lane, group in existing_groups(config.cluster.shapes()).items():
        _warm_up(lane, group, config)


def _warm_up(lane: LaneId, group: PlacementGroup, config: Config) -> None:
    """A lane's process starts and loads the usual engine of its pool. A unit that comes meanwhile
    waits for no longer than it would have taken itself."""
    name = pool_of(lane)
    own = [engine for pool in config.cluster.pools if pool.name == name for engine in pool.engines]
    engine, shape = [*own, config.segmentation.engine][0], config.cluster.shapes()[name]
    where = options_in(group, shape)
    tasks.warm_up.options(name="warm up", **where).remote(engine, math.ceil(shape.lane_cpus))


def _look(drained: frozenset[NodeId]) -> Seen:
    nodes = living_nodes()
    return Seen(lane_groups(), nodes, staying(nodes, drained))


def _counted(told: tuple[int, int, tuple[PoolCount, ...]], at: float) -> Event:
    return LanesCounted(at, *told)


def _opened(lane: LaneId, node: NodeId, at: float) -> Event:
    return LaneOpened(at, lane, node, pool_of(lane))


def _closing(lane: LaneId, cause: str, at: float) -> Event:
    return LaneClosing(at, lane, cause)


def _lost(lane: LaneId, cause: str, at: float) -> Event:
    return LaneLost(at, lane, cause)


def _resumed(node: NodeId, at: float) -> Event:
    return NodeResumed(at, LOCAL_USER, node)


def _state(seen: Seen, lane: LaneId) -> str:
    group = seen.groups.get(lane)
    return group.state if group is not None else ""


def _node(seen: Seen, lane: LaneId) -> NodeId:
    group = seen.groups.get(lane)
    return group.node if group is not None else SOMEWHERE
