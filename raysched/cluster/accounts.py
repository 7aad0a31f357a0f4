"""Users and keys as people ask for them: secrets are made here, in the caller's process.

Only a key's public id and the SHA-256 digest of the whole go to the actor. A secret has 256 random
bits, so a plain digest tells nothing of it: slow hashing is for passwords that people choose.
"""

from __future__ import annotations

import hashlib
import re
import secrets
import time
from dataclasses import dataclass, field
from uuid import uuid4

from raysched.cluster.gateway import Gateway
from raysched.core.accounts import AccountView, Caller, KeyKind, Role
from raysched.core.events import (
    KeyMade,
    KeyRevoked,
    LoggedIn,
    UserChanged,
    UserCreated,
    UserDeleted,
)
from raysched.core.model import LOCAL_USER, KeyId, UserId
from raysched.errors import Unauthorized

PREFIXES = {KeyKind.API: "rsk", KeyKind.LOGIN: "rsl", KeyKind.SESSION: "rss"}
SHAPE = re.compile(r"(rsk|rsl|rss)_([0-9a-f]{12})_[0-9a-f]{64}")
LOGIN_LASTS_S = 600.0
DAY_S = 86_400.0


@dataclass(frozen=True, slots=True)
class Secret:
    """A whole key: ``rsk_ID_SECRET``. Shown once, and never in a log: its repr leaves it out."""

    text: str = field(repr=False)
    key: KeyId
    kind: KeyKind

    @classmethod
    def new(cls, kind: KeyKind) -> Secret:
        """One that nobody can guess."""
        key = KeyId(secrets.token_hex(6))
        return cls(f"{PREFIXES[kind]}_{key}_{secrets.token_hex(32)}", key, kind)

    @classmethod
    def read(cls, text: str, wanted: KeyKind | None = None) -> Secret:
        """What somebody sent. Raises ``Unauthorized`` for what cannot be a key, or is not of the
        kind that is wanted."""
        found = SHAPE.fullmatch(text)
        if found is None:
            raise Unauthorized(
                "This is no key of raysched.", remedy="Send all of it: rsk_ID_SECRET."
            )
        kind = next(kind for kind, prefix in PREFIXES.items() if prefix == found[1])
        if wanted not in (None, kind):
            raise Unauthorized(
                "This key is not for this use.",
                remedy="Send an rsk_ key as Bearer; an rsl_ key logs in, once.",
            )
        return cls(text, KeyId(found[2]), kind)

    @property
    def digest(self) -> str:
        """What is kept of it."""
        return hashlib.sha256(self.text.encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class KeyWish:
    """What a new key is to be like. ``role`` None: as its user's; ``days`` None: for ever."""

    name: str = "key"
    role: Role | None = None
    days: float | None = None


@dataclass(frozen=True, slots=True)
class Accounts:
    """Changes of users and keys, each durable when it returns. Raises what the core refuses."""

    gateway: Gateway

    async def create(self, user: str, name: str, role: Role, tag: str = "") -> AccountView:
        """Take a user in; with the same ``tag`` again it is the same user. Raises ``Conflict`` for
        an id that was given out before."""
        event = UserCreated(0.0, UserId(user), name, role, tag or uuid4().hex)
        await self.gateway.change_identity(event)
        return await self.gateway.account(UserId(user))

    async def change(self, change: UserChanged) -> AccountView:
        """Write what is not None in the change."""
        await self.gateway.change_identity(change)
        return await self.gateway.account(change.user)

    async def delete(self, user: str) -> AccountView:
        """Cancel all that the user has unfinished and revoke their keys. Results stay on disk; the
        id is not given out again."""
        await self.gateway.change_identity(UserDeleted(0.0, UserId(user)))
        return await self.gateway.account(UserId(user))

    async def make_key(self, user: str, wish: KeyWish) -> Secret:
        """A new key: the only time that its secret is seen."""
        made = Secret.new(KeyKind.API)
        role = wish.role or (await self._role(user))
        await self.gateway.change_identity(
            KeyMade(
                0.0,
                UserId(user),
                made.key,
                made.kind,
                wish.name,
                role,
                made.digest,
                expires_at=time.time() + wish.days * DAY_S if wish.days is not None else None,
            )
        )
        return made

    async def revoke(self, user: str, key: str) -> None:
        """End a key with its sessions, or one session."""
        await self.gateway.change_identity(KeyRevoked(0.0, UserId(user), KeyId(key)))

    async def first_key(self) -> Secret | None:
        """The operator's first key; None when there was one before."""
        made = Secret.new(KeyKind.API)
        event = KeyMade(
            0.0, LOCAL_USER, made.key, made.kind, "first start", Role.ADMIN, made.digest
        )
        return made if await self.gateway.first_key(event) else None

    async def login_token(self, user: str = LOCAL_USER) -> Secret:
        """Opens one session, once, within ``LOGIN_LASTS_S``."""
        made = Secret.new(KeyKind.LOGIN)
        role = await self._role(user)
        until = time.time() + LOGIN_LASTS_S
        event = KeyMade(0.0, UserId(user), made.key, made.kind, "login", role, made.digest, until)
        await self.gateway.change_identity(event)
        return made

    async def log_in(self, text: str, lasts_s: float) -> tuple[Secret, Caller]:
        """Begin a session with a key or a one-time login. Raises ``Unauthorized``,
        ``TooManyRequests``."""
        given, session = Secret.read(text), Secret.new(KeyKind.SESSION)
        event = LoggedIn(0.0, given.key, session.key, session.digest, time.time() + lasts_s)
        return session, await self.gateway.log_in(given.digest, event)

    async def _role(self, user: str) -> Role:
        return (await self.gateway.account(UserId(user))).role
