"""What goes into the journal and what comes out of it, as values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from raysched.core.commands import Retire
from raysched.core.decision import NOTHING, Decision
from raysched.core.events import Event
from raysched.journal.codec import Body


@dataclass(frozen=True, slots=True)
class Entry:
    """What is appended: an event, the job that it alone is about, and what it led to."""

    event: Event
    job: str | None = None
    decision: Decision = NOTHING
    retired: tuple[Retire, ...] = ()


class Archived(NamedTuple):
    """Where a workflow that has left memory is, and how many jobs it has."""

    row: int
    jobs: int


@dataclass(frozen=True, slots=True)
class StoryLine:
    """One event of a job's story; ``at`` in seconds since the epoch, ``body`` as JSON values."""

    seq: int
    at: float
    kind: str
    body: Body
    decision: Decision | None = None
    """What was decided after it, where that was asked for and kept."""
    job: str | None = None
    """The one job that it is about, where that was asked for."""
