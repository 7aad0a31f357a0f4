"""The state folder on a real disk that gets full or is shut: the scheduler pauses and says so where
it is asked, loses nothing that it has acknowledged, and goes on by itself when it can."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from raysched.imaging.synthetic import write_synthetic_slide
from tests.http.here import Here, actor, run
from tests.small_disks import SmallDisk, small_disk


@pytest.fixture
def disk() -> Iterator[SmallDisk]:
    with small_disk("24m") as made:
        (made.path / "slides").mkdir()
        write_synthetic_slide(made.path / "slides" / "lung-7.svs", width_px=300, height_px=300)
        yield made


async def ask_for(http: httpx.AsyncClient, key: str) -> httpx.Response:
    job = {"slide": "lung-7.svs", "kind": "tissue_mask"}
    asked = {"name": key, "jobs": [job]}
    return await http.post("/workflows", json=asked, headers={"Idempotency-Key": key})


async def names(http: httpx.AsyncClient) -> list[str]:
    """Of all workflows, the oldest first."""
    answer = await http.get("/workflows", params={"limit": 500})
    answer.raise_for_status()
    return [each["name"] for each in reversed(answer.json()["workflows"])]


async def until_it_takes(http: httpx.AsyncClient, key: str) -> None:
    """Ask with one key until it is answered; nobody helps the scheduler."""
    async with asyncio.timeout(120):
        while (await ask_for(http, key)).status_code != 201:
            await asyncio.sleep(0.2)


async def until_it_refuses(http: httpx.AsyncClient, taken: list[str]) -> httpx.Response:
    """Submit until that is refused; ``taken`` grows by what was acknowledged."""
    for number in range(2000):
        answer = await ask_for(http, f"w{number}")
        if answer.status_code != 201:
            return answer
        taken.append(f"w{number}")
    raise AssertionError("the disk never got full")


async def refusals(here: Here) -> list[tuple[int, str]]:
    """Status and code of what people and programs ask first, once the scheduler has paused."""
    async with httpx.AsyncClient(base_url=here.url, timeout=60) as stranger:
        async with asyncio.timeout(60):
            while (ready := await stranger.get("/readyz")).status_code == 200:
                await asyncio.sleep(0.05)
        answers = [ready, await here.http.get("/jobs"), await ask_for(here.http, "new")]
    for each in answers:
        assert each.headers["content-type"] == "application/problem+json"
        assert each.json()["detail"] and each.json()["remedy"]
    return [(each.status_code, each.json()["code"]) for each in answers]


def test_a_state_folder_without_room_pauses_the_scheduler_until_there_is_some(
    disk: SmallDisk, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def work(here: Here) -> None:
        taken: list[str] = ["before"]
        await until_it_takes(here.http, "before")
        disk.fill()
        refused = await until_it_refuses(here.http, taken)
        assert (refused.status_code, refused.json()["code"]) == (507, "storage_full")
        full = (507, "storage_full")
        assert await refusals(here) == [(503, "cluster_error"), full, full]
        disk.free()
        await until_it_takes(here.http, "after")
        assert await names(here.http) == [*taken, "after"]
        await here.restart()
        assert await names(here.http) == [*taken, "after"]

    run(disk.path, monkeypatch, work, scheduling={"max_jobs_per_user": 5000})


def test_a_state_folder_that_is_shut_for_writing_keeps_the_scheduler_waiting(
    disk: SmallDisk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At its start: with files open for writing the system shuts no disk."""

    async def work(here: Here) -> None:
        await until_it_takes(here.http, "before")
        assert here.gateway.actor is not None
        await here.gateway.actor.close()
        with disk.read_only():
            here.gateway.actor = await actor(here.config)
            shut = (503, "storage_failed")
            assert await refusals(here) == [(503, "cluster_error"), shut, shut]
        await until_it_takes(here.http, "after")
        assert await names(here.http) == ["before", "after"]

    run(disk.path, monkeypatch, work)


def test_a_logs_folder_that_cannot_be_used_stops_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / "logs").write_text("no folder")
    (tmp_path / "slides").mkdir()
    write_synthetic_slide(tmp_path / "slides" / "lung-7.svs", width_px=300, height_px=300)

    async def work(here: Here) -> None:
        epoch = (await here.gateway.health()).epoch
        assert (await ask_for(here.http, "one")).status_code == 201
        await until_it_takes(here.http, "two")
        health = await here.gateway.health()
        assert (health.trouble, health.epoch) == (None, epoch)

    run(tmp_path, monkeypatch, work)
