"""Who may ask: users are created, changed and deleted; keys are made, used and revoked.

As in ``requests`` each event has a check and an apply. Identity never touches another user's
scheduling: what becomes of a user's own jobs is said at ``apply_changed`` (disabled: what has begun
goes on, nothing else begins) and ``apply_deleted`` (all of them are cancelled).

Events carry ids and digests, never a secret: whoever makes a key hashes it before anything is
asked.
"""

from __future__ import annotations

import re
from collections import Counter
from hmac import compare_digest

from raysched.core.accounts import Account, AccountView, Caller, Key, KeyKind, KeyView
from raysched.core.endings import cancel_jobs
from raysched.core.events import (
    KeyMade,
    KeyRevoked,
    KeyUsed,
    LoggedIn,
    UserChanged,
    UserCreated,
    UserDeleted,
    UserWeighted,
)
from raysched.core.model import LOCAL_USER, KeyId, UserId
from raysched.core.requests import check_weighted
from raysched.core.state import State
from raysched.core.step import Step
from raysched.errors import Conflict, InvalidSetting, LimitReached, NotFound, Unauthorized

USER_ID = re.compile(r"[a-z0-9][a-z0-9._-]{0,31}")
NAME_MOST = 100
KEYS_MOST = 50
"""Of a user and a kind: those that work, and besides them those that do no longer."""
USED_STEP_S = 60.0
"""The time of a key's last use is kept this coarse: a record a minute at most for each key."""
MAX_JOBS_MOST = 1_000_000


# --- users ----------------------------------------------------------------------------------------


def check_created(state: State, event: UserCreated) -> bool:
    """An id is given out once, for ever; the same ``tag`` makes asking twice harmless."""
    if not USER_ID.fullmatch(event.user):
        raise InvalidSetting(
            f"{event.user[:40]!r} cannot be the id of a user.",
            remedy="Use up to 32 small letters, digits, dots, dashes and underscores.",
        )
    _check_name(event.name)
    known = state.identities.accounts.get(event.user)
    if known is None:
        return True
    if event.tag and known.tag == event.tag:
        return False
    was = "was" if known.deleted_at is not None else "is"
    raise Conflict(
        f"There {was} a user {event.user} already.",
        remedy="Choose another id: none is given out twice.",
        user=event.user,
    )


def apply_created(state: State, event: UserCreated, step: Step) -> None:  # noqa: ARG001
    """Take the user in. Nothing waits for that."""
    account = Account(event.name, event.role, event.tag, state.now)
    state.identities.accounts[event.user] = account


def check_changed(state: State, event: UserChanged) -> bool:
    """Only what there is can be changed; the operator's own user is never shut out."""
    account = _account(state, event.user)
    if event.name is not None:
        _check_name(event.name)
    if not 0 <= (event.max_jobs or 0) <= MAX_JOBS_MOST or (event.max_bytes or 0) < 0:
        raise InvalidSetting(
            "A quota is out of range.",
            remedy=f"Jobs: 0 (as everybody) to {MAX_JOBS_MOST:,}; bytes: 0 (no quota) or more.",
        )
    if event.disabled and event.user == LOCAL_USER:
        raise _local_stays("disabled")
    weighted = event.weight is not None and check_weighted(
        state, UserWeighted(event.at, event.user, event.weight)
    )
    wanted = (
        (event.name, account.name),
        (event.max_jobs, account.max_jobs),
        (event.max_bytes, account.max_bytes),
        (event.disabled, account.disabled_at is not None),
    )
    return weighted or any(new is not None and new != old for new, old in wanted)


def apply_changed(state: State, event: UserChanged, step: Step) -> None:
    """Write what is given. While a user is disabled no key of theirs opens anything; jobs that have
    begun go on to their end, and nothing else begins, until they are enabled again."""
    account = state.identities.accounts[event.user]
    if event.name is not None:
        account.name = event.name
    if event.max_jobs is not None:
        account.max_jobs = event.max_jobs
    if event.max_bytes is not None:
        account.max_bytes = event.max_bytes
    if event.weight is not None:
        state.user(event.user).weight = event.weight
    if event.disabled is not None and event.disabled != (account.disabled_at is not None):
        account.disabled_at = state.now if event.disabled else None
    user = state.users.get(event.user)
    if user is not None:
        step.users[event.user] = None
        for name in user.open:
            step.show(state.jobs[name])
        for branch in user.branches:
            step.branches[(event.user, branch)] = None


def check_deleted(state: State, event: UserDeleted) -> bool:
    """Deleting twice is harmless."""
    account = state.identities.accounts.get(event.user)
    if account is not None and account.deleted_at is not None:
        return False
    _account(state, event.user)
    if event.user == LOCAL_USER:
        raise _local_stays("deleted")
    return True


def apply_deleted(state: State, event: UserDeleted, step: Step) -> None:
    """End all that the user has: unfinished jobs are cancelled, keys open nothing from now on.
    Results stay on disk, where the operator finds them, and the id is not given out again."""
    identities = state.identities
    identities.accounts[event.user].deleted_at = state.now
    for key_id, key in list(identities.of(event.user)):
        _revoke(state, key_id, key)
    user = state.users.get(event.user)
    if user is not None:
        cancel_jobs(state, user.open, step)


def _account(state: State, user: UserId) -> Account:
    account = state.identities.accounts.get(user)
    if account is None or account.deleted_at is not None:
        raise NotFound(
            f"There is no user {user[:40]}.", remedy="List them with `raysched user list`."
        )
    return account


def _check_name(name: str) -> None:
    if not 0 < len(name.strip()) <= NAME_MOST or not name.isprintable():
        raise InvalidSetting(
            "That is no name.", remedy=f"Give 1 to {NAME_MOST} characters that can be printed."
        )


def _local_stays(verb: str) -> Conflict:
    return Conflict(
        f"The user {LOCAL_USER} cannot be {verb}: it is the operator's own.",
        remedy="Revoke its keys instead, with `raysched user revoke`.",
    )


# --- keys -----------------------------------------------------------------------------------------


def check_key_made(state: State, event: KeyMade) -> bool:
    """A key may not do more than its user; a user may have so many."""
    known = state.identities.keys.get(event.key)
    if known is not None:
        if (known.user, known.digest) == (event.user, event.digest):
            return False
        raise Conflict(f"There is a key {event.key} already.", remedy="Make another.")
    account = _account(state, event.user)
    _check_name(event.name)
    if not account.role.covers(event.role):
        raise InvalidSetting(
            f"A key of {event.user} cannot have the role {event.role}: the user is {account.role}.",
            remedy="Give the key the user's role or a lesser one.",
        )
    if event.kind is KeyKind.SESSION or (event.expires_at or event.at + 1) <= event.at:
        raise InvalidSetting(
            "A key must be of use from now on.", remedy="Let it expire later, or never."
        )
    live = [key for _, key in state.identities.of(event.user) if key.is_live(event.at)]
    if sum(key.kind is event.kind for key in live) >= KEYS_MOST:
        raise LimitReached(
            f"{event.user} has {KEYS_MOST} keys of this kind already.",
            remedy="Revoke some.",
            limit=KEYS_MOST,
        )
    return True


def apply_key_made(state: State, event: KeyMade, step: Step) -> None:  # noqa: ARG001
    """Know the key from now on."""
    state.identities.keys[event.key] = Key(
        event.user, event.kind, event.name, event.role, event.digest, state.now, event.expires_at
    )
    _forget(state, event.user)


def check_key_revoked(state: State, event: KeyRevoked) -> bool:
    """Only a key of the user's; revoking twice is harmless."""
    key = state.identities.keys.get(event.key)
    if key is None or key.user != event.user:
        raise NotFound(
            f"{event.user} has no key {event.key[:40]}.",
            remedy="List them with `raysched user keys`.",
        )
    return key.revoked_at is None


def apply_key_revoked(state: State, event: KeyRevoked, step: Step) -> None:  # noqa: ARG001
    """The key, and the sessions that it began, open nothing from now on."""
    _revoke(state, event.key, state.identities.keys[event.key])


def check_key_used(state: State, event: KeyUsed) -> bool:
    """News once a minute."""
    key = state.identities.keys.get(event.key)
    return key is not None and (key.used_at is None or event.at >= key.used_at + USED_STEP_S)


def apply_key_used(state: State, event: KeyUsed, step: Step) -> None:  # noqa: ARG001
    """Keep when."""
    state.identities.keys[event.key].used_at = state.now


def check_logged_in(state: State, event: LoggedIn) -> bool:
    """A session begins with a key that works; a one-time login works once."""
    known = state.identities.keys.get(event.session)
    if known is not None and known.digest == event.digest:
        return False
    key = state.identities.keys.get(event.key)
    if known is not None or key is None or key.kind is KeyKind.SESSION:
        raise _unknown()
    _check_opens(state, key, event.at)
    return True


def apply_logged_in(state: State, event: LoggedIn, step: Step) -> None:  # noqa: ARG001
    """Begin a session, which may do what its key may and ends with it."""
    keys = state.identities.keys
    key = keys[event.key]
    is_once = key.kind is KeyKind.LOGIN
    keys[event.session] = Key(
        key.user,
        KeyKind.SESSION,
        key.name,
        key.role,
        event.digest,
        state.now,
        event.expires_at,
        parent=None if is_once else event.key,
    )
    if is_once:
        del keys[event.key]
    _forget(state, key.user)


def _revoke(state: State, name: KeyId, key: Key) -> None:
    keys = state.identities.keys
    if key.kind is KeyKind.API:
        key.revoked_at = key.revoked_at or state.now
        for other, session in list(keys.items()):
            if session.parent == name:
                del keys[other]
    else:
        keys.pop(name, None)


def _forget(state: State, user: UserId) -> None:
    """Sessions and one-time logins go when they are over; of a user's dead keys the newest stay to
    be seen; of too many sessions the oldest ends."""
    keys = state.identities.keys
    for name, key in list(keys.items()):
        if key.kind is not KeyKind.API and not key.is_live(state.now):
            del keys[name]
    mine = list(state.identities.of(user))
    dead = [name for name, key in mine if not key.is_live(state.now)]
    sessions = [name for name, key in mine if key.kind is KeyKind.SESSION]
    for name in (*dead[:-KEYS_MOST], *sessions[:-KEYS_MOST]):
        del keys[name]


# --- reads ----------------------------------------------------------------------------------------


def identify(state: State, name: KeyId, digest: str, now: float) -> Caller:
    """Who a key belongs to. Raises ``Unauthorized``; why a key no longer works is told only to
    whoever holds all of it."""
    key = state.identities.keys.get(name)
    if not compare_digest(digest.encode(), (key.digest if key else "").encode()) or key is None:
        raise _unknown()
    _check_opens(state, key, now)
    account = state.identities.accounts[key.user]
    role = key.role if account.role.covers(key.role) else account.role
    most = state.identities.most_jobs(key.user, state.limits.max_jobs_per_user)
    return Caller(key.user, account.name, role, name, key.kind, most, account.role)


def _check_opens(state: State, key: Key, now: float) -> None:
    if key.revoked_at is not None:
        raise Unauthorized(
            "This key was revoked.",
            remedy="Use another, or ask an administrator for one.",
            for_ever=True,
        )
    if not key.is_live(now):
        raise Unauthorized(
            "This key or session has expired.",
            remedy="Log in again, or ask an administrator for a new key.",
            for_ever=True,
        )
    if state.identities.is_shut(key.user):
        raise Unauthorized("This user is disabled.", remedy="Ask an administrator.")


def _unknown() -> Unauthorized:
    return Unauthorized(
        "This key is not known.",
        remedy="Check that it is whole; an administrator makes new ones.",
        for_ever=True,
    )


def account_view(state: State, user: UserId, now: float) -> AccountView:
    """One account, also a deleted one. Raises ``NotFound``."""
    account = state.identities.accounts.get(user)
    if account is None:
        raise NotFound(
            f"There is no user {user[:40]}.", remedy="List them with `raysched user list`."
        )
    keys = [key for _, key in state.identities.of(user) if _is_counted(key, now)]
    return _account_view(state, user, account, len(keys))


def account_views(state: State, now: float) -> tuple[AccountView, ...]:
    """All accounts that are not deleted, in order of creation."""
    keys = Counter(key.user for key in state.identities.keys.values() if _is_counted(key, now))
    return tuple(
        _account_view(state, user, account, keys[user])
        for user, account in state.identities.accounts.items()
        if account.deleted_at is None
    )


def _is_counted(key: Key, now: float) -> bool:
    return key.kind is KeyKind.API and key.is_live(now)


def _account_view(state: State, user: UserId, account: Account, keys: int) -> AccountView:
    work = state.users.get(user)
    return AccountView(
        user,
        account.name,
        account.role,
        account.created_at,
        account.disabled_at,
        account.deleted_at,
        work.weight if work is not None else 1.0,
        account.max_jobs,
        account.max_bytes,
        len(work.open) if work is not None else 0,
        keys,
    )


def key_views(state: State, user: UserId) -> tuple[KeyView, ...]:
    """A user's keys and sessions, oldest first. Raises ``NotFound``."""
    _account(state, user)
    return tuple(
        KeyView(
            name,
            user,
            key.kind,
            key.name,
            key.role,
            key.made_at,
            key.expires_at,
            key.revoked_at,
            key.used_at,
        )
        for name, key in state.identities.of(user)
    )
