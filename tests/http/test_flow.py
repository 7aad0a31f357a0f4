"""A download goes as fast as its reader and ends with it: both ends of the protocol, no Serve."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import nullcontext, suppress
from typing import Any

import pytest
from starlette.types import Message, Receive, Scope, Send

from serve_app.downloads import Download
from serve_app.flow import FLOW, TAKEN, WINDOW_BYTES, Stalled, Telling, Window, metered, paced

MB = 1 << 20
PATIENT_S, IMPATIENT_S = 60.0, 0.05
SCOPE: dict[str, Any] = {"type": "http", "method": "GET", "headers": [], "path": "/"}


class Link:
    """Serve between proxy and replica: passes everything on at once and waits for nobody."""

    def __init__(self, pieces: int, stall_s: float = PATIENT_S) -> None:
        self.pieces = pieces
        self.stall_s = stall_s
        self.sent = 0
        self.seen: dict[str, Any] = {}

    async def replica(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Sends so many MB."""

        async def counted(message: Message) -> None:
            self.sent += len(message.get("body", b""))
            await send(message)

        self.seen = dict(scope["extensions"])
        await paced(self.answer, scope, receive, counted, self.stall_s)

    async def answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        assert (await receive())["type"] == "http.request"
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for left in reversed(range(self.pieces)):
            await send({"type": "http.response.body", "body": b"x" * MB, "more_body": left > 0})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The proxy's application: two queues without end."""
        to_replica: asyncio.Queue[Message] = asyncio.Queue()
        to_client: asyncio.Queue[Message | None] = asyncio.Queue()

        async def listen() -> None:
            while True:
                message = await receive()
                to_replica.put_nowait(message)
                if message["type"] == "http.disconnect":
                    return

        async def work() -> None:
            try:
                await self.replica(scope, to_replica.get, to_client.put)
            finally:
                to_client.put_nowait(None)

        tasks = [asyncio.create_task(listen()), asyncio.create_task(work())]
        try:
            while (message := await to_client.get()) is not None:
                await send(message)
            await tasks[1]
        finally:
            for task in tasks:
                task.cancel()


class Client:
    """Takes so many MB, then no more; goes away when told."""

    def __init__(self, takes: int) -> None:
        self.takes = takes
        self.got = 0
        self.start: Message = {}
        self.asked = False
        self.gone = asyncio.Event()
        self.full = asyncio.Event()

    async def receive(self) -> Message:
        if not self.asked:
            self.asked = True
            return {"type": "http.request", "body": b"", "more_body": False}
        await self.gone.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.start = message
            return
        if self.got >= self.takes * MB:
            self.full.set()
            await self.gone.wait()
            raise ConnectionResetError
        self.got += len(message["body"])


def test_all_arrives_and_the_client_sees_nothing_of_the_protocol() -> None:
    async def story() -> tuple[Client, Link]:
        client, link = Client(takes=64), Link(pieces=64)
        await Telling(link)(SCOPE, client.receive, client.send)
        return client, link

    client, link = asyncio.run(story())
    assert client.got == link.sent == 64 * MB
    assert client.start == {"type": "http.response.start", "status": 200, "headers": []}
    assert FLOW in link.seen


def test_the_replica_is_a_window_ahead_of_a_slow_client_at_most() -> None:
    async def story() -> tuple[int, int]:
        client, link = Client(takes=10), Link(pieces=64, stall_s=IMPATIENT_S)
        with pytest.raises((TimeoutError, Stalled)):
            await Telling(link)(SCOPE, client.receive, client.send)
        return client.got, link.sent

    got, sent = asyncio.run(story())
    assert got == 10 * MB
    assert got < sent <= got + WINDOW_BYTES + MB


def test_a_client_that_goes_away_ends_the_download() -> None:
    async def story() -> int:
        client, link = Client(takes=10), Link(pieces=64)
        task = asyncio.create_task(Telling(link)(SCOPE, client.receive, client.send))
        await client.full.wait()
        client.gone.set()
        with pytest.raises((ConnectionResetError, Stalled)):
            await task
        return link.sent

    assert asyncio.run(story()) < 20 * MB


def test_a_download_whose_client_is_gone_waits_for_nobody() -> None:
    async def story() -> None:
        client, sent = Client(takes=64), asyncio.Queue[Message]()
        window = Window(client.receive, sent.put, PATIENT_S)
        client.gone.set()
        await window.listen()
        with pytest.raises(Stalled, match="has gone"):
            for _ in range(64):
                await window.send({"type": "http.response.body", "body": b"x" * MB})

    asyncio.run(story())


class Sender(Client):
    """Sends 64 MB as fast as they are taken."""

    def __init__(self) -> None:
        super().__init__(takes=1)
        self.gave = 0

    async def receive(self) -> Message:
        if self.gave == 64 * MB:
            return await super().receive()
        self.gave += MB
        await asyncio.sleep(0)
        self.asked = self.gave == 64 * MB
        return {"type": "http.request", "body": b"x" * MB, "more_body": not self.asked}


def test_an_upload_is_a_window_ahead_of_what_was_read_at_most() -> None:
    ahead: list[int] = []

    async def story() -> int:
        client, read = Sender(), 0
        link = Link(pieces=0)

        async def replica(scope: Scope, receive: Receive, send: Send) -> None:
            nonlocal read
            more, taking = True, metered(scope, receive, send)
            while more:
                message = await taking()
                read += len(message["body"])
                more = message["more_body"]
                for _ in range(100):  # a slow disk: everybody else has had a turn
                    await asyncio.sleep(0)
                ahead.append(client.gave - read)
            await send({"type": "http.response.start", "status": 204, "headers": []})
            await send({"type": "http.response.body", "body": b""})

        link.replica = replica  # type: ignore[method-assign]
        await Telling(link)(SCOPE, client.receive, client.send)
        assert client.start["status"] == 204
        return read

    assert asyncio.run(story()) == 64 * MB
    assert max(ahead) <= WINDOW_BYTES + 2 * MB


def test_a_proxy_that_cannot_tell_is_sent_everything() -> None:
    async def story() -> int:
        link, client = Link(pieces=64), Client(takes=64)
        await link({**SCOPE, "extensions": {}}, client.receive, client.send)
        return client.got

    assert asyncio.run(story()) == 64 * MB


def test_what_the_client_has_taken_is_told_beside_what_it_says() -> None:
    async def story() -> list[Message]:
        heard: list[Message] = []

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            heard.append(await receive())
            await send({"type": "http.response.start", "status": 200, FLOW: PATIENT_S})
            await send({"type": "http.response.body", "body": b"x" * MB, "more_body": True})
            heard.append(await receive())
            client.gone.set()
            heard.append(await receive())

        client = Client(takes=64)
        await Telling(app)(SCOPE, client.receive, client.send)
        return heard

    assert asyncio.run(story()) == [
        {"type": "http.request", "body": b"", "more_body": False},
        {"type": TAKEN, "bytes": MB},
        {"type": "http.disconnect"},
    ]


@pytest.mark.parametrize("error", [None, ConnectionResetError, asyncio.CancelledError])
def test_what_makes_a_download_has_ended_when_the_answer_has(
    error: type[BaseException] | None,
) -> None:
    ended: list[str] = []

    def pieces() -> Iterator[bytes]:
        try:
            for _ in range(3):
                yield b"x"
        finally:
            ended.append("ended")

    async def send(message: Message) -> None:
        if error is not None and message["type"] == "http.response.body":
            raise error

    made = pieces()  # held here, so that nothing else ends it

    async def story() -> None:
        await Download(made)(SCOPE, Client(takes=1).receive, send)

    with nullcontext() if error is None else suppress(BaseException):
        asyncio.run(story())
    assert ended == ["ended"]
