"""Numbers about the service, given to Ray, whose agent on each node shows them to Prometheus.

What has a count in the core is a gauge that is set to it, so a restart of the actor changes
nothing: totals are those of the journal. A gauge that is no longer set leaves Ray's agents by
itself after 20 s; one whose thing is gone is set to 0 first. Counters and histograms are what
processes have seen; Ray's agents add them up.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from heapq import nlargest
from typing import NamedTuple

from ray.util import metrics
from ray.util.metrics import Gauge, Histogram

from raysched.cluster.sizing import Shapes, lasting
from raysched.core.demand import is_waited_for
from raysched.core.model import FINAL_STATES, JobState
from raysched.core.scheduler import Scheduler
from raysched.core.state import State

STEP_S = 1.0
"""Between two settings of the gauges."""
RATE_S = 30.0
"""Rates are over the last so many seconds: a chunk may take some."""
MOST_BRANCHES = 100
"""The deepest branches have a series each; the others have none."""
LATENCY_S = [1.0, 5, 15, 60, 300, 900, 3600, 4 * 3600, 24 * 3600]
COMMIT_S = [0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 1, 5]
REQUEST_S = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10]

PLAIN = {
    "queue_depth": "Unfinished jobs with no work in flight.",
    "worker_active_jobs": "Jobs with work in flight.",
    "active_users": "Users who hold a slot.",
    "waiting_users": "Users who wait for a slot.",
    "tiles_total": "Tiles done since the journal began.",
    "tiles_failed_total": "Of these, tiles that failed.",
    "cells_total": "Cells found since the journal began, before seams are reconciled.",
    "chunks_total": "Chunks done since the journal began.",
    "lane_seconds_total": "Seconds that lanes were busy since the journal began.",
    "job_latency_seconds_total": "Seconds from submission to success, of all jobs that succeeded.",
    "tiles_per_second": "Tiles done per second, over the last 30 s.",
    "cells_per_second": "Cells found per second, over the last 30 s.",
    "lanes": "Lanes that can take work.",
    "lanes_busy": "Lanes with work in them.",
    "lanes_wanted": "Lanes that there are to be.",
    "pools_without_lanes": "Pools that have work waiting, and no lane that takes any.",
    "lanes_lasting": "Lanes that can take work, but for those that are given back when idle.",
    "lane_busy_ratio": "Share of the lanes' time with work in them, over the last 30 s.",
    "journal_events": "Events in the journal.",
    "journal_wait_seconds": "Since the changes that are being made durable wait for it; else 0.",
    "paused": "1 while the operator has paused the cluster, else 0.",
}


class Counts(NamedTuple):
    """What rates are made from, at a time in seconds; ``lane_s`` with what is in flight."""

    at: float
    tiles: int
    cells: int
    lane_s: float
    open_s: float
    """Seconds of all open lanes together, in this life of the actor."""


class Meters:
    """The gauges and histograms of the scheduler. Used by the actor's loop only."""

    def __init__(self) -> None:
        self._plain = {name: Gauge(f"raysched_{name}", text) for name, text in PLAIN.items()}
        self._branch = Gauge(
            "raysched_branch_depth",
            "Unfinished jobs of a branch; the 100 deepest.",
            tag_keys=("user", "branch"),
        )
        self._ended = Gauge(
            "raysched_jobs_total",
            "Jobs that ended since the journal began, by how.",
            tag_keys=("state",),
        )
        self._latency = Histogram(
            "raysched_job_latency_seconds",
            "From a job's submission to its end; of jobs that succeeded or failed.",
            boundaries=LATENCY_S,
            tag_keys=("state",),
        )
        self._commit = Histogram(
            "raysched_journal_commit_seconds",
            "To make a group of events durable.",
            boundaries=COMMIT_S,
        )
        self._commits_since: float | None = None
        self._shown: set[tuple[str, str]] = set()
        self._past: deque[Counts] = deque()

    @contextmanager
    def committing(self, events: int) -> Iterator[None]:
        """So many events are made durable meanwhile, or what they came to. What hangs shows in a
        gauge."""
        begun = self._commits_since = time.monotonic()
        try:
            yield
        finally:
            self._commits_since = None
        if events:
            self._commit.observe(time.monotonic() - begun)

    def ended(self, state: JobState, seconds: float) -> None:
        """A job came to its end by its own."""
        self._latency.observe(seconds, {"state": state.value})

    async def keep(
        self, core: Callable[[], Scheduler], now: Callable[[], float], shapes: Shapes
    ) -> None:
        """Set the gauges again and again, until cancelled."""
        self._past.clear()
        while True:
            self.show(core().state, now(), shapes)
            await asyncio.sleep(STEP_S)

    def show(self, state: State, now: float, shapes: Shapes) -> None:
        """Set the gauges. Costs about a millisecond, and more only with thousands of branches."""
        for name, value in self._values(state, now, shapes).items():
            self._plain[name].set(value)
        for job_state in FINAL_STATES:  # also none yet: growth is seen from a number on
            jobs = state.totals.ended.get(job_state, 0)
            self._ended.set(jobs, {"state": job_state.value})
        deepest = branches(state)
        for (user, branch), depth in {**dict.fromkeys(self._shown, 0), **deepest}.items():
            self._branch.set(depth, {"user": user, "branch": branch})
        self._shown = set(deepest)

    def _values(self, state: State, now: float, shapes: Shapes) -> dict[str, float]:
        totals = state.totals
        jobs_open = sum(len(user.open) for user in state.users.values())
        busy, since = len(state.runs), self._commits_since
        rates = self._rates(state, now)
        return {
            "queue_depth": jobs_open - state.jobs_running(),
            "worker_active_jobs": state.jobs_running(),
            "active_users": len(state.slots),
            "waiting_users": len(state.queue),
            "tiles_total": totals.tiles,
            "tiles_failed_total": totals.tiles_failed,
            "cells_total": totals.cells,
            "chunks_total": totals.chunks,
            "lane_seconds_total": totals.lane_s,
            "job_latency_seconds_total": totals.latency_s,
            "lanes": len(state.lanes),
            "lanes_busy": busy,
            "lanes_wanted": state.lanes_wanted,
            "pools_without_lanes": without_lanes(state),
            "lanes_lasting": lasting(shapes, Counter(x.pool for x in state.sites.values())),
            "journal_events": state.revision,
            "journal_wait_seconds": time.monotonic() - since if since is not None else 0.0,
            "paused": float(state.paused_at is not None),
            **rates,
        }

    def _rates(self, state: State, now: float) -> dict[str, float]:
        totals, past = state.totals, self._past
        in_flight = sum(max(0.0, now - run.started_at) for run in state.runs.values())
        at = time.monotonic()
        last = past[-1] if past else None
        opened = (at - last.at) * len(state.lanes) + last.open_s if last else 0.0
        newest = Counts(at, totals.tiles, totals.cells, totals.lane_s + in_flight, opened)
        past.append(newest)
        while len(past) > 2 and past[1].at <= at - RATE_S:
            past.popleft()
        oldest = past[0]
        seconds = max(newest.at - oldest.at, STEP_S)
        lane_s = newest.open_s - oldest.open_s
        busy = (newest.lane_s - oldest.lane_s) / lane_s if lane_s else 0.0
        return {
            "tiles_per_second": (newest.tiles - oldest.tiles) / seconds,
            "cells_per_second": (newest.cells - oldest.cells) / seconds,
            "lane_busy_ratio": min(1.0, max(0.0, busy)),
        }


def without_lanes(state: State) -> int:
    """How many pools have work that could start, had they a lane."""
    served = {site.pool for lane, site in state.sites.items() if lane not in state.closing}
    return sum(is_waited_for(state, pool) for pool in state.pools.keys() - served)


def branches(state: State) -> dict[tuple[str, str], int]:
    """How many unfinished jobs stand in each of the deepest branches."""
    depths = (
        ((user, name), len(branch.line))
        for user, held in state.users.items()
        for name, branch in held.branches.items()
    )
    deepest = nlargest(MOST_BRANCHES, depths, key=lambda each: each[1])
    return {(str(user), str(name)): depth for (user, name), depth in deepest if depth}


class RequestMeters:
    """Counts of HTTP requests, of one replica; Ray's agents add the replicas up."""

    def __init__(self) -> None:
        self._requests = metrics.Counter(
            "raysched_http_requests_total",
            "HTTP requests by route, what they are counted as, and status.",
            tag_keys=("route", "budget", "status"),
        )
        self._seconds = Histogram(
            "raysched_http_request_seconds",
            "From an HTTP request to the end of its answer, by what it is counted as.",
            boundaries=REQUEST_S,
            tag_keys=("budget",),
        )

    def answered(self, route: str, budget: str, status: int, seconds: float) -> None:
        """A request was answered; ``route`` is one of the table's, or "other"."""
        self._requests.inc(1, {"route": route, "budget": budget, "status": str(status)})
        self._seconds.observe(seconds, {"budget": budget})


@cache
def meters() -> Meters:
    """Those of this process: a name must be made once."""
    return Meters()


@cache
def request_meters() -> RequestMeters:
    """Those of this process."""
    return RequestMeters()
