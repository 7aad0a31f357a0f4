"""``raysched up``: the service on this machine, until Ctrl-C."""

from __future__ import annotations

import asyncio
import signal
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from raysched.cli.options import Common
from raysched.cli.session import settings
from raysched.cli.voice import Voice
from raysched.errors import Conflict

if TYPE_CHECKING:
    from raysched.cluster.health import Health
    from raysched.cluster.session import Session
    from raysched.config import Config


@dataclass(frozen=True, kw_only=True)
class UpOptions(Common):
    """The options of ``up``."""

    host: Annotated[str | None, typer.Option(help="Address to listen on.")] = None
    port: Annotated[
        int | None, typer.Option(min=0, max=65535, help="TCP port; 0 takes any free one.")
    ] = None


def up(options: UpOptions, voice: Voice) -> None:
    """Run the service: Ray, the scheduler and HTTP. Ctrl-C stops it in order."""
    from serve_app.address import claim

    config = _configured(options)
    claim(config.serve)
    voice.note("starting Ray")
    from raysched.cluster.session import connect

    try:
        with connect(config, dashboard=True) as session:
            _refuse_joined(session, config)
            _serve(session, config, voice)
    except KeyboardInterrupt:  # before or after it served: nothing to keep
        voice.note("stopped")


def _serve(session: Session, config: Config, voice: Voice) -> None:
    from serve_app.service import serving

    with serving(config) as url:
        stopped = asyncio.run(_until_stopped(session, url, voice))
    voice.note(
        "stopped" + (f"; {_jobs(stopped.jobs_open)} at the next start" * bool(stopped.jobs_open))
    )


async def _until_stopped(session: Session, url: str, voice: Voice) -> Health:
    """Say where the service is, wait for the signal, close the scheduler. What it said last."""
    loop, stop = asyncio.get_running_loop(), asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    health = await session.gateway.health()
    voice.emit(up={"url": url, "dashboard": session.dashboard_url, "jobs_open": health.jobs_open})
    if health.jobs_open:
        voice.say(_jobs(health.jobs_open))
    voice.say(f"raysched is at {url}  (API: {url}/docs)")
    if session.dashboard_url:
        voice.say(f"Ray dashboard: {session.dashboard_url}")
    voice.say("Ctrl-C stops it; what was submitted is kept.")
    await stop.wait()
    voice.note("stopping")
    last = await session.gateway.health()
    await session.gateway.close()
    return last


def _jobs(number: int) -> str:
    return f"{number} unfinished {'job goes' if number == 1 else 'jobs go'} on"


def _configured(options: UpOptions) -> Config:
    config = settings(options.address)
    given = {"host": options.host, "port": options.port}
    wanted = {name: value for name, value in given.items() if value is not None}
    return config.model_copy(update={"serve": config.serve.model_copy(update=wanted)})


def _refuse_joined(session: Session, config: Config) -> None:
    """A cluster that another command started by itself ends with that command."""
    if session.owned or config.cluster.address:
        return
    raise Conflict(
        f"Another raysched process works with the state folder {config.state}.",
        remedy="Use it, wait for its end, or point RAYSCHED_STATE at another folder.",
        state=str(config.state),
    )
