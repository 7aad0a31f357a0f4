"""The queue as everybody may see it: names for administrators alone, and nothing of the work."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from raysched.cluster.accounts import Accounts, KeyWish
from raysched.core.accounts import Role
from raysched.core.model import LOCAL_USER
from raysched.core.picture import Picture
from serve_app import hub as hubs
from tests.http.here import Here, run, submit
from tests.http.test_events import listening, nobody_listens

PIECE = {
    "Tus-Resumable": "1.0.0",
    "Upload-Offset": "0",
    "Content-Type": "application/offset+octet-stream",
}
TWO_SLOTS = {"max_active_users": 2}


def seen(entries: list[dict[str, Any]]) -> list[tuple[bool, str | None]]:
    return [(each["mine"], each["user"]) for each in entries]


async def queue(http: httpx.AsyncClient) -> dict[str, Any]:
    answer = await http.get("/queue")
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


@asynccontextmanager
async def three_submit(here: Here) -> AsyncIterator[tuple[httpx.AsyncClient, ...]]:
    """Ann and Bob get the two slots, Cid waits."""
    async with (
        await here.user("ann") as ann,
        await here.user("bob") as bob,
        await here.user("cid") as cid,
    ):
        for http, branch in ((ann, "plain"), (bob, "secret branch"), (cid, "other")):
            await submit(http, branch, name=f"workflow of {branch}")
        yield ann, bob, cid


def test_each_user_sees_their_own_place_and_others_without_names(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def work(here: Here) -> None:
        async with three_submit(here) as (ann, _, cid):
            of_ann, of_cid = await queue(ann), await queue(cid)
        assert seen(of_ann["held"]) == [(True, "ann"), (False, None)]
        assert seen(of_ann["waiting"]) == [(False, None)]
        assert seen(of_cid["held"]) == [(False, None), (False, None)]
        assert seen(of_cid["waiting"]) == [(True, "cid")]
        assert of_ann["me"] == {"rank": None, "share": 0.5, "share_used": 0.0, "jobs_open": 1}
        assert (of_cid["me"]["rank"], of_cid["waiting"][0]["rank"]) == (1, 1)
        numbers = ("slots", "slots_held", "users_waiting", "jobs_open", "jobs_running")
        assert [of_cid[name] for name in numbers] == [2, 2, 1, 3, 0]

    run(folder, monkeypatch, work, scheduling=TWO_SLOTS)


def test_nothing_of_anothers_work_is_in_what_a_user_is_told(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def work(here: Here) -> None:
        async with three_submit(here) as (_, bob, cid), listening(cid) as stream:
            (job,) = (await bob.get("/jobs")).json()["jobs"]
            texts = json.dumps((await stream.queue()).data), json.dumps(await queue(cid))
        for text in texts:
            for secret in ("ann", "bob", "Bob", "secret branch", job["id"], job["workflow"]):
                assert secret not in text
            assert ".svs" not in text

    run(folder, monkeypatch, work, scheduling=TWO_SLOTS)


def test_administrators_see_names_also_with_a_key_that_only_reads_and_for_another_user(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def work(here: Here) -> None:
        key = await Accounts(here.gateway).make_key(LOCAL_USER, KeyWish("wall", Role.READ_ONLY))
        async with (
            three_submit(here),
            here.client(key.text) as wall,
            listening(wall) as stream,
        ):
            shown = await queue(wall)
            told = (await stream.queue()).data
        names = [(False, "ann"), (False, "bob")]
        assert (seen(shown["held"]), seen(shown["waiting"])) == (names, [(False, "cid")])
        assert {**told, "at": ""} == {**shown, "at": ""}
        answer = await here.http.get("/queue", headers={"X-User-ID": "cid"})
        assert seen(answer.json()["waiting"]) == [(True, "cid")]
        assert seen(answer.json()["held"]) == names

    run(folder, monkeypatch, work, scheduling=TWO_SLOTS)


def test_a_stream_tells_the_queue_at_once_and_whenever_it_looks_otherwise(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hubs, "QUEUE_PAUSE_S", 0.0)

    async def work(here: Here) -> None:
        async with (
            await here.user("ann") as ann,
            await here.user("bob") as bob,
            listening(bob) as stream,
        ):
            first = (await stream.queue()).data
            assert (first["slots_held"], first["jobs_open"]) == (0, 0)
            made = await submit(ann, "x")
            assert seen((await stream.queue()).data["held"]) == [(False, None)]
            await here.http.post("/cluster/pause")
            assert (await stream.queue()).data["paused_at"] is not None
            await ann.post(f"/workflows/{made['id']}/cancel")
            assert (await stream.queue()).data["jobs_open"] == 0
            async with listening(ann) as another:  # one that comes later, into the same
                told = (await another.queue()).data
                assert (told["paused_at"] is None, told["held"]) == (False, [])

    run(folder, monkeypatch, work)


def test_an_event_of_the_queue_brings_how_far_the_client_has_heard(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hubs, "QUEUE_PAUSE_S", 0.0)

    async def work(here: Here) -> None:
        async with await here.user("ann") as ann:
            async with listening(ann) as stream:
                begun = await stream.next()
                await submit(here.http, "x")  # another's
                told = begun
                for verb in ("pause", "resume") * 10:
                    if told.id in ("", begun.id):
                        await here.http.post(f"/cluster/{verb}")
                        told = await stream.queue()
                assert told.id not in ("", begun.id)
                await here.http.post("/cluster/resume")
            await nobody_listens(here)
            job = (await submit(ann, "mine"))["jobs"][0]["id"]
            async with listening(ann, told.id) as stream:
                assert [each.name for each in await stream.until(job, "waiting")] == ["job"]

    run(folder, monkeypatch, work)


def test_what_comes_after_an_event_of_the_queue_is_newer_than_its_id(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hubs, "QUEUE_PAUSE_S", 0.0)
    monkeypatch.setattr(hubs, "PAUSE_S", 0.0)

    async def work(here: Here) -> None:
        async with await here.user("ann") as ann, listening(ann) as stream:
            jobs = [(await submit(ann, f"b{n}"))["jobs"][0]["id"] for n in range(5)]
            pictures, heard, told = 0, 0, set()
            while told != set(jobs) or not pictures:
                event = await stream.any()
                if not event.id:
                    continue
                serial = int(event.id.split("-")[1])
                assert serial >= heard if event.name != "job" else serial > heard
                heard = serial
                pictures += event.name == "queue"
                told |= {event.data["id"]} if event.name == "job" else set()

    run(folder, monkeypatch, work)


def test_the_scheduler_is_asked_for_the_queue_by_one_only_while_somebody_listens(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hubs, "WATCH_S", 0.01)
    monkeypatch.setattr(hubs, "QUEUE_PAUSE_S", 0.01)

    async def work(here: Here) -> None:
        asking = most = asked = 0
        ask = type(here.gateway).queue

        async def counted(gateway: Any, *args: Any) -> Picture:
            nonlocal asking, most, asked
            asking, asked = asking + 1, asked + 1
            most = max(most, asking)
            try:
                return await ask(gateway, *args)
            finally:
                asking -= 1

        monkeypatch.setattr(type(here.gateway), "queue", counted)
        async with await here.user("ann") as ann:
            assert asked == 0
            async with listening(ann) as one, listening(ann) as two, listening(here.http) as three:
                for stream in (one, two, three):
                    await stream.queue()
                assert most == 1
            hub = here.app.state.hub
            async with asyncio.timeout(30):
                while hub._queue_watcher is not None:
                    await asyncio.sleep(0.01)
            async with listening(ann) as stream:
                await stream.queue()

    run(folder, monkeypatch, work)


def test_after_a_restart_of_the_scheduler_the_queue_goes_on_to_be_told(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hubs, "QUEUE_PAUSE_S", 0.0)
    monkeypatch.setattr(hubs, "RETRY_S", 0.01)

    async def work(here: Here) -> None:
        async with listening(here.http) as stream:
            await stream.queue()
            await here.restart()
            await submit(here.http, "x")
            while (await stream.queue()).data["jobs_open"] != 1:
                pass

    run(folder, monkeypatch, work)


# --- what a page needs to know --------------------------------------------------------------------


def test_the_service_tells_its_limits_its_gates_and_no_secret(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def work(here: Here) -> None:
        async with await here.user("ann") as ann:
            told = (await ann.get("/info")).raise_for_status()
            info = told.json()
            assert info["limits"] == {
                "max_running_jobs": 4,
                "max_active_users": 2,
                "max_jobs_per_user": 50,
                "max_jobs_per_workflow": 10_000,
                "slot_tenure_s": 600.0,
            }
            assert (info["dashboard_url"], info["paused_at"]) == (None, None)
            assert str(folder) not in told.text
            await here.http.post("/cluster/pause")
            assert (await ann.get("/info")).json()["paused_at"] is not None
            piece = b"0" * info["piece_bytes"]
            for content, is_too_large in ((piece, False), (piece + b"0", True)):
                answer = await ann.patch("/uploads/sl-0", content=content, headers=PIECE)
                assert (answer.status_code == 413) is is_too_large, answer.text

    run(folder, monkeypatch, work, scheduling=TWO_SLOTS)


def test_only_administrators_are_told_where_rays_dashboard_is(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def work(here: Here) -> None:
        async def dashboard(_: Any) -> str:
            return "10.0.0.7:8265"

        monkeypatch.setattr(type(here.gateway), "dashboard", dashboard)
        async with await here.user("ann") as ann:
            told = [(await http.get("/info")).json() for http in (ann, here.http)]
        assert [each["dashboard_url"] for each in told] == [None, "http://10.0.0.7:8265"]

    run(folder, monkeypatch, work)


# --- the last hour --------------------------------------------------------------------------------


def test_administrators_see_what_was_submitted_ended_and_asked_this_minute(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def work(here: Here) -> None:
        telling = here.app.state.request_minutes
        telling._tell_s = 0.0
        async with await here.user("ann") as ann:
            made = await submit(ann, "x", "y")
            await ann.post(f"/workflows/{made['id']}/cancel")
            await submit(ann, "z")
            assert (await ann.get("/cluster/minutes")).status_code == 403
        async with asyncio.timeout(30):
            while telling._telling is not None:
                await asyncio.sleep(0.01)
        told = (await here.http.get("/cluster/minutes")).raise_for_status().json()
        minutes = told["minutes"]
        facts = ("jobs_submitted", "jobs_ended", "jobs_started", "chunks")
        assert {name: sum(each[name] for each in minutes) for name in facts} == {
            "jobs_submitted": 3,
            "jobs_ended": 2,
            "jobs_started": 0,
            "chunks": 0,
        }
        assert minutes[-1]["queue_depth"] == 1
        assert sum(each["requests"] for each in minutes) == 4
        assert any(each["request_p95_ms"] > 0 for each in minutes if each["requests"])
        begun, first = (datetime.fromisoformat(at) for at in (told["since"], minutes[0]["at"]))
        assert begun >= first

    run(folder, monkeypatch, work)
