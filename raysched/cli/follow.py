"""Following one job to its end, and stopping it when the person says so."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from raysched.cli.service import Show
from raysched.core.model import LOCAL_USER, JobId, JobState

if TYPE_CHECKING:
    from raysched.cluster.gateway import Gateway
    from raysched.cluster.submission import Prepared
    from raysched.core.views import JobView

WATCH_S = 5.0
SIGNALS = (signal.SIGINT, signal.SIGTERM)


async def follow(gateway: Gateway, job: JobId, show: Show) -> JobView:
    """Show each change of a job; return it when it has ended or waits for a person."""
    from serve_app.models import Job

    seen = -1
    while True:
        seen, view = await gateway.watch(LOCAL_USER, job, seen, WATCH_S)
        show(Job.of(view, in_full=True))
        if view.state.is_final or view.state is JobState.NEEDS_MPP:
            return view


async def submit_and_follow(
    gateway: Gateway, prepared: Prepared, show: Show, stopping: Callable[[], None]
) -> tuple[JobView, bool]:
    """Submit a job and follow it; at the first Ctrl-C, from before it is submitted, cancel it and
    follow it to its end all the same.

    Returns the last view and whether it was stopped. A second Ctrl-C leaves at once.
    """
    job = prepared.jobs[0].job
    with _interruption() as interrupted:
        await gateway.submit(prepared)
        following = asyncio.create_task(follow(gateway, job, show))
        waiting = asyncio.create_task(interrupted.wait())
        await asyncio.wait({following, waiting}, return_when=asyncio.FIRST_COMPLETED)
        waiting.cancel()
        if following.done():
            return following.result(), False
    stopping()
    return await give_up(gateway, job, following), True


async def give_up(
    gateway: Gateway, job: JobId, following: asyncio.Task[JobView] | None = None
) -> JobView:
    """Cancel a job and wait until nothing of it runs any more."""
    from raysched.errors import Conflict

    try:
        view = await gateway.cancel(LOCAL_USER, job)
    except Conflict:  # it ended by itself in this very moment
        view = await gateway.job(LOCAL_USER, job)
    if following is not None:
        view = await following
    while not view.state.is_final:
        view = await follow(gateway, job, lambda _: None)
    return view


@contextmanager
def _interruption() -> Iterator[asyncio.Event]:
    """An event that Ctrl-C or a polite kill sets, instead of raising somewhere."""
    loop = asyncio.get_running_loop()
    interrupted = asyncio.Event()
    for number in SIGNALS:
        loop.add_signal_handler(number, interrupted.set)
    try:
        yield interrupted
    finally:
        for number in SIGNALS:
            loop.remove_signal_handler(number)
