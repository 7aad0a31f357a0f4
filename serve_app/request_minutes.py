"""How many requests this replica answers in a minute and how soon, told to the scheduler.

Asked of nobody: while requests come, the scheduler is told every 10 s, in one call, of the minute
that goes on; at most an even sample of their times is held.
"""

from __future__ import annotations

import asyncio
import logging
import time
from uuid import uuid4

from raysched.cluster.gateway import Gateway
from raysched.cluster.minutes import MINUTE_S, RequestsSeen, Sample
from raysched.errors import RayschedError

log = logging.getLogger(__name__)

TELL_S = 10.0
TIMES_MOST = 256
MINUTES_MOST = 3
"""That are held while the scheduler cannot be told."""


class RequestMinutes:
    """The requests of one process. For one event loop."""

    def __init__(self, gateway: Gateway, *, tell_s: float = TELL_S) -> None:
        self._gateway = gateway
        self._tell_s = tell_s
        self._replica = uuid4().hex
        self._untold: dict[int, Sample] = {}
        self._current: tuple[int, Sample] = (0, Sample(TIMES_MOST))
        self._telling: asyncio.Task[None] | None = None

    def count(self, seconds: float) -> None:
        """A request was answered, so long after it came."""
        minute = int(time.time() // MINUTE_S)
        if minute != self._current[0]:
            self._current = (minute, Sample(TIMES_MOST))
        sample = self._untold[minute] = self._current[1]
        sample.add(1000.0 * seconds)
        while len(self._untold) > MINUTES_MOST:
            del self._untold[next(iter(self._untold))]
        if self._telling is None:
            self._telling = asyncio.create_task(self._tell(), name="telling of requests")

    async def _tell(self) -> None:
        try:
            while self._untold:
                await asyncio.sleep(self._tell_s)
                told, self._untold = self._untold, {}
                for minute, sample in told.items():
                    times = tuple(sample.values)
                    seen = RequestsSeen(self._replica, minute, sample.count, times)
                    await self._gateway.answered(seen)
        except RayschedError as error:
            log.info("The scheduler was not told of requests: %s", error.message)
        finally:
            self._telling = None
