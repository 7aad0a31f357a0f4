"""What a client asks of users and keys: its own, and, as an administrator, everybody's."""

from __future__ import annotations

from typing import Any

from raysched.client.wire import Call, Wire, at
from raysched.core.accounts import Role
from serve_app.account_models import Key, Keys, Me, NewKey, User, Users
from serve_app.queue_models import Info


class AccountVerbs:
    """Verbs of ``Client``."""

    _wire: Wire

    def me(self) -> Me:
        """Who the key belongs to and what it may do."""
        return self._wire.ask(Me, Call(method="GET", path="/me"))

    def info(self) -> Info:
        """The service: its version, its limits, whether it is paused."""
        return self._wire.ask(Info, Call(method="GET", path="/info"))

    def keys(self) -> tuple[Key, ...]:
        """Your keys and sessions, without their secrets."""
        return self._wire.ask(Keys, Call(method="GET", path="/me/keys")).keys

    def make_key(
        self, name: str = "key", *, role: Role | str | None = None, days: float | None = None
    ) -> NewKey:
        """One more key of your own; ``key`` of the answer is all of it, shown this once."""
        return self._make_key("/me/keys", {"name": name, "role": role, "days": days})

    def revoke_key(self, key: str) -> None:
        """End one of your keys with the sessions that it began, or one session."""
        self._wire.send(Call(method="DELETE", path=at("me", "keys", key)))

    def users(self) -> tuple[User, ...]:
        """All users that are not deleted. For administrators, as all below."""
        return self._wire.ask(Users, Call(method="GET", path="/users")).users

    def user(self, user: str) -> User:
        """One user, also a deleted one. Raises ``NotFound``."""
        return self._wire.ask(User, Call(method="GET", path=at("users", user)))

    def create_user(self, user: str, *, name: str | None = None, role: Role | str = "user") -> User:
        """Take a user in. Raises ``Conflict`` for an id that was given out before."""
        body = {"id": user, "name": name or user, "role": role}
        return self._wire.ask(User, Call(method="POST", path="/users", json=body))

    def change_user(self, user: str, **changes: Any) -> User:
        """Change ``name``, ``weight``, ``max_jobs``, ``max_bytes`` or ``disabled``; what is left
        out stays. Raises ``NotFound``, ``InvalidSetting``."""
        return self._wire.ask(User, Call(method="PATCH", path=at("users", user), json=changes))

    def delete_user(self, user: str) -> User:
        """Cancel all that a user has unfinished and end their keys, for ever."""
        return self._wire.ask(User, Call(method="DELETE", path=at("users", user)))

    def user_keys(self, user: str) -> tuple[Key, ...]:
        """A user's keys and sessions, without their secrets."""
        return self._wire.ask(Keys, Call(method="GET", path=at("users", user, "keys"))).keys

    def make_user_key(
        self,
        user: str,
        name: str = "key",
        *,
        role: Role | str | None = None,
        days: float | None = None,
    ) -> NewKey:
        """A key for a user; ``role`` None: as the user's; ``days`` None: for ever."""
        path = at("users", user, "keys")
        return self._make_key(path, {"name": name, "role": role, "days": days})

    def revoke_user_key(self, user: str, key: str) -> None:
        """End a key of a user's."""
        self._wire.send(Call(method="DELETE", path=at("users", user, "keys", key)))

    def _make_key(self, path: str, body: dict[str, Any]) -> NewKey:
        # Sent once: a key whose making is repeated is a second key, which nobody knows.
        call = Call(method="POST", path=path, json=body, repeatable=False)
        return self._wire.ask(NewKey, call)
