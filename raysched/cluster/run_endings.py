"""What the ending of a run becomes: the one event that the core hears of it."""

from __future__ import annotations

from dataclasses import astuple, dataclass

from ray.exceptions import RayError

from raysched.cluster import tasks
from raysched.core.events import (
    ChunkFinished,
    ChunksMissed,
    Event,
    MppMissed,
    ResultAssembled,
    ResultPublished,
    RunFailed,
    RunLost,
    RunStopped,
    SlidePlanned,
)
from raysched.core.model import Failure, PlanFacts, RunId, Unit
from raysched.errors import InternalError
from raysched.journal.codec import whole
from raysched.results import outcomes


@dataclass(frozen=True, slots=True)
class Lost:
    """The process or node of a run died; ``too_large``: for its memory."""

    cause: str
    too_large: bool = False


def event_of(at: float, run: RunId, seconds: float, ending: tasks.Outcome | Lost) -> Event:
    """The one event that a run's ending becomes. Its texts are whole: they may quote file names
    that are no UTF-8, which the journal could not give back as they are."""
    match ending:
        case outcomes.Planned():
            facts = PlanFacts(
                ending.fingerprint,
                ending.chunk_tiles,
                ending.work,
                reused=ending.reused,
                may_fail=ending.may_fail,
            )
            return SlidePlanned(at, run, seconds, facts)
        case outcomes.Receipt():
            failed = len(ending.tiles_failed)
            return ChunkFinished(at, run, seconds, ending.cells, failed, ending.checksum)
        case outcomes.Assembled():
            return ResultAssembled(at, run, seconds, ending.cells)
        case tasks.Incomplete():
            return ChunksMissed(at, run, seconds, ending.chunks, ending.cells, ending.tiles_failed)
        case outcomes.Published():
            return ResultPublished(at, run, seconds, ending.cells, ending.checksum)
        case tasks.Failed():
            failure = Failure(*map(whole, astuple(ending.failure)))
            return RunFailed(at, run, seconds, failure, ending.retryable)
        case tasks.Asked():
            return MppMissed(at, run, whole(ending.question))
        case tasks.Halted():
            return RunStopped(at, run, seconds)
        case Lost():
            return RunLost(at, run, whole(ending.cause), ending.too_large)


def not_begun(unit: Unit, error: Exception) -> tasks.Failed:
    """How a unit ends that could not be sent, by a fault of ours."""
    failure = Failure(
        InternalError.code,
        f"The {unit.stage} stage could not be started: {error!r}.",
        "Report this with the scheduler actor's log.",
    )
    return tasks.Failed(failure, retryable=False)


def cause_of(error: RayError) -> str:
    """Ray's own words, first line only."""
    first = str(error).strip().splitlines() or [""]
    return f"{type(error).__name__}: {first[0][:200]}"
