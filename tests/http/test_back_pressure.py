"""More changes than can be written down: some are told to come again, and nothing else happens."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest
from here import Here, run

from raysched import Client
from raysched.cluster import life as life_module
from raysched.cluster.life import Life
from raysched.cluster.submission import Prepared
from raysched.core.model import UserId, WorkflowId
from raysched.errors import Busy
from raysched.testing import job
from tests.http.conftest import GENEROUS

MOST = 5
CLUSTER = {"max_waiting_events": MOST}
LIMITS = {**GENEROUS, "requests_per_user": 1000}
SCHEDULING = {"max_jobs_per_user": 1000}


def life_of(here: Here) -> Life:
    life = here.gateway.actor and here.gateway.actor._life
    assert life is not None
    return life


@contextmanager
def writing_held(here: Here) -> Iterator[threading.Event]:
    """Nothing is written until the event is set."""
    go_on = threading.Event()
    life_of(here)._thread.submit(go_on.wait)
    try:
        yield go_on
    finally:
        go_on.set()


@contextmanager
def slow_snapshots(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """A snapshot is taken with each event, and takes until the event is set: what is durable can
    be read meanwhile, and whatever comes waits in the mailbox."""
    go_on, save = threading.Event(), life_module.save_snapshot

    def slowly(*what: Any) -> None:
        go_on.wait()
        save(*what)

    monkeypatch.setattr(life_module, "save_snapshot", slowly)
    monkeypatch.setattr(Life, "_snapshot_every", lambda _: 1)
    try:
        yield go_on
    finally:
        go_on.set()


def one_job(name: str) -> Prepared:
    user = UserId(f"user-{len(name) % 3}")
    return Prepared(user, name, WorkflowId(name), name, (job(f"{name}-job"),), "digest")


def test_of_a_flood_what_is_accepted_is_there_once_and_of_what_is_refused_nothing(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def work(here: Here) -> None:
        flood = [one_job(f"flood-{number:03}") for number in range(500)]
        before = life_of(here).events

        async def submit(each: Prepared) -> str:
            try:
                return (await here.gateway.submit(each)).workflow
            except Busy:
                return "refused"

        with writing_held(here) as go_on:
            asking = [asyncio.create_task(submit(each)) for each in flood]
            while sum(task.done() for task in asking) < len(flood) - MOST - 1:
                await asyncio.sleep(0)
            assert len(life_of(here)._mail) <= MOST
            go_on.set()
            told = await asyncio.gather(*asking)
        accepted = [name for name in told if name != "refused"]
        assert MOST <= len(accepted) <= MOST + 1  # one may be with the journal already
        assert life_of(here).events == before + len(accepted)
        await here.restart()
        await here.gateway.health()
        assert sorted(life_of(here).core.state.workflows) == sorted(accepted)
        for each in flood:  # again, with the same keys: each is there once
            assert (await here.gateway.submit(each)).workflow == each.workflow
        assert len(life_of(here).core.state.workflows) == len(flood)

    run(folder, monkeypatch, work, cluster=CLUSTER, scheduling=SCHEDULING)


def test_over_http_who_comes_too_many_is_told_when_to_come_again_and_reads_are_answered(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def work(here: Here) -> None:
        async def post(number: int) -> httpx.Response:
            jobs = [{"slide": "lung-7.svs", "kind": "tissue_mask", "branch": f"b{number}"}]
            headers = {"Idempotency-Key": f"key-{number}"}
            return await here.http.post("/workflows", json={"jobs": jobs}, headers=headers)

        assert (await post(0)).status_code == 201  # with it the use of the key was noted
        with slow_snapshots(monkeypatch) as go_on:
            assert (await post(1)).status_code == 201
            asking = [asyncio.create_task(post(number)) for number in range(2, 42)]
            while sum(task.done() for task in asking) < len(asking) - MOST:
                await asyncio.sleep(0.01)
            assert len(life_of(here)._mail) == MOST
            listed = await here.http.get("/jobs")
            assert (listed.status_code, len(listed.json()["jobs"])) == (200, 2)
            go_on.set()
            answers = await asyncio.gather(*asking)
        assert Counter(each.status_code for each in answers) == {201: MOST, 503: 40 - MOST}
        refused = next(each for each in answers if each.status_code == 503)
        assert refused.headers["content-type"] == "application/problem+json"
        assert refused.headers["retry-after"] == "1"
        assert refused.json()["code"] == "busy"
        assert "send it again" in refused.json()["remedy"]
        listed = await here.http.get("/jobs")
        assert len(listed.json()["jobs"]) == 2 + MOST

    run(folder, monkeypatch, work, cluster=CLUSTER, limits=LIMITS, scheduling=SCHEDULING)


def test_the_client_comes_again_by_itself(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def work(here: Here) -> None:
        key = here.http.headers["Authorization"].removeprefix("Bearer ")

        def submit(number: int) -> str:
            with Client(here.url, key) as client:
                made = client.submit({"slide": "lung-7.svs", "branch": f"b{number}"})
            return made.id

        submitting = partial(asyncio.get_running_loop().run_in_executor, ThreadPoolExecutor(20))
        first = await submitting(submit, 0)
        refused = asyncio.Event()
        real = life_of(here)._mail.put_request

        def counted(letter: Any) -> None:
            try:
                real(letter)
            except Busy:
                refused.set()
                raise

        monkeypatch.setattr(life_of(here)._mail, "put_request", counted)
        with slow_snapshots(monkeypatch) as go_on:
            second = await submitting(submit, 1)
            asking = [submitting(submit, 2 + number) for number in range(MOST + 4)]
            await refused.wait()
            go_on.set()
        made = {first, second, *await asyncio.gather(*asking)}
        assert len(made) == MOST + 6
        assert {*life_of(here).core.state.workflows} == made

    run(folder, monkeypatch, work, cluster=CLUSTER, limits=LIMITS, scheduling=SCHEDULING)
