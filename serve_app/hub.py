"""Live changes: one watcher of the scheduler for this process, and each listener's own part of it.

The watcher asks the actor what changed after its mark, over all users, and hands each change to the
listeners of its user. What a listener has not taken yet is kept once for each job, at its latest;
when that is too much, it is dropped and the listener is told to list anew (``reset``), as after
anything else that may have been missed. So memory is bounded by listeners, not by their speed.

The last changes are kept for listeners that come back with the mark of what they have seen.

A second watcher asks for the picture of the queue, once a second at most and only while somebody
listens; each listener has the latest, and takes the names out of it.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from dataclasses import dataclass, field

from raysched.cluster.gateway import Gateway
from raysched.cluster.news import Change, Mark, News
from raysched.core.model import UserId
from raysched.core.picture import Picture
from raysched.errors import RayschedError

log = logging.getLogger(__name__)

WATCH_S = 10.0
PAUSE_S = 0.2  # between two questions: what changes meanwhile is told once
QUEUE_PAUSE_S = 1.0
RETRY_S = 1.0
LINGER_S = 60.0
"""How long the watcher goes on without listeners, so that one who comes back misses nothing."""
RECENT_MOST = 2_000
WAITING_MOST = 1_000


@dataclass(eq=False, slots=True)
class Listener:
    """One open stream. Filled by the hub, emptied by ``take``."""

    user: UserId
    most: int = WAITING_MOST
    reset: Mark | None = None
    """Set when something was missed: from this mark on nothing is."""
    news: asyncio.Event = field(default_factory=asyncio.Event)
    _waiting: dict[str, Change] = field(default_factory=dict)
    _picture: Picture | None = None

    def start_anew(self, mark: Mark) -> None:
        """Whatever waits is of no use: list again, and go on from this mark."""
        self._waiting.clear()
        self.reset = mark
        self.news.set()

    def put(self, change: Change, mark: Mark) -> None:
        """One more change; ``mark`` is how far the hub has heard with it."""
        name = change.job.job if change.job is not None else change.deleted
        assert name is not None, "a change is of a job or of a workflow"
        self._waiting.pop(name, None)
        self._waiting[name] = change
        self.news.set()
        if len(self._waiting) > self.most:
            self.start_anew(mark)

    def show(self, picture: Picture) -> None:
        """The queue looks otherwise now."""
        self._picture = picture
        self.news.set()

    def take_picture(self) -> Picture | None:
        """The queue, if it looks otherwise than when it was last taken."""
        picture, self._picture = self._picture, None
        return picture

    def take(self) -> tuple[Mark | None, list[Change]]:
        """What waits: where to start anew, if that is so, and the changes after it."""
        reset, changes = self.reset, list(self._waiting.values())
        self.reset = None
        self._waiting.clear()
        self.news.clear()
        return reset, changes


class Hub:
    """All listeners of this process. For one event loop; ``recent``: changes kept for those who
    come back."""

    def __init__(
        self, gateway: Gateway, *, recent: int = RECENT_MOST, linger_s: float = LINGER_S
    ) -> None:
        self._gateway = gateway
        self._recent: deque[Change] = deque()
        self._recent_most = recent
        self._linger_s = linger_s
        self._floor = 0
        self._mark: Mark | None = None
        self._listeners: dict[Listener, None] = {}
        self._watcher: asyncio.Task[None] | None = None
        self._picture: Picture | None = None
        self._queue_watcher: asyncio.Task[None] | None = None

    @property
    def mark(self) -> Mark | None:
        """How far it has heard; None until its first answer."""
        return self._mark

    @property
    def listening(self) -> int:
        """How many listeners there are."""
        return len(self._listeners)

    @property
    def is_watching(self) -> bool:
        """Whether the scheduler is being asked."""
        return self._watcher is not None

    def listen(self, user: UserId, seen: Mark | None) -> Listener:
        """One more listener, who has seen everything up to a mark. To be given to ``leave``."""
        listener = Listener(user)
        self._listeners[listener] = None
        if self._mark is not None:
            self._catch_up(listener, seen, self._mark)
        if self._watcher is None:  # its first answer resets whoever listens by then
            self._watcher = asyncio.create_task(self._watch(), name="watching the scheduler")
        if self._picture is not None:
            listener.show(self._picture)
        if self._queue_watcher is None:
            self._queue_watcher = asyncio.create_task(self._watch_queue(), name="the queue")
        return listener

    def leave(self, listener: Listener) -> None:
        """A listener has gone."""
        self._listeners.pop(listener, None)

    def _catch_up(self, listener: Listener, seen: Mark | None, mark: Mark) -> None:
        is_known = seen is not None and seen.epoch == mark.epoch and seen.serial >= self._floor
        if seen is None or not is_known:
            listener.start_anew(mark)
            return
        for change in self._recent:
            if change.serial > seen.serial and change.user == listener.user:
                listener.put(change, mark)

    async def _watch(self) -> None:
        """Ask again and again, until nobody has listened for a while."""
        loop = asyncio.get_running_loop()
        heard_at = loop.time()
        try:
            while self._listeners or loop.time() < heard_at + self._linger_s:
                if self._listeners:
                    heard_at = loop.time()
                try:
                    self._take(await self._gateway.changes(self._mark, WATCH_S))
                except RayschedError as error:
                    log.info("The scheduler cannot be watched: %s", error.message)
                    await asyncio.sleep(RETRY_S)
                await asyncio.sleep(PAUSE_S)
        except Exception:  # a fault of ours: begin anew, and reset whoever listens
            log.exception("Watching the scheduler failed; it begins anew.")
            await asyncio.sleep(RETRY_S)
        self._watcher = self._mark = None
        self._recent.clear()
        if self._listeners:
            self._watcher = asyncio.create_task(self._watch(), name="watching the scheduler")

    async def _watch_queue(self) -> None:
        """Ask how the queue looks again and again, while anybody listens."""
        seen: int | None = None
        while self._listeners:
            try:
                picture = await self._gateway.queue(seen, WATCH_S)
            except RayschedError as error:
                log.info("The queue cannot be watched: %s", error.message)
                await asyncio.sleep(RETRY_S)
                continue
            except Exception:  # a fault of ours must not end the other events
                log.exception("Watching the queue failed; it begins anew.")
                await asyncio.sleep(RETRY_S)
                continue
            seen = picture.revision
            if picture != self._picture:
                self._picture = picture
                for listener in self._listeners:
                    listener.show(picture)
            await asyncio.sleep(QUEUE_PAUSE_S)
        self._queue_watcher = self._picture = None

    def _take(self, news: News) -> None:
        self._mark = news.upto
        if news.missed:
            self._recent.clear()
            self._floor = news.upto.serial
            for listener in self._listeners:
                listener.start_anew(news.upto)
            return
        for change in news.changes:
            self._recent.append(change)
            if len(self._recent) > self._recent_most:
                self._floor = self._recent.popleft().serial
            for listener in self._listeners:
                if listener.user == change.user:
                    listener.put(change, news.upto)
