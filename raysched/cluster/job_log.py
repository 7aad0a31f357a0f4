"""A job's log: what was said while its units ran and what the system did for it, by time, in pages.

A cursor is a place in every source at once: the journal's event, and a byte of each lane's file. So
nothing is missed or said twice, although lanes write beside each other, and the cursor at the end
gives what has come since.
"""

from __future__ import annotations

import asyncio
import heapq
import json
import logging
import zlib
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from enum import StrEnum
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from raysched.cluster.stores import log_at_hand
from raysched.cluster.story import Story, ending, is_parked, told
from raysched.config import Config
from raysched.core.model import JobId, JobState, UserId
from raysched.errors import InvalidSetting
from raysched.results import logbook
from raysched.results.logbook import Line, Place, delete_log, folder_of, lines_of, pieces

if TYPE_CHECKING:
    from raysched.cluster.gateway import Gateway  # which knows the actor, which knows this module

log = logging.getLogger(__name__)

MOST_CURSOR_BYTES = 1_000_000
MOST_ROUNDS = 20
"""Of asking the journal for one page: where little of it is to be shown, a page is short."""


class LogLevel(StrEnum):
    """From which level on lines are wanted."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class LogAsk:
    """Which page: how many lines at most, after which place, from which level on."""

    limit: int = 100
    cursor: str | None = None
    level: LogLevel = LogLevel.DEBUG


@dataclass(frozen=True, slots=True)
class LogPage:
    """Lines, oldest first; ``next`` goes on after them; ``complete``: there are no more for now."""

    state: JobState
    lines: tuple[Line, ...]
    next: str
    complete: bool


@dataclass(frozen=True, slots=True)
class Cursor:
    """How far a log was read: the last event told in full, how many lines of the next one, the last
    event after which the job was parked, the end that was told, and the place in each lane."""

    seq: int = 0
    of_next: int = 0
    parked: int = 0
    ended: float = 0.0
    places: dict[str, Place] = field(default_factory=dict)

    def text(self) -> str:
        """Opaque text."""
        places = {lane: (place.piece, place.byte) for lane, place in self.places.items()}
        said = json.dumps((self.seq, self.of_next, self.parked, self.ended, places))
        return urlsafe_b64encode(zlib.compress(said.encode(), 9)).decode().rstrip("=")

    @classmethod
    def read(cls, text: str | None) -> Cursor:
        """The cursor of a text. Raises ``InvalidSetting`` for what is none."""
        if not text:
            return cls()
        try:
            unpacker = zlib.decompressobj()
            packed = urlsafe_b64decode(text.encode("ascii") + b"=" * (-len(text) % 4))
            seq, of_next, parked, ended, places = json.loads(
                unpacker.decompress(packed, MOST_CURSOR_BYTES)
            )
            at = {
                str(lane): Place(_count(piece), _count(byte))
                for lane, (piece, byte) in places.items()
            }
            return cls(_count(seq), _count(of_next), _count(parked), _time(ended), at)
        except (ValueError, TypeError, AttributeError, OverflowError, RecursionError, zlib.error):
            raise InvalidSetting(
                "This is no cursor of a log.", remedy="Take `next` of the page before, or none."
            ) from None


async def read_log(
    gateway: Gateway, config: Config, user: UserId, job: JobId, ask: LogAsk
) -> LogPage:
    """One page of a job's log. Raises ``NotFound``, also for another user's, ``InvalidSetting``."""
    cursor, lines, store = Cursor.read(ask.cursor), list[Line](), await gateway.store()
    folder = folder_of(config.logs, job)
    for number in range(MOST_ROUNDS):
        left = ask.limit - len(lines)
        story = await gateway.story(user, job, after=cursor.seq, most=left)
        if number == 0:  # it is the user's own
            await log_at_hand(job, folder, store)
        merging = _Merging(folder, job, story, ask.level)
        more, cursor, complete = await asyncio.to_thread(merging.page, cursor, left)
        lines += more
        if complete or len(lines) == ask.limit:
            break
    return LogPage(story.view.state, tuple(lines), cursor.text(), complete)


def delete_logs(config: Config, job: JobId) -> None:
    """Remove what was said while a job's units ran; what the system did stays in the journal."""
    delete_log(folder_of(config.logs, job))


def prune_logs(config: Config) -> None:
    """Keep all jobs' logs below their bound."""
    removed = logbook.prune(config.logs, config.logging.most_gb * 1e9)
    if removed:
        log.info("Logs of %s jobs were removed: all of them took too much space.", len(removed))


class _Said(NamedTuple):
    """A line, and what the cursor is once it is told; ``place`` where it is of a lane."""

    line: Line
    after: Cursor
    lane: str | None = None
    place: Place | None = None


class _Merging:
    """One round: the events that were read, and the lanes' files."""

    def __init__(self, folder: Path, job: JobId, story: Story, level: LogLevel) -> None:
        self._folder, self._job, self._story = folder, job, story
        self._least = logging.getLevelNamesMapping()[level.name]

    def page(self, cursor: Cursor, limit: int) -> tuple[list[Line], Cursor, bool]:
        """Up to ``limit`` lines, the cursor after them, and whether there are no more for now."""
        events = list(self._system(cursor))
        # Past the events that are known only what was said before the last of them is in order.
        until = self._story.at if self._story.complete else self._story.events[-1].at
        lanes = [self._lane(lane, cursor, until) for lane in pieces(self._folder)]
        lines: list[Line] = []
        ahead = heapq.merge(events, *lanes, key=lambda said: said.line.at)
        for said in ahead:
            if said.lane is None or said.place is None:
                cursor = replace(said.after, places=cursor.places)
            else:
                cursor = replace(cursor, places={**cursor.places, said.lane: said.place})
            if self._is_wanted(said.line):
                lines.append(said.line)
                if len(lines) == limit:
                    return lines, cursor, self._story.complete and next(ahead, None) is None
        return lines, self._after_events(cursor), self._story.complete

    def _system(self, cursor: Cursor) -> Iterator[_Said]:
        parked, skip = cursor.parked, cursor.of_next
        for event in self._story.events:
            before, lines = parked, told(event, self._job, parked)
            parked = event.seq if is_parked(event, self._job) else parked
            for number, line in enumerate(lines, start=1):
                if number <= skip:
                    continue
                if number == len(lines):
                    after = replace(cursor, seq=event.seq, of_next=0, parked=parked)
                else:
                    after = replace(cursor, seq=event.seq - 1, of_next=number, parked=before)
                yield _Said(line, after)
            skip = 0
        last = ending(self._story.view) if self._story.complete else None
        if last is not None and last.at != cursor.ended:
            seq = self._story.events[-1].seq if self._story.events else cursor.seq
            yield _Said(last, Cursor(seq, 0, parked, last.at))

    def _after_events(self, cursor: Cursor) -> Cursor:
        """Events at the end that say nothing are told as well."""
        if not self._story.events:
            return cursor
        last = self._story.events[-1]
        parked = last.seq if is_parked(last, self._job) else cursor.parked
        return replace(cursor, seq=last.seq, of_next=0, parked=parked)

    def _lane(self, lane: str, cursor: Cursor, until: float) -> Iterator[_Said]:
        for line, place in lines_of(self._folder, lane, cursor.places.get(lane, Place())):
            if line.at > until:
                return
            yield _Said(line, cursor, lane, place)

    def _is_wanted(self, line: Line) -> bool:
        return logging.getLevelNamesMapping().get(line.level.upper(), 100) >= self._least


def _time(value: float) -> float:
    if not isfinite(value):
        raise ValueError(value)
    return float(value)


def _count(value: object) -> int:
    if not isinstance(value, int) or not 0 <= value < 2**62:
        raise ValueError(value)
    return value
