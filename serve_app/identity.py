"""Who is asking: a key as ``Authorization: Bearer``, or the session of a cookie.

Every request is answered for by the scheduler actor, so a key that was revoked opens nothing from
the next request on, at whichever replica. A session counts for what changes something only with
the token that its page was given: another site can make a browser send the cookie, but neither
read that token nor send the header.
"""

from __future__ import annotations

import hmac
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request

from raysched.cluster.accounts import Accounts
from raysched.core.accounts import Caller, KeyKind, Role
from raysched.core.model import UserId
from raysched.errors import Forbidden, NotFound, Unauthorized

COOKIE = "raysched_session"
CSRF_HEADER = "X-CSRF-Token"
ON_BEHALF_HEADER = "X-User-ID"
SAFE = {"GET", "HEAD", "OPTIONS"}


@dataclass(frozen=True, slots=True)
class Asking:
    """Who asks, and for whom: ``user`` is the caller's own unless an administrator's key names
    another in ``X-User-ID``."""

    caller: Caller
    user: UserId
    max_jobs: int
    csrf: str | None
    """The token of the session, if the request came with one."""


async def caller(request: Request) -> Asking:
    """Who a request comes from, as a FastAPI dependency. Raises ``Unauthorized``, ``Forbidden``."""
    asking = await _asking(request)
    request.state.user = asking.caller.user
    return asking


async def _asking(request: Request) -> Asking:
    accounts = Accounts(request.app.state.gateway)
    header = request.headers.get("authorization")
    if header is not None:
        scheme, _, text = header.partition(" ")
        if scheme.lower() != "bearer":
            raise _no_key()
        who = await accounts.identify(text.strip(), KeyKind.API)
        return await _on_behalf(request, accounts, who)
    cookie = request.cookies.get(COOKIE)
    if not cookie:
        raise _no_key()
    who = await accounts.identify(cookie, KeyKind.SESSION)
    csrf = csrf_of(cookie)
    if request.method not in SAFE and not _fits(request.headers.get(CSRF_HEADER), csrf):
        raise Forbidden(
            "A session changes nothing without its token.",
            remedy=f"Send what GET /api/v1/me says as csrf in the header {CSRF_HEADER}.",
        )
    if request.headers.get(ON_BEHALF_HEADER, who.user) != who.user:
        raise _not_on_behalf()
    return Asking(who, who.user, who.max_jobs, csrf)


def csrf_of(session: str) -> str:
    """The token of a session: follows from its secret, which scripts cannot read."""
    return hmac.new(session.encode(), b"csrf", "sha256").hexdigest()


def needs(role: Role) -> Callable[..., Awaitable[None]]:
    """The dependency of a route that only who has this role may use."""

    async def allowed(asking: Annotated[Asking, Depends(caller)]) -> None:
        if not asking.caller.role.covers(role):
            raise Forbidden(
                f"This needs the role {role}; this key has {asking.caller.role}.",
                remedy="Use a key that may, or ask an administrator.",
            )

    return allowed


def needs_account(role: Role) -> Callable[..., Awaitable[None]]:
    """The dependency of a route that any key of a user with this role opens, also a lesser one,
    since a machine holds it; and nobody needs a key where ``serve.open_metrics`` is set."""

    async def allowed(request: Request) -> None:
        if request.app.state.config.serve.open_metrics:
            return
        who = (await caller(request)).caller
        if not who.account.covers(role):
            raise Forbidden(
                f"This needs a key of a user with the role {role}; yours has {who.account}.",
                remedy="Ask an administrator for a read-only key of theirs.",
            )

    return allowed


async def _on_behalf(request: Request, accounts: Accounts, who: Caller) -> Asking:
    named = request.headers.get(ON_BEHALF_HEADER, who.user)
    if named == who.user:
        return Asking(who, who.user, who.max_jobs, None)
    if who.role is not Role.ADMIN:
        raise _not_on_behalf()
    try:
        other = await accounts.gateway.account(UserId(named))
    except NotFound:
        raise NotFound(
            f"There is no user {named[:40]}.", remedy=f"Name another in {ON_BEHALF_HEADER}."
        ) from None
    usual: int = request.app.state.config.scheduling.max_jobs_per_user
    return Asking(who, other.user, other.max_jobs or usual, None)


def _no_key() -> Unauthorized:
    return Unauthorized(
        "This needs a key.", remedy="Send it as `Authorization: Bearer rsk_...`, or log in."
    )


def _fits(sent: str | None, token: str) -> bool:
    return sent is not None and hmac.compare_digest(sent.encode(), token.encode())


def _not_on_behalf() -> Forbidden:
    return Forbidden(
        f"{ON_BEHALF_HEADER} may name another user only with an administrator's key.",
        remedy="Leave it out.",
    )
