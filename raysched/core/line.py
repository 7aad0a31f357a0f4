"""The line of open jobs of one branch, in order of submission."""

from __future__ import annotations

from bisect import bisect_left, insort
from dataclasses import dataclass, field

from raysched.core.model import JobId

_COMPACT_AT = 32


@dataclass(slots=True)
class JobLine:
    """Jobs sorted by their order of submission; leaving at the front costs the same at any length.

    Written by submission, retry and the end of a job only.
    """

    _entries: list[tuple[int, JobId]] = field(default_factory=list)
    _start: int = 0
    """Entries before this index have left; they are cut off when they are half of the list."""

    def __len__(self) -> int:
        return len(self._entries) - self._start

    def __eq__(self, other: object) -> bool:
        return isinstance(other, JobLine) and self.jobs() == other.jobs()

    __hash__ = None  # type: ignore[assignment]  # mutable

    def jobs(self) -> list[JobId]:
        """All jobs in line, first first."""
        return [job for _, job in self._entries[self._start :]]

    def first(self) -> JobId | None:
        """The job at the head."""
        return self._entries[self._start][1] if self else None

    def join(self, order: int, job: JobId) -> None:
        """Stand at the place that the order of submission gives; nothing if already there."""
        if self._find(order, job) is None:
            insort(self._entries, (order, job), lo=self._start)

    def leave(self, order: int, job: JobId) -> None:
        """Leave the line; nothing if not in it."""
        start, entries = self._start, self._entries
        if start == len(entries) or entries[start][0] != order:
            place = self._find(order, job)
            if place is not None:
                del entries[place]
            return
        self._start += 1
        if self._start >= _COMPACT_AT and 2 * self._start >= len(self._entries):
            del self._entries[: self._start]
            self._start = 0

    def rank(self, order: int) -> int:
        """How many jobs stand before the given order of submission."""
        return bisect_left(self._entries, (order,), lo=self._start) - self._start

    def _find(self, order: int, job: JobId) -> int | None:
        place = bisect_left(self._entries, (order, job), lo=self._start)
        if place < len(self._entries) and self._entries[place] == (order, job):
            return place
        return None
