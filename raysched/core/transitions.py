"""The transition table of a job: every move there is, each with its reason.

The table is the truth: ``move`` is the only code that writes ``Job.state``, and the diagram in
ARCHITECTURE.md is printed from it. A move that is not in the table raises and changes nothing.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

from raysched.core.model import JobState
from raysched.errors import IllegalMove

if TYPE_CHECKING:
    from raysched.core.state import Job


class Cause(StrEnum):
    """What makes a job move."""

    PLAN_DISPATCHED = "plan_dispatched"
    PLANNED = "planned"
    PLANNED_NOTHING_LEFT = "planned_nothing_left"
    EQUAL_WORK_AT_HAND = "equal_work_at_hand"
    MPP_MISSED = "mpp_missed"
    MPP_ANSWERED = "mpp_answered"
    LAST_CHUNK_FINISHED = "last_chunk_finished"
    ASSEMBLED = "assembled"
    CHUNKS_MISSED = "chunks_missed"
    PUBLISHED = "published"
    ATTEMPT_FAILED = "attempt_failed"
    ATTEMPTS_SPENT = "attempts_spent"
    BACKOFF_OVER = "backoff_over"
    CANCEL_ASKED = "cancel_asked"
    CANCELLED_AT_REST = "cancelled_at_rest"
    LAST_RUN_ENDED = "last_run_ended"
    PREREQUISITE_ENDED = "prerequisite_ended"
    RETRY_ASKED = "retry_asked"
    PREREQUISITE_RETRIED = "prerequisite_retried"

    __hash__ = str.__hash__


_S = JobState
_C = Cause
_CANCEL_STOPS = "a cancel was asked for while work is in flight: it is told to stop"
_CANCEL_RESTS = "a cancel was asked for and nothing is in flight"
_WAITS = "chunks are left to do, and another job of the user is at work on the same"
_RETRIES = "a unit failed in a way that may pass, attempts are left, and nothing is in flight"
_FAILS = "a unit failed for good, or no attempts are left, and nothing is in flight"

TABLE: dict[tuple[JobState, Cause], tuple[JobState, str]] = {
    (_S.WAITING, _C.PLAN_DISPATCHED): (_S.PLANNING, "a lane took the plan"),
    (_S.PLANNING, _C.PLANNED): (_S.SEGMENTING, "the plan is known and chunks are left to do"),
    (_S.PLANNING, _C.PLANNED_NOTHING_LEFT): (
        _S.ASSEMBLING,
        "the plan has no chunks, or an earlier attempt or an equal job has done them all",
    ),
    (_S.PLANNING, _C.EQUAL_WORK_AT_HAND): (_S.WAITING, _WAITS),
    (_S.PLANNING, _C.MPP_MISSED): (_S.NEEDS_MPP, "the slide does not say its pixel size"),
    (_S.NEEDS_MPP, _C.MPP_ANSWERED): (_S.WAITING, "a person said the pixel size"),
    (_S.SEGMENTING, _C.LAST_CHUNK_FINISHED): (_S.ASSEMBLING, "every chunk left its receipt"),
    (_S.ASSEMBLING, _C.CHUNKS_MISSED): (
        _S.SEGMENTING,
        "finished chunks were found to be gone or damaged: they are done again",
    ),
    (_S.ASSEMBLING, _C.EQUAL_WORK_AT_HAND): (_S.WAITING, _WAITS),
    (_S.ASSEMBLING, _C.ASSEMBLED): (_S.PUBLISHING, "the staging folder is complete"),
    (_S.PUBLISHING, _C.PUBLISHED): (_S.SUCCEEDED, "the results folder is in place"),
    (_S.PLANNING, _C.ATTEMPT_FAILED): (_S.RETRY_WAITING, _RETRIES),
    (_S.SEGMENTING, _C.ATTEMPT_FAILED): (_S.RETRY_WAITING, _RETRIES),
    (_S.ASSEMBLING, _C.ATTEMPT_FAILED): (_S.RETRY_WAITING, _RETRIES),
    (_S.PUBLISHING, _C.ATTEMPT_FAILED): (_S.RETRY_WAITING, _RETRIES),
    (_S.PLANNING, _C.ATTEMPTS_SPENT): (_S.FAILED, _FAILS),
    (_S.SEGMENTING, _C.ATTEMPTS_SPENT): (_S.FAILED, _FAILS),
    (_S.ASSEMBLING, _C.ATTEMPTS_SPENT): (_S.FAILED, _FAILS),
    (_S.PUBLISHING, _C.ATTEMPTS_SPENT): (_S.FAILED, _FAILS),
    (_S.RETRY_WAITING, _C.BACKOFF_OVER): (_S.WAITING, "the back-off is over: a new attempt"),
    (_S.PLANNING, _C.CANCEL_ASKED): (_S.CANCELLING, _CANCEL_STOPS),
    (_S.SEGMENTING, _C.CANCEL_ASKED): (_S.CANCELLING, _CANCEL_STOPS),
    (_S.ASSEMBLING, _C.CANCEL_ASKED): (_S.CANCELLING, _CANCEL_STOPS),
    (_S.PUBLISHING, _C.CANCEL_ASKED): (_S.CANCELLING, _CANCEL_STOPS),
    (_S.WAITING, _C.CANCELLED_AT_REST): (_S.CANCELLED, _CANCEL_RESTS),
    (_S.NEEDS_MPP, _C.CANCELLED_AT_REST): (_S.CANCELLED, _CANCEL_RESTS),
    (_S.RETRY_WAITING, _C.CANCELLED_AT_REST): (_S.CANCELLED, _CANCEL_RESTS),
    (_S.PLANNING, _C.CANCELLED_AT_REST): (_S.CANCELLED, _CANCEL_RESTS),
    (_S.SEGMENTING, _C.CANCELLED_AT_REST): (_S.CANCELLED, _CANCEL_RESTS),
    (_S.ASSEMBLING, _C.CANCELLED_AT_REST): (_S.CANCELLED, _CANCEL_RESTS),
    (_S.PUBLISHING, _C.CANCELLED_AT_REST): (_S.CANCELLED, _CANCEL_RESTS),
    (_S.CANCELLING, _C.LAST_RUN_ENDED): (
        _S.CANCELLED,
        "the last run in flight ended, whatever it reported",
    ),
    (_S.WAITING, _C.PREREQUISITE_ENDED): (
        _S.SKIPPED,
        "a job it depends on, or its predecessor in the branch, failed or was cancelled",
    ),
    (_S.FAILED, _C.RETRY_ASKED): (_S.WAITING, "a person asked for another try"),
    (_S.SKIPPED, _C.PREREQUISITE_RETRIED): (_S.WAITING, "the job that had failed is tried again"),
}


def move(job: Job, cause: Cause) -> None:
    """Move a job along one edge. Raises ``IllegalMove`` and changes nothing if there is none."""
    edge = TABLE.get((job.state, cause))
    if edge is None:
        raise IllegalMove(
            f"Job {job.id} is {job.state} and has no move for {cause}.",
            remedy="This is a fault in raysched: report it with `raysched journal story`.",
            job=job.id,
            state=job.state.value,
            cause=cause.value,
        )
    job.state = edge[0]


def diagram() -> str:
    """The table as a Mermaid state diagram, one edge per (from, to) with its causes."""
    edges: dict[tuple[JobState, JobState], list[Cause]] = {}
    for (source, cause), (target, _) in TABLE.items():
        edges.setdefault((source, target), []).append(cause)
    lines = ["stateDiagram-v2", f"    [*] --> {JobState.WAITING}: submitted"]
    for (source, target), causes in edges.items():
        label = " / ".join(cause.value.replace("_", " ") for cause in causes)
        lines.append(f"    {source} --> {target}: {label}")
    lines += [f"    {state} --> [*]" for state in JobState if state.is_final]
    return "\n".join(lines) + "\n"
