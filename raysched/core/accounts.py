"""Users as accounts and their keys: values, and what may be read of them.

Written by ``raysched.core.identity`` only. A secret is never in here: of a key there is its public
id and the SHA-256 digest of the whole. A key proves one user, and may do less than its user, never
more.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum

from raysched.core.model import KeyId, UserId


class Role(StrEnum):
    """What may be done: look; also change what is one's own; also look after users."""

    READ_ONLY = "read-only"
    USER = "user"
    ADMIN = "admin"

    __hash__ = str.__hash__

    def covers(self, other: Role) -> bool:
        """Whether this role may do all that the other may."""
        return _RANK[self] >= _RANK[other]


_RANK = {role: rank for rank, role in enumerate(Role)}


class KeyKind(StrEnum):
    """Where a key is used: sent with each request, once to log in, or as a browser's cookie."""

    API = "api"
    LOGIN = "login"
    SESSION = "session"

    __hash__ = str.__hash__


@dataclass(slots=True)
class Account:
    """What is known of a user besides their work. A deleted one stays: its id is never given out
    again."""

    name: str
    role: Role
    tag: str
    """The idempotency key of its creation."""
    created_at: float
    disabled_at: float | None = None
    deleted_at: float | None = None
    max_jobs: int = 0
    """Unfinished jobs at once; 0: as everybody."""
    max_bytes: int = 0
    """Storage; 0: as everybody. Who takes uploads in sees to it."""


@dataclass(slots=True)
class Key:
    """A key, a one-time login or a session."""

    user: UserId
    kind: KeyKind
    name: str
    role: Role
    digest: str
    made_at: float
    expires_at: float | None = None
    revoked_at: float | None = None
    used_at: float | None = None
    """When it was last used, to the minute."""
    parent: KeyId | None = None
    """The key that a session was begun with: it ends with that."""

    def is_live(self, now: float) -> bool:
        """Whether it still opens anything, as far as the key itself goes."""
        return self.revoked_at is None and (self.expires_at is None or now < self.expires_at)


@dataclass(slots=True)
class Identities:
    """All accounts and keys."""

    accounts: dict[UserId, Account] = field(default_factory=dict)
    keys: dict[KeyId, Key] = field(default_factory=dict)

    def of(self, user: UserId) -> Iterator[tuple[KeyId, Key]]:
        """A user's keys of all kinds, oldest first."""
        return ((name, key) for name, key in self.keys.items() if key.user == user)

    def is_shut(self, user: UserId) -> bool:
        """Whether nothing new of the user's may start: disabled or deleted. A user without an
        account, as in journals from before there were any, may."""
        account = self.accounts.get(user)
        return account is not None and not (
            account.disabled_at is None and account.deleted_at is None
        )

    def most_jobs(self, user: UserId, usual: int) -> int:
        """How many unfinished jobs the user may have: their own quota, or the usual number."""
        account = self.accounts.get(user)
        return account.max_jobs or usual if account is not None else usual


@dataclass(frozen=True, slots=True)
class Caller:
    """Who a key or session belongs to, and what it may do."""

    user: UserId
    name: str
    role: Role
    key: KeyId
    kind: KeyKind
    max_jobs: int
    """Unfinished jobs that the user may have at once."""
    account: Role = Role.READ_ONLY
    """The user's role: the key's, or more."""


@dataclass(frozen=True, slots=True)
class AccountView:
    """An account as an administrator sees it. Times in seconds since the epoch, UTC."""

    user: UserId
    name: str
    role: Role
    created_at: float
    disabled_at: float | None
    deleted_at: float | None
    weight: float
    max_jobs: int
    max_bytes: int
    jobs_open: int
    keys: int
    """Keys that work; sessions and one-time logins are not counted."""


@dataclass(frozen=True, slots=True)
class KeyView:
    """A key or session without its secret. Times in seconds since the epoch, UTC."""

    key: KeyId
    user: UserId
    kind: KeyKind
    name: str
    role: Role
    made_at: float
    expires_at: float | None
    revoked_at: float | None
    used_at: float | None
