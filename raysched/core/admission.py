"""Slots: who may have jobs running. One first-in-first-out queue, with tenure."""

from __future__ import annotations

from raysched.core.fairness import FairQueue
from raysched.core.model import MAIN, BranchName, PoolName, UserId
from raysched.core.state import State
from raysched.core.step import Step


def settle_branch(state: State, name: UserId, branch_name: BranchName) -> None:
    """Make a branch ready when its head has a unit to dispatch; forget it when it is empty."""
    user = state.users[name]
    branch = user.branches.get(branch_name)
    head = None if branch is None else branch.current or branch.line.first()
    if head is None:
        user.branches.pop(branch_name, None)
        for turns in user.turns.values():
            turns.forget(branch_name)
        return
    job = state.jobs[head]
    pool = job.spec.pool
    own = user.turns.get(pool)
    if not job.has_unit() or state.is_held(job):
        if own is not None:
            own.sleep(branch_name)
    elif own is None:
        state.pool(pool)
        own = user.turns[pool] = FairQueue()
        own.wake(branch_name)
    elif branch_name not in own.ready:
        own.wake(branch_name)
    if len(user.turns) > 1:  # the last job of the branch may have been of another pool
        for turns in user.turns.values():
            if turns is not own:
                turns.sleep(branch_name)


def settle_user(state: State, name: UserId) -> None:
    """Give up a slot that is of no use, join or leave the queue, be ready or not."""
    user = state.users[name]
    eligible = False
    for pool, own in user.turns.items():
        if own.ready and state.is_served(pool):
            eligible = True
            break
    if name in state.slots:
        if not eligible and not user.runs:
            del state.slots[name]
    elif not eligible:
        state.queue.pop(name, None)
    elif name not in state.queue:
        state.queue[name] = state.now
    settle_turn(state, name)


def served_pools(state: State) -> set[PoolName]:
    """The pools beside the main one whose work may hold slots now."""
    return {name for name in state.pools if name != MAIN and state.is_served(name)}


def settle_served(state: State, before: set[PoolName], step: Step) -> None:
    """Have those settled who wait for pools that are served since ``before``, or are no more: a
    slot is of no use to whoever waits for lanes that cannot come."""
    for pool in sorted(before ^ served_pools(state)):
        for name, user in state.users.items():
            if pool in user.turns and user.turns[pool].ready:
                step.users[name] = None


def settle_turn(state: State, name: UserId) -> None:
    """Let a user take part in dispatch: with a slot, not yielding, and with a branch that is ready
    in that pool."""
    may_go = name in state.slots and name not in state.yielding
    for pool, own in state.users[name].turns.items():
        turns = state.pools[pool].turns
        if not (may_go and own.ready):
            turns.sleep(name)
        elif name not in turns.ready:
            turns.wake(name)


def admit(state: State) -> None:
    """Fill free slots from the head of the queue, and see who has to make room for those behind.

    A user whose tenure is over gives up the slot at once if nothing of theirs is in flight, and
    queues at the end; else they yield: no new dispatch until the last run in flight has ended.
    """
    while state.queue or state.yielding:
        while state.queue and len(state.slots) < state.limits.max_active_users:
            name, _ = state.queue.popitem(last=False)
            state.slots[name] = state.now
            settle_turn(state, name)
        _choose_who_yields(state)
        at_rest = [name for name in state.yielding if not state.users[name].runs]
        if not at_rest:
            return
        for name in at_rest:
            del state.slots[name]
            del state.yielding[name]
            settle_user(state, name)


def _choose_who_yields(state: State) -> None:
    """As many as wait, of those whose tenure is over, the longest holders first."""
    yielding: dict[UserId, None] = {}
    tenure_s = state.limits.slot_tenure_s
    if state.queue and tenure_s > 0:
        for name, since in state.slots.items():
            if since + tenure_s > state.now or len(yielding) == len(state.queue):
                break
            yielding[name] = None
    if yielding != state.yielding:
        changed = {**state.yielding, **yielding}
        state.yielding = yielding
        for name in changed:
            settle_turn(state, name)


def next_tenure_end(state: State) -> float | None:
    """When the next slot comes free by tenure; None while nobody waits for one."""
    tenure_s = state.limits.slot_tenure_s
    if not state.queue or tenure_s <= 0:
        return None
    for since in state.slots.values():  # in order of admission: nearly always it is the first
        if since + tenure_s > state.now:
            return since + tenure_s
    return None


def wait_bound_s(state: State, position: int, now: float) -> float | None:
    """Within how many seconds the user at ``position`` (from 1) of the queue has a slot.

    A slot comes free when its tenure is over and its user's runs in flight have ended; each round
    before one's own takes a tenure and, as far as can be told, the longest run now in flight.
    """
    tenure_s = state.limits.slot_tenure_s
    if tenure_s <= 0:
        return None
    left = [
        max(since + tenure_s - now, *_runs_left_s(state, name, now))
        for name, since in state.slots.items()
    ]
    left += [0.0] * (state.limits.max_active_users - len(left))
    rounds, place = divmod(position - 1, state.limits.max_active_users)
    longest = max((run.est_s for run in state.runs.values()), default=0.0)
    return sorted(left)[place] + rounds * (tenure_s + longest)


def _runs_left_s(state: State, name: UserId, now: float) -> list[float]:
    """How long each run of a user's will probably take from now; 0 for none."""
    runs = [state.runs[run] for run in state.users[name].runs]
    return [0.0, *(run.left_s(now) for run in runs)]
