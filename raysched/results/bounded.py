"""What is kept of what was read or computed: the newest, within a bound."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Bounded(Generic[K, V]):
    """The values used last, of which the sizes add up to at most ``most``; the newest one is kept
    even where it alone is larger. ``size`` in any unit; by default each counts 1. Thread-safe: who
    asks for what another is just making waits for that."""

    def __init__(self, most: int, size: Callable[[V], int] = lambda _: 1) -> None:
        self._most = most
        self._size = size
        self._held: OrderedDict[K, V] = OrderedDict()
        self._making: dict[K, threading.Lock] = {}
        self._lock = threading.Lock()
        self._total = 0

    def __len__(self) -> int:
        return len(self._held)

    @property
    def total(self) -> int:
        """The sum of the sizes of what is held."""
        return self._total

    def get(self, key: K, make: Callable[[], V]) -> V:
        """The value of that name, made if it is not held. What ``make`` raises is raised."""
        with self._lock:
            if key in self._held:
                self._held.move_to_end(key)
                return self._held[key]
            gate = self._making.setdefault(key, threading.Lock())
        try:
            with gate:
                with self._lock:
                    if key in self._held:
                        return self._held[key]
                value = make()
                self._put(key, value)
                return value
        finally:
            with self._lock:
                self._making.pop(key, None)

    def _put(self, key: K, value: V) -> None:
        with self._lock:
            if key in self._held:  # two have made it, since a third one's attempt failed
                self._total -= self._size(self._held.pop(key))
            self._held[key] = value
            self._total += self._size(value)
            while self._total > self._most and len(self._held) > 1:
                _, old = self._held.popitem(last=False)
                self._total -= self._size(old)
