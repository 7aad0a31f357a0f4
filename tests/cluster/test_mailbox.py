"""What waits for the core is bounded, in order, and gives way to who reads. Without Ray."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path

import pytest

from raysched.cluster.life import Life
from raysched.cluster.mailbox import Letter, Mailbox
from raysched.config import load_config
from raysched.core.events import Event, TimePassed, WorkflowSubmitted
from raysched.core.model import JobId, UserId, WorkflowId
from raysched.errors import Busy
from raysched.testing import job

ANN = UserId("ann")


def workflow(name: str, jobs: int = 1, at: float = 1.0) -> WorkflowSubmitted:
    specs = tuple(job(f"{name}-{n}", f"b{n}") for n in range(jobs))
    return WorkflowSubmitted(at, ANN, name, WorkflowId(name), name, specs)


def letter(event: Event) -> Letter:
    return Letter(event, asyncio.get_running_loop().create_future())


async def taken(box: Mailbox, most_events: int = 100, most_jobs: int = 100) -> list[Event]:
    return [each.event for each in await box.take(most_events, most_jobs)]


def test_a_request_beyond_the_limit_is_refused_and_a_report_never_is() -> None:
    async def work() -> None:
        box = Mailbox(2, 100)
        requests = [workflow(name) for name in "ab"]
        for each in requests:
            box.put_request(letter(each))
        with pytest.raises(Busy) as raised:
            box.put_request(letter(workflow("c")))
        assert raised.value.facts == {"retry_after_s": 1.0}
        report = TimePassed(2.0)
        box.put(letter(report))
        assert await taken(box) == [*requests, report]
        box.put_request(letter(workflow("c")))  # there is room again

    asyncio.run(work())


def test_reports_that_wait_keep_no_request_out() -> None:
    async def work() -> None:
        box = Mailbox(1, 100)
        reports = [TimePassed(float(n)) for n in range(3)]
        for each in reports:
            box.put(letter(each))
        request = workflow("a")
        box.put_request(letter(request))
        with pytest.raises(Busy):
            box.put_request(letter(workflow("b")))
        assert await taken(box) == [*reports, request]

    asyncio.run(work())


def test_workflows_are_bounded_by_their_jobs_and_one_alone_is_never_too_large() -> None:
    async def work() -> None:
        box = Mailbox(100, 10)
        box.put_request(letter(workflow("giant", 50)))
        with pytest.raises(Busy):
            box.put_request(letter(workflow("a")))
        box.put_request(letter(TimePassed(1.0)))  # what brings no jobs is not kept out by them
        assert len(await taken(box)) == 2
        box.put_request(letter(workflow("b", 4)))
        box.put_request(letter(workflow("c", 6)))
        with pytest.raises(Busy):
            box.put_request(letter(workflow("d")))

    asyncio.run(work())


def test_a_group_ends_with_the_workflow_that_fills_it() -> None:
    async def work() -> None:
        box = Mailbox(100, 100)
        events = [workflow("a", 3), workflow("b", 3), workflow("c", 3), TimePassed(1.0)]
        for event in events:
            box.put(letter(event))
        assert await taken(box, 100, 5) == events[:2]
        assert await taken(box, 1, 5) == events[2:3]
        assert await taken(box, 100, 5) == events[3:]

    asyncio.run(work())


def test_who_waited_for_a_commit_sees_nothing_of_the_next_one(tmp_path: Path) -> None:
    gate = threading.Event()

    async def work() -> None:
        life = await Life.begin(load_config(state=tmp_path / "state"), lambda *_: None)
        pump = asyncio.create_task(life._pump())
        await life.report(TimePassed)  # comes after the start

        async def read() -> set[JobId]:
            await life.settled()
            return {*life.core.state.jobs}

        async def post(name: str) -> set[JobId]:
            await life.post(workflow(name, at=life.now()))
            return {*life.core.state.jobs}

        life._thread.submit(gate.wait)  # the disk stands still
        first = asyncio.create_task(post("a"))
        while life._settled.is_set():
            await asyncio.sleep(0)
        reader, second = asyncio.create_task(read()), asyncio.create_task(post("b"))
        await asyncio.sleep(0)
        gate.set()
        assert await reader == await first == {JobId("a-0")}
        assert await second == {JobId("a-0"), JobId("b-0")}
        await life._end([pump], remove_lanes=False)

    asyncio.run(work())
