"""What each route about users, keys and sessions does."""

from __future__ import annotations

import asyncio
from typing import Annotated

from fastapi import Query, Request, Response
from fastapi.responses import RedirectResponse

from raysched.cluster.accounts import Accounts, Secret
from raysched.config import Config
from raysched.core.accounts import Caller, KeyKind
from raysched.core.model import UserId
from raysched.errors import Forbidden
from serve_app.account_models import (
    Key,
    KeyAsked,
    Keys,
    LoggedIn,
    LoginAsked,
    Me,
    NewKey,
    NewUser,
    User,
    UserChange,
    Users,
)
from serve_app.desk import At, Desk
from serve_app.doorman import Doorman
from serve_app.handlers import IdempotencyKey
from serve_app.identity import COOKIE, MARK, csrf_of

AFTER_LOGIN = "/"
"""The web UI."""
HOUR_S = 3600.0
NOT_KEPT = {"Cache-Control": "no-store", "Referrer-Policy": "no-referrer"}


# --- sessions -------------------------------------------------------------------------------------


async def log_in(request: Request, response: Response, body: LoginAsked) -> LoggedIn:
    """Begin a session with a key or a one-time token: sets a cookie that scripts cannot read."""
    session, who = await _session(request, body.key)
    _set_cookie(request, response, session)
    return LoggedIn(id=who.user, role=who.role, csrf=csrf_of(session.text))


async def follow_login_link(
    request: Request, token: Annotated[str, Query(max_length=200)]
) -> Response:
    """The one-time link that `raysched up` prints: begins a session, once, and leads on."""
    Secret.read(token, KeyKind.LOGIN)  # a key in a link would log others in as whoever made it
    session, _ = await _session(request, token)
    answer = RedirectResponse(AFTER_LOGIN, 303, headers=NOT_KEPT)
    _set_cookie(request, answer, session)
    return answer


async def log_out(at: At, response: Response) -> None:
    """End the session of the cookie. A key as Bearer has none to end, and stays as it is."""
    who = at.asking.caller
    if who.kind is KeyKind.SESSION:
        await at.accounts.revoke(who.user, who.key)
    response.delete_cookie(COOKIE, path="/", httponly=True, samesite="strict")
    response.delete_cookie(MARK, path="/", samesite="strict")


async def _session(request: Request, text: str) -> tuple[Secret, Caller]:
    config: Config = request.app.state.config
    accounts = Accounts(request.app.state.gateway)
    doorman: Doorman = request.app.state.doorman
    with doorman.watching(Secret.read(text)):
        return await accounts.log_in(text, config.serve.session_hours * HOUR_S)


def _set_cookie(request: Request, response: Response, session: Secret) -> None:
    """The session for the server alone, and a mark that tells the page that there is one."""
    serve = request.app.state.config.serve
    response.headers.update(NOT_KEPT)
    for name, value in ((COOKIE, session.text), (MARK, "yes")):
        response.set_cookie(
            name,
            value,
            max_age=round(serve.session_hours * HOUR_S),
            path="/",
            secure=serve.secure_cookie or request.url.scheme == "https",
            httponly=name == COOKIE,
            samesite="strict",
        )


# --- oneself --------------------------------------------------------------------------------------


async def get_me(at: At, response: Response) -> Me:
    """Who you are to this service, and what you may do."""
    response.headers.update(NOT_KEPT)
    used = await asyncio.to_thread(at.slides.used)
    return Me.of(at.asking, used, await at.quota())


async def list_my_keys(at: At) -> Keys:
    """Your keys and sessions, without their secrets."""
    return await _keys(at, at.user)


async def make_my_key(at: At, body: KeyAsked, response: Response) -> NewKey:
    """One more key of your own: shown this once. It may do what the key you use may, or less."""
    role = body.role or at.asking.caller.role
    if at.user == at.asking.caller.user and not at.asking.caller.role.covers(role):
        raise Forbidden(
            f"A key of the role {at.asking.caller.role} makes none of the role {role}.",
            remedy="Ask for a lesser role, or use a key that may.",
        )
    if at.user != at.asking.caller.user:  # an administrator's key names another user
        role = body.role or (await at.gateway.account(at.user)).role
    return await _make_key(at, at.user, body.model_copy(update={"role": role}), response)


async def revoke_my_key(at: At, key: str) -> None:
    """End one of your keys, with the sessions that it began, or one session. A key that may do more
    than the one you use is not yours to end."""
    named = next((each for each in await at.gateway.keys(at.user) if each.key == key), None)
    role = at.asking.caller.role
    if named is not None and not role.covers(named.role):
        raise Forbidden(
            f"A key of the role {role} ends none of the role {named.role}.",
            remedy="Use a key that may do as much.",
        )
    await at.accounts.revoke(at.user, key)


# --- everybody: for administrators ----------------------------------------------------------------


async def list_users(at: At) -> Users:
    """All users that are not deleted."""
    return Users(users=tuple(map(User.of, await at.gateway.accounts())))


async def create_user(
    at: At, body: NewUser, response: Response, idempotency_key: IdempotencyKey = None
) -> User:
    """Take a user in; then make a key for it. An id that was ever given out is a conflict, but for
    the same Idempotency-Key."""
    response.headers["Location"] = f"/api/v1/users/{body.id}"
    name, tag = body.name or body.id, idempotency_key or ""
    return User.of(await at.accounts.create(body.id, name, body.role, tag))


async def get_user(at: At, user: str) -> User:
    """One user, also one that was deleted."""
    return User.of(await at.gateway.account(UserId(user)))


async def change_user(at: At, user: str, body: UserChange) -> User:
    """Rename, weigh, set quotas, disable or enable. Of a disabled user no key opens anything; jobs
    that have begun go on, nothing else begins until the user is enabled."""
    return User.of(await at.accounts.change(body.on(user)))


async def delete_user(at: At, user: str) -> User:
    """Cancel all unfinished jobs of a user and end their keys, at once and for ever. Results stay
    on the server's disk; the id is not given out again."""
    return User.of(await at.accounts.delete(user))


async def list_user_keys(at: At, user: str) -> Keys:
    """A user's keys and sessions, without their secrets."""
    return await _keys(at, UserId(user))


async def make_user_key(at: At, user: str, body: KeyAsked, response: Response) -> NewKey:
    """A key for a user: shown this once."""
    return await _make_key(at, UserId(user), body, response)


async def revoke_user_key(at: At, user: str, key: str) -> None:
    """End a key of a user's, with the sessions that it began, or one session."""
    await at.accounts.revoke(user, key)


async def _keys(at: Desk, user: UserId) -> Keys:
    shown = (KeyKind.API, KeyKind.SESSION)
    found = await at.gateway.keys(user)
    return Keys(keys=tuple(Key.of(each) for each in found if each.kind in shown))


async def _make_key(at: Desk, user: UserId, body: KeyAsked, response: Response) -> NewKey:
    response.headers.update(NOT_KEPT)
    return NewKey.of(user, await at.accounts.make_key(user, body.wish()))
