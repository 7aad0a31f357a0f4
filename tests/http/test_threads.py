"""The threads of a replica: no user keeps others from theirs."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import httpx
import pytest

from raysched.config import Config, load_config
from raysched.core.model import UserId
from serve_app.threads import WORKING_FOR, FairThreads, working_for
from serve_app.web import create_app
from tests.http.test_bodies import KEYS, Actor

EVE, BOB = UserId("eve"), UserId("bob")
LONG_S = 10.0


@pytest.fixture
def config(tmp_path: Path) -> Config:
    return load_config(state=tmp_path / "state")


def test_one_user_with_many_long_calls_keeps_nobody_waiting() -> None:
    done = threading.Event()

    async def both() -> str:
        asyncio.get_running_loop().set_default_executor(FairThreads(most=3, per_user=2))
        with working_for(EVE):
            held = [asyncio.create_task(asyncio.to_thread(done.wait, LONG_S)) for _ in range(20)]
        await asyncio.sleep(0)
        try:
            with working_for(BOB):
                return await asyncio.wait_for(asyncio.to_thread(lambda: "at once"), LONG_S / 2)
        finally:
            done.set()
            assert all(await asyncio.gather(*held))

    assert asyncio.run(both()) == "at once"


def test_whoever_goes_away_gives_no_thread_back_before_its_end() -> None:
    """Else asking and hanging up, again and again, would take all of them."""
    done, begun = threading.Event(), []

    def long() -> None:
        begun.append(1)
        done.wait(LONG_S)

    with FairThreads(most=8, per_user=2) as threads:
        with working_for(EVE):
            asked: list[Future[None]] = [threads.submit(long) for _ in range(2)]
        while len(begun) < 2:
            pass
        for _ in range(20):
            with working_for(EVE):
                more = threads.submit(long)
            assert more.cancel()
        with working_for(BOB):
            assert threads.submit(lambda: "at once").result(LONG_S) == "at once"
        done.set()
        for each in asked:
            each.result(LONG_S)
    assert len(begun) == 2


def test_what_a_call_raises_is_raised_and_the_next_one_begins() -> None:
    def failing() -> None:
        raise ValueError("no")

    with FairThreads(most=1, per_user=1) as threads:
        failed, fine = threads.submit(failing), threads.submit(lambda: 1)
        with pytest.raises(ValueError, match="no"):
            failed.result(LONG_S)
        assert fine.result(LONG_S) == 1
    assert not threads._at_work
    assert not threads._waiting


def pool() -> Any:
    """Of the loop that runs."""
    return asyncio.get_running_loop()._default_executor  # type: ignore[attr-defined]


def test_every_request_is_answered_with_shared_threads(config: Config) -> None:
    app = create_app(config, Actor("nowhere"))

    async def twice() -> list[object]:
        transport, pools = httpx.ASGITransport(app), []
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            for _ in range(2):
                assert (await client.get("/healthz")).status_code == 200
                pools.append(pool())
        return pools

    first, second = asyncio.run(twice())
    assert isinstance(first, FairThreads)
    assert first is second


def test_threads_of_a_request_work_for_whoever_asks(config: Config) -> None:
    app, seen = create_app(config, Actor("nowhere")), []

    async def asked() -> None:
        headers = {"Authorization": f"Bearer {KEYS['admin'].text}"}
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            app.state.threads.begin()
            shared = pool()
            submit = shared.submit

            def noted(*call: Any) -> Future[Any]:
                seen.append(WORKING_FOR.get())
                made: Future[Any] = submit(*call)
                return made

            shared.submit = noted
            answer = await client.get("/api/v1/slides", headers=headers)
            assert answer.status_code == 200

    asyncio.run(asked())
    assert set(seen) == {"admin"}
    assert WORKING_FOR.get() is None
