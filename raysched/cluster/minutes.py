"""What happened in each of the last 60 minutes, for administrators: kept in memory, in this life.

Written by the life as events become durable, once a second as time passes, and by replicas, which
say how many requests they have answered. Numbers are exact but for medians and percentiles, which
are of an even sample. After a restart nothing is known of the time before (``since``).
"""

from __future__ import annotations

import asyncio
from array import array
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from typing import NamedTuple

from raysched.core.commands import Command, RunUnit
from raysched.core.events import ChunkFinished, Event, WorkflowSubmitted
from raysched.core.model import PLAN
from raysched.core.scheduler import Scheduler
from raysched.core.state import State

KEPT = 60
MINUTE_S = 60
SAMPLE_MOST = 512
STEP_S = 1.0
REPLICAS_MOST = 64
"""Whose requests are counted in one minute."""


class Sample:
    """Every ``n``-th of many values, so that no more than ``most`` are held."""

    def __init__(self, most: int = SAMPLE_MOST) -> None:
        self.values = array("d")
        self.count = 0
        self._most = most
        self._every = 1

    def add(self, value: float) -> None:
        """One more value."""
        if self.count % self._every == 0:
            self.values.append(value)
        self.count += 1
        if len(self.values) > self._most:
            self.values = self.values[::2]
            self._every *= 2


class RequestsSeen(NamedTuple):
    """What one replica has answered in one minute (since the epoch), as far as it has gone.
    ``sample_ms``: of how long answers took to begin."""

    replica: str
    minute: int
    answers: int
    sample_ms: tuple[float, ...]


@dataclass(slots=True)
class Minute:
    """One minute while it goes on."""

    number: int
    """Minutes since the epoch."""
    jobs_submitted: int = 0
    jobs_started: int = 0
    jobs_ended: int = 0
    chunks: int = 0
    tiles: int = 0
    cells: int = 0
    busy_s: float = 0.0
    open_s: float = 0.0
    queue_depth: int = 0
    waits_s: Sample = field(default_factory=Sample)
    chunk_s: Sample = field(default_factory=Sample)
    requests: dict[str, RequestsSeen] = field(default_factory=dict)

    def view(self) -> MinuteView:
        """What is shown of it."""
        wait_median_s, wait_p90_s = _percentiles([(self.waits_s.values, 1.0)], 0.5, 0.9)
        chunk_median_s, chunk_p90_s = _percentiles([(self.chunk_s.values, 1.0)], 0.5, 0.9)
        seen = [each for each in self.requests.values() if each.sample_ms]
        weighted = [(each.sample_ms, each.answers / len(each.sample_ms)) for each in seen]
        request_median_ms, request_p95_ms = _percentiles(weighted, 0.5, 0.95)
        return MinuteView(
            at=float(self.number * MINUTE_S),
            jobs_submitted=self.jobs_submitted,
            jobs_started=self.jobs_started,
            jobs_ended=self.jobs_ended,
            wait_median_s=wait_median_s,
            wait_p90_s=wait_p90_s,
            chunks=self.chunks,
            chunk_median_s=chunk_median_s,
            chunk_p90_s=chunk_p90_s,
            tiles=self.tiles,
            cells=self.cells,
            lanes_busy=min(1.0, self.busy_s / self.open_s) if self.open_s else 0.0,
            queue_depth=self.queue_depth,
            requests=sum(each.answers for each in self.requests.values()),
            request_median_ms=request_median_ms,
            request_p95_ms=request_p95_ms,
        )


@dataclass(frozen=True, slots=True)
class MinuteView:
    """One minute from ``at`` (seconds since the epoch). Waits are from submission to the first
    dispatch, of the jobs that started in it; ``lanes_busy``: share of the open lanes' time;
    ``queue_depth``: unfinished jobs with no work in flight, at its end. None: there were none."""

    at: float
    jobs_submitted: int
    jobs_started: int
    jobs_ended: int
    wait_median_s: float | None
    wait_p90_s: float | None
    chunks: int
    chunk_median_s: float | None
    chunk_p90_s: float | None
    tiles: int
    cells: int
    lanes_busy: float
    queue_depth: int
    requests: int
    request_median_ms: float | None
    request_p95_ms: float | None


@dataclass(frozen=True, slots=True)
class LastMinutes:
    """The minutes that are known, oldest first, and since when any are."""

    since: float
    minutes: tuple[MinuteView, ...]


class Totals(NamedTuple):
    """What the core has counted since the journal began."""

    ended: int
    chunks: int
    tiles: int
    cells: int

    @classmethod
    def of(cls, state: State) -> Totals:
        """As it is now."""
        totals = state.totals
        return cls(sum(totals.ended.values()), totals.chunks, totals.tiles, totals.cells)


class Minutes:
    """The ring. ``state`` is as at ``now``: what it has counted by then was before."""

    def __init__(self, state: State, now: float) -> None:
        self.since = now
        self._totals = Totals.of(state)
        self._at = now
        self._lanes = (0, 0)
        self._ring: dict[int, Minute] = {}
        self._over: dict[int, MinuteView] = {}
        """What is shown of minutes that are over: many replicas' samples take long to rank."""
        self._last = self._minute(int(now // MINUTE_S))

    def note(self, events: Iterable[Event], waits_s: Sequence[float], state: State) -> None:
        """Take in events that became durable at once, how long the jobs that they started had
        waited, and the state after them all."""
        this = self._last
        for event in events:
            if isinstance(event, WorkflowSubmitted):
                this.jobs_submitted += len(event.jobs)
            elif isinstance(event, ChunkFinished):
                this.chunk_s.add(event.seconds)
        this.jobs_started += len(waits_s)
        for wait_s in waits_s:
            this.waits_s.add(wait_s)
        before, self._totals = self._totals, Totals.of(state)
        this.jobs_ended += self._totals.ended - before.ended
        this.chunks += self._totals.chunks - before.chunks
        this.tiles += self._totals.tiles - before.tiles
        this.cells += self._totals.cells - before.cells

    def tick(self, state: State, now: float) -> None:
        """Time has passed; from now on the lanes are as they are in this state."""
        if now - self._at > KEPT * MINUTE_S:  # asleep for so long: nothing is known of it
            self._ring.clear()
            self._at = now
            self._last = self._minute(int(now // MINUTE_S))
        busy, opened = self._lanes
        while self._at < now:
            end = (self._last.number + 1) * MINUTE_S
            until = min(now, end)
            self._last.busy_s += busy * (until - self._at)
            self._last.open_s += opened * (until - self._at)
            self._at = until
            if until == end:
                depth = self._last.queue_depth
                self._last = self._minute(self._last.number + 1)
                self._last.queue_depth = depth
        self._lanes = (len(state.runs), len(state.lanes))

    def count_depth(self, state: State) -> None:
        """Say how deep the queue is. Costs what there are users."""
        jobs_open = sum(len(user.open) for user in state.users.values())
        self._last.queue_depth = jobs_open - state.jobs_running()

    def answered(self, seen: RequestsSeen) -> None:
        """A replica has answered requests; the same replica's later word on a minute counts."""
        minute = self._ring.get(seen.minute)
        if minute is None:
            return
        if seen.replica in minute.requests or len(minute.requests) < REPLICAS_MOST:
            minute.requests[seen.replica] = seen
            self._over.pop(seen.minute, None)

    def view(self) -> LastMinutes:
        """What is known, the minute that goes on last."""
        known = self._over
        self._over = {
            number: known.get(number) or minute.view()
            for number, minute in self._ring.items()
            if minute is not self._last
        }
        return LastMinutes(self.since, (*self._over.values(), self._last.view()))

    def _minute(self, number: int) -> Minute:
        while len(self._ring) >= KEPT:
            del self._ring[next(iter(self._ring))]
        made = self._ring[number] = Minute(number)
        return made

    async def keep(self, core: Callable[[], Scheduler], now: Callable[[], float]) -> None:
        """Let time pass, until cancelled."""
        while True:
            state = core().state
            self.tick(state, now())
            self.count_depth(state)
            await asyncio.sleep(STEP_S)


def waits_of(commands: Iterable[Command], state: State) -> list[float]:
    """How long the jobs had waited that these commands, just given, start for the first time."""
    begun = (each.unit for each in commands if isinstance(each, RunUnit))
    jobs = [state.jobs[unit.job] for unit in begun if unit.stage is PLAN]
    return [state.now - job.submitted_at for job in jobs if job.started_at == state.now]


def _percentiles(
    parts: Iterable[tuple[Sequence[float], float]], *shares: float
) -> Iterator[float | None]:
    """The values below which these shares of all lie; each part's values count as its weight."""
    pairs = sorted((value, weight) for values, weight in parts for value in values)
    reached = list(accumulate(weight for _, weight in pairs))
    for share in shares:
        place = bisect_left(reached, share * reached[-1]) if pairs else 0
        yield pairs[min(place, len(pairs) - 1)][0] if pairs else None
