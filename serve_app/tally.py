"""How many of something each user has open at this replica, bounded for each and for all."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from raysched.core.model import UserId
from raysched.errors import LimitReached


@dataclass(slots=True)
class Tally:
    """Counts what is open. For one event loop; ``what`` says in the plural what is counted."""

    what: str
    most: int
    most_per_user: int
    _open: Counter[UserId] = field(default_factory=Counter)

    @property
    def total(self) -> int:
        """How many are open."""
        return self._open.total()

    @contextmanager
    def one_more(self, user: UserId) -> Iterator[None]:
        """Have one open. Raises ``LimitReached`` when the user, or all together, have enough."""
        if self._open[user] >= self.most_per_user:
            raise LimitReached(
                f"You have {self.most_per_user} {self.what} open already.",
                remedy="Close one, or ask again later.",
                limit=self.most_per_user,
            )
        if self.total >= self.most:
            raise LimitReached(
                f"The service has {self.most} {self.what} open already.",
                remedy="Ask again later.",
                limit=self.most,
            )
        self._open[user] += 1
        try:
            yield
        finally:
            self._open[user] -= 1
            if not self._open[user]:
                del self._open[user]
