"""The scheduler actor: one per cluster, named, detached, restarted by Ray when it dies.

It only keeps lives going (``raysched.cluster.life``) and answers verbs. Ray gives each concurrency
group of an async actor an event loop and thread of its own, and the core belongs to one thread, so
there is one group with a high bound, and parked watchers are bounded by count instead.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from dataclasses import replace

from raysched import __version__
from raysched.cluster.health import Health
from raysched.cluster.lanes import wake
from raysched.cluster.last_words import failed_unexpectedly
from raysched.cluster.life import Life
from raysched.cluster.limiter import Admission, Budget, Limiter, Taken, check_taken, pace_of
from raysched.cluster.listing import (
    PAGE_MOST,
    JobQuery,
    Page,
    Place,
    WorkflowQuery,
    list_jobs,
    list_workflows,
)
from raysched.cluster.minutes import LastMinutes, RequestsSeen
from raysched.cluster.news import Mark, News, news_of
from raysched.cluster.past import past_job, past_workflow, workflow_of
from raysched.cluster.processes import collect_seldom, end_with_raylet
from raysched.cluster.sight import ClusterView, dashboard_address, look
from raysched.cluster.speeds import Forecast, JobSize, forecast
from raysched.cluster.stores import object_store
from raysched.cluster.story import Story
from raysched.cluster.submission import Prepared, submitted
from raysched.config import Config
from raysched.core.accounts import AccountView, Caller, KeyKind, KeyView, Role
from raysched.core.events import (
    AllCancelRequested,
    IdentityEvent,
    JobCancelRequested,
    JobRetryRequested,
    KeyMade,
    KeyUsed,
    LoggedIn,
    MppAnswered,
    OperatorEvent,
    ResultsDeleted,
    UserCreated,
    WorkflowCancelRequested,
    WorkflowDeleted,
)
from raysched.core.identity import USED_STEP_S, account_view, account_views, identify, key_views
from raysched.core.model import LOCAL_USER, JobId, JobState, KeyId, UserId, WorkflowId
from raysched.core.picture import Picture, picture
from raysched.core.requests import asks_the_same
from raysched.core.views import JobView, WorkflowView
from raysched.errors import (
    Busy,
    ClusterError,
    Conflict,
    InternalError,
    NotFound,
    RayschedError,
)
from raysched.journal.usage import Usage, Wanted
from raysched.logs import write_logs

log = logging.getLogger(__name__)

RESTART_PAUSE_S = 1.0
RESTART_PAUSE_MAX_S = 60.0
READY_WAIT_S = 20.0
HEALTH_WAIT_S = 2.0
NEWS_PAUSE_S = 0.1  # watchers hear of a burst of changes once


class SchedulerActor:
    """Holds the current life and speaks for it. All methods run in one event loop."""

    async def __init__(self, config: Config) -> None:  # type: ignore[misc] # Ray awaits it
        end_with_raylet()
        collect_seldom()
        self._config = config
        write_logs(config.logging.format, config.logging.level)
        self._life: Life | None = None
        self._trouble: RayschedError | None = None
        self._closing = asyncio.Event()
        self._ready = asyncio.Event()
        self._pause_s = RESTART_PAUSE_S
        self._watchers = 0
        self._replayed = (0, 0)
        self._uses: dict[KeyId, asyncio.Task[None]] = {}
        self._limiter = Limiter()
        self._lives = asyncio.create_task(self._live())

    async def _live(self) -> None:
        """One life after another, until closed; a life ends when its journal cannot be written."""
        waking = asyncio.create_task(asyncio.to_thread(wake, self._config))
        while not self._closing.is_set():
            try:
                self._life = await Life.begin(self._config, self._note_replayed)
                self._trouble = None
                self._ready.set()
                await self._life.run(self._closing)
            except RayschedError as error:
                self._note_trouble(error)
            except Exception as error:  # a bug must be seen by callers, not hang them
                log.exception("The scheduler failed and starts anew.")
                self._note_trouble(failed_unexpectedly(error))
            self._life = None
            self._ready.set()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._closing.wait(), self._pause_s)
        await asyncio.gather(waking, return_exceptions=True)

    def _note_replayed(self, replayed: int, events: int) -> None:
        self._replayed = (replayed, events)

    def _note_trouble(self, error: RayschedError) -> None:
        """Trouble that stays the same is logged once, and tried again less and less often."""
        known, self._trouble = self._trouble, error
        if known is not None and known.message == error.message:
            self._pause_s = min(2 * self._pause_s, RESTART_PAUSE_MAX_S)
            return
        self._pause_s = RESTART_PAUSE_S
        log.error(
            "The scheduler paused: %s %s",
            error.message,
            error.remedy,
            exc_info=error.__cause__ or error,
        )

    async def _is_ready(self, wait_s: float) -> bool:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._ready.wait(), wait_s)
        return self._ready.is_set()

    async def _current(self) -> Life:
        if not await self._is_ready(READY_WAIT_S):
            replayed, events = self._replayed
            raise ClusterError(
                f"The scheduler is starting: {replayed:,} of {events:,} events are read back.",
                remedy="Ask again in a moment; nothing is lost.",
            )
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
        await life.post(submitted(prepared, self._config.cluster, life.now()))
        known = life.core.workflow_for_key(prepared.user, prepared.key)
        if known is not None:
            return life.core.workflow_view(prepared.user, known, life.now(), slice(PAGE_MOST))
        return await self._submitted_before(life, prepared)

    async def cancel(self, user: UserId, job: JobId) -> JobView:
        """See ``Gateway.cancel``."""
        life = await self._current()
        return await self._change(life, JobCancelRequested(life.now(), user, job))

    async def retry(self, user: UserId, job: JobId, key: str) -> JobView:
        """See ``Gateway.retry``."""
        life = await self._current()
        return await self._change(life, JobRetryRequested(life.now(), user, job, key))

    async def answer_mpp(self, user: UserId, job: JobId, mpp: float) -> JobView:
        """See ``Gateway.answer_mpp``."""
        life = await self._current()
        return await self._change(life, MppAnswered(life.now(), user, job, mpp))

    async def _change(
        self, life: Life, event: JobCancelRequested | JobRetryRequested | MppAnswered
    ) -> JobView:
        try:
            await life.post(event)
            return life.core.job_view(event.user, event.job, life.now())
        except NotFound:
            past = await past_job(life, event.user, event.job)
        if isinstance(event, JobCancelRequested) and past.state is JobState.CANCELLED:
            await _shut_past(life, event.user, job=event.job)
            return past
        raise Conflict(
            f"Job {event.job} has {past.state} long ago and is in the archive.",
            remedy="Submit the work again to run it once more.",
            job=event.job,
            state=past.state.value,
        )

    async def _submitted_before(self, life: Life, prepared: Prepared) -> WorkflowView:
        """The workflow of a key that left memory long ago: the same answer as then."""
        found = await life.look_up(prepared.user, key=prepared.key)
        if found is None:
            raise InternalError(
                f"The workflow of the idempotency key {prepared.key} is not in the archive.",
                remedy="Use a new key, and report this with `raysched journal export`.",
            )
        specs = [job.spec for job in found.jobs]
        if not asks_the_same(found.workflow.digest, specs, prepared.digest, prepared.jobs):
            raise Conflict(
                f"The idempotency key {prepared.key} was used for another workflow already.",
                remedy="Use a new key for a new workflow.",
                key=prepared.key,
                workflow=found.workflow.workflow,
            )
        return workflow_of(life, found, slice(PAGE_MOST))

    async def cancel_workflow(self, user: UserId, workflow: WorkflowId) -> WorkflowView:
        """See ``Gateway.cancel_workflow``."""
        life = await self._current()
        try:
            await life.post(WorkflowCancelRequested(life.now(), user, workflow))
            return life.core.workflow_view(user, workflow, life.now(), slice(PAGE_MOST))
        except NotFound:
            past = await past_workflow(life, user, workflow, slice(PAGE_MOST))
        if past.states.get(JobState.CANCELLED):
            await _shut_past(life, user, workflow=workflow)
            return past
        raise Conflict(
            f"All jobs of workflow {workflow} have ended already.",
            remedy="Nothing is left to cancel; results stay as they are.",
            workflow=workflow,
        )

    async def cancel_all(self, user: UserId) -> int:
        """See ``Gateway.cancel_all``."""
        life = await self._current()
        await life.post(AllCancelRequested(life.now(), user))
        return life.core.open_jobs(user)

    async def delete_workflow(self, user: UserId, workflow: WorkflowId) -> None:
        """See ``Gateway.delete_workflow``."""
        life = await self._current()
        try:
            await life.post(WorkflowDeleted(life.now(), user, workflow))
        except NotFound:
            found = await life.look_up(user, workflow=workflow)
            if found is None:
                raise
            key, jobs = found.workflow.key, found.workflow.jobs
            await life.post(WorkflowDeleted(life.now(), user, workflow, key, jobs))

    async def delete_results(self, user: UserId, job: JobId) -> JobView:
        """See ``Gateway.delete_results``."""
        life = await self._current()
        try:
            await life.post(ResultsDeleted(life.now(), user, job))
        except NotFound:
            if await life.look_up(user, job=job) is None:
                raise
            await life.post(ResultsDeleted(life.now(), user, job, retired=True))
        return await self.job(user, job)

    async def hold(self, event: OperatorEvent) -> None:
        """See ``Gateway.hold``."""
        life = await self._current()
        await life.post(replace(event, at=life.now()))

    # --- reads: of what is durable --------------------------------------------------------------

    async def job(self, user: UserId, job: JobId) -> JobView:
        """See ``Gateway.job``."""
        life = await self._current()
        await life.settled()
        try:
            return life.core.job_view(user, job, life.now())
        except NotFound:
            return await past_job(life, user, job)

    async def workflow(
        self, user: UserId, workflow: WorkflowId, after: int, most: int
    ) -> WorkflowView:
        """See ``Gateway.workflow``."""
        life = await self._current()
        await life.settled()
        shown = slice(after, after + most)
        try:
            return life.core.workflow_view(user, workflow, life.now(), shown)
        except NotFound:
            return await past_workflow(life, user, workflow, shown)

    async def jobs(
        self, user: UserId, query: JobQuery, after: Place | None, most: int
    ) -> Page[JobView]:
        """See ``Gateway.jobs``."""
        return await list_jobs(await self._current(), user, query, after, most)

    async def workflows(
        self, user: UserId, query: WorkflowQuery, after: Place | None, most: int
    ) -> Page[WorkflowView]:
        """See ``Gateway.workflows``."""
        return await list_workflows(await self._current(), user, query, after, most)

    async def changes(self, after: Mark | None, wait_s: float) -> News:
        """See ``Gateway.changes``. Not counted among those whom the owner of the cluster waits
        for: it is the service that asks, and it ends with the owner."""
        return await news_of(await self._current(), after, wait_s)

    async def queue(self, seen: int | None, wait_s: float) -> Picture:
        """See ``Gateway.queue``."""
        life = await self._current()
        if seen == life.core.revision:
            await life.news_after(seen, wait_s)
            await asyncio.sleep(NEWS_PAUSE_S)
        await life.settled()
        return picture(life.core.state, life.now())

    async def watch(
        self, user: UserId, job: JobId, seen: int, wait_s: float
    ) -> tuple[int, JobView]:
        """See ``Gateway.watch``."""
        if self._watchers >= self._config.cluster.max_watchers:
            raise Busy(
                f"{self._watchers} clients are watching already.", remedy="Ask again in a minute."
            )
        self._watchers += 1
        try:
            life = await self._current()
            try:
                life.core.job_view(user, job, life.now())
            except NotFound:
                return life.core.revision, await past_job(life, user, job)
            await life.news_after(seen, wait_s)
            await asyncio.sleep(NEWS_PAUSE_S)
            life = await self._current()
            await life.settled()
            return life.core.revision, await self.job(user, job)
        finally:
            self._watchers -= 1

    async def story(self, user: UserId, job: JobId, after: int, most: int) -> Story:
        """See ``Gateway.story``."""
        view = await self.job(user, job)
        life = await self._current()
        at = life.now()
        events = await life.chapter(view, after, most + 1)
        return Story(view, at, tuple(events[:most]), complete=len(events) <= most)

    # --- who asks ---------------------------------------------------------------------------------

    async def change_identity(self, event: IdentityEvent) -> None:
        """See ``Gateway.change_identity``."""
        life = await self._current()
        await _ensure_local(life)
        await life.post(replace(event, at=life.now()))

    async def first_key(self, event: KeyMade) -> bool:
        """See ``Gateway.first_key``."""
        life = await self._current()
        await _ensure_local(life)
        views = key_views(life.core.state, event.user)
        if any(key.kind is KeyKind.API and key.key != event.key for key in views):
            return False
        await life.post(replace(event, at=life.now()))
        return True

    async def log_in(self, digest: str, session: LoggedIn) -> Caller:
        """See ``Gateway.log_in``."""
        life = await self._current()
        await life.settled()
        now = life.now()
        if session.session not in life.core.state.identities.keys:  # else asked once more
            user = identify(life.core.state, session.key, digest, now).user
            check_taken(self._take(user, Budget.CREATE), Budget.CREATE)
        await life.post(replace(session, at=now))
        return identify(life.core.state, session.session, session.digest, life.now())

    async def admit(self, key: KeyId, digest: str, budget: Budget) -> Admission:
        """See ``Gateway.admit``."""
        life = await self._current()
        await life.settled()
        now = life.now()
        caller = identify(life.core.state, key, digest, now)
        self._note_use(life, key, now)
        return Admission(caller, self._take(caller.user, budget))

    def _take(self, user: UserId, budget: Budget) -> Taken:
        pace = pace_of(self._config.limits, budget)
        return self._limiter.take((user, budget), pace, time.monotonic())

    def _note_use(self, life: Life, key: KeyId, now: float) -> None:
        """Have the use written down, once a minute; the caller does not wait for it."""
        known = life.core.state.identities.keys[key].used_at
        if key not in self._uses and (known is None or now >= known + USED_STEP_S):
            noted = asyncio.create_task(life.report(lambda at: KeyUsed(at, key)))
            self._uses[key] = noted
            noted.add_done_callback(lambda _: self._uses.pop(key))

    async def accounts(self) -> tuple[AccountView, ...]:
        """See ``Gateway.accounts``."""
        life = await self._current()
        await _ensure_local(life)
        await life.settled()
        return account_views(life.core.state, life.now())

    async def account(self, user: UserId) -> AccountView:
        """See ``Gateway.account``."""
        life = await self._current()
        await _ensure_local(life)
        await life.settled()
        return account_view(life.core.state, user, life.now())

    async def keys(self, user: UserId) -> tuple[KeyView, ...]:
        """See ``Gateway.keys``."""
        life = await self._current()
        await life.settled()
        return key_views(life.core.state, user)

    # --- for reports ------------------------------------------------------------------------------

    async def usage(self, wanted: Wanted) -> list[Usage]:
        """See ``Gateway.usage``."""
        life = await self._current()
        return await life.usage(wanted)

    async def cluster(self, most: int) -> ClusterView:
        """See ``Gateway.cluster``."""
        life = await self._current()
        return await look(life, self._config.state, most)

    async def minutes(self) -> LastMinutes:
        """See ``Gateway.minutes``."""
        life = await self._current()
        await life.settled()
        life.minutes.tick(life.core.state, life.now())
        life.minutes.count_depth(life.core.state)
        return life.minutes.view()

    async def answered(self, seen: RequestsSeen) -> None:
        """See ``Gateway.answered``."""
        life = await self._current()
        life.minutes.tick(life.core.state, life.now())  # its minute may just have begun
        life.minutes.answered(seen)

    async def dashboard(self) -> str | None:
        """See ``Gateway.dashboard``."""
        return await asyncio.to_thread(dashboard_address)

    async def forecast(self, prepared: Prepared, sizes: tuple[JobSize, ...]) -> Forecast:
        """See ``Gateway.forecast``."""
        life = await self._current()
        await life.settled()
        now = life.now()
        return forecast(life.core.state, submitted(prepared, self._config.cluster, now), sizes, now)

    async def health(self) -> Health:
        """See ``Gateway.health``."""
        await self._is_ready(HEALTH_WAIT_S)
        (replayed, events), is_ready = self._replayed, self._ready.is_set()
        life, trouble = self._life, self._trouble
        lanes = life.lanes_open() if life else 0
        return Health(
            version=__version__,
            epoch=life.core.epoch if life else 0,
            ready=is_ready and trouble is None and life is not None and not self._closing.is_set(),
            trouble=trouble.message if trouble else None,
            lanes=lanes,
            lanes_busy=len(life.core.runs()) if life else 0,
            lanes_wanted=life.core.state.lanes_wanted if life else 0,
            lanes_room=life.core.state.lanes_room if life else 0,
            jobs_open=life.core.open_jobs() if life else 0,
            paused_at=life.core.state.paused_at if life else None,
            drained_at=life.core.state.drained_at if life else None,
            watchers=self._watchers,
            events_replayed=events if is_ready else replayed,
            events=events,
            state=str(self._config.state),
            store=object_store(self._config),
            closing=self._closing.is_set(),
        )

    async def close(self) -> None:
        """See ``Gateway.close``. Idempotent; returns when the journal is closed."""
        self._closing.set()
        await self._lives


async def _ensure_local(life: Life) -> None:
    """The operator's own user is there from the first time that anybody asks for users or keys."""
    if LOCAL_USER not in life.core.state.identities.accounts:
        await life.post(UserCreated(life.now(), LOCAL_USER, LOCAL_USER, Role.ADMIN, LOCAL_USER))


async def _shut_past(life: Life, user: UserId, **names: str) -> None:
    """A cancel that is repeated when its jobs are in the archive promises the same as the first,
    which may have been answered that a disk did not let it be known."""
    found = await life.look_up(user, **names)
    await life.shut(found.jobs if found is not None else ())
