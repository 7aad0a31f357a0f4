"""No request body is read beyond a limit: a replica's memory is for everybody."""

from __future__ import annotations

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

MAX_BODY_BYTES = 4 * 1024 * 1024
"""Room for a workflow of 10,000 jobs with parameters of their own."""
MAX_PIECE_BYTES = 8 * 1024 * 1024
"""Of one piece of an upload. Serve's proxy and then the replica hold what they receive until the
handler takes it, so a piece may be in memory twice, however fast it is written."""
PIECES = "/api/v1/uploads/"


class BodyLimit:
    """ASGI middleware: reading more of a body than it may have ends as a 413."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on with its body counted."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        is_piece = scope["method"] == "PATCH" and scope["path"].startswith(PIECES)
        most = MAX_PIECE_BYTES if is_piece else MAX_BODY_BYTES
        announced = Headers(scope=scope).get("content-length", "")
        read = 0

        async def counted() -> Message:
            nonlocal read
            if announced.isdecimal() and int(announced) > most:
                raise HTTPException(413)
            message = await receive()
            read += len(message.get("body", b""))
            if read > most:
                raise HTTPException(413)
            return message

        await self._app(scope, counted, send)
