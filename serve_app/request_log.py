"""One record, and one count, for each request that a replica answers."""

from __future__ import annotations

import logging
import re
import time
from uuid import uuid4

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from raysched.cluster.limiter import Budget
from raysched.cluster.meters import request_meters
from raysched.logs import about
from serve_app.routes import BUDGETS

log = logging.getLogger(__name__)

REQUEST_ID = "x-request-id"
GONE = 499
"""As other servers say it: who asked has gone before there was an answer."""
QUIET = {"/healthz", "/readyz", "/metrics"}


class RequestLog:
    """ASGI middleware, outside of all others. ``X-Request-ID`` is given or made, and echoed, by
    Serve's proxy; here it is only read. A query is never written: it may hold a login token."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on and say how it was answered."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        begun, status = time.monotonic(), GONE

        async def noted(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                if scope["path"] not in QUIET:
                    scope["app"].state.request_minutes.count(time.monotonic() - begun)
            await send(message)

        with about(request=request_id(Headers(scope=scope).get(REQUEST_ID, ""))):
            try:
                await self._app(scope, receive, noted)
            except Exception:
                status = 500
                raise
            finally:
                _note(scope, status, time.monotonic() - begun)


def request_id(sent: str) -> str:
    """What came along if it can be written as it is, else a new one."""
    return sent if re.fullmatch(r"[\w.:-]{1,100}", sent) else uuid4().hex


def _note(scope: Scope, status: int, seconds: float) -> None:
    route = scope.get("route")
    operation = str(getattr(route, "operation_id", None))
    path = getattr(route, "path", None) or "other"
    known = operation in BUDGETS
    budget = BUDGETS[operation] if known else Budget.DEFAULT
    request_meters().answered(operation if known else "other", budget.value, status, seconds)
    facts = {
        "method": scope["method"],
        "route": path,
        "status": status,
        "seconds": round(seconds, 6),
        "user": scope.get("state", {}).get("user"),
        **{k: v for k, v in scope.get("path_params", {}).items() if k in ("job", "workflow")},
    }
    level = logging.DEBUG if path in QUIET else logging.INFO
    said = {name: value for name, value in facts.items() if value is not None}
    log.log(level, "%s %s %s", scope["method"], path, status, extra={"facts": said})
