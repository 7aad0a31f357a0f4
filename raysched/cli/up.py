"""``raysched up``: the service on this machine, kept up until Ctrl-C."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from raysched import __version__
from raysched.cli.options import Common
from raysched.cli.session import settings
from raysched.cli.voice import Voice
from raysched.errors import Conflict

if TYPE_CHECKING:
    from raysched.cluster.record import Keeper, UpLock
    from raysched.config import Config


MOST_UNNAMED = 15
"""Times that the lock is found held by nobody known, a second each."""


@dataclass(frozen=True, kw_only=True)
class UpOptions(Common):
    """The options of ``up``."""

    host: Annotated[str | None, typer.Option(help="Address to listen on.")] = None
    port: Annotated[
        int | None, typer.Option(min=0, max=65535, help="TCP port; 0 takes any free one.")
    ] = None


def up(options: UpOptions, voice: Voice) -> None:
    """Run the service and keep it up: Ray, the scheduler and HTTP. Ctrl-C stops it in order."""
    from raysched.cli.keeper import keep_up
    from raysched.cluster.stores import check_store, object_store
    from serve_app.address import claim

    config = _configured(options)
    lock = _the_only_one(config, voice)
    try:
        _clear(config, voice, lock)
        claim(config.serve)
        check_store(object_store(config))
        code = keep_up(config, voice, lock)
    finally:
        lock.release()
    if code:
        raise typer.Exit(code)


def _the_only_one(config: Config, voice: Voice) -> UpLock:
    """The lock on the state folder. A service of an older version there is stopped in order."""
    from raysched.cluster.record import LOCK, UpLock, keeper_of
    from raysched.cluster.versions import is_newer

    unnamed = 0
    while (lock := UpLock.take(config.state)) is None:
        keeper = keeper_of(config.state)
        if keeper is None:  # it is beginning or ending
            unnamed += 1
            if unnamed > MOST_UNNAMED:
                raise Conflict(
                    f"Another process holds {config.state / LOCK}, and does not say who it is.",
                    remedy="Find it with `fuser` or `lsof` on that file, and end it.",
                    state=str(config.state),
                )
            continue
        if not is_newer(__version__, keeper.version):
            raise _taken(config, keeper)
        from raysched.cli.down import stop_keeper

        voice.note(f"raysched {keeper.version} serves here (process {keeper.pid}): it is stopped")
        stop_keeper(config.state, keeper)
    return lock


def _clear(config: Config, voice: Voice, lock: UpLock) -> None:
    """Say who serves now, and end what the last service has left if its ``raysched up`` was killed:
    it may hold the journal or the port, and nobody else would know of it any more."""
    from raysched.cluster.processes import end_all, mark
    from raysched.cluster.record import Keeper, last_keeper

    last, own = last_keeper(config.state), os.getpid()
    this = Keeper(pid=own, version=__version__, mark=mark(own), cluster=config.cluster.address)
    if last is None:
        lock.tell(this)
        return
    # Still of that session: should this process end now, the next one ends what is left then.
    kept = {"session": last.session, "session_mark": last.session_mark}
    lock.tell(this.model_copy(update=kept))
    if ended := end_all(last.left):
        voice.note(f"ended {ended} processes that `raysched up` (process {last.pid}) had left")


def _taken(config: Config, keeper: Keeper) -> Conflict:
    version = f", version {keeper.version}" if keeper.version != __version__ else ""
    return Conflict(
        f"`raysched up` (process {keeper.pid}{version}) serves the state folder {config.state}"
        " already.",
        remedy="Use it, stop it with `raysched down`, or point RAYSCHED_STATE at another folder.",
        state=str(config.state),
        pid=keeper.pid,
        version=keeper.version,
    )


def _configured(options: UpOptions) -> Config:
    config = settings(options.address)
    given = {"host": options.host, "port": options.port}
    wanted = {name: value for name, value in given.items() if value is not None}
    return config.model_copy(update={"serve": config.serve.model_copy(update=wanted)})
