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

from driver import LANES, REQUEST, ROOMY, Driver
from figures import Figure

from raysched.core.events import WorkflowSubmitted
from raysched.core.model import JobId, Stage, UserId, WorkflowId
from raysched.core.scheduler import Scheduler
from raysched.journal.entries import Entry
from raysched.journal.journal import Journal
from raysched.journal.recovery import recover, replayed
from raysched.simulation import Scenario, Simulation
from raysched.testing import FakeCluster, job


def measure() -> Iterator[Figure]:
    """All figures of the scheduler; about two minutes."""
    yield lifecycles()
    yield from cost_by_open_jobs()
    yield simulation()
    yield from admissions()
    yield from recovery()
    yield fairness()
    yield from waiting()
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


def simulation(jobs: int = 20_000, gate: float | None = None) -> Figure:
    """Real core, real journal, faults, three crashes; the gate is for 1,000,000 jobs, which
    ``scripts/bench scheduler_large`` runs."""
    with tempfile.TemporaryDirectory() as folder:
        scenario = Scenario(jobs=jobs, users=20, lanes=LANES, running=LANES, crashes=3)
        outcome = Simulation(scenario, Path(folder)).run()
    if outcome.violations:
        raise AssertionError(outcome.violations[0])
    name = f"simulation of {jobs:,} jobs with faults ({outcome.events:,} events)"
    return Figure(name, outcome.wall_s, "s", None, gate)


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


def recovery() -> Iterator[Figure]:
    """Opening the journal of so many finished jobs until the scheduler could go on; the baseline
    replays every event."""
    with tempfile.TemporaryDirectory() as name:
        yield from recoveries(Path(name), {100_000: 5.0}, plainly=True)


def recoveries(folder: Path, gates: dict[int, float], *, plainly: bool) -> Iterator[Figure]:
    """One journal that grows to each number of jobs in turn."""
    journal = Journal.open(folder)
    journal.next_epoch()
    driver, done = Driver(journal), 0
    for jobs, gate in gates.items():
        while done < jobs:
            driver.submit(1000, users=10)
            driver.work()
            done += 1000
        driver.write(journal)
        journal.close()
        begun = time.perf_counter()
        with Journal.open(folder) as journal:
            core = recover(journal)
            seconds = time.perf_counter() - begun
            events = len(journal)
            if core.state != driver.core.state:
                raise AssertionError("the recovery gives another state")
        plain_s = None
        if plainly:
            begun = time.perf_counter()
            with Journal.open(folder) as journal:
                replayed(journal, Scheduler(), 0)
            plain_s = time.perf_counter() - begun
        yield Figure(f"recovery of {jobs:,} jobs ({events:,} events)", seconds, "s", plain_s, gate)
        journal = driver.journal = Journal.open(folder)
        journal.next_epoch()
    journal.close()


def waiting() -> Iterator[Figure]:
    """How long a job of one chunk waits for lanes, in chunks of the giants that it comes behind;
    the baseline is first in, first out. One lane; a giant has 200 chunks of 100 s."""
    for whose, owner in (("others", "ann"), ("its own user", "giants")):
        cluster = FakeCluster(
            replace(ROOMY, max_running_jobs=4),
            lanes=1,
            chunks=lambda name: (100,) * 200 if name.startswith("giant") else (1,),
        )
        cluster.submit("giants", *(job(f"giant-{n}", f"b{n}") for n in range(3)))
        cluster.run(1050)
        cluster.submit(owner, job("small", "small"))
        asked = cluster.now
        while cluster.view("small").chunks_done == 0:
            cluster.tick()
        waited_s = cluster.now - asked - 2.0  # its own plan and chunk
        name = f"waiting of one chunk behind giants of {whose}"
        yield Figure(name, waited_s / 100, "chunks", 3 * 200 - 10.5, 2.0)


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
    """Bytes of the core per job that ends, once users have as many as are kept; the baseline is
    the request's own text."""
    tracemalloc.start()
    driver = Driver()
    for _ in range(4):
        driver.submit(1000, users=10)
        driver.work()
    gc.collect()
    before = tracemalloc.get_traced_memory()[0]
    jobs = 10_000
    for _ in range(jobs // 1000):
        driver.submit(1000, users=10)
        driver.work()
    gc.collect()
    per_job = (tracemalloc.get_traced_memory()[0] - before) / jobs
    tracemalloc.stop()
    return Figure("memory per finished job", per_job, "bytes", len(REQUEST), 1024)
