"""The real core and the real journal in virtual time: many users, faults, and crashes.

Everything random comes from one seed, so a simulation is repeated exactly. What it proves: the
invariants hold, every job ends, and after a crash at any record the journal gives the state that
was live. What it measures: throughput of the core, waiting times, and how fair the lanes were.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import TypeVar

from raysched.core.commands import Command, Retire, RunUnit
from raysched.core.events import (
    Event,
    JobCancelRequested,
    JobRetryRequested,
    LaneOpened,
    RunFailed,
    RunLost,
)
from raysched.core.invariants import check
from raysched.core.limits import Limits
from raysched.core.model import Failure, JobId, JobSpec, JobState, LaneId, UserId
from raysched.core.scheduler import Scheduler
from raysched.core.state import Job
from raysched.errors import InternalError
from raysched.journal.entries import Entry
from raysched.journal.journal import Journal
from raysched.journal.recovery import recover, replayed
from raysched.journal.snapshots import frozen, save_snapshot
from raysched.testing import FakeCluster, job

T = TypeVar("T")

GROUP_EVENTS = 2048
"""Events per group commit: as many as wait while the group before is being written."""
CHECK_EVERY_EVENTS = 997
"""The naive recomputation costs as much as the state is large; a prime meets every phase. With more
than ``CHECKED_JOBS`` jobs it is done more seldom, so that it takes no larger share of the time."""
CHECKED_JOBS = 50_000
SNAPSHOT_EVENTS = 20_000
FULL_REPLAY_JOBS = 100_000
"""Up to so many jobs the end replays every event; beyond, the newest snapshot and what follows."""
BRANCHES = 4
SLIDES = 8
"""One job in ten is about one of so many slides, on which users come again: equal work."""
KEPT_JOBS = 20
"""Ended jobs of each user in memory: few, so that retirement is part of what is proved."""


@dataclass(frozen=True, slots=True)
class Scenario:
    """What is simulated. ``faults``: how often anything that can go wrong does, from 0 to 1."""

    seed: int = 0
    jobs: int = 1000
    users: int = 10
    lanes: int = 8
    running: int = 4
    """``max_running_jobs``: with fewer than there are lanes, jobs are parked."""
    faults: float = 0.05
    crashes: int = 1
    most_chunks: int = 6
    """A job has from none up to so many, of 1 to 8 tiles (seconds) each."""


@dataclass(slots=True)
class Outcome:
    """What came of it. Times in virtual seconds, ``wall_s`` in real ones."""

    events: int = 0
    jobs: int = 0
    replays: int = 0
    """One after each crash, and one at the end."""
    wall_s: float = 0.0
    virtual_s: float = 0.0
    ended: dict[str, int] = field(default_factory=dict)
    reused: int = 0
    """Jobs that succeeded with the chunks of an equal one."""
    waits_s: list[float] = field(default_factory=list)
    """From submission to the first dispatch, of the jobs that were dispatched; sorted."""
    lane_s: dict[str, float] = field(default_factory=dict)
    """Lane seconds of each user when ``share_error`` was measured: while all still had work."""
    share_error: float | None = None
    """Largest deviation of a user's lane seconds from the mean, while all had work; 0 is fair. None
    where there were too few jobs for all users to have had any."""
    lane_use: float = 0.0
    """Share of the lanes' time in which they had work, until the last job ended."""
    violations: list[str] = field(default_factory=list)

    def wait_s(self, share: float) -> float:
        """The waiting time that this share of the jobs did not exceed."""
        waits = self.waits_s
        return waits[min(len(waits) - 1, int(share * len(waits)))] if waits else 0.0


class Simulation:
    """One scenario on one journal folder. Make it, then ``run`` it once."""

    def __init__(self, scenario: Scenario, folder: Path) -> None:
        self._scenario = scenario
        self._folder = folder
        self._dice = Random(scenario.seed)  # noqa: S311 - repeatable on purpose, no secret
        self._outcome = Outcome()
        self._check_every = CHECK_EVERY_EVENTS * (1 + scenario.jobs // CHECKED_JOBS)
        self._submitted = 0
        self._asked = 0
        self._revision = 0
        self._entries: list[Entry] = []
        self._snapshot_at = 0
        self._lane_s: dict[UserId, float] = {}
        self._busy_s = 0.0
        self._busy = (0.0, 0)
        self._chunks: dict[JobId, tuple[int, ...]] = {}
        self._slides: dict[JobId, str] = {}
        self._of_slides = {f"slide-{number}": self._some_chunks() for number in range(SLIDES)}
        self._users = [UserId(f"user-{number}") for number in range(scenario.users)]
        self._crash_at = self._moments(scenario.crashes)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="journal")
        self._writing: Future[None] | None = None
        self._journal = self._in_thread(self._opened)
        limits = Limits(
            max_running_jobs=scenario.running,
            max_active_users=max(1, scenario.users // 2),
            slot_tenure_s=60.0,
            max_ended_jobs_per_user=KEPT_JOBS,
        )
        self._cluster = FakeCluster(
            limits, scenario.lanes, self._chunks_of, self._answer, record=self._record
        )
        self._cluster.work = lambda name: self._slides.get(name, "")
        self._cluster.after_event = self._after_event

    def run(self, progress: Callable[[int], None] = lambda _: None) -> Outcome:
        """Let it happen. A violation ends it and is in the outcome."""
        begun = time.perf_counter()
        try:
            self._live(progress)
            self._crash(whole=self._scenario.jobs <= FULL_REPLAY_JOBS)
            check(self._cluster.core)
        except (AssertionError, InternalError) as error:
            self._outcome.violations.append(str(error))
        finally:
            self._in_thread(self._journal.close)
            self._thread.shutdown()
        self._sum_up(time.perf_counter() - begun)
        return self._outcome

    # --- what happens ---------------------------------------------------------------------------

    def _live(self, progress: Callable[[int], None]) -> None:
        cluster = self._cluster
        fair_until = self._scenario.jobs * 9 // 10
        while True:
            self._submit()
            if self._submitted >= fair_until and not self._outcome.lane_s:
                self._measure_fairness()
            self._disturb()
            if not cluster.tick() and not any(self._submit() for _ in self._users):
                assert self._submitted >= self._scenario.jobs, (
                    "nothing is to come, yet work is left"
                )
                break
            if self._crash_at and self._outcome.events >= self._crash_at[0]:
                self._crash_at.pop(0)
                self._crash(whole=False)
                cluster.restart()
            progress(self._submitted)
        left = [name for name, each in cluster.core.state.jobs.items() if not each.state.is_final]
        assert not left, f"liveness: {len(left)} jobs never end, the first is {left[0]}"

    def _submit(self) -> bool:
        """The next user, in turn, gets work for all their branches until all is submitted."""
        if self._submitted >= self._scenario.jobs:
            return False
        name = self._users[self._asked % len(self._users)]
        self._asked += 1
        known = self._cluster.core.state.users.get(name)
        if known is not None and len(known.open) >= 2 * BRANCHES:
            return False
        size = min(self._dice.randint(2, 10), self._scenario.jobs - self._submitted)
        self._cluster.submit(name, *self._workflow(size))
        return True

    def _workflow(self, size: int) -> list[JobSpec]:
        specs: list[JobSpec] = []
        for _ in range(size):
            self._submitted += 1
            earlier = [spec.job for spec in specs if self._dice.random() < 0.1]
            branch = f"branch-{self._dice.randrange(BRANCHES)}"
            spec = job(f"job-{self._submitted}", branch, after=earlier)
            if self._dice.random() < 0.1:
                self._slides[spec.job] = self._dice.choice(list(self._of_slides))
                self._chunks[spec.job] = self._of_slides[self._slides[spec.job]]
            else:
                self._chunks[spec.job] = self._some_chunks()
            specs.append(spec)
        return specs

    def _some_chunks(self) -> tuple[int, ...]:
        number = self._dice.randint(0, self._scenario.most_chunks)
        return tuple(self._dice.randint(1, 8) for _ in range(number))

    def _disturb(self) -> None:
        """Cancels, retries, dying lanes."""
        if self._dice.random() >= self._scenario.faults / 5:
            return
        cluster, state = self._cluster, self._cluster.core.state
        what = self._dice.randrange(3)
        if what == 0:
            lane = LaneId(f"lane-{self._dice.randrange(self._scenario.lanes)}")
            cluster.lose_lane(lane)
            cluster.tell(LaneOpened(cluster.now, lane))
            return
        user = self._dice.choice(self._users)
        mine = list(state.users[user].jobs) if user in state.users else []
        if not mine:
            return
        chosen = state.jobs[mine[-1 - self._dice.randrange(min(len(mine), 20))]]
        if what == 1 and not chosen.state.is_final:
            cluster.tell(JobCancelRequested(cluster.now, user, chosen.id))
        if what == 2 and chosen.state is JobState.FAILED:
            room = cluster.core.state.limits.max_jobs_per_user - len(state.users[user].open)
            if room > 3 * BRANCHES:
                cluster.tell(JobRetryRequested(cluster.now, user, chosen.id))

    def _answer(self, command: RunUnit, now: float) -> tuple[float, Event]:
        """How a run ends: mostly well, sometimes it fails or is lost."""
        after_s, event = self._cluster.succeed(command, now)
        luck = self._dice.random()
        is_lost = luck < self._scenario.faults / 2
        if is_lost:
            after_s = self._dice.uniform(0.0, after_s)
        user = self._cluster.core.state.jobs[command.unit.job].user
        self._lane_s[user] = self._lane_s.get(user, 0.0) + after_s
        if is_lost:
            return after_s, RunLost(now + after_s, command.run, "its process was killed")
        if luck < self._scenario.faults:
            failure = Failure("engine_failed", "The engine raised.", "Retry the job.")
            passing = self._dice.random() < 0.9
            return after_s, RunFailed(now + after_s, command.run, after_s, failure, passing)
        return after_s, event

    def _chunks_of(self, name: JobId) -> tuple[int, ...]:
        return self._chunks[name]

    # --- what is watched and written ------------------------------------------------------------

    def _after_event(self, core: Scheduler) -> None:
        self._outcome.events += 1
        state, (since, lanes) = core.state, self._busy
        self._busy_s += lanes * (state.now - since)
        self._busy = (state.now, len(state.runs))
        if self._outcome.events % self._check_every == 0:
            check(core)

    def _record(self, core: Scheduler, event: Event, commands: list[Command]) -> None:
        if core.revision == self._revision:
            return
        self._revision = core.revision
        retired = tuple(command for command in commands if isinstance(command, Retire))
        for each in retired:
            self._count(each.jobs)
        self._entries.append(Entry(event, None, core.decided(commands), retired))
        if len(self._entries) >= GROUP_EVENTS:
            self._log()
        if core.revision - self._snapshot_at >= SNAPSHOT_EVENTS:
            self._snapshot_at = core.revision
            self._log()
            self._written()
            state = frozen(core.state)
            self._in_thread(lambda: save_snapshot(self._journal, len(self._journal), state))

    def _log(self) -> None:
        """Append what has happened while the core goes on, as the actor does."""
        entries, self._entries = self._entries, []
        self._written()
        self._writing = self._thread.submit(self._journal.append, entries)

    def _written(self) -> None:
        if self._writing is not None:
            self._writing.result()
            self._writing = None

    def _crash(self, *, whole: bool) -> None:
        """The process dies after the last record; the journal must give the state that was live."""
        self._log()
        self._written()
        self._in_thread(self._journal.close)
        self._journal = self._in_thread(self._opened)
        again = self._in_thread(lambda: recover(self._journal))
        assert again.state == self._cluster.core.state, "I11: the recovery gives another state"
        if whole:
            again = self._in_thread(lambda: replayed(self._journal, Scheduler(), 0))
            assert again.state == self._cluster.core.state, "I11: the replay gives another state"
        self._outcome.replays += 1

    def _opened(self) -> Journal:
        journal = Journal.open(self._folder)
        journal.next_epoch()
        return journal

    def _in_thread(self, work: Callable[[], T]) -> T:
        return self._thread.submit(work).result()

    def _measure_fairness(self) -> None:
        self._outcome.lane_s = {name: self._lane_s.get(name, 0.0) for name in self._users}
        shares = self._outcome.lane_s.values()
        mean = sum(shares) / len(shares)
        if min(shares) > 0:
            self._outcome.share_error = max(abs(share - mean) for share in shares) / mean

    def _count(self, jobs: Iterable[Job]) -> None:
        outcome = self._outcome
        for each in jobs:
            outcome.jobs += 1
            outcome.ended[each.state.value] = outcome.ended.get(each.state.value, 0) + 1
            if each.started_at is not None:
                outcome.waits_s.append(each.started_at - each.submitted_at)
            del self._chunks[each.id]
            self._slides.pop(each.id, None)
            reuses = each.progress is not None and each.progress.plan.reused
            outcome.reused += reuses and each.state is JobState.SUCCEEDED

    def _sum_up(self, wall_s: float) -> None:
        self._count(self._cluster.core.state.jobs.values())
        self._outcome.wall_s = wall_s
        self._outcome.virtual_s = self._cluster.now
        self._outcome.waits_s.sort()
        possible_s = self._scenario.lanes * self._outcome.virtual_s
        self._outcome.lane_use = self._busy_s / possible_s if possible_s else 0.0

    def _moments(self, number: int) -> list[int]:
        """At which events it crashes: somewhere in the first six events per job."""
        most = max(2, 6 * self._scenario.jobs)
        return sorted(self._dice.randrange(1, most) for _ in range(number))
