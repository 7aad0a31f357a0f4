"""What is to be done, in the imperative. The cluster carries commands out; ids only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from raysched.core.model import JobId, LaneId, RunId, Unit, UserId
from raysched.core.state import Job, Workflow


class RunUnit(NamedTuple):
    """Run one unit in one idle lane; answer with exactly one event that carries ``run``.

    ``kind``, ``user`` and ``request`` are the job's, as submitted; ``mpp`` is the user's answer, if
    one was given. What is done already is looked up among what is that user's own (I13).
    ``careful``: in as little memory as can be, because its process was ended for that before.
    """

    run: RunId
    lane: LaneId
    unit: Unit
    kind: str
    user: UserId
    request: str
    mpp: float | None
    careful: bool = False


@dataclass(frozen=True, slots=True)
class StopRun:
    """Stop a run: between tiles, then by interruption, then by force."""

    run: RunId
    job: JobId


@dataclass(frozen=True, slots=True)
class ReleaseLane:
    """Give a lane back that was to close: nothing runs in it any more. Answer with ``LaneLost``."""

    lane: LaneId


@dataclass(frozen=True, slots=True)
class WakeAt:
    """Send ``TimePassed`` at this time; a later ``WakeAt`` replaces an earlier one."""

    at: float


@dataclass(frozen=True, slots=True)
class Retire:
    """Keep a workflow, which has ended and has left memory, where it can be looked up.

    What is in here is nobody's any more and never changes.
    """

    workflow: Workflow
    jobs: tuple[Job, ...]


@dataclass(frozen=True, slots=True)
class RemoveFiles:
    """Remove what the service has placed for these jobs, and answer with ``FilesRemoved``.

    Given again at each start until it was answered.
    """

    jobs: tuple[JobId, ...]


Command = RunUnit | StopRun | ReleaseLane | WakeAt | Retire | RemoveFiles
