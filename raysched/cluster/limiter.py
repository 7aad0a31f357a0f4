"""How often a user may ask: token buckets, by the generic cell rate algorithm.

A bucket is one number, the time at which it will be full again. Each request moves that time on by
what one token takes to come back; a request that would move it further ahead than a whole bucket is
refused. A bucket whose time has passed is full, and so is one that is not there: users who are idle
take no memory. Source: ITU-T I.371, virtual scheduling.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from enum import StrEnum

from raysched.config import LimitSettings
from raysched.core.accounts import Caller
from raysched.errors import TooManyRequests

SLACK_S = 1e-6
"""Sums of floats: whoever waits exactly as long as was said is let in."""
SWEEP_FROM = 1024


class Budget(StrEnum):
    """What a request is counted as: each user has so many of each at once."""

    DEFAULT = "default"
    CREATE = "create"
    UPLOAD = "upload"
    EXPORT = "export"
    TILES = "tiles"


@dataclass(frozen=True, slots=True)
class Pace:
    """``burst`` tokens at once; one comes back every 1 / ``per_s`` seconds."""

    burst: int
    per_s: float


@dataclass(frozen=True, slots=True)
class Taken:
    """What became of a request: ``left`` tokens are there after it, or it is to come again in
    ``wait_s`` seconds, when there will be one. 0: it was let in."""

    left: int
    wait_s: float = 0.0


def pace_of(limits: LimitSettings, budget: Budget | str) -> Pace:
    """The pace that the settings give a budget, or ``strangers``."""
    return Pace(getattr(limits, f"{budget}_burst"), getattr(limits, f"{budget}_per_s"))


def check_taken(taken: Taken, budget: Budget | str) -> None:
    """Raises ``TooManyRequests`` where no token was left."""
    if taken.wait_s:
        raise TooManyRequests(
            f"No requests are left for now of the kind {budget}.",
            remedy="Ask again after Retry-After, and ask less often: every key of a user counts.",
            retry_after_s=round(taken.wait_s, 3),
            budget=str(budget),
        )


@dataclass(frozen=True, slots=True)
class Admission:
    """Who asks, and what became of the token that the request takes."""

    caller: Caller
    taken: Taken


class Limiter:
    """Buckets by name. All take the same clock, in seconds; it may stand still, not go back."""

    def __init__(self) -> None:
        self._full_at: dict[Hashable, float] = {}
        self._sweep_at = SWEEP_FROM

    def __len__(self) -> int:
        return len(self._full_at)

    def take(self, name: Hashable, pace: Pace, now: float) -> Taken:
        """Take a token of the bucket of that name, if there is one."""
        step_s = 1 / pace.per_s
        full_s = max(self._full_at.get(name, now) - now, 0.0) + step_s
        wait_s = full_s - pace.burst * step_s
        if wait_s > SLACK_S:
            return Taken(0, wait_s)
        self._full_at[name] = now + full_s
        self._sweep(now)
        return Taken(int((pace.burst * step_s - full_s) * pace.per_s + SLACK_S))

    def _sweep(self, now: float) -> None:
        """Forget full buckets, when there are twice as many as after the last time."""
        if len(self._full_at) >= self._sweep_at:
            self._full_at = {name: at for name, at in self._full_at.items() if at > now}
            self._sweep_at = max(SWEEP_FROM, 2 * len(self._full_at))
