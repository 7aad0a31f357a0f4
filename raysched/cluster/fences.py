"""When what was handed over to a run of publish is taken back (``results/fencing.py``), and who
waits for it.

A job that is not on the way to its result any more must not get one: neither from a run that was
told to stop, nor from one that nobody hears of any more. So whenever a job stops (cancelled,
failed, waiting to be tried again), what was handed over is taken back, and a cancel is acknowledged
after that. A new attempt begins with it, and each handing over takes back the one before.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from raysched.core.events import (
    AllCancelRequested,
    Event,
    JobCancelRequested,
    UserDeleted,
    WorkflowCancelRequested,
)
from raysched.core.model import PUBLISH, JobId, JobState, RunId
from raysched.core.state import Job, State
from raysched.errors import ClusterError, RayschedError
from raysched.imaging.request import SlideRequest, read_request
from raysched.results.fencing import hand_over, take_back
from raysched.results.folders import staging_folder

log = logging.getLogger(__name__)

Cancel = JobCancelRequested | WorkflowCancelRequested | AllCancelRequested | UserDeleted
STOPPED = {
    JobState.CANCELLING,
    JobState.CANCELLED,
    JobState.FAILED,
    JobState.RETRY_WAITING,
}
PATIENCE_S = 20.0
THREADS = 8


class Fences:
    """The handing over and taking back of one life: one after another for each job."""

    def __init__(self) -> None:
        # Results may be on a storage that hangs: threads of their own keep that from all others.
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="fences")
        self._turns: dict[JobId, asyncio.Task[None]] = {}

    async def hand_over(self, request: SlideRequest, job: JobId, run: RunId) -> None:
        """Let one run of publish have the result. Raises ``StorageFailed``, ``StorageFull``."""
        await self._in_turn(job, lambda: hand_over(_staging(request, job), run))

    async def take_back(self, request: SlideRequest, job: JobId) -> None:
        """Let none have it any more. Raises ``StorageFailed``, ``StorageFull``."""
        await self._in_turn(job, lambda: take_back(_staging(request, job)))

    async def shut(self, jobs: Iterable[Job]) -> None:
        """Take back what may have been handed over of jobs that have stopped.

        Raises ``ClusterError`` when a disk does not let it be known.
        """
        try:
            async with asyncio.timeout(PATIENCE_S):
                for job in jobs:
                    if (request := _request_of(job)) is not None:
                        await self.take_back(request, job.id)
        except (TimeoutError, RayschedError) as error:
            why = error.message if isinstance(error, RayschedError) else "the disk does not answer"
            raise ClusterError(
                f"It is written down and stops the work, but a result may still appear: {why}",
                remedy="Check the disk that holds the results folder, then ask once more.",
            ) from error

    async def _in_turn(self, job: JobId, work: Callable[[], None]) -> None:
        before = self._turns.get(job)
        turn = self._turns[job] = asyncio.create_task(self._after(before, work))
        turn.add_done_callback(lambda done: self._leave(job, done))
        await asyncio.shield(turn)  # whoever gives up waiting leaves the disk as it is

    async def _after(self, before: Awaitable[None] | None, work: Callable[[], None]) -> None:
        if before is not None:
            await asyncio.gather(before, return_exceptions=True)
        await asyncio.get_running_loop().run_in_executor(self._threads, work)

    def end(self) -> None:
        """The life is over. What has begun comes to its end."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _leave(self, job: JobId, done: asyncio.Task[None]) -> None:
        if self._turns.get(job) is done:
            del self._turns[job]
        if not done.cancelled():
            done.exception()  # told to those who wait


def to_shut(state: State, event: Event, shown: Iterable[JobId]) -> list[Job]:
    """The jobs that an event has stopped, of which something may have been handed over. A cancel
    that is repeated names them again: the first may not have come to its end."""
    names = cancelled(state, event) if isinstance(event, Cancel) else shown
    jobs = (state.jobs[name] for name in names if name in state.jobs)
    return [job for job in jobs if job.state in STOPPED and _was_handed_over(job)]


def cancelled(state: State, event: Cancel) -> Iterator[JobId]:
    """The jobs in memory that a cancel names, whatever has become of them."""
    match event:
        case JobCancelRequested():
            yield event.job
        case WorkflowCancelRequested():
            workflow = state.workflows.get(event.workflow)
            yield from workflow.jobs if workflow is not None else ()
        case AllCancelRequested() | UserDeleted():
            user = state.users.get(event.user)
            yield from user.jobs if user is not None else ()


def _was_handed_over(job: Job) -> bool:
    """Whether it may have been: a run of publish is sent only after the job has got that far."""
    return job.stage is PUBLISH or job.attempt > 1


def _request_of(job: Job) -> SlideRequest | None:
    try:
        return read_request(job.spec.kind, job.spec.request)
    except (KeyError, ValueError):
        return None  # its runs could not be begun either


def _staging(request: SlideRequest, job: JobId) -> Path:
    return staging_folder(Path(request.out), job)
