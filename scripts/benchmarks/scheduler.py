"""The scheduler: events per second, cost by open jobs, durable admissions, recovery, fairness."""

from __future__ import annotations

import asyncio
import gc
import tempfile
import time
import tracemalloc
from collections import deque
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from figures import Figure

from raysched.core.commands import RunUnit
from raysched.core.events import (
    ChunkFinished,
    Event,
    LaneOpened,
    ResultAssembled,
    ResultPublished,
    SchedulerStarted,
    SlidePlanned,
    WorkflowSubmitted,
)
from raysched.core.limits import Limits
from raysched.core.model import JobId, LaneId, PlanFacts, Stage, UserId, WorkflowId
from raysched.core.scheduler import Scheduler
from raysched.journal.journal import Entry, Journal
from raysched.simulation import Scenario, Simulation
from raysched.testing import FakeCluster, job

LANES = 16
ROOMY = Limits(max_running_jobs=LANES, max_active_users=10, max_jobs_per_user=1_000_000)
REQUEST = '{"slide":"/slides/a/case-0001.svs","out":"/results/a/case-0001","tile_px":1024}'
GROUP = 256


class Driver:
    """Feeds a scheduler: what it starts has ended well a second later, one event after another."""

    def __init__(self) -> None:
        self.core = Scheduler(ROOMY)
        self.events: list[Event] | None = None
        self.handled = 0
        self._due: deque[RunUnit] = deque()
        self._workflows = 0
        self.tell(SchedulerStarted(0.0, 1, ROOMY))
        for number in range(LANES):
            self.tell(LaneOpened(0.0, LaneId(f"lane-{number}")))

    def tell(self, event: Event) -> None:
        if self.events is not None:
            self.events.append(event)
        self.handled += 1
        for command in self.core.handle(event):
            if type(command) is RunUnit:
                self._due.append(command)

    def submit(self, jobs: int, users: int) -> None:
        """Take in workflows of so many jobs."""
        for event in self.workflows(jobs, users):
            self.tell(event)

    def workflows(self, jobs: int, users: int, per_workflow: int = 10) -> list[Event]:
        """Workflows of ten jobs in two branches, in turn for each user."""
        made: list[Event] = []
        for _ in range(jobs // per_workflow):
            self._workflows += 1
            name = f"w{self._workflows}"
            specs = tuple(
                replace(job(f"{name}-{n}", f"b{n % 2}"), request=REQUEST)
                for n in range(per_workflow)
            )
            user = UserId(f"user-{self._workflows % users}")
            made.append(WorkflowSubmitted(1.0, user, name, WorkflowId(name), "w", specs))
        return made

    def work(self, most: float = float("inf")) -> None:
        """End what runs, until nothing does or ``most`` events were told."""
        until = self.handled + most
        while self._due and self.handled < until:
            command = self._due.popleft()
            run = command.run
            match command.unit.stage:
                case Stage.PLAN:
                    self.tell(SlidePlanned(2.0, run, 1.0, PlanFacts("f", (2,))))
                case Stage.SEGMENT:
                    self.tell(ChunkFinished(2.0, run, 1.0, 10, 0, "c"))
                case Stage.ASSEMBLE:
                    self.tell(ResultAssembled(2.0, run, 1.0, 10))
                case Stage.PUBLISH:
                    self.tell(ResultPublished(2.0, run, 1.0, 10, "c" * 64))


def measure() -> Iterator[Figure]:
    """All figures of the scheduler; about two minutes."""
    yield lifecycles()
    yield from cost_by_open_jobs()
    yield simulation()
    yield from admissions()
    yield recovery()
    yield fairness()
    yield memory()


def lifecycles() -> Figure:
    """Beside a queue and a dict that do no more than remember five states of each job."""
    jobs = 20_000
    driver = Driver()
    seconds = 0.0
    for _ in range(jobs // 1000):
        submissions = driver.workflows(1000, users=10)
        begun = time.perf_counter()
        for event in submissions:
            driver.tell(event)
        driver.work()
        seconds += time.perf_counter() - begun
    per_s = jobs / seconds
    begun = time.perf_counter()
    states: dict[str, int] = {}
    line = deque(f"job-{n}" for n in range(jobs))
    while line:
        name = line.popleft()
        states[name] = states.get(name, 0) + 1
        if states[name] < 5:
            line.append(name)
    plain = jobs / (time.perf_counter() - begun)
    return Figure("core, full job lifecycles", per_s, "jobs/s", plain, 30_000, "more")


def cost_by_open_jobs() -> Iterator[Figure]:
    """Microseconds per event; the first size is the baseline of the others."""
    first = None
    for opened in (10, 1000, 100_000):
        driver = Driver()
        driver.submit(opened, users=10)
        begun, handled = time.perf_counter(), driver.handled
        while driver.handled - handled < 20_000:
            driver.work(most=40)
            driver.submit(10, users=10)
        us = 1e6 * (time.perf_counter() - begun) / (driver.handled - handled)
        first = first or us
        gate = None if opened == 10 else 2 * first
        yield Figure(f"cost per event with {opened:,} open jobs", us, "us", first, gate)


def simulation() -> Figure:
    """Real core, real journal, faults, three crashes. The gate is for 50 times as many jobs."""
    with tempfile.TemporaryDirectory() as folder:
        scenario = Scenario(jobs=20_000, users=20, lanes=LANES, crashes=3)
        outcome = Simulation(scenario, Path(folder)).run()
    if outcome.violations:
        raise AssertionError(outcome.violations[0])
    return Figure("simulation of 20,000 jobs with faults", outcome.wall_s, "s", None, 120 / 50)


def admissions() -> Iterator[Figure]:
    """Concurrent submissions of 50 jobs each; the baseline is the journal alone."""
    from raysched.cluster.session import connect
    from raysched.cluster.submission import Prepared
    from raysched.config import load_config

    workflows = 200
    prepared = []
    for number in range(workflows):
        specs = tuple(
            replace(job(f"w{number}-{n}", f"b{n % 5}"), request=REQUEST) for n in range(50)
        )
        user, name = UserId(f"user-{number}"), f"w{number}"
        prepared.append(Prepared(user, name, WorkflowId(name), name, specs, ""))
    with tempfile.TemporaryDirectory() as folder:
        events = [
            WorkflowSubmitted(1.0, each.user, each.key, each.workflow, each.name, each.jobs)
            for each in prepared
        ]
        with Journal.open(Path(folder) / "plain") as journal:
            journal.next_epoch()
            begun = time.perf_counter()
            journal.append([Entry(event) for event in events])
            plain = 50 * workflows / (time.perf_counter() - begun)
        # A lane that asks for more than the machine has never opens: nothing runs meanwhile.
        cluster = {"address": None, "lanes": 1, "lane_cpus": 64.0}
        config = load_config(state=Path(folder) / "state", cluster=cluster)
        with connect(config) as session:

            async def submit_all() -> float:
                await session.gateway.health()
                begun = time.perf_counter()
                await asyncio.gather(*(session.gateway.submit(each) for each in prepared))
                return 50 * workflows / (time.perf_counter() - begun)

            per_s = asyncio.run(submit_all())
    yield Figure("durable admissions through the actor", per_s, "jobs/s", plain, 5000, "more")


def recovery() -> Figure:
    """Opening the journal of 100,000 finished jobs; the baseline is reading it without the core."""
    driver = Driver()
    driver.events = []
    driver.core = Scheduler(ROOMY)
    driver.tell(SchedulerStarted(0.0, 1, ROOMY))
    for number in range(LANES):
        driver.tell(LaneOpened(0.0, LaneId(f"lane-{number}")))
    for _ in range(100):
        driver.submit(1000, users=10)
        driver.work()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with Journal.open(folder) as journal:
            journal.next_epoch()
            for start in range(0, len(driver.events), GROUP):
                journal.append([Entry(event) for event in driver.events[start : start + GROUP]])
        del driver
        gc.collect()
        begun = time.perf_counter()
        with Journal.open(folder) as journal:
            read = sum(1 for _ in journal.replay())
        plain_s = time.perf_counter() - begun
        begun = time.perf_counter()
        core = Scheduler()
        with Journal.open(folder) as journal:
            for event in journal.replay():
                core.handle(event)
        seconds = time.perf_counter() - begun
    return Figure(f"recovery of 100,000 jobs ({read:,} events)", seconds, "s", plain_s, 5.0)


def fairness() -> Figure:
    """One user with 1,000 jobs in 50 branches against one with 10: lane seconds of the first
    while both have work, against one half. The baseline is first in, first out."""
    many = [job(f"many-{n}", f"b{n % 50}") for n in range(1000)]
    few = [job(f"few-{n}", f"b{n}") for n in range(10)]
    cluster = FakeCluster(ROOMY, lanes=4, chunks=lambda _: (4,) * 25)
    cluster.submit("many", *many)
    cluster.submit("few", *few)
    last = {JobId(each.job) for each in few}
    seconds = {"many": 0.0, "few": 0.0}
    while any(not cluster.core.state.jobs[name].state.is_final for name in last):
        before = len(cluster.started)
        cluster.tick()
        for command in cluster.started[before:]:
            owner = cluster.core.state.jobs[command.unit.job].user
            seconds[owner] += 4.0 if command.unit.stage is Stage.SEGMENT else 1.0
    share = seconds["many"] / sum(seconds.values())
    error, first_in = (100 * abs(each - 0.5) / 0.5 for each in (share, len(many) / 1010))
    return Figure("fairness: 1,000 jobs in 50 branches against 10", error, "% off", first_in, 5.0)


def memory() -> Figure:
    """Bytes of the core per job that has ended; the baseline is the request's own text."""
    driver = Driver()
    driver.submit(1000, users=10)
    driver.work()
    gc.collect()
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    jobs = 5000
    for _ in range(jobs // 1000):
        driver.submit(1000, users=10)
        driver.work()
    gc.collect()
    per_job = (tracemalloc.get_traced_memory()[0] - before) / jobs
    tracemalloc.stop()
    return Figure("memory per finished job", per_job, "bytes", len(REQUEST), 1024)
