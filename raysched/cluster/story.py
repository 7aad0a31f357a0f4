"""What the system did for one job, in sentences: made from the journal's events alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from raysched.core.decision import Dispatch
from raysched.core.model import JobState, Stage
from raysched.core.views import JobView
from raysched.journal.entries import StoryLine
from raysched.results.logbook import Line

LOGGER = "raysched.scheduler"


@dataclass(frozen=True, slots=True)
class Story:
    """A job, and events about it in order, up to the time ``at``; ``complete``: there are no more
    for now."""

    view: JobView
    at: float
    events: tuple[StoryLine, ...]
    complete: bool


def told(event: StoryLine, job: str, parked_at: int) -> list[Line]:
    """What an event says of a job: what happened, and what was decided about it then. A job is
    parked for a while, which is said once: not where it was parked after the event before already,
    ``parked_at``."""
    lines = []
    write = _SENTENCES.get(event.kind)
    if write is not None and not _is_of_others(event, job):
        level, message = write(event.body, job)
        run = event.body.get("run")
        lines.append(_line(event.at, level, message, str(run) if run else None))
    elif write is None and event.body.get("job") == job:  # of a kind that came later than this
        lines.append(_line(event.at, "info", f"{event.kind.replace('_', ' ').capitalize()}."))
    sent = [each for each in _dispatches(event) if each[0] == job]
    if sent:
        lines.append(_line(event.at, "info", _sent(sent)))
    if is_parked(event, job) and parked_at != event.seq - 1:
        said = "Parked between two chunks: its lanes go to another job in whose turn it is."
        lines.append(_line(event.at, "info", said))
    return lines


def is_parked(event: StoryLine, job: str) -> bool:
    """Whether a job was parked after an event."""
    return event.decision is not None and job in event.decision.parking


def ending(view: JobView) -> Line | None:
    """How a job ended that was not published, or has failed tiles: no event of its own says so."""
    if view.ended_at is None or not view.state.is_final:
        return None
    if view.state is JobState.SUCCEEDED:
        said = f"{view.explanation.sentence.capitalize()}."
        return _line(view.ended_at, "warning", said) if view.tiles_failed else None
    level = "info" if view.state is JobState.CANCELLED else "error"
    said = f"{view.state.value.capitalize()}: {view.explanation.sentence}"
    return _line(view.ended_at, level, said)


def _line(at: float, level: str, message: str, run: str | None = None) -> Line:
    return Line(at, level, "system", LOGGER, message, run=run)


def _is_of_others(event: StoryLine, job: str) -> bool:
    """Events come here also for what they made the scheduler decide. A report, and a lane that was
    lost, is of the job that the journal has it under; those it has not name no job of their own."""
    if event.kind == "workflow_submitted":
        return all(each["job"] != job for each in event.body["jobs"])  # type: ignore[attr-defined]
    return event.job != job


def _dispatches(event: StoryLine) -> tuple[Dispatch, ...]:
    return event.decision.dispatches if event.decision is not None else ()


def _sent(sent: list[Dispatch]) -> str:
    units = [
        f"{f'chunk {chunk}' if stage is Stage.SEGMENT else stage.value} to {lane}"
        for _, stage, chunk, lane in sent
    ]
    return f"Sent {', '.join(units)}."


Body = dict[str, Any]
_Said = tuple[str, str]


def _submitted(body: Body, job: str) -> _Said:
    spec = next(each for each in body["jobs"] if each["job"] == job)
    others = len(body["jobs"]) - 1
    after = f" after {', '.join(spec['depends_on'])}" if spec.get("depends_on") else ""
    beside = f" with {others:,} other{' job' if others == 1 else ' jobs'}" if others else ""
    return "info", f"Submitted{beside} on branch {spec['branch']}{after}."


def _planned(body: Body, _: str) -> _Said:
    chunks = body["plan"]["chunk_tiles"]
    what = f"{sum(chunks):,} tiles in {len(chunks):,} chunks"
    if body["plan"].get("reused"):
        return "info", f"Planned: {what}, all done already in an equal job's result, and reused."
    return "info", f"Planned in {body['seconds']:.2f} s: {what}."


def _chunk(body: Body, _: str) -> _Said:
    failed = body["tiles_failed"]
    said = f"A chunk is finished in {body['seconds']:.2f} s: {body['cells']:,} cells."
    return ("warning", f"{said} {failed} of its tiles failed.") if failed else ("info", said)


def _failed(body: Body, _: str) -> _Said:
    again = "it may be tried again" if body["retryable"] else "trying again cannot help"
    failure = body["failure"]
    return "error", f"Failed ({again}): {failure['message']} {failure['remedy']}"


def _missed(body: Body, _: str) -> _Said:
    return "warning", f"Storage has lost {len(body['chunks']):,} finished chunks; they go again."


def _lost(body: Body, _: str) -> _Said:
    how = " alone and one tile at a time" if body.get("too_large") else ""
    return (
        "warning",
        f"The process of a unit was lost, and the unit goes again{how}: {body['cause']}.",
    )


_SENTENCES: dict[str, Callable[[Any, str], _Said]] = {
    "workflow_submitted": _submitted,
    "job_cancel_requested": lambda *_: ("info", "Its cancel was asked for."),
    "job_retry_requested": lambda *_: ("info", "A retry was asked for."),
    "mpp_answered": lambda body, _: ("info", f"The pixel size was answered: {body['mpp']:g} um."),
    "slide_planned": _planned,
    "mpp_missed": lambda body, _: ("warning", f"It waits for an answer: {body['question']}"),
    "chunk_finished": _chunk,
    "result_assembled": lambda body, _: (
        "info",
        f"Assembled in {body['seconds']:.2f} s: {body['cells']:,} cells.",
    ),
    "chunks_missed": _missed,
    "result_published": lambda body, _: (
        "info",
        f"Published: {body['cells']:,} cells, checksum {body['checksum']}.",
    ),
    "run_failed": _failed,
    "run_lost": _lost,
    "lane_lost": lambda body, _: (
        "warning",
        f"Lane {body['lane']} was lost with the unit in it ({body['cause']}).",
    ),
    "run_stopped": lambda *_: ("info", "A unit has stopped, as it was told to."),
}
