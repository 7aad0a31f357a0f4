"""A download goes no faster than its reader, an upload no faster than its writer: Ray Serve by
itself does not see to that.

A replica's ``send`` puts a message on an endless queue and returns, so a client that reads slowly
would have a whole result pile up in memory. Serve's proxy does wait for its client, and passes what
it receives from it on to the replica. So the proxy says there what the client has taken, and the
replica sends at most ``WINDOW_BYTES`` more than that:

    proxy    scope["extensions"][FLOW]                     I can tell
    replica  "http.response.start" with FLOW: stall_s      tell me; nobody waits longer
    proxy    {"type": TAKEN, "bytes": ...} in ``receive``  so many bytes of the body, since it began

and for an upload, whose pieces the proxy otherwise takes as fast as they come:

    replica  {"type": READ, "bytes": 0} by ``send``        I tell; be no more than a window ahead
    replica  {"type": READ, "bytes": ...}                  so many bytes of the body, since it began

Serve is told of ``middlewares`` by an environment variable (``raysched.config``). A proxy that was
not told has no FLOW in its scope, and sends as Serve does.
"""

from __future__ import annotations

import asyncio
from typing import Any

from starlette.middleware import Middleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serve_app.outage import Plainly

FLOW = "raysched.flow"
TAKEN = "raysched.taken"
READ = "raysched.read"
WINDOW_BYTES = 4 * 1024 * 1024
TELL_BYTES = 512 * 1024


class Stalled(ConnectionError):
    """A client took nothing for too long. It is told nothing: it does not read."""


# --- in the replica -------------------------------------------------------------------------------


async def paced(app: ASGIApp, scope: Scope, receive: Receive, send: Send, stall_s: float) -> None:
    """Answer by ``app``, no more than a window ahead of the client. Raises ``Stalled``."""
    if FLOW not in scope.get("extensions", {}):
        await app(scope, receive, send)
        return
    window = Window(receive, send, stall_s)
    listening = asyncio.create_task(window.listen())
    try:
        await app(scope, window.receive, window.send)
    finally:
        listening.cancel()


def metered(scope: Scope, receive: Receive, send: Send) -> Receive:
    """``receive`` of an upload that tells the proxy what was read."""
    if FLOW not in scope.get("extensions", {}):
        return receive
    read, told = 0, -TELL_BYTES

    async def telling() -> Message:
        nonlocal read, told
        if read - told >= TELL_BYTES:
            told = read
            await send({"type": READ, "bytes": read})
        message = await receive()
        read += len(message.get("body", b""))
        return message

    return telling


class Window:
    """How far the client is, and what else it said."""

    def __init__(self, receive: Receive, send: Send, stall_s: float) -> None:
        self._receive = receive
        self._send = send
        self._stall_s = stall_s
        self._said: asyncio.Queue[Message | BaseException] = asyncio.Queue()
        self._moved = asyncio.Event()
        self._sent = 0
        self._taken = 0
        self._is_gone = False

    async def listen(self) -> None:
        """Sort what the proxy passes on, until the client is gone."""
        while not self._is_gone:
            try:
                message = await self._receive()
            except Exception as error:  # noqa: BLE001 - carried to whoever receives
                self._said.put_nowait(error)
                return
            if message["type"] == TAKEN:
                self._taken = message["bytes"]
            else:
                self._is_gone = message["type"] == "http.disconnect"
                self._said.put_nowait(message)
            self._moved.set()

    async def receive(self) -> Message:
        """What the client said."""
        said = await self._said.get()
        if isinstance(said, BaseException):
            raise said
        return said

    async def send(self, message: Message) -> None:
        """Send, then wait until the client is less than a window behind."""
        if message["type"] == "http.response.start":
            message = {**message, FLOW: self._stall_s}
        await self._send(message)
        self._sent += len(message.get("body", b""))
        while self._sent - self._taken > WINDOW_BYTES:
            if self._is_gone:
                raise Stalled("The client has gone.")
            self._moved.clear()
            try:
                async with asyncio.timeout(self._stall_s):
                    await self._moved.wait()
            except TimeoutError:
                raise Stalled(f"The client took nothing for {self._stall_s} s.") from None


# --- in the proxy ---------------------------------------------------------------------------------


def middlewares() -> list[Middleware]:
    """What Serve's proxies are to have around them."""
    return [Middleware(Plainly), Middleware(Telling)]


class Telling:
    """ASGI middleware: tells the replica what its client has taken."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, able to tell."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        teller = Teller(receive, send)
        extensions = {**scope.get("extensions", {}), FLOW: {}}
        try:
            await self._app({**scope, "extensions": extensions}, teller.receive, teller.send)
        finally:
            teller.close()


class Teller:
    """One request's way through the proxy."""

    def __init__(self, receive: Receive, send: Send) -> None:
        self._receive = receive
        self._send = send
        self._stall_s: float | None = None
        self._taken = 0
        self._told = 0
        self._due = asyncio.Event()
        self._passed = 0
        self._read: int | None = None
        self._moved = asyncio.Event()
        self._said: asyncio.Task[Any] | None = None

    async def send(self, message: Message) -> None:
        """Pass on to the client, as fast as it reads."""
        if message["type"] == READ:
            self._read = message["bytes"]
            self._moved.set()
            return
        self._stall_s = message.pop(FLOW, self._stall_s)
        if self._stall_s is None:
            await self._send(message)
            return
        async with asyncio.timeout(self._stall_s):
            await self._send(message)
        self._taken += len(message.get("body", b""))
        if self._taken - self._told >= TELL_BYTES:
            self._due.set()

    async def receive(self) -> Message:
        """What the client says or has taken, whichever is there first."""
        while self._read is not None and self._passed - self._read > WINDOW_BYTES:
            self._moved.clear()
            await self._moved.wait()
        self._said = self._said or asyncio.ensure_future(self._receive())
        due = asyncio.ensure_future(self._due.wait())
        try:
            await asyncio.wait({self._said, due}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            due.cancel()
        if self._said.done():
            said, self._said = self._said, None
            message: Message = said.result()
            self._passed += len(message.get("body", b""))
            return message
        self._due.clear()
        self._told = self._taken
        return {"type": TAKEN, "bytes": self._taken}

    def close(self) -> None:
        """Listen no longer."""
        if self._said is not None:
            self._said.cancel()
