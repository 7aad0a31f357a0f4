"""``raysched down``: stop the service in order, wherever it was started."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated, Final, NoReturn

import typer

from raysched.cli.options import Common
from raysched.cli.session import ask, settings
from raysched.cli.voice import Interrupted, Voice
from raysched.core.events import ClusterDrained, ClusterResumed
from raysched.core.model import LOCAL_USER
from raysched.errors import ClusterError, Conflict, InvalidSetting

if TYPE_CHECKING:
    from raysched.cluster.gateway import Gateway
    from raysched.cluster.health import Health
    from raysched.cluster.record import Keeper
    from raysched.config import Config

POLL_S: Final = 0.2
STOP_S: Final = 90.0
DRAIN_POLL_S: Final = 1.0


@dataclass(frozen=True, kw_only=True)
class DownOptions(Common):
    """The options of ``down``."""

    wait: Annotated[
        bool, typer.Option("--wait", help="First let everything that was taken in run to its end.")
    ] = False
    now: Annotated[
        bool, typer.Option("--now", help="At once, as a crash would; what was submitted is kept.")
    ] = False


def down(options: DownOptions, voice: Voice) -> None:
    """Stop the service that uses this state folder, or that runs on a cluster. Work is kept."""
    from raysched.cluster.record import keeper_of

    if options.wait and options.now:
        raise InvalidSetting("--wait and --now exclude each other.", remedy="Use one of them.")
    config = settings(options.address)
    keeper = keeper_of(config.state)
    cluster = config.cluster.address or (keeper.cluster if keeper else None)
    stopped = []
    if options.wait and (keeper is not None or cluster):
        _drain(config, voice)
    if keeper is not None:
        voice.note(f"stopping `raysched up` (process {keeper.pid})")
        stop_keeper(config.state, keeper, now=options.now)
        stopped.append("up")
    if cluster:
        stopped += _clear_cluster(config, cluster)
    if keeper is None and not cluster:
        _refuse_run(config)
    stopped += _clear_folder(config)
    voice.emit(down={"stopped": stopped})
    if not stopped:
        place = f"on the cluster {cluster}" if cluster else f"with the state folder {config.state}"
        voice.say(f"nothing runs {place}")
    else:
        voice.say("stopped; what was submitted is kept")


def stop_keeper(state: Path, keeper: Keeper, *, now: bool = False) -> None:
    """Have a ``raysched up`` stop, and wait until it has. Raises ``ClusterError``."""
    from raysched.cluster.record import keeper_of

    if not keeper.is_here:
        if keeper_of(state) is None:  # it has just ended
            return
        raise ClusterError(
            f"`raysched up` (process {keeper.pid}) serves {state} from another machine or "
            "container.",
            remedy="Run `raysched down` there.",
            pid=keeper.pid,
        )
    try:
        os.kill(keeper.pid, signal.SIGQUIT if now else signal.SIGTERM)
    except ProcessLookupError:
        pass
    except PermissionError as error:
        raise ClusterError(
            f"`raysched up` (process {keeper.pid}) is another user's.",
            remedy="Stop it as that user, or as the administrator of this machine.",
            pid=keeper.pid,
        ) from error
    deadline = time.monotonic() + STOP_S
    while (there := keeper_of(state)) is not None and there.pid == keeper.pid:
        if time.monotonic() > deadline:
            raise ClusterError(
                f"`raysched up` (process {keeper.pid}) has not ended within {STOP_S:g} s.",
                remedy="End it at once with `raysched down --now`; what was submitted is kept.",
                pid=keeper.pid,
            )
        time.sleep(POLL_S)


def _drain(config: Config, voice: Voice) -> None:
    """Take nothing in, and wait until what was taken in has ended; then let the next start take
    work in again. What waits for a person's answer is not waited for."""
    health = ask(config, lambda gateway: gateway.health())
    if health.paused_at is not None:
        raise Conflict(
            "The service is paused: nothing that it has taken in would end.",
            remedy="`raysched resume` first, or stop it without --wait: work is kept.",
        )
    voice.note("taking nothing new in; waiting for what is there (Ctrl-C goes on without waiting)")
    try:
        with _interruptible():
            ask(config, _drained)
    except (KeyboardInterrupt, SystemExit, ClusterError) as stop:  # a forgotten drain never ends
        try:
            _end_drain(config, health)
        except ClusterError:
            voice.note("it may still refuse new work: `raysched resume` once it answers")
        if isinstance(stop, ClusterError):
            raise
        raise Interrupted("Nothing was stopped; the service takes work in again.") from None
    _end_drain(config, health)


@contextmanager
def _interruptible() -> Iterator[None]:
    """A terminal that is closed interrupts as Ctrl-C does, and so does SIGTERM; that one raises
    ``SystemExit`` from when Ray is joined."""

    def interrupt(_: int, __: FrameType | None) -> NoReturn:
        raise KeyboardInterrupt

    before = {each: signal.signal(each, interrupt) for each in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)


async def _drained(gateway: Gateway) -> None:
    import asyncio

    from raysched.cluster.listing import JobQuery
    from raysched.core.model import JobState

    await gateway.hold(ClusterDrained(0.0, LOCAL_USER))
    while (open_ := (await gateway.health()).jobs_open) > 0:
        asks = 0
        for account in await gateway.accounts():
            page = await gateway.jobs(account.user, JobQuery(state=JobState.NEEDS_MPP))
            asks += len(page.items)
        if asks >= open_:
            return
        await asyncio.sleep(DRAIN_POLL_S)


def _end_drain(config: Config, before: Health) -> None:
    """A drain outlives restarts; that of somebody else stays."""
    if before.drained_at is None:
        ask(config, lambda gateway: gateway.hold(ClusterResumed(0.0, LOCAL_USER)))


def _clear_cluster(config: Config, address: str) -> list[str]:
    """Close what is left on a cluster that goes on without the service."""
    from raysched.cluster.scheduler_actor import close_service
    from raysched.cluster.session import joined
    from serve_app.service import take_down

    config = config.model_copy(
        update={"cluster": config.cluster.model_copy(update={"address": address})}
    )
    with joined(config):
        parts = {"http": take_down(), **close_service(config)}
    return [name for name, was_there in parts.items() if was_there]


def _clear_folder(config: Config) -> list[str]:
    """End what a service whose ``raysched up`` is dead has left, and forget its cluster."""
    from raysched.cluster.processes import end_all
    from raysched.cluster.record import CLUSTER, cluster_of, keeper_of, left_behind

    if keeper_of(config.state) is not None:  # another has begun
        return []
    ended = end_all(lambda: left_behind(config.state))
    found = cluster_of(config.state)
    if found is not None and not found.is_live:
        (config.state / CLUSTER).unlink(missing_ok=True)
    return ["processes"] if ended else []


def _refuse_run(config: Config) -> None:
    """A cluster that `raysched run` has started is not the service."""
    from raysched.cluster.record import cluster_of

    found = cluster_of(config.state)
    if found is not None and found.is_live:
        raise Conflict(
            f"Process {found.pid} works with the state folder {config.state}, and is no "
            "`raysched up`.",
            remedy="Stop it where it was started, or wait for its end.",
            pid=found.pid,
        )
