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
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from raysched.cluster.stores import hand_over_stored, needed, take_back_stored
from raysched.core.commands import Retire
from raysched.core.events import (
    AllCancelRequested,
    Event,
    JobCancelRequested,
    SchedulerStarted,
    UserDeleted,
    WorkflowCancelRequested,
)
from raysched.core.model import PUBLISH, JobId, JobState, RunId, UserId
from raysched.core.state import Job, State
from raysched.errors import ClusterError, RayschedError
from raysched.imaging.request import SlideRequest, read_request
from raysched.results.fencing import hand_over, take_back
from raysched.results.folders import staging_folder
from raysched.results.remote.place import StorePlace
from raysched.results.storage import DISK, Disk

log = logging.getLogger(__name__)

Cancel = JobCancelRequested | WorkflowCancelRequested | AllCancelRequested | UserDeleted
STOPPED = {
    JobState.CANCELLING,
    JobState.CANCELLED,
    JobState.FAILED,
    JobState.RETRY_WAITING,
}
PATIENCE_S = 20.0
LAST_S = 60.0
"""More than ``PATIENCE_S``: of what had stopped before it was said whether it was shut."""
THREADS = 32
THREADS_OF_USER = 4
"""Results may be on a storage that hangs: these threads keep that from all else, and each user has
so many of them at most, so that nobody waits for another's storage."""


@dataclass(frozen=True, slots=True)
class Turn:
    """What is done with a job's result, after what was to be done before."""

    task: asyncio.Task[None]
    takes_back: bool


class Fences:
    """The handing over and taking back of one life: one after another for each job."""

    def __init__(self, store: StorePlace | None = None, disk: Disk = DISK) -> None:
        self._store = store
        self._disk = disk
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="fences")
        self._turns: dict[JobId, Turn] = {}
        self._rooms = defaultdict[UserId, asyncio.Semaphore](
            lambda: asyncio.Semaphore(THREADS_OF_USER)
        )

    async def hand_over(self, user: UserId, request: SlideRequest, job: JobId, run: RunId) -> None:
        """Let one run of publish have the result. Raises ``StorageFailed``, ``StorageFull``."""
        turn = self._take_turn(user, job, lambda: self._hand_over(request, job, run), False)
        await asyncio.shield(turn)  # whoever gives up waiting leaves the disk as it is

    async def take_back(self, user: UserId, request: SlideRequest, job: JobId) -> None:
        """Let none have it any more. Raises ``StorageFailed``, ``StorageFull``."""
        last = self._turns.get(job)
        if last is not None and last.takes_back:  # however many ask, once is enough
            turn = last.task
        else:
            turn = self._take_turn(user, job, lambda: self._take_back(request, job), True)
        await asyncio.shield(turn)

    async def shut(self, jobs: Iterable[Job]) -> None:
        """Take back what may have been handed over of those jobs that have stopped; none of them
        waits for another's disk.

        Raises ``ClusterError`` when a disk does not let it be known.
        """
        asked = [(job, _request_of(job)) for job in jobs if _may_be_handed_over(job)]
        each = (
            self.take_back(job.user, request, job.id)
            for job, request in asked
            if request is not None
        )
        try:
            async with asyncio.timeout(PATIENCE_S):
                ends = await asyncio.gather(*each, return_exceptions=True)
            for end in ends:
                if end is not None:
                    raise end
        except (TimeoutError, RayschedError) as error:
            why = error.message if isinstance(error, RayschedError) else "the disk does not answer"
            raise ClusterError(
                f"It is written down and stops the work, but a result may still appear: {why}",
                remedy="Check the disk that holds the results folder, then ask once more.",
            ) from error

    def _hand_over(self, request: SlideRequest, job: JobId, run: RunId) -> None:
        if request.stored is None:
            hand_over(_staging(request, job), run, self._disk)
        else:
            hand_over_stored(needed(self._store, job), job, run)

    def _take_back(self, request: SlideRequest, job: JobId) -> None:
        if request.stored is None:
            take_back(_staging(request, job), self._disk)
        else:
            take_back_stored(needed(self._store, job), job)

    def _take_turn(
        self, user: UserId, job: JobId, work: Callable[[], None], takes_back: bool
    ) -> asyncio.Task[None]:
        before = self._turns.get(job)
        task = asyncio.create_task(self._after(before, user, work))
        turn = self._turns[job] = Turn(task, takes_back)
        task.add_done_callback(lambda _: self._leave(job, turn))
        return task

    async def _after(self, before: Turn | None, user: UserId, work: Callable[[], None]) -> None:
        if before is not None:
            await asyncio.gather(before.task, return_exceptions=True)
        async with self._rooms[user]:
            await asyncio.get_running_loop().run_in_executor(self._threads, work)

    def end(self) -> None:
        """The life is over. What has begun comes to its end."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _leave(self, job: JobId, turn: Turn) -> None:
        if self._turns.get(job) is turn:
            del self._turns[job]
        if not turn.task.cancelled():
            turn.task.exception()  # told to those who wait


def to_shut(state: State, names: Collection[JobId], retired: Iterable[Retire]) -> list[Job]:
    """Of the jobs that an event has changed or cancels, those that have stopped and of which
    something may have been handed over; also where they have left memory with it."""
    jobs = [state.jobs[name] for name in names if name in state.jobs]
    jobs += [job for each in retired for job in each.jobs if job.id in names]
    return [job for job in jobs if _may_be_handed_over(job)]


def stopped_last(state: State, event: Event) -> list[JobId]:
    """Where a life begins, the jobs that had stopped when the one before ended, or shortly before:
    it may have been killed in between. ``state``: before the event. Of other events none."""
    if not isinstance(event, SchedulerStarted):
        return []
    since = state.now - LAST_S
    return [
        name for name, job in state.jobs.items() if job.ended_at is None or job.ended_at >= since
    ]


def cancelled(state: State, event: Event) -> Iterator[JobId]:
    """The jobs in memory that a cancel names, whatever has become of them: where it is repeated,
    the first may not have come to its end. Of other events none."""
    match event:
        case JobCancelRequested():
            yield event.job
        case WorkflowCancelRequested():
            workflow = state.workflows.get(event.workflow)
            yield from workflow.jobs if workflow is not None else ()
        case AllCancelRequested() | UserDeleted():
            user = state.users.get(event.user)
            yield from user.jobs if user is not None else ()


def _may_be_handed_over(job: Job) -> bool:
    """Whether a job that has stopped may have something out: a run of publish is sent only after
    the job has got that far."""
    return job.state in STOPPED and (job.stage is PUBLISH or job.attempt > 1)


def _request_of(job: Job) -> SlideRequest | None:
    try:
        return read_request(job.spec.kind, job.spec.request)
    except (KeyError, ValueError):
        return None  # its runs could not be begun either


def _staging(request: SlideRequest, job: JobId) -> Path:
    return staging_folder(Path(request.out), job)
