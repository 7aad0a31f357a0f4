"""What Serve's proxy says itself, said as the service says it: a problem, and when to come again.

The proxy answers in a plain line, or not at all, when a replica dies with a request in its hands,
when none is there yet, and when too many requests wait for one. All of that passes; nothing of it
is a fault of the request. This runs in the proxy, so it imports little.
"""

from __future__ import annotations

import json

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from raysched.cluster.processes import end_with_raylet
from raysched.errors import Busy, ClusterUnreachable, RayschedError

RETRY_AFTER_S = 1
SERVES_OWN = "/-/"
"""Addresses that are Serve's: it answers there for itself."""
PASSING = {404, 408, 500, 503}
"""What it answers while no replica does; 404: no route is there yet, and ours take every path."""


class Plainly:
    """ASGI middleware of the proxy: whoever asks is told of an outage in the service's shape."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        end_with_raylet()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on; an answer that is not the service's is replaced."""
        if scope["type"] != "http" or scope["path"].startswith(SERVES_OWN):
            await self._app(scope, receive, send)
            return
        begun = replaced = False

        async def checked(message: Message) -> None:
            nonlocal begun, replaced
            if message["type"] == "http.response.start":
                begun, replaced = True, _is_serves(message)
                if replaced:
                    await _tell(send, _outage(message["status"]))
            if not replaced:
                await send(message)

        await self._app(scope, receive, checked)
        if not begun:  # the replica died before it said anything
            await _tell(send, _outage(500))


def _is_serves(start: Message) -> bool:
    """Whether an answer is Serve's own: the service never says these in plain text."""
    kind = dict(start.get("headers", ())).get(b"content-type", b"")
    return start["status"] in PASSING and kind.startswith(b"text/plain")


def _outage(status: int) -> RayschedError:
    if status == 503:
        return Busy("More requests wait than this service takes.", remedy="Ask again in a moment.")
    return ClusterUnreachable(
        "The process that answers is being started again.",
        remedy="Ask again in a moment, with the same idempotency key; nothing is lost.",
    )


async def _tell(send: Send, error: RayschedError) -> None:
    told = {
        "type": f"urn:raysched:error:{error.code}",
        "title": error.code.replace("_", " ").capitalize(),
        "status": error.status,
        "detail": error.message,
        "code": error.code,
        "remedy": error.remedy,
    }
    headers = [
        (b"content-type", b"application/problem+json"),
        (b"retry-after", b"%d" % RETRY_AFTER_S),
    ]
    await send({"type": "http.response.start", "status": error.status, "headers": headers})
    await send({"type": "http.response.body", "body": json.dumps(told).encode()})
