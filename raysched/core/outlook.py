"""What would become of a workflow were it submitted now: when it would begin, and when it would
end. Reads only; as rough as a forecast of other people's work is.

The model: the user gets the lanes that their weight gives them among the slot holders, shares them
evenly among their branches, and each branch does its jobs one after another.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from raysched.core.admission import wait_bound_s
from raysched.core.dispatch import rate_s
from raysched.core.events import WorkflowSubmitted
from raysched.core.explain import seconds_per_tile
from raysched.core.graph import neighbours
from raysched.core.model import BranchName, JobId, Stage, UserId
from raysched.core.overview import share_of
from raysched.core.requests import check_submitted
from raysched.core.state import Job, State


@dataclass(frozen=True, slots=True)
class JobCost:
    """Lane seconds that a job will probably take, by stage, and into how many chunks its segment
    stage is cut: so many lanes can work on it at once."""

    plan_s: float
    segment_s: float
    assemble_s: float
    publish_s: float
    chunks: int

    @property
    def lane_s(self) -> float:
        """All stages."""
        return self.plan_s + self.segment_s + self.assemble_s + self.publish_s

    def lasts_s(self, lanes: float) -> float:
        """How long the job takes with that many lanes to itself."""
        if not self.chunks:
            return self.lane_s
        rounds = math.ceil(self.chunks / max(1, math.floor(lanes)))
        one_by_one = rounds * self.segment_s / self.chunks
        # Less than a lane: turns are shared with others.
        return self.lane_s - self.segment_s + one_by_one / min(1.0, lanes)


@dataclass(frozen=True, slots=True)
class Outlook:
    """Seconds from now. ``starts_in_s`` is None when there is no bound to it: no lane is open, or
    slots are held until their users are done. ``lanes`` is the user's share of those open; it is
    ahead of the workflow what ``backlog_s`` says, in lane seconds of the user's own jobs."""

    starts_in_s: float | None
    ends_in_s: float | None
    lanes: float
    lanes_open: int
    share: float
    queue_rank: int | None
    backlog_s: float


def outlook(
    state: State, event: WorkflowSubmitted, costs: Sequence[JobCost], now: float
) -> Outlook:
    """For a submission with the costs of its jobs, in order. Raises what submitting raises."""
    check_submitted(state, event)
    share = share_of(state, event.user)
    opened = _lanes_for(state, event)
    lanes = share * opened
    backlog = _backlog_s(state, event.user, costs)
    slot_s, rank = _slot_s(state, event.user, now)
    start_s = None if slot_s is None or not lanes else slot_s + _lane_s(state, event, now)
    branches = {*backlog, *(spec.branch for spec in event.jobs)}
    first_s, last_s = 0.0, 0.0
    if lanes:
        each = lanes / len(branches)
        begins = {name: seconds / each for name, seconds in backlog.items()}
        first_s, last_s = _chain(event, costs, begins, each)
        total_s = sum(backlog.values()) + sum(cost.lane_s for cost in costs)
        last_s = max(last_s, total_s / lanes)
    return Outlook(
        starts_in_s=None if start_s is None else start_s + first_s,
        ends_in_s=None if start_s is None else start_s + last_s,
        lanes=lanes,
        lanes_open=opened,
        share=share,
        queue_rank=rank,
        backlog_s=sum(backlog.values()),
    )


def _slot_s(state: State, name: UserId, now: float) -> tuple[float | None, int | None]:
    """When the user has a slot, and the place in the queue until then."""
    if name in state.slots and name not in state.yielding:
        return 0.0, None
    queue = list(state.queue)
    if name not in queue and not queue and len(state.slots) < state.limits.max_active_users:
        return 0.0, None
    rank = queue.index(name) + 1 if name in queue else len(queue) + 1
    return wait_bound_s(state, rank, now), rank


def _lanes_for(state: State, event: WorkflowSubmitted) -> int:
    """Open lanes of the pools that its jobs run in."""
    pools = {spec.pool for spec in event.jobs}
    return sum(site.pool in pools for site in state.sites.values())


def _lane_s(state: State, event: WorkflowSubmitted, now: float) -> float:
    """When the next lane of its first job's pool is free."""
    pool = event.jobs[0].pool
    runs = [run for run in state.runs.values() if state.sites[run.lane].pool == pool]
    if not runs or state.pools[pool].idle:
        return 0.0
    return max(0.0, min(run.left_s(now) for run in runs))


def _backlog_s(state: State, name: UserId, costs: Sequence[JobCost]) -> dict[BranchName, float]:
    """Lane seconds of the user's open jobs by branch; of those without a plan, as much as those
    that are asked for take on average."""
    user = state.users.get(name)
    usual = sum(cost.lane_s for cost in costs) / len(costs)
    backlog: dict[BranchName, float] = {}
    for job in (state.jobs[each] for each in (user.open if user is not None else ())):
        branch = job.spec.branch
        backlog[branch] = backlog.get(branch, 0.0) + left_s(state, job, usual)
    return backlog


def left_s(state: State, job: Job, usual: float) -> float:
    """Lane seconds that an open job still takes; ``usual`` before it has a plan."""
    progress = job.progress
    if progress is None:
        return usual
    tiles = sum(progress.plan.chunk_tiles) - progress.tiles_done
    kind = job.spec.kind
    ends_s = rate_s(state, kind, Stage.ASSEMBLE) + rate_s(state, kind, Stage.PUBLISH)
    return tiles * seconds_per_tile(state, job) + ends_s


def _chain(
    event: WorkflowSubmitted,
    costs: Sequence[JobCost],
    begins: Mapping[BranchName, float],
    lanes: float,
) -> tuple[float, float]:
    """When the first job begins and the last one ends, if each follows its branch and what it
    depends on. ``begins``: when a branch is free; the graph has no cycle (it was checked)."""
    after = {
        spec.job: [*spec.depends_on, *([before] if before is not None else [])]
        for spec, before in neighbours(event.jobs)
    }
    followers: dict[JobId, list[JobId]] = {name: [] for name in after}
    missing = {name: len(needed) for name, needed in after.items()}
    for name, needed in after.items():
        for other in needed:
            followers[other].append(name)
    lasts = {spec.job: cost.lasts_s(lanes) for spec, cost in zip(event.jobs, costs, strict=True)}
    free = {spec.job: begins.get(spec.branch, 0.0) for spec in event.jobs}
    ready = [name for name, number in missing.items() if not number]
    ends: dict[JobId, float] = {}
    first_s = min(free[name] for name in ready)
    while ready:
        name = ready.pop()
        begin = max([free[name], *(ends[other] for other in after[name])])
        ends[name] = begin + lasts[name]
        for follower in followers[name]:
            missing[follower] -= 1
            if not missing[follower]:
                ready.append(follower)
    return first_s, max(ends.values())
