"""The process in which ``raysched up`` runs its service: Ray, the scheduler and HTTP.

Started and watched by ``raysched.cli.keeper``, and never without it: it ends with its keeper.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass
from types import FrameType
from typing import TYPE_CHECKING, Final, NoReturn, TextIO

import typer

from raysched.cli.ending import leave, to_the_end
from raysched.cli.keeper import BROKEN_EXIT_CODE
from raysched.cli.link import Link
from raysched.cli.voice import Voice, lasting, reporting
from raysched.cluster import processes
from raysched.config import Config, auth_mode, load_config
from raysched.core.model import LOCAL_USER
from raysched.errors import Conflict, RayschedError
from raysched.logs import write_logs

if TYPE_CHECKING:
    from raysched.cluster.session import Session


ASK_FOR_IT: Final = "ray get-auth-token"
"""Prints the token that Ray's dashboard asks for, where the operator has it."""


@dataclass(frozen=True, slots=True)
class Kept:
    """What the keeper has ordered. ``again``: it has served before."""

    config: Config
    voice: Voice
    link: Link
    again: bool

    def serve(self) -> None:
        """Start everything and serve until told to stop; raises what keeps it from starting."""
        from raysched.cluster.session import connect

        write_logs(self.config.logging.format, self.config.logging.level)
        if not self.again:
            self.voice.note("starting Ray")
        with connect(self.config, keeps=True, reads=self._reads()) as session:
            self._refuse_joined(session)
            if session.replaced:
                self.voice.note(f"raysched {session.replaced} has closed; its work goes on here")
            self._serve(session)

    def _reads(self) -> Callable[[int, int], None]:
        """What is said while the scheduler reads its journal back: each tenth."""
        noted = 0

        def reads(events: int, of: int) -> None:
            nonlocal noted
            self.link.tell(beat=True)
            if 10 * (events - noted) >= of > events:
                noted = events
                self.voice.note(f"reading the journal back: {events:,} of {of:,} events")

        return reads

    def _serve(self, session: Session) -> None:
        """HTTP ends first, so that nothing is accepted any more."""
        from serve_app.service import serving

        with serving(self.config, owned=session.owned, anew=bool(session.replaced)) as url:
            asyncio.run(self._until_stopped(session, url))
        jobs_open = asyncio.run(_close(session))
        self.voice.emit(stopped={"jobs_open": jobs_open})
        self.voice.note(
            f"stopped; {_jobs(jobs_open)} at the next start" if jobs_open else "stopped"
        )

    async def _until_stopped(self, session: Session, url: str) -> None:
        from raysched.cluster.pulse import Pulse, Watched

        loop, stop = asyncio.get_running_loop(), asyncio.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, stop.set)
        await self._say_where(session, url)
        watched = Watched(url, lambda: self.link.tell(beat=True), self._broken, self._closed)
        pulse = Pulse(session, self.config.cluster.namespace, watched)
        self.link.tell(up={"url": url, "port": int(url.rpartition(":")[2])})
        pulse.start()
        await stop.wait()
        pulse.stop()
        self.voice.note("stopping")
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)  # it is stopping; who is in haste kills it

    async def _say_where(self, session: Session, url: str) -> None:
        """Say where the service is, and how to get in; ways in are said at the first start only."""
        from raysched.cluster.accounts import Accounts

        jobs_open = (await session.gateway.health()).jobs_open
        accounts = Accounts(session.gateway)
        key = await accounts.first_key()
        token = None if self.again else await accounts.login_token()
        login = f"{url}/login?token={token.text}" if token else None
        address = await session.gateway.dashboard()
        dashboard = f"http://{address}" if address else None
        asks = ASK_FOR_IT if dashboard and auth_mode() == "token" else None
        keys = {"dashboard_token": asks, "login": login, "admin_key": key.text if key else None}
        voice = self.voice
        voice.emit(up={"url": url, "dashboard": dashboard, "jobs_open": jobs_open, **keys})
        if self.again:
            voice.note(f"it serves again at {url}/; {_jobs(jobs_open)}")
        elif jobs_open:
            voice.say(_jobs(jobs_open))
        if login:
            voice.say(f"the web UI is at {url}/  (API: {url}/docs)")
            voice.say(f"open it, logged in as {LOCAL_USER}: {login}  (works once, for 10 minutes)")
        if key:
            voice.say(f"admin key, shown this once, keep it: {key.text}")
        if dashboard:
            voice.say(f"Ray dashboard: {dashboard}" + (f"  (its token: `{asks}`)" if asks else ""))
        if login:
            voice.say("Ctrl-C stops it; what was submitted is kept.")

    def _broken(self, why: str) -> NoReturn:
        """Nothing can be ended in order with a cluster that is gone; the keeper clears it away."""
        self.link.tell(why=why)
        leave(BROKEN_EXIT_CODE)

    def _closed(self) -> NoReturn:
        """What runs on the cluster now is somebody else's, and stays."""
        self.voice.note("stopped: the scheduler was closed or replaced by another command")
        self.voice.emit(stopped={"by_another": True})
        self.link.tell(replaced=True)
        leave(0)

    def _refuse_joined(self, session: Session) -> None:
        """A cluster that another command started by itself ends with that command."""
        if session.owned or self.config.cluster.address:
            return
        raise Conflict(
            f"Another raysched process works with the state folder {self.config.state}.",
            remedy="Use it, wait for its end, or point RAYSCHED_STATE at another folder.",
            state=str(self.config.state),
        )


async def _close(session: Session) -> int:
    """Close the scheduler in order; how many jobs will go on."""
    jobs_open = (await session.gateway.health()).jobs_open
    await session.gateway.close()
    return jobs_open


def _jobs(number: int) -> str:
    return f"{number} unfinished {'job goes' if number == 1 else 'jobs go'} on"


def _own_stdout() -> TextIO:
    """Standard output for what this service says alone, since programs read the lines: what Ray
    prints goes to stderr."""
    ours = os.dup(1)
    os.set_inheritable(ours, False)
    os.dup2(2, 1)
    sys.stdout = sys.stderr
    return os.fdopen(ours, "w", buffering=1)


def _interrupt(_: int, __: FrameType | None) -> NoReturn:
    raise KeyboardInterrupt


def main() -> None:
    """Read the order and serve; the service's process ends with it."""
    to_the_end(_main)


def _main() -> None:
    signal.signal(signal.SIGTERM, _interrupt)  # until it serves
    link = Link.from_stdin()
    out = _own_stdout()
    said: list[dict[str, object]] = []
    while not said:
        heard = link.heard(None)
        if heard is None:
            leave(1)
        said = heard
    processes.end_with(int(str(said[0]["keeper"])))
    link.when_over(lambda: leave(1))
    voice = lasting(Voice(bool(said[0]["json"]), bool(said[0]["verbose"]), out))
    try:
        with reporting(voice):
            settings = said[0]["config"]
            assert isinstance(settings, dict)  # the keeper's own words
            kept = Kept(load_config(**settings), voice, link, again=bool(said[0]["again"]))
            try:
                kept.serve()
            except KeyboardInterrupt:  # before or after it served: nothing to keep
                voice.note("stopped")
            except SystemExit as ending:  # what SIGTERM does once Ray has been started or joined
                if ending.code != signal.SIGTERM:
                    raise
                voice.note("stopped")
            except RayschedError as error:
                link.tell(refused=error.code)
                raise
    except typer.Exit as ending:
        sys.exit(ending.exit_code)
