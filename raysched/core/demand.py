"""How much work waits for lanes. Reads only."""

from __future__ import annotations

from raysched.core.model import SEGMENT, SEGMENTING, PoolName
from raysched.core.state import Job, State


def waiting_units(state: State, name: PoolName) -> int:
    """Units that would start at once if a pool had more idle lanes than anybody could use. What no
    lane would help does not count: users without a slot, jobs that the cap keeps out, a pause."""
    pool = state.pools.get(name)
    if pool is None or state.paused_at is not None:
        return 0
    heads = [
        state.jobs[head]
        for user in map(state.users.__getitem__, pool.turns.ready)
        for branch in user.turns[name].ready
        if (head := user.branches[branch].head()) is not None
    ]
    more = state.limits.max_running_jobs - len(pool.running)
    begun = [job for job in heads if job.id in pool.running]
    new = [job for job in heads if job.id not in pool.running]
    return sum(map(_units, [*begun, *new[: max(0, more)]]))


def is_waited_for(state: State, name: PoolName) -> bool:
    """Whether anybody has work that could start in a pool, had they a slot and it a lane: nobody
    gets a slot for a pool that has none."""
    if state.paused_at is not None:
        return False
    return any(name in user.turns and user.turns[name].ready for user in state.users.values())


def _units(job: Job) -> int:
    if job.state is SEGMENTING and job.stage is SEGMENT and job.progress is not None:
        return len(job.progress.pending)
    return 1
