"""What waits for the core: events in the order of their coming, requests no more than so many.

Reports (what becomes of runs, lanes and timers) are always taken in: there are never more of them
than lanes and jobs, and a lost one would hold a lane for ever. Requests are as many as people send;
they are counted apart, so that a thousand lanes that report at once keep nobody out.
"""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass

from raysched.core.events import Event, WorkflowSubmitted
from raysched.errors import Busy

RETRY_AFTER_S = 1.0
"""A full mailbox is empty again after a few seconds; who comes early is told so once more."""


@dataclass(frozen=True, slots=True)
class Letter:
    """An event on its way to the core, and who waits for it to be durable."""

    event: Event
    done: asyncio.Future[None]

    @property
    def jobs(self) -> int:
        """How many jobs it brings: what it costs in memory and in time is by these."""
        return len(self.event.jobs) if isinstance(self.event, WorkflowSubmitted) else 0


class Mailbox:
    """A queue of letters for one reader, in one event loop. ``most_events`` and ``most_jobs``: the
    requests, and their jobs, that may wait in it before others are refused; one that comes alone
    is never too large."""

    def __init__(self, most_events: int, most_jobs: int) -> None:
        self._most_events = most_events
        self._most_jobs = most_jobs
        self._letters: deque[tuple[Letter, bool]] = deque()
        self._requests = 0
        self._jobs = 0
        self._came = asyncio.Event()

    def __len__(self) -> int:
        return len(self._letters)

    def put(self, letter: Letter) -> None:
        """Take in a report, however many wait."""
        self._put(letter, False)

    def put_request(self, letter: Letter) -> None:
        """Take in a request. Raises ``Busy`` where too many wait; then nothing of it is kept."""
        is_crowded = self._jobs > 0 and self._jobs + letter.jobs > self._most_jobs
        if self._requests >= self._most_events or (letter.jobs and is_crowded):
            raise Busy(
                f"{self._requests} changes with {self._jobs} jobs wait to be written down already.",
                remedy="Nothing of this one was done: send it again in a moment.",
                retry_after_s=RETRY_AFTER_S,
            )
        self._put(letter, True)

    def _put(self, letter: Letter, is_request: bool) -> None:
        self._letters.append((letter, is_request))
        self._requests += is_request
        self._jobs += letter.jobs
        self._came.set()

    async def take(self, most_events: int, most_jobs: int) -> list[Letter]:
        """The next letters, in order: wait for one, then as many as there are, up to so many
        events, and no more once they bring so many jobs.

        All who wait for what was done before have been woken before this returns, and see it as it
        is then: the reader of the box gives way to them here.
        """
        await asyncio.sleep(0)
        while not self._letters:
            self._came.clear()
            await self._came.wait()
        taken: list[Letter] = []
        jobs = 0
        while self._letters and len(taken) < most_events and jobs < most_jobs:
            letter, is_request = self._letters.popleft()
            self._requests -= is_request
            taken.append(letter)
            jobs += letter.jobs
        self._jobs -= jobs
        return taken

    def empty(self) -> list[Letter]:
        """All that waits; nothing does any more."""
        left = [letter for letter, _ in self._letters]
        self._letters.clear()
        self._requests = self._jobs = 0
        return left
