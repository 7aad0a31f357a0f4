"""Start-time fair queueing (Goyal, Vin, Cheng 1996), used for users and, inside each, for branches.

Every name has a tag: the virtual time up to which it has been served. The ready name with the
smallest tag goes next; being served moves its tag on by cost / weight. Virtual time is the smallest
ready tag when something was last served; a name that becomes ready starts there at the earliest,
so that idle time banks no credit. A cost is an estimate when it is charged and is corrected when it
is known.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, field
from heapq import heapify, heappop, heappush, heapreplace
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
_SLACK = 64
"""Dead heap entries that are tolerated before the heap is built again."""


@dataclass(slots=True)
class FairQueue(Generic[K]):
    """Who is ready, and who of them goes next. Written by settling and dispatch only."""

    virtual: float = 0.0
    tags: dict[K, float] = field(default_factory=dict)
    ready: dict[K, int] = field(default_factory=dict)
    """Ready names with the ticket drawn when they became ready: ties go to who came first."""
    tickets: int = 0
    _heap: list[tuple[float, int, K]] = field(default_factory=list, compare=False, repr=False)
    """Index over ``ready``: each ready name has an entry with its ticket and no tag above its own.
    An entry with another ticket is dead; one with a smaller tag is put right once it is on top."""

    def wake(self, name: K) -> None:
        """Make a name ready; nothing happens if it is."""
        if name in self.ready:
            return
        ticket = self.tickets = self.tickets + 1
        self.ready[name] = ticket
        tag = self.tags.get(name, 0.0)
        if tag < self.virtual:  # noqa: PLR1730 - for every event; max() takes twice as long
            tag = self.virtual
        self.tags[name] = tag
        self._push(tag, ticket, name)

    def sleep(self, name: K) -> None:
        """Make a name not ready; nothing happens if it is not. Its tag stays."""
        self.ready.pop(name, None)

    def forget(self, name: K) -> None:
        """Drop a name that has nothing left to be served."""
        self.ready.pop(name, None)
        self.tags.pop(name, None)

    def first(self) -> K | None:
        """The ready name that goes next."""
        heap = self._heap
        while heap:
            tag, ticket, name = heap[0]
            if self.ready.get(name) != ticket:
                heappop(heap)
                continue
            tag_now = self.tags[name]
            if tag_now == tag:
                return name
            heapreplace(heap, (tag_now, ticket, name))
        return None

    def charge(self, name: K, cost: float) -> None:
        """Serve a name: its tag moves on by the cost, and virtual time reaches the smallest tag
        that was ready (the name's own, unless it was served out of turn)."""
        tags, heap = self.tags, self._heap
        tag = tags.get(name)
        if tag is None:
            return
        if heap and heap[0] == (tag, self.ready.get(name), name):
            least = tag
        else:
            first = self.first()
            least = self.virtual if first is None else tags[first]
        if least > self.virtual:  # noqa: PLR1730 - as above
            self.virtual = least
        tags[name] = tag + cost

    def correct(self, name: K, difference: float) -> None:
        """Move a tag by what a cost turned out to differ from its estimate."""
        tag = self.tags.get(name)
        if tag is None or difference == 0.0:
            return
        self.tags[name] = tag + difference
        if difference < 0.0 and name in self.ready:
            self._push(tag + difference, self.ready[name], name)

    def rank(self, name: K) -> int:
        """How many ready names go before this one. Linear: for reading, not for scheduling."""
        mine = (self.tags.get(name, self.virtual), self.ready.get(name, self.tickets + 1))
        return sum((self.tags[other], self.ready[other]) < mine for other in self.ready)

    def _push(self, tag: float, ticket: int, name: K) -> None:
        heappush(self._heap, (tag, ticket, name))
        if len(self._heap) > 2 * len(self.ready) + _SLACK:
            self._heap = [(self.tags[n], ticket, n) for n, ticket in self.ready.items()]
            heapify(self._heap)
