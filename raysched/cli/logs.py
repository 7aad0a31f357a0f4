"""``raysched logs``: what an engine said and what the system did for one job."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from raysched.cli.options import OneJob
from raysched.cli.service import LogWish, reach
from raysched.cli.voice import Interrupted, Voice

if TYPE_CHECKING:
    from serve_app.log_models import LogLine


@dataclass(frozen=True, kw_only=True)
class LogsOptions(OneJob):
    """The options of ``logs``."""

    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Go on until the job has ended.")
    ] = False
    level: Annotated[
        str, typer.Option(metavar="LEVEL", help="From which on: debug, info, warning, error.")
    ] = "debug"


def logs(options: LogsOptions, voice: Voice) -> None:
    """Show what the engine said and what the system did for a job. Ctrl-C stops showing only."""

    def say(line: LogLine) -> None:
        voice.emit(**line.model_dump(mode="json"))
        voice.say(line.text())

    try:
        with reach(options) as service:
            service.read_log(options.job, LogWish(options.level, options.follow), say)
    except KeyboardInterrupt:
        raise Interrupted(f"{options.job} goes on.") from None
