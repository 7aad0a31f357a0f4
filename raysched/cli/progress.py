"""Showing how a job goes: bars on a terminal, a line every few seconds elsewhere, JSON if asked."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

from rich.console import Console, RenderableType
from rich.progress import BarColumn, SpinnerColumn, Task, TaskID, TextColumn
from rich.progress import Progress as Bars
from rich.text import Text

from raysched.cli.jobs import standing
from raysched.cli.voice import Voice
from raysched.core.model import JobState, Stage

if TYPE_CHECKING:
    from serve_app.models import Job

LINE_EVERY_S = 5.0
STAGES = tuple(Stage)
SEGMENT = STAGES.index(Stage.SEGMENT)


class Progress(Protocol):
    """Takes each change of one job."""

    def say(self, text: str) -> None:
        """What goes on outside the job: starting, stopping."""

    def show(self, job: Job) -> None:
        """The job changed."""

    def close(self) -> None:
        """Show nothing more. Closing twice is harmless."""


@contextmanager
def progress(voice: Voice) -> Iterator[Progress]:
    """What suits the reader of this command."""
    shown: Progress
    if voice.json:
        shown = JsonProgress(voice)
    elif sys.stderr.isatty():
        shown = BarProgress(Console(stderr=True))
    else:
        shown = LineProgress(voice)
    try:
        yield shown
    finally:
        shown.close()


class BarProgress:
    """One bar per stage, redrawn in place."""

    def __init__(self, console: Console) -> None:
        self._bars = Bars(
            StageMark(finished_text="[green]✓[/green]"),
            TextColumn("{task.description:<9}"),
            BarColumn(bar_width=32),
            TextColumn("{task.fields[note]}"),
            console=console,
        )
        self._stages: list[TaskID] = []
        self._console = console
        self._status = console.status("")

    def say(self, text: str) -> None:
        """See ``Progress.say``."""
        if self._stages:
            self._bars.console.print(f"[dim]{text}[/dim]")
        else:
            self._status.update(text)
            self._status.start()

    def show(self, job: Job) -> None:
        """See ``Progress.show``."""
        if not self._stages:
            self._status.stop()
            self._bars.start()
            self._stages = [self._add(stage) for stage in STAGES]
        reached = stage_index(job)
        for index, bar in enumerate(self._stages):
            done, total = _extent(job, index, reached)
            note = ""
            if index == SEGMENT and job.tiles_total is not None:
                note = tiles_note(job)
            if index == max(reached, 0) and job.state in WAITING:
                note = job.why.sentence
            running = index == reached and job.state not in WAITING
            self._bars.update(bar, completed=done, total=total, note=note, running=running)

    def close(self) -> None:
        """See ``Progress.close``."""
        self._status.stop()
        self._bars.stop()

    def _add(self, stage: Stage) -> TaskID:
        return self._bars.add_task(stage.value, total=1, note="", running=False)


class StageMark(SpinnerColumn):
    """Turns while the stage runs; blank before, a tick after."""

    def render(self, task: Task) -> RenderableType:
        """See ``SpinnerColumn``."""
        return super().render(task) if task.finished or task.fields["running"] else Text(" ")


class LineProgress:
    """A plain line at each new stage, and every few seconds in between."""

    def __init__(self, voice: Voice) -> None:
        self._voice = voice
        self._last: tuple[object, ...] = ()
        self._said_at = 0.0

    def say(self, text: str) -> None:
        """See ``Progress.say``."""
        self._voice.note(text)

    def show(self, job: Job) -> None:
        """See ``Progress.show``."""
        now = time.monotonic()
        step = (job.state, job.attempt)
        if step == self._last and now < self._said_at + LINE_EVERY_S:
            return
        self._last, self._said_at = step, now
        self._voice.note(line(job))

    def close(self) -> None:
        """See ``Progress.close``."""


class JsonProgress:
    """The job as one JSON line whenever something of it changed."""

    def __init__(self, voice: Voice) -> None:
        self._voice = voice
        self._last: tuple[object, ...] = ()

    def say(self, text: str) -> None:
        """See ``Progress.say``."""

    def show(self, job: Job) -> None:
        """See ``Progress.show``."""
        counts = (job.tiles_done, job.chunks_done, job.cells)
        change = (job.state, job.stage, job.attempt, job.why.reason, counts)
        if change != self._last:
            self._last = change
            self._voice.emit(job=job.model_dump(mode="json"))

    def close(self) -> None:
        """See ``Progress.close``."""


WAITING = {JobState.WAITING, JobState.RETRY_WAITING, JobState.NEEDS_MPP, JobState.CANCELLING}


def line(job: Job) -> str:
    """One line about a job that runs or waits."""
    if job.state in WAITING or job.state.is_final:
        return standing(job)
    if job.stage is Stage.SEGMENT:
        return f"{job.state}: {tiles_note(job)}"
    return str(job.state)


def tiles_note(job: Job) -> str:
    """What is done of the tiles, how fast, and how long it will take."""
    parts = [f"{job.tiles_done}/{job.tiles_total or 0} tiles"]
    if job.tiles_per_s:
        parts.append(f"{job.tiles_per_s:.1f} tiles/s")
    parts.append(f"{job.cells:,} cells")
    if job.eta_s is not None and job.stage is Stage.SEGMENT:
        parts.append(f"{duration(job.eta_s)} left")
    return ", ".join(parts)


def duration(seconds: float) -> str:
    """Seconds as a person says them: 8 s, 3 min, 2 h 05 min."""
    whole = round(seconds)
    if whole < 100:
        return f"{whole} s"
    minutes = round(seconds / 60)
    if minutes < 100:
        return f"{minutes} min"
    return f"{minutes // 60} h {minutes % 60:02} min"


def stage_index(job: Job) -> int:
    """How far a job got: the index of its stage; -1 before the first, 4 after the last."""
    if job.state is JobState.SUCCEEDED:
        return len(STAGES)
    return -1 if job.stage is None else STAGES.index(job.stage)


def _extent(job: Job, index: int, reached: int) -> tuple[float, float | None]:
    """Done and total of one stage's bar; no total: it runs and cannot say how far it is."""
    if index < reached:
        return 1, 1
    if index == SEGMENT and job.tiles_total:
        return job.tiles_done, job.tiles_total
    running = index == reached and job.state not in WAITING and not job.state.is_final
    return 0, None if running else 1
