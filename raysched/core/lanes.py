"""Lanes come, close and go; and how many there are to be.

A lane that closes takes no new unit. What runs in it ends as it would have, and then whoever keeps
the lanes is told to give it back (``ReleaseLane``): so a node can be emptied without any loss.
"""

from __future__ import annotations

from raysched.core.admission import served_pools, settle_served
from raysched.core.commands import ReleaseLane
from raysched.core.events import LaneClosing, LaneLost, LaneOpened, LanesCounted, RunLost
from raysched.core.locality import forget_nodes
from raysched.core.model import MAIN, PoolCount
from raysched.core.reports import apply_lost
from raysched.core.state import Site, State
from raysched.core.step import Step

NO_LANES = (0, 0, "", False)
"""What is wanted of a pool that is not counted, what there is room for, and so on."""


def check_opened(state: State, event: LaneOpened) -> bool:
    """A lane opens once."""
    return event.lane not in state.lanes


def apply_opened(state: State, event: LaneOpened, step: Step) -> None:
    """One more lane takes work."""
    before = served_pools(state)
    state.lanes[event.lane] = None
    state.sites[event.lane] = Site(event.pool, event.node)
    state.pool(event.pool).idle[event.lane] = None
    settle_served(state, before, step)


def check_closing(state: State, event: LaneClosing) -> bool:
    """A lane closes once."""
    return event.lane in state.lanes and event.lane not in state.closing


def apply_closing(state: State, event: LaneClosing, step: Step) -> None:
    """Nothing new starts in the lane; one in which nothing runs can go at once."""
    before = served_pools(state)
    state.closing[event.lane] = state.now
    settle_served(state, before, step)
    if state.lanes[event.lane] is None:
        del state.pools[state.sites[event.lane].pool].idle[event.lane]
        step.commands.append(ReleaseLane(event.lane))


def check_lost(state: State, event: LaneLost) -> bool:
    """A lane is lost once."""
    return event.lane in state.lanes


def apply_lane_lost(state: State, event: LaneLost, step: Step) -> None:
    """What ran in the lane is lost with it."""
    before = served_pools(state)
    state.closing.pop(event.lane, None)
    run = state.lanes[event.lane]
    if run is not None:
        apply_lost(state, RunLost(event.at, run, event.cause), step)
    del state.lanes[event.lane]
    site = state.sites.pop(event.lane)
    state.pools[site.pool].idle.pop(event.lane, None)
    forget_nodes(state)
    settle_served(state, before, step)


def check_counted(state: State, event: LanesCounted) -> bool:
    """Only other numbers are news."""
    known = {x.name: (x.wanted, x.room, x.lacks, x.is_known) for x in state.pools.values()}
    told = {each.pool: (each.wanted, each.room, each.lacks, True) for each in _counts(event)}
    totals = (state.lanes_wanted, state.lanes_room)
    return (event.wanted, event.room) != totals or dict.fromkeys(known, NO_LANES) | told != known


def apply_counted(state: State, event: LanesCounted, step: Step) -> None:
    """Who waits for a lane is told by these why there are no more."""
    before = served_pools(state)
    state.lanes_wanted, state.lanes_room = event.wanted, event.room
    for pool in state.pools.values():
        pool.wanted, pool.room, pool.lacks, pool.is_known = 0, 0, "", False
    for count in _counts(event):
        pool = state.pool(count.pool)
        pool.wanted, pool.room, pool.lacks = count.wanted, count.room, count.lacks
        pool.is_known = True
    settle_served(state, before, step)


def _counts(event: LanesCounted) -> tuple[PoolCount, ...]:
    return event.pools or (PoolCount(MAIN, event.wanted, event.room),)
