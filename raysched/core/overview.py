"""The whole of scheduling at one glance, for administrators. Reads only; bounded in size."""

from __future__ import annotations

from dataclasses import dataclass
from heapq import nlargest

from raysched.core.model import BranchName, JobId, LaneId, Stage, UserId
from raysched.core.state import Run, State


@dataclass(frozen=True, slots=True)
class RunView:
    """What is done in a lane, since when (seconds since the epoch), and what was expected."""

    user: UserId
    job: JobId
    stage: Stage
    chunk: int
    since: float
    expected_s: float


@dataclass(frozen=True, slots=True)
class LaneView:
    """A lane and what it does; None: it is idle."""

    lane: LaneId
    run: RunView | None


@dataclass(frozen=True, slots=True)
class UserLoad:
    """What a user with unfinished jobs has. ``queue_rank`` counts from 1; ``share`` is what the
    user's weight is of those of all slot holders, ``share_used`` of the busy lanes, both 0..1.
    ``parked``: the tenure is used up, and others wait."""

    user: UserId
    weight: float
    slot_since: float | None
    parked: bool
    queue_rank: int | None
    queued_since: float | None
    jobs_open: int
    jobs_running: int
    lanes: int
    share: float
    share_used: float


@dataclass(frozen=True, slots=True)
class BranchDepth:
    """Unfinished jobs of a branch, and which of them is at work or next."""

    user: UserId
    branch: BranchName
    jobs_open: int
    head: JobId | None


@dataclass(frozen=True, slots=True)
class Overview:
    """Everything at once. Lists are cut to the ``most`` that was asked for; the numbers are of
    all."""

    lanes: tuple[LaneView, ...]
    lanes_open: int
    lanes_busy: int
    lanes_wanted: int
    lanes_room: int
    users: tuple[UserLoad, ...]
    users_busy: int
    """Users with unfinished jobs."""
    slots: int
    slots_held: int
    users_queued: int
    branches: tuple[BranchDepth, ...]
    branches_open: int
    jobs_open: int
    jobs_running: int
    max_running_jobs: int
    paused_at: float | None
    drained_at: float | None


def overview(state: State, most: int) -> Overview:
    """What a state looks like. Users come in the order of slots, then of the queue, then by
    unfinished jobs; branches by depth."""
    busy = {name: user for name, user in state.users.items() if user.open}
    ordered = dict.fromkeys([*state.slots, *state.queue])
    rest = nlargest(most, busy.keys() - ordered.keys(), key=lambda name: len(busy[name].open))
    names = [*ordered, *rest][:most]
    ranks = {name: rank for rank, name in enumerate(state.queue, start=1)}
    branches = [
        (len(branch.line), name, of, branch)
        for name, user in busy.items()
        for of, branch in user.branches.items()
        if len(branch.line)
    ]
    deepest = nlargest(most, branches, key=lambda each: each[0])
    return Overview(
        lanes=tuple(_lane(state, lane) for lane in list(state.lanes)[:most]),
        lanes_open=len(state.lanes),
        lanes_busy=len(state.runs),
        lanes_wanted=state.lanes_wanted,
        lanes_room=state.lanes_room,
        users=tuple(_load(state, name, ranks.get(name)) for name in names),
        users_busy=len(busy),
        slots=state.limits.max_active_users,
        slots_held=len(state.slots),
        users_queued=len(state.queue),
        branches=tuple(
            BranchDepth(name, of, depth, branch.head()) for depth, name, of, branch in deepest
        ),
        branches_open=len(branches),
        jobs_open=sum(len(user.open) for user in busy.values()),
        jobs_running=state.jobs_running(),
        max_running_jobs=state.limits.max_running_jobs,
        paused_at=state.paused_at,
        drained_at=state.drained_at,
    )


def share_of(state: State, name: UserId) -> float:
    """What a user would get of the lanes were all slot holders and this user busy, 0..1."""
    holders = {**dict.fromkeys(state.slots), name: None}
    weights = {each: state.users[each].weight if each in state.users else 1.0 for each in holders}
    return weights[name] / sum(weights.values())


def _lane(state: State, lane: LaneId) -> LaneView:
    name = state.lanes[lane]
    return LaneView(lane, _run(state, state.runs[name]) if name is not None else None)


def _run(state: State, run: Run) -> RunView:
    unit = run.unit
    user = state.jobs[unit.job].user
    return RunView(user, unit.job, unit.stage, unit.chunk, run.started_at, run.est_s)


def _load(state: State, name: UserId, rank: int | None) -> UserLoad:
    user = state.users[name]
    lanes = len(user.runs)
    return UserLoad(
        user=name,
        weight=user.weight,
        slot_since=state.slots.get(name),
        parked=name in state.yielding,
        queue_rank=rank,
        queued_since=state.queue.get(name),
        jobs_open=len(user.open),
        jobs_running=len({state.runs[run].unit.job for run in user.runs}),
        lanes=lanes,
        share=share_of(state, name) if name in state.slots else 0.0,
        share_used=lanes / len(state.runs) if state.runs else 0.0,
    )
