"""The way to the scheduler actor: the verbs, awaited; the actor's restarts are waited out.

Used by the CLI and by every Serve replica. Every verb is harmless to repeat, so a call that met a
dying actor is simply asked again until ``patience_s`` is over.
"""

from __future__ import annotations

import asyncio
import time
from typing import Any
from uuid import uuid4

import ray
from ray.exceptions import RayError, RayTaskError

from raysched.cluster.health import Health
from raysched.cluster.limiter import Admission, Budget
from raysched.cluster.listing import PAGE_MOST, JobQuery, Page, Place, WorkflowQuery
from raysched.cluster.minutes import LastMinutes, RequestsSeen
from raysched.cluster.news import Mark, News
from raysched.cluster.sight import ClusterView
from raysched.cluster.speeds import Forecast, JobSize
from raysched.cluster.stores import with_slides_stored
from raysched.cluster.story import Story
from raysched.cluster.submission import Prepared
from raysched.core.accounts import AccountView, Caller, KeyView
from raysched.core.events import IdentityEvent, KeyMade, LoggedIn, OperatorEvent
from raysched.core.model import JobId, KeyId, UserId, WorkflowId
from raysched.core.picture import Picture
from raysched.core.views import JobView, WorkflowView
from raysched.errors import ClusterUnreachable, RayschedError
from raysched.journal.usage import Usage, Wanted
from raysched.results.remote.place import StorePlace

ACTOR_NAME = "scheduler"


class Gateway:
    """Asks the scheduler actor on behalf of users. Safe to share within one event loop."""

    def __init__(self, namespace: str, *, patience_s: float = 30.0) -> None:
        self._namespace = namespace
        self._patience_s = patience_s
        self._scheduler: Any = None
        self._store: tuple[StorePlace | None] | None = None

    async def submit(self, prepared: Prepared) -> WorkflowView:
        """Make a workflow durable and return it with the first of its jobs; the same key again
        returns the same one."""
        place = await self.store()
        if place is not None:
            prepared = await asyncio.to_thread(with_slides_stored, prepared, place)
        answer: WorkflowView = await self._ask("submit", prepared)
        return answer

    async def store(self) -> StorePlace | None:
        """The object store that the service's work goes through, if any."""
        if self._store is None:
            self._store = ((await self.health()).store,)
        return self._store[0]

    async def job(self, user: UserId, job: JobId) -> JobView:
        """One job. Raises ``NotFound``."""
        answer: JobView = await self._ask("job", user, job)
        return answer

    async def workflow(
        self, user: UserId, workflow: WorkflowId, *, after: int = 0, most: int = PAGE_MOST
    ) -> WorkflowView:
        """One workflow with up to ``most`` of its jobs, the first ``after`` left out. Raises
        ``NotFound``."""
        answer: WorkflowView = await self._ask("workflow", user, workflow, after, most)
        return answer

    async def jobs(
        self,
        user: UserId,
        query: JobQuery = JobQuery(),  # noqa: B008 - frozen
        *,
        after: Place | None = None,
        most: int = PAGE_MOST,
    ) -> Page[JobView]:
        """A user's jobs, the newest first, also those that ended long ago: the page after a
        place."""
        answer: Page[JobView] = await self._ask("jobs", user, query, after, most)
        return answer

    async def workflows(
        self,
        user: UserId,
        query: WorkflowQuery = WorkflowQuery(),  # noqa: B008 - frozen
        *,
        after: Place | None = None,
        most: int = PAGE_MOST,
    ) -> Page[WorkflowView]:
        """A user's workflows without their jobs, the newest first: the page after a place."""
        answer: Page[WorkflowView] = await self._ask("workflows", user, query, after, most)
        return answer

    async def changes(self, after: Mark | None, wait_s: float = 10.0) -> News:
        """What changed of anybody's, once something did after a mark, or when ``wait_s`` is over.
        For a replica of the service, which tells each user what is theirs."""
        answer: News = await self._ask("changes", after, wait_s)
        return answer

    async def queue(self, seen: int | None = None, wait_s: float = 0.0) -> Picture:
        """Who holds slots and who waits: now, or once something happened after the revision
        ``seen``, or when ``wait_s`` is over. For a replica of the service, which takes names out.
        """
        answer: Picture = await self._ask("queue", seen, wait_s)
        return answer

    async def cancel_workflow(self, user: UserId, workflow: WorkflowId) -> WorkflowView:
        """Ask for the end of all jobs of a workflow that have not ended. Raises ``NotFound``,
        ``Conflict``."""
        answer: WorkflowView = await self._ask("cancel_workflow", user, workflow)
        return answer

    async def cancel_all(self, user: UserId) -> int:
        """Ask for the end of all jobs of a user; how many are still stopping."""
        answer: int = await self._ask("cancel_all", user)
        return answer

    async def delete_workflow(self, user: UserId, workflow: WorkflowId) -> None:
        """Delete a workflow that has ended, with the files that the service has placed for it.
        Its key stays known. Raises ``NotFound``, ``Conflict``."""
        await self._ask("delete_workflow", user, workflow)

    async def delete_results(self, user: UserId, job: JobId) -> JobView:
        """Delete the files that the service has placed for a job that has ended. Raises
        ``NotFound``, ``Conflict``."""
        answer: JobView = await self._ask("delete_results", user, job)
        return answer

    async def hold(self, event: OperatorEvent) -> None:
        """Pause, drain or resume the cluster; the actor says when it was. Meant for the operator:
        no user may be let near it."""
        await self._ask("hold", event)

    async def cancel(self, user: UserId, job: JobId) -> JobView:
        """Ask for a job's end. Raises ``NotFound``, ``Conflict``."""
        answer: JobView = await self._ask("cancel", user, job)
        return answer

    async def retry(self, user: UserId, job: JobId, *, key: str = "") -> JobView:
        """Try a failed job again; the same key again does so once. Raises ``NotFound``,
        ``Conflict``."""
        answer: JobView = await self._ask("retry", user, job, key or uuid4().hex)
        return answer

    async def answer_mpp(self, user: UserId, job: JobId, mpp: float) -> JobView:
        """Answer a job's question for the pixel size. Raises ``NotFound``, ``Conflict``."""
        answer: JobView = await self._ask("answer_mpp", user, job, mpp)
        return answer

    async def watch(
        self, user: UserId, job: JobId, seen: int, wait_s: float = 10.0
    ) -> tuple[int, JobView]:
        """The job once something changed after revision ``seen``, or when ``wait_s`` is over.

        Returns the revision to pass next time.
        """
        answer: tuple[int, JobView] = await self._ask("watch", user, job, seen, wait_s)
        return answer

    async def story(self, user: UserId, job: JobId, *, after: int, most: int) -> Story:
        """Up to ``most`` of the journal's events about a job, of those after the event ``after``.
        Raises ``NotFound``."""
        answer: Story = await self._ask("story", user, job, after, most)
        return answer

    # --- who asks ---------------------------------------------------------------------------------

    async def admit(self, key: KeyId, digest: str, budget: Budget) -> Admission:
        """Who a key belongs to, by its id and the digest of all of it, and a token of the user's
        budget. Raises ``Unauthorized``.

        Asked for each request; nobody is let in from memory: a copy that is to forget a revoked key
        before the next request would have to be checked with the actor as often, for the same one
        call. For the same reason the buckets are the actor's: they are exact over all replicas.
        """
        answer: Admission = await self._ask("admit", key, digest, budget)
        return answer

    async def log_in(self, digest: str, session: LoggedIn) -> Caller:
        """Begin a session with a key whose digest is given. Raises ``Unauthorized``,
        ``TooManyRequests``."""
        answer: Caller = await self._ask("log_in", digest, session)
        return answer

    async def change_identity(self, event: IdentityEvent) -> None:
        """Make a change of users or keys durable; the actor says when it was. Raises what the
        core refuses. Meant for the operator and for ``raysched.cluster.accounts``."""
        await self._ask("change_identity", event)

    async def first_key(self, event: KeyMade) -> bool:
        """Make a key, if its user never had one; whether it was made."""
        answer: bool = await self._ask("first_key", event)
        return answer

    async def accounts(self) -> tuple[AccountView, ...]:
        """All users that are not deleted, in order of creation."""
        answer: tuple[AccountView, ...] = await self._ask("accounts")
        return answer

    async def account(self, user: UserId) -> AccountView:
        """One user. Raises ``NotFound``."""
        answer: AccountView = await self._ask("account", user)
        return answer

    async def keys(self, user: UserId) -> tuple[KeyView, ...]:
        """A user's keys and sessions, without their secrets. Raises ``NotFound``."""
        answer: tuple[KeyView, ...] = await self._ask("keys", user)
        return answer

    # --- for reports ------------------------------------------------------------------------------

    async def usage(self, wanted: Wanted) -> list[Usage]:
        """Who used how much on which day. Raises ``LimitReached`` for more than anybody reads,
        ``Busy``."""
        answer: list[Usage] = await self._ask("usage", wanted)
        return answer

    async def cluster(self, most: int = 100) -> ClusterView:
        """Nodes, lanes, users and queue, up to ``most`` of each. For administrators: it names
        everybody."""
        answer: ClusterView = await self._ask("cluster", most)
        return answer

    async def minutes(self) -> LastMinutes:
        """What happened in each of the last 60 minutes."""
        answer: LastMinutes = await self._ask("minutes")
        return answer

    async def answered(self, seen: RequestsSeen) -> None:
        """Say how many requests a replica has answered in a minute, as far as it has gone."""
        await self._ask("answered", seen)

    async def dashboard(self) -> str | None:
        """Where Ray's dashboard is, as HOST:PORT; None: there is none."""
        answer: str | None = await self._ask("dashboard")
        return answer

    async def forecast(self, prepared: Prepared, sizes: tuple[JobSize, ...]) -> Forecast:
        """When a workflow would begin and end were it submitted now, and what it would take; one
        size for each job. Nothing is stored. Raises what ``submit`` raises."""
        answer: Forecast = await self._ask("forecast", prepared, sizes)
        return answer

    async def health(self) -> Health:
        """How the scheduler is."""
        answer: Health = await self._ask("health")
        return answer

    async def close(self) -> None:
        """Stop the scheduler in order: running chunks end with their processes, state is kept."""
        await self._ask("close")
        ray.kill(ray.get_actor(ACTOR_NAME, namespace=self._namespace), no_restart=True)

    async def _ask(self, verb: str, *args: object) -> Any:
        deadline = time.monotonic() + self._patience_s
        while True:
            try:
                if self._scheduler is None:  # in a thread: the cluster's head may be away
                    self._scheduler = await asyncio.to_thread(self._find)
                return await getattr(self._scheduler, verb).remote(*args)
            except RayTaskError as error:
                if isinstance(error.cause, RayschedError):
                    raise error.cause from None
                raise
            except (ValueError, RayError) as error:  # whatever ended the call, it is not an answer
                self._scheduler = None  # another may have its name by now
                if time.monotonic() > deadline:
                    raise ClusterUnreachable(
                        f"The scheduler does not answer ({type(error).__name__}).",
                        remedy="Start it with `raysched up`, then try again; nothing is lost.",
                    ) from error
            await asyncio.sleep(0.1)

    def _find(self) -> Any:
        return ray.get_actor(ACTOR_NAME, namespace=self._namespace)
