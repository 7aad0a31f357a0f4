"""The time of the scheduler's events."""

from __future__ import annotations

import time


class Clock:
    """Seconds since the epoch that never go back, neither in a life nor in the journal before it.

    When the machine's clock was set back, time goes on at half speed until that has caught up.
    """

    def __init__(self) -> None:
        self._last_at = 0.0
        self._last_tick = time.monotonic()

    def go_on_from(self, at: float) -> None:
        """It is not before then."""
        self._last_at = at

    def now(self) -> float:
        """The time of what happens now."""
        tick = time.monotonic()
        self._last_at = max(time.time(), self._last_at + (tick - self._last_tick) / 2)
        self._last_tick = tick
        return self._last_at
