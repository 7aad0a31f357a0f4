"""Who is asking: a key as ``Authorization: Bearer``, or the session of a cookie.

Every request is answered for by the scheduler actor, so a key that was revoked opens nothing from
the next request on, at whichever replica. A session counts for what changes something only with
the token that its page was given: another site can make a browser send the cookie, but neither
read that token nor send the header.
"""

from __future__ import annotations

import hmac
from dataclasses import dataclass

from fastapi import Request

from raysched.cluster.limiter import Budget, Taken
from raysched.core.accounts import Caller, KeyKind, Role
from raysched.core.model import UserId
from raysched.errors import Forbidden, NotFound, Unauthorized
from serve_app.doorman import Doorman

COOKIE = "raysched_session"
MARK = "raysched_logged_in"
"""A cookie without a secret, beside the session's: the page need not ask in vain whether there is
one, which a browser would report as an error."""
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


async def ask_who(request: Request, budget: Budget) -> tuple[Asking, Taken]:
    """Who a request comes from, and the token it takes. Raises ``Unauthorized``, ``Forbidden``,
    ``TooManyRequests``."""
    doorman: Doorman = request.app.state.doorman
    header = request.headers.get("authorization")
    if header is not None:
        scheme, _, text = header.partition(" ")
        if scheme.lower() != "bearer":
            raise _no_key()
        admission = await doorman.admit(text.strip(), KeyKind.API, budget)
        return await _on_behalf(request, admission.caller), admission.taken
    cookie = request.cookies.get(COOKIE)
    if not cookie:
        raise _no_key()
    admission = await doorman.admit(cookie, KeyKind.SESSION, budget)
    who, csrf = admission.caller, csrf_of(cookie)
    if request.method not in SAFE and not _fits(request.headers.get(CSRF_HEADER), csrf):
        raise Forbidden(
            "A session changes nothing without its token.",
            remedy=f"Send what GET /api/v1/me says as csrf in the header {CSRF_HEADER}.",
        )
    if request.headers.get(ON_BEHALF_HEADER, who.user) != who.user:
        raise _not_on_behalf()
    return Asking(who, who.user, who.max_jobs, csrf), admission.taken


async def caller(request: Request) -> Asking:
    """Who a request comes from, as a FastAPI dependency: ``serve_app.guard`` has asked before. Like
    every dependency it is a coroutine: else it would run in a thread."""
    asking: Asking = request.state.asking
    return asking


def check_role(asking: Asking, role: Role) -> None:
    """Raises ``Forbidden`` unless who asks has this role."""
    if not asking.caller.role.covers(role):
        raise Forbidden(
            f"This needs the role {role}; this key has {asking.caller.role}.",
            remedy="Use a key that may, or ask an administrator.",
        )


def csrf_of(session: str) -> str:
    """The token of a session: follows from its secret, which scripts cannot read."""
    return hmac.new(session.encode(), b"csrf", "sha256").hexdigest()


def check_account(asking: Asking, role: Role) -> None:
    """Raises ``Forbidden`` unless the user whose key it is has this role; the key may have less,
    since a machine holds it."""
    account = asking.caller.account
    if not account.covers(role):
        raise Forbidden(
            f"This needs a key of a user with the role {role}; yours has {account}.",
            remedy="Ask an administrator for a read-only key of theirs.",
        )


async def _on_behalf(request: Request, who: Caller) -> Asking:
    named = request.headers.get(ON_BEHALF_HEADER, who.user)
    if named == who.user:
        return Asking(who, who.user, who.max_jobs, None)
    if who.role is not Role.ADMIN:
        raise _not_on_behalf()
    try:
        other = await request.app.state.gateway.account(UserId(named))
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
