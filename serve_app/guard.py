"""What stands before every handler, in this order: who asks and whether too often, what they may
do, how much they may send, and a place if it is a download. Only then is a body read.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from math import ceil
from typing import Any

from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from starlette.datastructures import MutableHeaders, QueryParams
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from raysched.cluster.limiter import Budget, Taken, pace_of
from raysched.config import LimitSettings
from raysched.core.accounts import Role
from raysched.core.model import UserId
from serve_app.body import StrictRequest, bounded
from serve_app.flow import Stalled, metered, paced
from serve_app.identity import SAFE, ask_who, check_account, check_role
from serve_app.threads import working_for

NOBODY = UserId("")
"""Whoever asks without a key."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """What a route asks of requests: the role (None: open to everybody), what they are counted as,
    how large a body may be (None: the handler counts), and the role of the user whose key it is."""

    role: Role | None
    budget: Budget
    body_bytes: int | None
    account: Role | None = None


def guarded(bounds: Bounds) -> type[APIRoute]:
    """The class of a route with these bounds."""

    class Guarded(APIRoute):
        """Lets nothing through that is not within the bounds."""

        def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
            handle = super().get_route_handler()

            async def strict(request: Request) -> Response:
                return await handle(StrictRequest(request.scope, request.receive))

            return strict

        async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
            if self.methods and scope["method"] not in self.methods:  # it is answered 405
                await super().handle(scope, receive, send)
            else:
                await _let_in(bounds, super().handle, scope, receive, send)

    return Guarded


async def _let_in(
    bounds: Bounds, handle: ASGIApp, scope: Scope, receive: Receive, send: Send
) -> None:
    app_state = scope["app"].state
    _refuse_twice(scope)
    app_state.threads.begin()
    limits: LimitSettings = app_state.config.limits
    user: UserId | None = None
    place: Any = nullcontext()
    is_open = bounds.account is not None and app_state.config.serve.open_metrics
    if bounds.role is not None and not is_open:
        asking, taken = await ask_who(Request(scope), bounds.budget)
        check_role(asking, bounds.role)
        if bounds.account is not None:
            check_account(asking, bounds.account)
        user = asking.caller.user
        scope.setdefault("state", {}).update(asking=asking, user=user)
        send = _telling(send, limits, bounds.budget, taken)
        if bounds.budget is Budget.EXPORT and scope["method"] == "GET":
            place = app_state.downloads.taken(user)
    if bounds.budget is Budget.UPLOAD:
        receive = metered(scope, receive, send)
    receive = bounded(scope, receive, bounds.body_bytes, limits.stall_s)
    one_more: Any = nullcontext()  # what is read without a key has no body, and is answered always
    if user is not None:
        one_more = app_state.requests.taken(user)
    elif scope["method"] not in SAFE:
        one_more = app_state.strangers.taken(NOBODY)
    with one_more, place, working_for(user):
        if scope["method"] == "GET":
            with suppress(Stalled):  # nobody is left to be told
                await paced(handle, scope, receive, send, limits.stall_s)
        else:
            await handle(scope, receive, send)


def _refuse_twice(scope: Scope) -> None:
    """As in JSON, a name is there once: readers differ in which counts."""
    names = [name for name, _ in QueryParams(scope["query_string"]).multi_items()]
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        fault = {"loc": ("query", twice), "msg": "it is there more than once", "type": "twice"}
        raise RequestValidationError([fault])


def _telling(send: Send, limits: LimitSettings, budget: Budget, taken: Taken) -> Send:
    """``send`` that says how many tokens are left (draft-ietf-httpapi-ratelimit-headers)."""
    pace = pace_of(limits, budget)

    async def told(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(raw=message.setdefault("headers", []))
            window_s = ceil(pace.burst / pace.per_s)
            headers["RateLimit-Policy"] = f'"{budget}";q={pace.burst};w={window_s}'
            headers["RateLimit"] = f'"{budget}";r={taken.left};t={ceil(1 / pace.per_s)}'
        await send(message)

    return told
