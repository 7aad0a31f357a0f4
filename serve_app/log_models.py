"""What HTTP and ``--json`` show of a job's log."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from raysched.core.model import JobState
from serve_app.models import Shown, utc
from serve_app.paths import conceal

if TYPE_CHECKING:
    from raysched.cluster.job_log import LogPage
    from raysched.results.logbook import Line


class LogLine(Shown):
    """One thing that was said. ``source``: the engine or the system; ``logger``: which part of it,
    or `stdout`, `stderr`. ``stage`` and what follows: while which unit, where it was during one."""

    at: datetime
    level: str
    source: Literal["engine", "system"]
    logger: str
    message: str
    attempt: int | None
    stage: str | None
    chunk: int | None
    run: str | None

    @classmethod
    def of(cls, line: Line, folders: Iterable[Path]) -> LogLine:
        """A line, without the folders."""
        shown = replace(line, message=conceal(line.message, folders))
        return cls.model_validate(
            {**{name: getattr(shown, name) for name in cls.model_fields}, "at": utc(line.at)}
        )

    def text(self) -> str:
        """For a person: one line, or more where the message has more."""
        unit = {"attempt": self.attempt, "stage": self.stage, "chunk": self.chunk, "run": self.run}
        named = " ".join(f"{name}={value}" for name, value in unit.items() if value is not None)
        when = self.at.isoformat(timespec="milliseconds")
        who = f"{self.level.upper():<8} {self.logger}"
        return f"{when} {who}{f' [{named}]' if named else ''}: {self.message}"


class JobLog(Shown):
    """A page of a job's log, oldest first. ``next`` goes on after it, also later: it is never null.
    ``complete``: there are no more lines for now."""

    job: str
    state: JobState
    lines: tuple[LogLine, ...]
    next: str
    complete: bool

    @classmethod
    def of(cls, job: str, page: LogPage, folders: Iterable[Path]) -> JobLog:
        """A page, without the folders."""
        lines = tuple(LogLine.of(line, folders) for line in page.lines)
        return cls(job=job, state=page.state, lines=lines, next=page.next, complete=page.complete)
