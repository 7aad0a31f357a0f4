"""No request body is read beyond a limit: a replica's memory is for everybody."""

from __future__ import annotations

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

MAX_BODY_BYTES = 4 * 1024 * 1024
"""Room for a workflow of 10,000 jobs with parameters of their own."""


class BodyLimit:
    """ASGI middleware: reading more than ``MAX_BODY_BYTES`` of a body ends as a 413."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on with its body counted."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        announced = Headers(scope=scope).get("content-length", "")
        read = 0

        async def counted() -> Message:
            nonlocal read
            if announced.isdecimal() and int(announced) > MAX_BODY_BYTES:
                raise HTTPException(413)
            message = await receive()
            read += len(message.get("body", b""))
            if read > MAX_BODY_BYTES:
                raise HTTPException(413)
            return message

        await self._app(scope, counted, send)
