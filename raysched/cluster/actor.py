"""The scheduler actor: one per cluster, named, detached, restarted by Ray when it dies.

It only keeps lives going (``raysched.cluster.life``) and answers verbs. Ray gives each concurrency
group of an async actor an event loop and thread of its own, and the core belongs to one thread, so
there is one group with a high bound, and parked watchers are bounded by count instead.
"""

from __future__ import annotations

import asyncio
import logging

from raysched import __version__
from raysched.cluster.health import Health
from raysched.cluster.life import Life
from raysched.cluster.submission import Prepared
from raysched.config import Config
from raysched.core.events import (
    JobCancelRequested,
    JobRetryRequested,
    MppAnswered,
    WorkflowSubmitted,
)
from raysched.core.model import JobId, UserId, WorkflowId
from raysched.core.views import JobView, WorkflowView
from raysched.errors import ClusterError, InternalError, LimitReached, RayschedError

log = logging.getLogger(__name__)

RESTART_PAUSE_S = 1.0
NEWS_PAUSE_S = 0.1  # watchers hear of a burst of changes once


class SchedulerActor:
    """Holds the current life and speaks for it. All methods run in one event loop."""

    async def __init__(self, config: Config) -> None:  # type: ignore[misc] # Ray awaits it
        self._config = config
        self._life: Life | None = None
        self._trouble: RayschedError | None = None
        self._closing = asyncio.Event()
        self._ready = asyncio.Event()
        self._watchers = 0
        self._lives = asyncio.create_task(self._live())

    async def _live(self) -> None:
        """One life after another, until closed; a life ends when its journal cannot be written."""
        while not self._closing.is_set():
            try:
                self._life = await Life.begin(self._config)
                self._trouble = None
                self._ready.set()
                await self._life.run(self._closing)
            except RayschedError as error:
                self._trouble = error
                log.exception("The scheduler paused: %s %s", error.message, error.remedy)
            except Exception as error:  # a bug must be seen by callers, not hang them
                self._trouble = InternalError(
                    f"The scheduler failed unexpectedly: {error!r}.",
                    remedy="Report this with the scheduler actor's log; it starts anew by itself.",
                )
                log.exception("The scheduler failed and starts anew.")
            self._ready.set()
            if not self._closing.is_set():
                await asyncio.sleep(RESTART_PAUSE_S)

    async def _current(self) -> Life:
        await self._ready.wait()
        if self._trouble is not None:
            raise self._trouble
        if self._life is None or self._closing.is_set():
            raise ClusterError(
                "The scheduler is closing.", remedy="Start it with `raysched up`; nothing is lost."
            )
        return self._life

    # --- changes: answered when durable ---------------------------------------------------------

    async def submit(self, prepared: Prepared) -> WorkflowView:
        """See ``Gateway.submit``."""
        life = await self._current()
        event = WorkflowSubmitted(
            life.now(),
            prepared.user,
            prepared.key,
            prepared.workflow,
            prepared.name,
            prepared.jobs,
            prepared.digest,
        )
        await life.post(event)
        known = life.core.workflow_for_key(prepared.user, prepared.key) or prepared.workflow
        return life.core.workflow_view(prepared.user, known, life.now())

    async def cancel(self, user: UserId, job: JobId) -> JobView:
        """See ``Gateway.cancel``."""
        life = await self._current()
        await life.post(JobCancelRequested(life.now(), user, job))
        return life.core.job_view(user, job, life.now())

    async def retry(self, user: UserId, job: JobId) -> JobView:
        """See ``Gateway.retry``."""
        life = await self._current()
        await life.post(JobRetryRequested(life.now(), user, job))
        return life.core.job_view(user, job, life.now())

    async def answer_mpp(self, user: UserId, job: JobId, mpp: float) -> JobView:
        """See ``Gateway.answer_mpp``."""
        life = await self._current()
        await life.post(MppAnswered(life.now(), user, job, mpp))
        return life.core.job_view(user, job, life.now())

    # --- reads: of what is durable --------------------------------------------------------------

    async def job(self, user: UserId, job: JobId) -> JobView:
        """See ``Gateway.job``."""
        life = await self._current()
        await life.settled()
        return life.core.job_view(user, job, life.now())

    async def workflow(self, user: UserId, workflow: WorkflowId) -> WorkflowView:
        """See ``Gateway.workflow``."""
        life = await self._current()
        await life.settled()
        return life.core.workflow_view(user, workflow, life.now())

    async def jobs(self, user: UserId, only_open: bool) -> tuple[JobView, ...]:
        """See ``Gateway.jobs``."""
        life = await self._current()
        await life.settled()
        return life.core.jobs_of(user, life.now(), only_open=only_open)

    async def watch(
        self, user: UserId, job: JobId, seen: int, wait_s: float
    ) -> tuple[int, JobView]:
        """See ``Gateway.watch``."""
        if self._watchers >= self._config.cluster.max_watchers:
            raise LimitReached(
                f"{self._watchers} clients are watching already.", remedy="Ask again in a minute."
            )
        self._watchers += 1
        try:
            life = await self._current()
            life.core.job_view(user, job, life.now())
            await life.news_after(seen, wait_s)
            await asyncio.sleep(NEWS_PAUSE_S)
            life = await self._current()
            await life.settled()
            return life.core.revision, life.core.job_view(user, job, life.now())
        finally:
            self._watchers -= 1

    async def health(self) -> Health:
        """See ``Gateway.health``."""
        await self._ready.wait()
        life, trouble = self._life, self._trouble
        lanes = life.lanes_open() if life else 0
        return Health(
            version=__version__,
            epoch=life.core.epoch if life else 0,
            ready=trouble is None and life is not None and not self._closing.is_set(),
            trouble=trouble.message if trouble else None,
            lanes=lanes,
            lanes_busy=len(life.core.runs()) if life else 0,
            jobs_open=life.core.open_jobs() if life else 0,
            watchers=self._watchers,
            state=str(self._config.state),
        )

    async def close(self) -> None:
        """See ``Gateway.close``. Idempotent; returns when the journal is closed."""
        self._closing.set()
        await self._lives
