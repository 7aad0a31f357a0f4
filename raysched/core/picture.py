"""Who holds slots, who waits for one, and how busy the lanes are: what everybody may look at, once
names are taken out. Reads only; costs what there are users, whatever the number of jobs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from raysched.core.model import UserId
from raysched.core.state import State


@dataclass(frozen=True, slots=True)
class Holder:
    """A user with a slot, since when, and what is computed for them now. ``parked``: the tenure is
    used up, and others wait."""

    user: UserId
    since: float
    parked: bool
    lanes: int
    jobs_running: int


class Waiter(NamedTuple):
    """A user who waits for a slot, and since when."""

    user: UserId
    since: float


class Stake(NamedTuple):
    """What one user has: unfinished jobs, and a weight against 1 for everybody else."""

    jobs_open: int
    weight: float


NOTHING = Stake(0, 1.0)


@dataclass(frozen=True, slots=True)
class Picture:
    """Everything at once; two are equal when they look the same, whenever they were taken. Holders
    in the order of admission, waiters in the order of the queue."""

    at: float = field(compare=False)
    revision: int = field(compare=False)
    """Of the state that it was taken of."""
    slots: int
    held: tuple[Holder, ...]
    waiting: tuple[Waiter, ...]
    lanes_open: int
    lanes_busy: int
    jobs_open: int
    jobs_running: int
    max_running_jobs: int
    paused_at: float | None
    drained_at: float | None
    stakes: Mapping[UserId, Stake]
    """Of those who have more or other than ``NOTHING``."""

    def rank_of(self, user: UserId) -> int | None:
        """The user's place in the queue, from 1; None: not in it."""
        places = enumerate((each.user for each in self.waiting), start=1)
        return next((rank for rank, name in places if name == user), None)

    def stake_of(self, user: UserId) -> Stake:
        """What the user has."""
        return self.stakes.get(user, NOTHING)

    def share_of(self, user: UserId) -> float:
        """What the user's weight is of those of all slot holders, the user among them, 0..1."""
        sharing = {user, *(each.user for each in self.held)}
        return self.stake_of(user).weight / sum(self.stake_of(each).weight for each in sharing)

    def share_used_by(self, user: UserId) -> float:
        """How many of the busy lanes are the user's, 0..1."""
        lanes = sum(each.lanes for each in self.held if each.user == user)
        return lanes / self.lanes_busy if self.lanes_busy else 0.0


def picture(state: State, now: float) -> Picture:
    """What a state looks like at a time that is not before its own."""
    stakes = {
        name: Stake(len(user.open), user.weight)
        for name, user in state.users.items()
        if user.open or user.weight != 1.0
    }
    return Picture(
        at=now,
        revision=state.revision,
        slots=state.limits.max_active_users,
        held=tuple(_holder(state, name, since) for name, since in state.slots.items()),
        waiting=tuple(Waiter(name, since) for name, since in state.queue.items()),
        lanes_open=len(state.lanes),
        lanes_busy=len(state.runs),
        jobs_open=sum(stake.jobs_open for stake in stakes.values()),
        jobs_running=state.jobs_running(),
        max_running_jobs=state.limits.max_running_jobs,
        paused_at=state.paused_at,
        drained_at=state.drained_at,
        stakes=stakes,
    )


def _holder(state: State, name: UserId, since: float) -> Holder:
    runs = state.users[name].runs
    return Holder(
        user=name,
        since=since,
        parked=name in state.yielding,
        lanes=len(runs),
        jobs_running=len({state.runs[run].unit.job for run in runs}),
    )
