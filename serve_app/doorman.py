"""Who is let in. Nobody is from memory: that is the actor's word, once for each request. From
memory a replica only turns people away, so that whoever asks too much costs the actor nothing:

- a user whose tokens are spent, until the next one is there;
- a key that the actor has just called one that opens nothing, for a second;
- keys that were not let in here lately, all together, above a pace of their own. Random keys are
  tried at that pace and no faster, and do not slow down users who are at work.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Generic, TypeVar

from raysched.cluster.accounts import Secret
from raysched.cluster.gateway import Gateway
from raysched.cluster.limiter import Admission, Budget, Limiter, Taken, check_taken, pace_of
from raysched.config import LimitSettings
from raysched.core.accounts import KeyKind
from raysched.core.model import UserId
from raysched.errors import Unauthorized

REFUSED_S = 1.0
MEMORY = 10_000
STRANGERS = "strangers"

K = TypeVar("K")
V = TypeVar("V")


class Recent(Generic[K, V]):
    """The newest ``MEMORY`` values by name."""

    def __init__(self) -> None:
        self._values: dict[K, V] = {}

    def get(self, name: K) -> V | None:
        """The value, if it is still known."""
        return self._values.get(name)

    def put(self, name: K, value: V) -> None:
        """Know this as the newest."""
        self._values.pop(name, None)
        self._values[name] = value
        if len(self._values) > MEMORY:
            del self._values[next(iter(self._values))]

    def forget(self, name: K) -> None:
        """Know it no longer."""
        self._values.pop(name, None)

    def forget_those(self, is_meant: Callable[[K], bool]) -> None:
        """Know none of these any longer. Looks at all names."""
        for name in [each for each in self._values if is_meant(each)]:
            del self._values[name]


class Doorman:
    """The doorman of one replica. Used within one event loop; keys are known by their digests."""

    def __init__(
        self,
        gateway: Gateway,
        limits: LimitSettings,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._gateway = gateway
        self._limits = limits
        self._clock = clock
        self._strangers = Limiter()
        self._users: Recent[str, UserId] = Recent()
        self._refused: Recent[str, tuple[float, Unauthorized]] = Recent()
        self._spent: Recent[tuple[UserId, Budget], float] = Recent()

    async def admit(self, text: str, kind: KeyKind, budget: Budget) -> Admission:
        """Who sent this key, which must be of this kind, and one token of the user's. Raises
        ``Unauthorized``, ``TooManyRequests``."""
        given = Secret.read(text, kind)
        user = self._users.get(given.digest)
        if user is not None:
            until = self._spent.get((user, budget)) or 0.0
            check_taken(Taken(0, max(until - self._clock(), 0.0)), budget)
        with self.watching(given):
            admission = await self._gateway.admit(given.key, given.digest, budget)
        user = admission.caller.user
        self._users.put(given.digest, user)
        if admission.taken.wait_s:
            self._spent.put((user, budget), self._clock() + admission.taken.wait_s)
        check_taken(admission.taken, budget)
        return admission

    @contextmanager
    def watching(self, given: Secret) -> Iterator[None]:
        """While the actor is asked about a key: stop those before that it would refuse, and
        remember what it refuses. Raises ``Unauthorized``, ``TooManyRequests``."""
        until, error = self._refused.get(given.digest) or (0.0, None)
        if error is not None and self._clock() < until:
            raise Unauthorized(error.message, remedy=error.remedy, **error.facts)
        if self._users.get(given.digest) is None:
            pace = pace_of(self._limits, STRANGERS)
            check_taken(self._strangers.take(STRANGERS, pace, self._clock()), STRANGERS)
        try:
            yield
        except Unauthorized as refused:
            self._users.forget(given.digest)
            if refused.facts.get("for_ever"):
                self._refused.put(given.digest, (self._clock() + REFUSED_S, refused))
            raise
