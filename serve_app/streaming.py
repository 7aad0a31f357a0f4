"""``GET /events``: one caller's changes as server-sent events, until they go away.

Every event of a change has an id, which the client sends back as ``Last-Event-ID`` when it comes
again; one of the queue brings, as its id, how far the client has heard, where that is known. A
stream ends by itself when its key opens nothing any more, and after an hour; clients come back.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator

from fastapi import Request, Response
from starlette.types import Receive, Scope, Send

from raysched.cluster.limiter import Budget
from raysched.cluster.news import Change, Mark
from raysched.core.model import UserId
from raysched.core.picture import Picture
from raysched.errors import LimitReached, RayschedError, RequestError
from serve_app.hub import Hub, Listener
from serve_app.identity import ask_who
from serve_app.models import Job
from serve_app.places import Places
from serve_app.queue_models import QueuePicture

HEARTBEAT_S = 15.0
LONGEST_S = 3600.0
RETRY_MS = 2000
BEAT = b": still here\n\n"
EVENT_ID = re.compile(r"(\d{1,18})-(\d{1,18})")
RESET = b'{"remedy":"List your jobs: something may have changed that was not told here."}'


def mark_of(text: str | None) -> Mark | None:
    """The mark of an event id; None for what is none of ours: the client then starts anew."""
    found = EVENT_ID.fullmatch(text or "")
    return None if found is None else Mark(int(found[1]), int(found[2]))


def id_of(mark: Mark) -> str:
    """An event's id."""
    return f"{mark.epoch}-{mark.serial}"


def event(name: str, mark: Mark | None, data: bytes) -> bytes:
    """One event as it goes over the wire, without an id if there is no mark. ``data`` has no line
    breaks: it is JSON."""
    heard = b"id: %s\n" % id_of(mark).encode() if mark is not None else b""
    return heard + b"event: %s\ndata: %s\n\n" % (name.encode(), data)


def told(change: Change, epoch: int) -> bytes:
    """One change as an event."""
    mark = Mark(epoch, change.serial)
    if change.job is not None:
        return event("job", mark, Job.of(change.job).model_dump_json().encode())
    return event("workflow_deleted", mark, b'{"id":"%s"}' % str(change.deleted).encode())


class EventStream(Response):
    """Listens from its first byte to its last, and never longer."""

    media_type = "text/event-stream"

    def __init__(
        self, request: Request, user: UserId, seen: Mark | None, *, names_all: bool
    ) -> None:
        super().__init__(headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"})
        del self.headers["content-length"]
        self._request = request
        self._user = user
        self._seen = seen
        self._names_all = names_all
        self._epoch = seen.epoch if seen is not None else 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002
        """Send until the client has gone, or the stream is over. Raises ``TooManyAtOnce``."""
        hub: Hub = self._request.app.state.hub
        streams: Places = self._request.app.state.streams
        with streams.taken(self._user):
            listener = hub.listen(self._user, self._seen)
            tasks = {
                asyncio.create_task(_until_gone(receive)),
                asyncio.create_task(self._send_all(listener, send)),
            }
            try:
                done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            finally:
                hub.leave(listener)
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)
            for task in done:
                with contextlib.suppress(OSError):  # the client has gone while it was sent to
                    task.result()

    async def _send_all(self, listener: Listener, send: Send) -> None:
        head = {"type": "http.response.start", "status": 200, "headers": self.raw_headers}
        await send(head)
        async for piece in self._pieces(listener):
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body", "body": b""})

    async def _pieces(self, listener: Listener) -> AsyncIterator[bytes]:
        loop = asyncio.get_running_loop()
        begun = checked = loop.time()
        yield b"retry: %d\n\n" % RETRY_MS
        while loop.time() < begun + LONGEST_S:
            is_quiet = False
            try:
                await asyncio.wait_for(listener.news.wait(), HEARTBEAT_S)
            except TimeoutError:
                is_quiet = True
            if is_quiet or loop.time() >= checked + HEARTBEAT_S:  # also of one that is never quiet
                if not await self._may_go_on():
                    return
                checked = loop.time()
            if is_quiet:
                yield self._beat(listener)
                continue
            reset, changes = listener.take()
            picture, heard = listener.take_picture(), self._heard()
            if reset is not None:
                self._epoch = reset.epoch
                yield event("reset", reset, RESET)
            for change in changes:
                yield told(change, self._epoch)
            if picture is not None:
                yield self._queue(picture, heard)

    def _heard(self) -> Mark | None:
        """How far the hub has heard: so has the client, once it has all that was taken with it."""
        mark: Mark | None = self._request.app.state.hub.mark
        return mark

    def _queue(self, picture: Picture, heard: Mark | None) -> bytes:
        """The queue as the client may see it."""
        mark = heard if heard is not None and heard.epoch == self._epoch else None
        shown = QueuePicture.of(picture, self._user, names_all=self._names_all)
        return event("queue", mark, shown.model_dump_json().encode())

    def _beat(self, listener: Listener) -> bytes:
        """A comment, and how far the client has heard though nothing of its own changed."""
        mark = self._heard()
        if mark is None or mark.epoch != self._epoch or listener.news.is_set():
            return BEAT
        return b"id: %s\n" % id_of(mark).encode() + BEAT

    async def _may_go_on(self) -> bool:
        """Whether the key of the request still opens it; a scheduler that is away says neither,
        and nor do tokens that are spent."""
        try:
            await ask_who(self._request, Budget.DEFAULT)
        except LimitReached:
            return True
        except RequestError:
            return False
        except RayschedError:
            return True
        return True


async def _until_gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
