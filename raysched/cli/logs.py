"""``raysched logs``: what an engine said and what the system did for one job."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from raysched.cli.options import OneJob
from raysched.cli.session import ask, settings
from raysched.cli.voice import Interrupted, Voice
from raysched.core.model import LOCAL_USER, JobId

if TYPE_CHECKING:
    from raysched.cluster.gateway import Gateway
    from raysched.cluster.job_log import Level, LogPage
    from raysched.config import Config

PAGE = 500
NEWS_WAIT_S = 1.0  # what an engine prints is in no event: look for it this often


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
    config = settings(options.address)
    try:
        ask(config, lambda gateway: _show(gateway, config, options, voice))
    except KeyboardInterrupt:
        raise Interrupted(f"{options.job} goes on.") from None


async def _show(gateway: Gateway, config: Config, options: LogsOptions, voice: Voice) -> None:
    from raysched.cluster.job_log import LogAsk, read_log

    job, wanted = JobId(options.job), _level(options.level)
    cursor, seen = None, -1
    while True:
        page = await read_log(gateway, config, LOCAL_USER, job, LogAsk(PAGE, cursor, wanted))
        _say(page, voice)
        cursor = page.next
        if not page.complete:
            continue
        if page.state.is_final or not options.follow:
            return
        seen, _ = await gateway.watch(LOCAL_USER, job, seen, NEWS_WAIT_S)


def _level(name: str) -> Level:
    from raysched.cluster.job_log import Level
    from raysched.errors import InvalidSetting

    try:
        return Level(name)
    except ValueError:
        raise InvalidSetting(
            f"There is no level {name!r}.", remedy=f"Use one of {', '.join(Level)}."
        ) from None


def _say(page: LogPage, voice: Voice) -> None:
    from serve_app.log_models import LogLine

    for line in page.lines:
        shown = LogLine.of(line, ())
        voice.emit(**shown.model_dump(mode="json"))
        voice.say(shown.text())
