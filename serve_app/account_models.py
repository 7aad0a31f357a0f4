"""What HTTP and ``--json`` show and take of users and keys. A secret is in ``NewKey`` alone."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Annotated

from pydantic import BaseModel, ConfigDict, Field, StrictBool, StrictFloat, StrictInt

from raysched.core.accounts import AccountView, KeyKind, KeyView, Role
from raysched.core.events import UserChanged
from raysched.core.model import UserId
from serve_app.models import Shown, utc, utc_or_none

if TYPE_CHECKING:
    from raysched.cluster.accounts import KeyWish, Secret
    from serve_app.identity import Asking

Name = Annotated[str, Field(min_length=1, max_length=100)]


class Asked(BaseModel):
    """Base of what is taken."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class User(Shown):
    """A user as an administrator sees it. ``max_jobs`` 0: as everybody; ``max_bytes`` of
    uploads, 0: as everybody."""

    id: str
    name: str
    role: Role
    created_at: datetime
    disabled_at: datetime | None
    deleted_at: datetime | None
    weight: float
    max_jobs: int
    max_bytes: int
    jobs_open: int
    keys: int

    @classmethod
    def of(cls, view: AccountView) -> User:
        """The core's account."""
        same = ("name", "role", "weight", "max_jobs", "max_bytes", "jobs_open", "keys")
        return cls(
            **{name: getattr(view, name) for name in same},
            id=view.user,
            created_at=utc(view.created_at),
            disabled_at=utc_or_none(view.disabled_at),
            deleted_at=utc_or_none(view.deleted_at),
        )


class Users(Shown):
    """All users that are not deleted, in order of creation."""

    users: tuple[User, ...]


class Key(Shown):
    """A key or session without its secret. ``used_at`` is exact to a minute."""

    id: str
    kind: KeyKind
    name: str
    role: Role
    made_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None
    used_at: datetime | None

    @classmethod
    def of(cls, view: KeyView) -> Key:
        """The core's key."""
        return cls(
            id=view.key,
            kind=view.kind,
            name=view.name,
            role=view.role,
            made_at=utc(view.made_at),
            expires_at=utc_or_none(view.expires_at),
            revoked_at=utc_or_none(view.revoked_at),
            used_at=utc_or_none(view.used_at),
        )


class Keys(Shown):
    """A user's keys, oldest first."""

    keys: tuple[Key, ...]


class NewKey(Shown):
    """A key that was just made. ``key`` is the whole of it, shown this once."""

    id: str
    user: str
    key: str

    @classmethod
    def of(cls, user: str, made: Secret) -> NewKey:
        """The one place where a secret leaves the service."""
        return cls(id=made.key, user=user, key=made.text)


class Me(Shown):
    """Who asks, by which key, and for whom. ``csrf``: what a session sends with its changes.
    ``used_bytes`` of ``max_bytes`` (0: any number) are taken by slides and announced uploads."""

    id: str
    name: str
    role: Role
    key: str
    acts_for: str
    max_jobs: int
    used_bytes: int
    max_bytes: int
    csrf: str | None

    @classmethod
    def of(cls, asking: Asking, used_bytes: int, max_bytes: int) -> Me:
        """The caller."""
        who = asking.caller
        return cls(
            id=who.user,
            name=who.name,
            role=who.role,
            key=who.key,
            acts_for=asking.user,
            max_jobs=asking.max_jobs,
            used_bytes=used_bytes,
            max_bytes=max_bytes,
            csrf=asking.csrf,
        )


class LoggedIn(Shown):
    """A session has begun: its cookie came along. ``csrf`` goes with each change, as a header."""

    id: str
    role: Role
    csrf: str


class NewUser(Asked):
    """A user to take in. The id is for ever; the name can change."""

    id: str = Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,31}$")
    name: Name | None = None
    role: Role = Role.USER


class UserChange(Asked):
    """What is to be different; what is left out stays."""

    name: Name | None = None
    weight: StrictFloat | None = Field(default=None, ge=0.01, le=100)
    max_jobs: StrictInt | None = Field(
        default=None, ge=0, le=1_000_000, description="0: as everybody"
    )
    max_bytes: StrictInt | None = Field(default=None, ge=0, le=2**60, description="0: as everybody")
    disabled: StrictBool | None = None

    def on(self, user: str) -> UserChanged:
        """The change as an event."""
        return UserChanged(0.0, UserId(user), **self.model_dump())


class KeyAsked(Asked):
    """A key to make. It may do less than its user, never more."""

    name: Name = "key"
    role: Role | None = Field(default=None, description="default: the user's")
    days: StrictFloat | None = Field(
        default=None, ge=0.001, le=36_500, description="default: for ever"
    )

    def wish(self) -> KeyWish:
        """As the accounts take it."""
        from raysched.cluster.accounts import KeyWish

        return KeyWish(self.name, self.role, self.days)


class LoginAsked(Asked):
    """A key, or the token of a one-time link."""

    key: str = Field(max_length=200)
