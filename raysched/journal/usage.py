"""Who used how much on which day, by SQL over the journal.

The journal's events say what ran, the archive what became of jobs that ended long ago; all other
jobs are in the scheduler's memory, which only repeats what the events say. A job counts where
things happened: submitted, begun and ended each on its own day (UTC), the end being the last one
where a person had a failed job tried again.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Any, NamedTuple

from raysched.core.state import State
from raysched.journal.codec import whole


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is asked for: days from ``since`` to ``until``, both included, in UTC; of everybody, or
    of ``user`` alone."""

    since: date
    until: date
    user: str | None = None


class Usage(NamedTuple):
    """What one user used on one day (UTC).

    ``submitted``, ``begun`` (dispatched for the first time) and the four ends count jobs;
    ``reused`` are those succeeded jobs whose cells are an equal job's; ``retries`` are attempts
    beyond the first of jobs that ended. ``cells`` are those of succeeded jobs. ``tiles``, ``runs``
    and lane seconds count what was computed and has ended, whatever became of it. Waiting times
    are from submission to the first dispatch, in seconds; None when no job began.
    """

    day: date
    user: str
    submitted: int
    begun: int
    succeeded: int
    failed: int
    cancelled: int
    skipped: int
    reused: int
    retries: int
    cells: int
    tiles: int
    runs: int
    runs_failed: int
    runs_lost: int
    plan_s: float
    segment_s: float
    assemble_s: float
    publish_s: float
    wait_median_s: float | None
    wait_p90_s: float | None
    wait_max_s: float | None

    @property
    def lane_s(self) -> float:
        """Seconds in lanes, of all stages."""
        return self.plan_s + self.segment_s + self.assemble_s + self.publish_s


@dataclass(frozen=True, slots=True)
class Known:
    """The jobs in memory as columns, as of the journal's event ``end``."""

    end: int
    runs: int
    columns: dict[str, list[Any]]

    @classmethod
    def of(cls, state: State, end: int, user: str | None) -> Known:
        """What a state knows; nothing may happen between looking at ``end`` and at the state.

        Takes 1 us a job.
        """
        jobs = [job for job in state.jobs.values() if user is None or job.user == user]
        columns: dict[str, list[Any]] = {
            "users": [whole(job.user) for job in jobs],
            "jobs": [whole(job.id) for job in jobs],
            "states": [job.state.value for job in jobs],
            "attempts": [job.attempt for job in jobs],
            "cells": [job.cells for job in jobs],
            "reused": [job.progress is not None and job.progress.plan.reused for job in jobs],
            "submitted": [job.submitted_at for job in jobs],
            "started": [job.started_at for job in jobs],
            "ended": [job.ended_at for job in jobs],
        }
        return cls(end, state.runs_started, columns)
