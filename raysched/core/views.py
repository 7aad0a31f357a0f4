"""What a person may see of the scheduler's state: frozen, per user, JSON-able."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from raysched.core.model import (
    BranchName,
    Failure,
    JobId,
    JobState,
    Reason,
    Stage,
    UserId,
    WorkflowId,
)


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why a job is where it is. ``position`` counts from 1; ``eta_s`` is seconds from now."""

    reason: Reason
    sentence: str
    position: int | None = None
    eta_s: float | None = None


@dataclass(frozen=True, slots=True)
class JobView:
    """One job as its owner sees it. Times in seconds since the epoch, UTC."""

    job: JobId
    workflow: WorkflowId
    user: UserId
    branch: BranchName
    kind: str
    state: JobState
    stage: Stage | None
    attempt: int
    explanation: Explanation
    tiles_done: int
    tiles_total: int | None
    tiles_failed: int
    chunks_done: int
    chunks_total: int | None
    cells: int
    tiles_per_s: float | None
    eta_s: float | None
    submitted_at: float
    started_at: float | None
    ended_at: float | None
    checksum: str | None
    question: str | None
    failure: Failure | None
    request: str
    awaits: JobId | None
    """The job of the same user that computes the same, if this one waits for it."""
    reused: bool
    """Whether its plan found every chunk done, in the result of a job of equal work."""
    results_deleted_at: float | None
    """When its owner deleted its results, if they did."""
    chunks_running: tuple[int, ...] = ()
    """The chunks in flight, in increasing order."""
    mpp: float | None = None
    """What a person answered when the job asked for the pixel size, um."""


@dataclass(frozen=True, slots=True)
class WorkflowView:
    """One workflow with those of its jobs that were asked for, in order of submission."""

    workflow: WorkflowId
    user: UserId
    name: str
    submitted_at: float
    jobs: tuple[JobView, ...]
    states: Mapping[JobState, int]
    """How many of all its jobs are in each state."""
    digest: str = ""
    """Names what was asked for: equal for two requests that ask the same."""

    @property
    def is_open(self) -> bool:
        """Whether some job of it has not ended."""
        return any(number and not state.is_final for state, number in self.states.items())
