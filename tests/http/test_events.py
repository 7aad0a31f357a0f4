"""Live events over HTTP: each caller's own, nothing missed in silence, nothing left open."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from raysched.cluster.news import Change, ChangeLog, Mark, News
from raysched.core.model import JobId, UserId, WorkflowId
from raysched.core.picture import Picture
from raysched.core.scheduler import Shown
from serve_app import hub as hubs
from serve_app import streaming
from serve_app.hub import Hub, Listener
from tests.http.conftest import Service
from tests.http.here import Here, cancelled, run, submit

ANN, BOB = UserId("ann"), UserId("bob")


@dataclass
class Event:
    """One event as a client reads it."""

    id: str
    name: str
    data: Any


class Stream:
    """An open stream, read event by event."""

    def __init__(self, answer: httpx.Response) -> None:
        self.answer = answer
        self._lines = answer.aiter_lines()
        self.seen = ""
        """The id of the last event, or of a comment that brought one."""

    async def next(self) -> Event:
        """The next event about work; the queue's are read over."""
        while (found := await self.any()).name == "queue":
            pass
        return found

    async def queue(self) -> Event:
        """The next event of the queue; others are read over."""
        while (found := await self.any()).name != "queue":
            pass
        return found

    async def any(self) -> Event:
        """The next event; comments are read over."""
        fields: dict[str, str] = {}
        async with asyncio.timeout(60):
            async for line in self._lines:
                if line:
                    name, _, value = line.partition(": ")
                    fields[name] = value
                    self.seen = fields.get("id", self.seen)
                elif "data" in fields:
                    return Event(fields.get("id", ""), fields["event"], json.loads(fields["data"]))
                else:
                    fields = {}
        raise AssertionError("the stream has ended")

    async def until(self, job: str, state: str) -> list[Event]:
        """All events up to the one that says so."""
        found = []
        while True:
            found.append(await self.next())
            data = found[-1].data
            if found[-1].name == "job" and (data["id"], data["state"]) == (job, state):
                return found

    async def end(self) -> None:
        """Read on until the service ends it."""
        async with asyncio.timeout(60):
            async for _ in self._lines:
                pass


@asynccontextmanager
async def listening(http: httpx.AsyncClient, last: str | None = None) -> AsyncIterator[Stream]:
    headers = {"Last-Event-ID": last} if last is not None else {}
    async with http.stream("GET", "/events", headers=headers) as answer:
        assert answer.status_code == 200, await answer.aread()
        assert answer.headers["content-type"].startswith("text/event-stream")
        yield Stream(answer)


async def nobody_listens(here: Here) -> None:
    async with asyncio.timeout(30):
        while here.app.state.hub.listening or len(here.app.state.streams):
            await asyncio.sleep(0.01)


# --- over HTTP ------------------------------------------------------------------------------------


def test_a_job_is_told_whole_each_time_it_changes_and_only_to_its_owner(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def work(here: Here) -> None:
        async with (
            await here.user("ann") as ann,
            await here.user("bob") as bob,
            listening(ann) as of_ann,
            listening(bob) as of_bob,
        ):
            assert [(await each.next()).name for each in (of_ann, of_bob)] == ["reset", "reset"]
            made = await submit(ann, "x")
            job = made["jobs"][0]["id"]
            told = (await of_ann.until(job, "waiting"))[-1].data
            shown = (await ann.get(f"/jobs/{job}")).json()
            assert told == shown
            await ann.post(f"/jobs/{job}/cancel")
            await of_ann.until(job, "cancelled")
            await ann.delete(f"/jobs/{job}/results")
            assert (await of_ann.next()).data["results_deleted_at"] is not None
            await ann.delete(f"/workflows/{made['id']}")
            gone = await of_ann.next()
            assert (gone.name, gone.data) == ("workflow_deleted", {"id": made["id"]})
            mine = (await submit(bob, "x"))["jobs"][0]["id"]
            assert [each.data["id"] for each in await of_bob.until(mine, "waiting")] == [mine]

    run(folder, monkeypatch, work)


def test_who_comes_back_with_the_last_id_is_told_what_came_meanwhile(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def work(here: Here) -> None:
        async with listening(here.http) as stream:
            await stream.next()
            first = (await submit(here.http, "x"))["jobs"][0]["id"]
            seen = (await stream.until(first, "waiting"))[-1].id
        await nobody_listens(here)
        second = (await cancelled(here.http, "y"))["jobs"][0]["id"]
        async with listening(here.http, seen) as stream:
            (told,) = await stream.until(second, "cancelled")
        async with listening(here.http, told.id) as stream:
            third = (await submit(here.http, "z"))["jobs"][0]["id"]
            assert [each.data["id"] for each in await stream.until(third, "waiting")] == [third]

    run(folder, monkeypatch, work)


@pytest.mark.parametrize("last", ["1-0", "7-7", "nonsense", "99999999999999999999-1"])
def test_an_id_that_is_not_known_begins_with_a_reset(
    last: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def work(here: Here) -> None:
        async with listening(here.http) as stream:  # the watcher has begun further on than 1-0
            await stream.next()
            await stream.until((await submit(here.http, "x"))["jobs"][0]["id"], "waiting")
        monkeypatch.setattr(here.app.state.hub, "_floor", 1)
        async with listening(here.http, last) as stream:
            assert (await stream.next()).name == "reset"
            job = (await submit(here.http, "x"))["jobs"][0]["id"]
            await stream.until(job, "waiting")

    run(folder, monkeypatch, work)


def test_a_restart_of_the_scheduler_resets_every_stream_and_they_go_on(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def work(here: Here) -> None:
        async with listening(here.http) as stream:
            before = (await stream.next()).id
            job = (await submit(here.http, "x"))["jobs"][0]["id"]
            await stream.until(job, "waiting")
            await here.restart()
            reset = await stream.next()
            assert reset.name == "reset"
            assert int(reset.id.split("-")[0]) == int(before.split("-")[0]) + 1
            await here.http.post(f"/jobs/{job}/cancel")
            await stream.until(job, "cancelled")

    run(folder, monkeypatch, work)


def test_a_pause_is_told_to_everybody_who_waits(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def work(here: Here) -> None:
        async with await here.user("ann") as ann, listening(ann) as stream:
            await stream.next()
            await stream.until((await submit(ann, "x"))["jobs"][0]["id"], "waiting")
            await here.http.post("/cluster/pause")
            assert (await stream.next()).data["why"]["reason"] == "waiting_for_operator"

    run(folder, monkeypatch, work)


def test_however_many_listen_the_scheduler_is_asked_by_one(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def work(here: Here) -> None:
        asking = most = 0
        ask = type(here.gateway).changes

        async def counted(gateway: Any, *args: Any) -> News:
            nonlocal asking, most
            asking += 1
            most = max(most, asking)
            try:
                return await ask(gateway, *args)
            finally:
                asking -= 1

        monkeypatch.setattr(type(here.gateway), "changes", counted)
        async with (
            await here.user("ann") as ann,
            listening(ann) as one,
            listening(ann) as two,
            listening(here.http) as three,
        ):
            for stream in (one, two, three):
                await stream.next()
            job = (await submit(ann, "x"))["jobs"][0]["id"]
            for stream in (one, two):
                await stream.until(job, "waiting")
            assert most == 1

    run(folder, monkeypatch, work)


def test_streams_are_bounded_for_each_and_for_all_and_free_when_their_clients_go(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def work(here: Here) -> None:
        async with await here.user("ann") as ann, await here.user("bob") as bob:
            async with listening(ann), listening(ann):
                refused = await ann.get("/events")
                assert (refused.status_code, refused.json()["code"]) == (429, "too_many_at_once")
                assert int(refused.headers["retry-after"]) > 0
                async with listening(bob):
                    assert (await bob.get("/events")).status_code == 503
            await nobody_listens(here)
            for _ in range(5):
                async with listening(ann) as stream:
                    await stream.next()
                await nobody_listens(here)

    serve = {"max_streams": 3, "max_streams_per_user": 2}
    run(folder, monkeypatch, work, serve=serve)


def test_without_listeners_the_scheduler_is_soon_asked_no_more(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hubs, "WATCH_S", 0.01)

    async def work(here: Here) -> None:
        here.app.state.hub = Hub(here.gateway, linger_s=0.0)
        async with listening(here.http) as stream:
            await stream.next()
            assert here.app.state.hub.is_watching
        async with asyncio.timeout(30):
            while here.app.state.hub.is_watching:
                await asyncio.sleep(0.01)
        async with listening(here.http) as stream:
            assert (await stream.next()).name == "reset"

    run(folder, monkeypatch, work)


def test_a_stream_ends_when_its_key_is_revoked_and_a_beat_says_how_far_it_has_heard(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streaming, "HEARTBEAT_S", 0.05)

    async def work(here: Here) -> None:
        async with await here.user("ann") as ann, listening(ann) as stream:
            await stream.next()
            await submit(here.http, "x")  # another's: nothing of it is told
            beats = stream._lines
            async with asyncio.timeout(60):
                async for line in beats:
                    name, _, value = line.partition(": ")
                    if name == "id" and int(value.split("-")[1]) > 0:
                        break
            (key,) = (await ann.get("/me/keys")).json()["keys"]
            await ann.delete(f"/me/keys/{key['id']}")
            await stream.end()
            await nobody_listens(here)

    run(folder, monkeypatch, work)


@pytest.mark.http
@pytest.mark.filterwarnings("ignore:Using extra keyword arguments on `Field`")
def test_through_ray_serve_a_job_is_followed_to_its_end_and_clients_that_go_are_noticed(
    service: Service,
) -> None:
    async def work() -> None:
        headers, base = dict(service.http.headers), service.http.base_url
        async with httpx.AsyncClient(base_url=base, headers=headers, timeout=60) as http:
            async with listening(http) as stream:
                assert (await stream.next()).name == "reset"
                body = {"jobs": [{"slide": "sample.svs"}]}
                job = (await http.post("/workflows", json=body)).json()["jobs"][0]["id"]
                told = await stream.until(job, "succeeded")
                seen = [each.data for each in told if each.data["id"] == job]
                done = [each["tiles_done"] for each in seen]
                assert done == sorted(done)
                assert len({each["state"] for each in seen}) > 2
                assert seen[-1] == (await http.get(f"/jobs/{job}")).json()
            opened = 0
            async with asyncio.timeout(120):
                while opened < 2 * service.config.serve.max_streams_per_user:
                    async with http.stream("GET", "/events") as answer:
                        opened += answer.status_code == 200

    asyncio.run(work())


def test_a_stream_that_is_never_quiet_ends_with_its_key_too(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streaming, "HEARTBEAT_S", 0.5)

    async def work(here: Here) -> None:
        async with await here.user("ann") as ann, listening(ann) as stream:
            await stream.next()
            hub = here.app.state.hub
            (listener,) = hub._listeners
            change = Change(10**6, ANN, deleted=WorkflowId("w"))
            (key,) = (await ann.get("/me/keys")).json()["keys"]
            await ann.delete(f"/me/keys/{key['id']}")
            async with asyncio.timeout(60):
                while hub.listening:
                    listener.put(change, Mark(1, 1))
                    await asyncio.sleep(0.01)

    run(folder, monkeypatch, work)


# --- the hub --------------------------------------------------------------------------------------


def change(serial: int, user: UserId = ANN, name: str | None = None) -> Change:
    return Change(serial, user, deleted=WorkflowId(name or f"w{serial}"))


class Told:
    """Stands where the gateway stands: answers with what a test gives it."""

    def __init__(self, *news: News) -> None:
        self.news: asyncio.Queue[News] = asyncio.Queue()
        for each in news:
            self.news.put_nowait(each)
        self.asked: list[Mark | None] = []

    async def changes(self, after: Mark | None, wait_s: float = 0.0) -> News:
        self.asked.append(after)
        return await self.news.get()

    async def queue(self, seen: int | None, wait_s: float = 0.0) -> Picture:
        await asyncio.Event().wait()
        raise AssertionError("the queue never changes")


START = News(Mark(1, 0), missed=True)


async def heard(listener: Listener) -> tuple[Mark | None, list[int]]:
    async with asyncio.timeout(30):
        await listener.news.wait()
    reset, changes = listener.take()
    return reset, [each.serial for each in changes]


def test_a_slow_listener_is_reset_and_holds_no_more_than_its_bound(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def work() -> None:
        monkeypatch.setattr(hubs, "PAUSE_S", 0.0)
        many = tuple(change(serial) for serial in range(1, 1000))
        told = Told(START, News(Mark(1, 999), changes=many))
        hub = Hub(told)  # type: ignore[arg-type]
        slow, other = hub.listen(ANN, None), hub.listen(BOB, None)
        slow.most = 10
        async with asyncio.timeout(30):
            while hub.mark != Mark(1, 999):
                await asyncio.sleep(0)
        reset, changes = slow.take()
        assert reset == Mark(1, 999)
        assert len(changes) <= 10
        assert (await heard(other)) == (Mark(1, 0), [])
        told.news.put_nowait(News(Mark(1, 1000), changes=(change(1000),)))
        assert await heard(slow) == (None, [1000])

    asyncio.run(work())


def test_of_one_job_only_the_latest_change_waits() -> None:
    listener = Listener(ANN)
    for serial in range(1, 50):
        listener.put(change(serial, name=f"w{serial % 2}"), Mark(1, serial))
    assert [each.serial for each in listener.take()[1]] == [48, 49]


def test_who_comes_back_later_than_the_hub_remembers_is_reset() -> None:
    async def work() -> None:
        told = Told(START, News(Mark(1, 9), changes=tuple(change(n) for n in range(1, 10))))
        hub = Hub(told, recent=3)  # type: ignore[arg-type]
        first = hub.listen(ANN, None)
        while hub.mark != Mark(1, 9):
            await heard(first)
        assert await heard(hub.listen(ANN, Mark(1, 6))) == (None, [7, 8, 9])
        assert await heard(hub.listen(ANN, Mark(1, 5))) == (Mark(1, 9), [])
        assert await heard(hub.listen(ANN, Mark(2, 9))) == (Mark(1, 9), [])
        assert not hub.listen(BOB, Mark(1, 8)).news.is_set()

    asyncio.run(work())


# --- the log of changes ---------------------------------------------------------------------------


def shown(*jobs: str) -> Shown:
    return Shown({JobId(job): ANN for job in jobs}, {})


def serials(log: ChangeLog, after: int) -> list[tuple[int, str | None]] | None:
    found = log.after(after)
    return None if found is None else [(each.serial, each.job) for each in found]


def test_the_log_has_each_job_once_at_its_latest_change() -> None:
    log = ChangeLog()
    for jobs in (("a", "b"), ("a",), ("c",)):
        log.note(shown(*jobs), ())
    assert serials(log, 0) == [(2, "b"), (3, "a"), (4, "c")]
    assert serials(log, 3) == [(4, "c")]
    assert serials(log, 4) == []


def test_the_log_says_what_it_does_not_know_any_more_or_not_yet() -> None:
    log = ChangeLog(kept=2)
    for job in "abcd":
        log.note(shown(job), ())
    assert serials(log, 2) == [(3, "c"), (4, "d")]
    assert serials(log, 1) is None
    assert serials(log, 5) is None
