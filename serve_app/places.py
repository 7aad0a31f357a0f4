"""Places for what takes long: so many for each user and so many in all, in one replica."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from raysched.core.model import UserId
from raysched.errors import Busy, TooManyAtOnce


class Places:
    """Counted places for one sort of thing (``what``: in the plural). Used within one event loop.
    ``per_user`` None: one user may have all.

    A place is held by a ``with`` and given back however that ends: done, failed, cancelled.
    """

    def __init__(self, what: str, *, per_user: int | None = None, in_all: int) -> None:
        self._what = what
        self._per_user = per_user
        self._in_all = in_all
        self._taken: Counter[UserId] = Counter()

    def __len__(self) -> int:
        return self._taken.total()

    @contextmanager
    def taken(self, user: UserId) -> Iterator[None]:
        """One place. Raises ``TooManyAtOnce`` when the user has enough, ``Busy`` when all have."""
        if self._per_user is not None and self._taken[user] >= self._per_user:
            raise TooManyAtOnce(
                f"{self._per_user} {self._what} of yours are going on already.",
                remedy="Wait until one has ended, or end one.",
                limit=self._per_user,
            )
        if len(self) >= self._in_all:
            raise Busy(
                f"{self._in_all} {self._what} are going on already.",
                remedy="Ask again in a moment.",
            )
        self._taken[user] += 1
        try:
            yield
        finally:
            self._taken[user] -= 1
            if not self._taken[user]:
                del self._taken[user]
