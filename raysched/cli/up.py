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
from raysched.core.model import LOCAL_USER
from raysched.errors import Conflict
from raysched.logs import write_logs

if TYPE_CHECKING:
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
    write_logs(config.logging.format, config.logging.level)
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
    """Serve until told to stop; then HTTP ends first, so that nothing is accepted any more."""
    from serve_app.service import serving

    with serving(config, owned=session.owned) as url:
        asyncio.run(_until_stopped(session, url, voice))
    jobs_open = asyncio.run(_close(session))
    voice.emit(stopped={"jobs_open": jobs_open})
    voice.note(f"stopped; {_jobs(jobs_open)} at the next start" if jobs_open else "stopped")


async def _until_stopped(session: Session, url: str, voice: Voice) -> None:
    """Say where the service is, and how to get in; wait for the signal."""
    from raysched.cluster.accounts import Accounts

    loop, stop = asyncio.get_running_loop(), asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    jobs_open = (await session.gateway.health()).jobs_open
    accounts = Accounts(session.gateway)
    key, token = await accounts.first_key(), await accounts.login_token()
    login = f"{url}/login?token={token.text}"
    dashboard = f"http://{session.dashboard_url}" if session.dashboard_url else None
    keys = {"login": login, "admin_key": key.text if key else None}
    voice.emit(up={"url": url, "dashboard": dashboard, "jobs_open": jobs_open, **keys})
    if jobs_open:
        voice.say(_jobs(jobs_open))
    voice.say(f"the web UI is at {url}/  (API: {url}/docs)")
    voice.say(f"open it, logged in as {LOCAL_USER}: {login}  (works once, for 10 minutes)")
    if key:
        voice.say(f"admin key, shown this once, keep it: {key.text}")
    if dashboard:
        voice.say(f"Ray dashboard: {dashboard}  (its token: ~/.ray/auth_token)")
    voice.say("Ctrl-C stops it; what was submitted is kept.")
    await stop.wait()
    voice.note("stopping")


async def _close(session: Session) -> int:
    """Close the scheduler in order; how many jobs will go on."""
    jobs_open = (await session.gateway.health()).jobs_open
    await session.gateway.close()
    return jobs_open


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
