"""Whose turn it is, as the naive model sees it: slots, the queue, and the fair choice of a pool."""

from __future__ import annotations

from typing import TYPE_CHECKING

import reference_lanes
from reference_facts import POOLS, Facts, JobFacts, S, Turns
from reference_seen import same

from raysched.core.model import PoolName
from raysched.core.state import State

if TYPE_CHECKING:
    from reference import Reference


class Turning(Facts):
    """What becomes of turns and slots when something has changed."""

    def settle_branch(self, user: str, branch: str) -> None:
        """In the pool of its head a branch is ready when that has a unit."""
        turns = self.branches.setdefault(user, {pool: Turns() for pool in POOLS})
        head = self.head(user, branch)
        for pool in POOLS:
            may_go = head is not None and head.spec.pool == pool and self.has_unit(head)
            turns[pool].settle(branch, may_go)
            if head is None:
                turns[pool].tags.pop(branch, None)

    def settle_user(self, user: str) -> None:
        """A slot is for those who can run or do; whoever can and has none stands in line."""
        own = self.branches[user]
        eligible = any(own[pool].ready for pool in POOLS if reference_lanes.is_served(self, pool))
        busy = any(run.job.user == user for run in self.runs.values())
        holds = self.holds(user)
        if holds and not eligible and not busy:
            self.slots = [slot for slot in self.slots if slot[0] != user]
        if user in self.queue and not eligible:
            self.queue.remove(user)
        if eligible and not holds and user not in self.queue:
            self.queue.append(user)
        self.settle_turn(user)

    def holds(self, user: str) -> bool:
        """Whether a user has a slot."""
        return any(user == holder for holder, _ in self.slots)

    def settle_turn(self, user: str) -> None:
        """A holder who need not yield takes part in each pool in which a branch is ready."""
        may = self.holds(user) and user not in self.yielding
        for pool in POOLS:
            self.users[pool].settle(user, may and bool(self.branches[user][pool].ready))

    def admit(self) -> None:
        """Free slots go to the queue, and who held one for too long yields."""
        while True:
            while self.queue and len(self.slots) < self.limits.max_active_users:
                self.slots.append((self.queue.pop(0), self.now))
                self.settle_turn(self.slots[-1][0])
            tenure_s = self.limits.slot_tenure_s
            over = [user for user, at in self.slots if 0 < tenure_s <= self.now - at]
            before, self.yielding = self.yielding, over[: len(self.queue)]
            for user in [*before, *self.yielding]:
                self.settle_turn(user)
            busy = [run.job.user for run in self.runs.values()]
            at_rest = [user for user in self.yielding if user not in busy]
            for user in at_rest:
                self.slots = [slot for slot in self.slots if slot[0] != user]
                self.yielding.remove(user)
                self.settle_user(user)
            if not at_rest:
                return

    def choose(self, pool: str) -> JobFacts | None:
        """Whose unit a lane of a pool must take now; see rule 5."""
        users, parked = self.users[pool], self.parked.get(pool)
        user = users.first()
        branch = self.branches[user][pool].first() if user is not None else None
        fair = self.head(user, branch) if user is not None and branch is not None else None
        running = self.running(pool)
        if fair is None or len(running) < self.limits.max_running_jobs or fair is parked:
            parked = self.parked[pool] = None
        if fair is None or len(running) < self.limits.max_running_jobs or self.flights(fair):
            return fair
        if parked not in running:  # somebody has to make room, unless somebody will anyway
            is_resting = any(
                job.will_retry is not None or job.state is S.CANCELLING or job.user in self.yielding
                for job in running
            )
            parked = None if is_resting else max(running, key=self._place)
            self.parked[pool] = parked
        able = [job for job in running if self.has_unit(job) and job.user in users.ready]
        others = [job for job in able if job is not parked]
        if len(running) > 1:  # another will make room, or have units again
            others = others or able
        return min(others, key=self._place, default=None)

    def _place(self, job: JobFacts) -> tuple[float, float, int]:
        pool = job.spec.pool
        own = self.branches[job.user][pool].tags[job.spec.branch]
        return self.users[pool].tags[job.user], own, job.order


def compare(model: Reference, state: State) -> None:
    """Raise what the core has otherwise."""
    for name in POOLS:
        pool, turns, parked = state.pools.get(PoolName(name)), model.users[name], model.parked
        job = parked.get(name)
        core = pool and pool.turns
        same("parked", job and job.spec.job, pool and pool.parking)
        same("tags of users", turns.tags, core.tags if core else {})
        same("ready users", turns.ready, list(core.ready) if core else [])
    for user, by_pool in model.branches.items():
        for name, own in by_pool.items():
            there = state.users[user].turns.get(PoolName(name))
            same("tags of branches", own.tags, there.tags if there else {})
            same("ready branches", own.ready, list(there.ready) if there else [])
