"""The usage report by SQL is what a naive recount of the same journal gives."""

from __future__ import annotations

import json
import time
from collections import defaultdict
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime
from math import isnan, nan
from pathlib import Path
from random import Random
from statistics import median

import pytest

from raysched.core.accounts import Role
from raysched.core.commands import Command, Retire, RunUnit
from raysched.core.events import (
    ChunkFinished,
    Event,
    LaneLost,
    LaneOpened,
    MppMissed,
    RunFailed,
    RunLost,
    SchedulerStarted,
    UserCreated,
    UserDeleted,
)
from raysched.core.limits import Limits
from raysched.core.model import Failure, JobId, JobState, LaneId, PlanFacts, Stage, UserId
from raysched.core.reports import Report
from raysched.core.scheduler import Scheduler
from raysched.core.state import Job
from raysched.errors import ClusterError, LimitReached
from raysched.journal import usage_reader
from raysched.journal.database import JOURNAL_NAME, Database
from raysched.journal.entries import Entry
from raysched.journal.journal import Journal
from raysched.journal.usage import Known, Usage, Wanted
from raysched.testing import FakeCluster, job

ALWAYS = (date(1970, 1, 1), date(2100, 1, 1))
HOUR_S = 3600.0
LIMITS = Limits(
    max_ended_jobs_per_user=3, max_retries=1, slot_tenure_s=9 * HOUR_S, retry_backoff_s=600.0
)


@dataclass
class History:
    """Days in the life of a service, written to a journal: users, faults, restarts."""

    folder: Path
    seed: int
    users: int = 4
    dice: Random = field(init=False)
    cluster: FakeCluster = field(init=False)
    entries: list[Entry] = field(default_factory=list)
    jobs: int = 0
    revision: int = 0

    def __post_init__(self) -> None:
        self.dice = Random(self.seed)
        self.cluster = FakeCluster(LIMITS, 3, self.chunks, self.answer, record=self.record)
        self.cluster.work = lambda name: f"slide {int(name[3:]) % 5}" if int(name[3:]) % 3 else ""

    def chunks(self, name: JobId) -> tuple[int, ...]:
        """Jobs of equal work have equal chunks."""
        number = int(name[3:])
        which = number % 5 if number % 3 else number
        return tuple(1 + (which + place) % 4 for place in range(which % 4))

    def answer(self, command: RunUnit, now: float) -> tuple[float, Event]:
        """Hours instead of seconds; sometimes badly; sometimes with seconds that are none."""
        after_s, event = self.cluster.succeed(command, now)
        after_s *= HOUR_S * self.dice.uniform(0.3, 1.0)
        luck = self.dice.random()
        if luck < 0.05:
            return after_s, RunLost(now + after_s, command.run, "its process was killed")
        if luck < 0.12:
            failure = Failure("boom", "It broke.", "Fix it.")
            return after_s, RunFailed(now + after_s, command.run, after_s, failure, luck < 0.1)
        if luck < 0.15 and command.unit.stage is Stage.PLAN and command.mpp is None:
            return after_s, MppMissed(now + after_s, command.run, "What is the pixel size?")
        seconds = nan if luck > 0.98 else after_s - 1.0
        return after_s, replace(event, at=now + after_s, seconds=seconds)  # type: ignore[call-arg]

    def record(self, core: Scheduler, event: Event, commands: list[Command]) -> None:
        retired = tuple(command for command in commands if isinstance(command, Retire))
        if core.revision > self.revision:
            self.revision = core.revision
            self.entries.append(Entry(event, None, core.decided(commands), retired))

    def live(self, steps: int) -> Journal:
        """Let it happen, and write it down."""
        for _ in range(steps):
            self.step()
        journal = Journal.open(self.folder)
        journal.next_epoch()
        journal.append(self.entries)
        return journal

    def step(self) -> None:
        cluster, luck = self.cluster, self.dice.random()
        some = self.dice.choice(list(cluster.core.state.jobs.values()) or [None])
        if luck < 0.08:
            self.submit()
        elif luck < 0.1:
            cluster.restart()
        elif luck < 0.12:
            lane = LaneId(f"lane-{self.dice.randrange(3)}")
            cluster.lose_lane(lane)
            cluster.tell(LaneOpened(cluster.now, lane))
        elif some is None or luck > 0.2:
            cluster.tick()
        elif some.state is JobState.FAILED and not cluster.core.state.identities.is_shut(some.user):
            cluster.retry(some.id)
        elif some.state is JobState.NEEDS_MPP:
            cluster.say_mpp(some.id, 0.25)
        elif not some.state.is_final and luck < 0.14:
            cluster.cancel(some.id)

    def submit(self) -> None:
        size = self.dice.randint(1, 4)
        names = [f"job{self.jobs + number}" for number in range(size)]
        self.jobs += size
        branches = [f"branch {self.dice.randrange(2)}" for _ in names]
        after = [names[:1] if self.dice.random() < 0.3 else [] for _ in names[1:]]
        specs = map(lambda n, b, a: job(n, b, after=a), names, branches, [[], *after])
        self.cluster.submit(f"user-{self.dice.randrange(self.users)}", *specs)


# --- the recount ----------------------------------------------------------------------------------


@dataclass
class Run:
    job: JobId
    stage: Stage
    chunk: int
    lane: LaneId
    began: float


class Recount:
    """Goes through a journal event by event with the core beside it, and counts by hand."""

    def __init__(self) -> None:
        self.core = Scheduler()
        self.jobs: dict[JobId, Job] = {}
        self.jobs_of_runs: dict[str, JobId] = {}
        self.in_flight: dict[str, Run] = {}
        self.plans: dict[JobId, PlanFacts] = {}
        self.last_at = 0.0
        self.days: dict[tuple[date, str], dict[str, float]] = defaultdict(
            lambda: defaultdict(float)
        )
        self.waits: dict[tuple[date, str], list[float]] = defaultdict(list)

    def take(self, journal: Journal) -> list[Usage]:
        for _, event, decision in journal.history():
            self.count(event)
            commands = self.core.handle(event, decision)
            self.jobs |= self.core.state.jobs
            for each in commands:
                if isinstance(each, RunUnit):
                    unit, at = each.unit, self.core.state.now
                    self.jobs_of_runs[each.run] = unit.job
                    self.in_flight[each.run] = Run(unit.job, unit.stage, unit.chunk, each.lane, at)
            self.last_at = event.at
        for each in self.jobs.values():
            self.count_job(each)
        return [self.row(*key) for key in sorted(self.days)]

    def count(self, event: Event) -> None:
        match event:
            case SchedulerStarted():
                for run in list(self.in_flight):
                    self.close(run, self.last_at, None, lost=True)
            case LaneLost():
                for name, run in list(self.in_flight.items()):
                    if run.lane == event.lane:
                        self.close(name, event.at, None, lost=True)
            case _ if isinstance(event, Report):
                seconds = getattr(event, "seconds", None)
                run = self.close(event.run, event.at, seconds, lost=isinstance(event, RunLost))
                of = self.of(self.core.state.jobs[run.job].user, event.at)
                of["runs_failed"] += isinstance(event, RunFailed)
                if isinstance(event, ChunkFinished):
                    of["tiles"] += self.plans[run.job].chunk_tiles[run.chunk]
                if hasattr(event, "plan"):
                    self.plans[run.job] = event.plan

    def close(self, name: str, at: float, seconds: float | None, *, lost: bool) -> Run:
        run = self.in_flight.pop(name)
        if seconds is None or isnan(seconds):
            seconds = at - run.began
        of = self.of(self.core.state.jobs[run.job].user, at)
        of[f"{run.stage}_s"] += max(0.0, seconds)
        of["runs"] += 1
        of["runs_lost"] += lost
        return run

    def count_job(self, each: Job) -> None:
        self.of(each.user, each.submitted_at)["submitted"] += 1
        if each.started_at is not None:
            self.of(each.user, each.started_at)["begun"] += 1
            key = day_of(each.started_at), str(each.user)
            self.waits[key].append(each.started_at - each.submitted_at)
        if each.ended_at is None:
            return
        of = self.of(each.user, each.ended_at)
        of[each.state.value] += 1
        of["retries"] += each.attempt - 1
        if each.state is JobState.SUCCEEDED:
            of["cells"] += each.cells
            of["reused"] += each.progress is not None and each.progress.plan.reused

    def of(self, user: UserId, at: float) -> dict[str, float]:
        return self.days[day_of(at), user]

    def row(self, day: date, user: str) -> Usage:
        counted = self.days[day, user]
        waits = sorted(self.waits[day, user])
        quantiles = (median(waits), ninety(waits), waits[-1]) if waits else (None, None, None)
        return Usage(day, user, *(counted[name] for name in Usage._fields[2:-3]), *quantiles)


def day_of(at: float) -> date:
    return datetime.fromtimestamp(at, UTC).date()


def ninety(waits: list[float]) -> float:
    """The 0.9 quantile, between neighbours."""
    place, part = divmod(0.9 * (len(waits) - 1), 1)
    after = waits[min(int(place) + 1, len(waits) - 1)]
    return waits[int(place)] + part * (after - waits[int(place)])


def reported(journal: Journal, state: Scheduler, user: str | None = None) -> list[Usage]:
    known = Known.of(state.state, len(journal), user)
    return journal.usage_reader().rows(Wanted(*ALWAYS, user), known)


def approximately(rows: list[Usage]) -> list[object]:
    return [(row[:2], pytest.approx(numbers(row), rel=1e-9, abs=1e-4)) for row in rows]


def plain(rows: list[Usage]) -> list[object]:
    return [(row[:2], numbers(row)) for row in rows]


def numbers(row: Usage) -> list[float]:
    return [-1.0 if value is None else float(value) for value in row[2:]]


@pytest.mark.parametrize("seed", range(8))
def test_the_report_is_what_a_naive_recount_gives(seed: int, tmp_path: Path) -> None:
    history = History(tmp_path, seed)
    with history.live(900) as journal:
        recount = Recount()
        wanted = recount.take(journal)
        found = reported(journal, history.cluster.core)
        assert plain(found) == approximately(wanted)
        retired = sum(user.jobs_retired for user in recount.core.state.users.values())
        assert retired > 10, "the archive is part of what is tried"
        assert sum(row.runs_lost for row in found) > 5
        own = reported(journal, history.cluster.core, "user-1")
        assert plain(own) == plain([row for row in found if row.user == "user-1"])


def test_every_sort_of_end_is_met_by_these_histories(tmp_path: Path) -> None:
    rows: list[Usage] = []
    for seed in range(8):
        history = History(tmp_path / str(seed), seed)
        with history.live(900) as journal:
            rows += reported(journal, history.cluster.core)
    for name in Usage._fields[2:]:
        assert any(getattr(row, name) for row in rows), f"no history has {name}"
    assert len({row.day for row in rows}) > 5


def test_days_outside_of_what_is_asked_for_are_left_out(tmp_path: Path) -> None:
    history = History(tmp_path, 3)
    with history.live(900) as journal:
        every = reported(journal, history.cluster.core)
        first, *_, last = sorted({row.day for row in every})
        known = Known.of(history.cluster.core.state, len(journal), None)
        only = journal.usage_reader().rows(Wanted(first, first), known)
        assert plain(only) == plain([row for row in every if row.day == first])
        assert last > first


def test_a_deleted_users_work_stays_in_the_report(tmp_path: Path) -> None:
    history = History(tmp_path, 5)
    with history.live(700) as journal:
        before = {row[:2]: row for row in reported(journal, history.cluster.core)}
        history.entries.clear()
        cluster = history.cluster
        victim = next(iter(cluster.core.state.users))
        cluster.tell(UserCreated(cluster.now, victim, "Ann", Role.USER))
        cluster.tell(UserDeleted(cluster.now, victim))
        journal.append(history.entries)
        after = {row[:2]: row for row in reported(journal, cluster.core)}
        assert sum(row.submitted for row in after.values()) == sum(
            row.submitted for row in before.values()
        )
        assert any(user == victim for _, user in after)


def test_more_rows_than_anybody_reads_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    history = History(tmp_path, 1)
    with history.live(300) as journal:
        rows = reported(journal, history.cluster.core)
        monkeypatch.setattr(usage_reader, "MOST_ROWS", len(rows))
        assert reported(journal, history.cluster.core) == rows
        monkeypatch.setattr(usage_reader, "MOST_ROWS", len(rows) - 1)
        with pytest.raises(LimitReached):
            reported(journal, history.cluster.core)


def test_a_report_that_is_stopped_before_its_turn_says_so_and_lets_the_journal_go(
    tmp_path: Path,
) -> None:
    history = History(tmp_path, 1)
    with history.live(100) as journal:
        known = Known.of(history.cluster.core.state, len(journal), None)
        reader = journal.usage_reader()
        reader.stop()
        with pytest.raises(ClusterError):
            reader.rows(Wanted(*ALWAYS), known)
        reader.stop()
        assert journal.usage_reader().rows(Wanted(*ALWAYS), known)


def in_the_first_layout(folder: Path, new: Path) -> date:
    """A copy of a journal whose events before a restart half way have no decisions, as the first
    layout of the file had none; returns the day of that restart."""
    with Journal.open(folder) as journal:
        at = [seq for seq, event, _ in journal.history() if isinstance(event, SchedulerStarted)]
        middle = at[len(at) // 2]
        jobs = Recount()
        jobs.take(journal)
    database = Database.open(folder / JOURNAL_NAME, time.monotonic() + 10)
    groups, day = [], date.min
    for group in database.groups():
        rows = []
        for seq, row in enumerate(group.rows, start=group.first):
            job_of_run = jobs.jobs_of_runs.get(json.loads(row.body).get("run"))
            rows.append(row._replace(decided=None, job=job_of_run) if seq < middle else row)
            day = day_of(row.at) if seq == middle else day
        groups.append(replace(group, rows=rows))
    database.close(tidy=False)
    new.mkdir()
    Database.create(new / JOURNAL_NAME, groups, epoch=1)
    return day


def test_what_was_written_before_decisions_were_kept_counts_as_far_as_it_is_known(
    tmp_path: Path,
) -> None:
    history = History(tmp_path / "new", 4)
    with history.live(900) as journal:
        full = reported(journal, history.cluster.core)
    day = in_the_first_layout(tmp_path / "new", tmp_path / "old")
    with Journal.open(tmp_path / "old") as journal:
        found = reported(journal, history.cluster.core)
    later = [row for row in full if row.day > day]
    assert later
    assert plain([row for row in found if row.day > day]) == approximately(later)
    for name in ("submitted", "succeeded", "cells", "wait_max_s"):
        assert [getattr(row, name) for row in found] == [getattr(row, name) for row in full]
    earlier = [sum(row.runs for row in rows if row.day < day) for rows in (found, full)]
    assert 0 < earlier[0] <= earlier[1]
