"""The service as its operator reaches it: through the cluster, without a key, as ``local``."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar
from uuid import uuid4

from pydantic import BaseModel, Field

from raysched.cli.service import NEWS_WAIT_S, LogWish, Result, Show
from raysched.cli.session import ask, settings
from raysched.core.accounts import KeyKind, Role
from raysched.core.events import (
    ClusterDrained,
    ClusterPaused,
    ClusterResumed,
    OperatorEvent,
    UserChanged,
)
from raysched.core.model import LOCAL_USER, JobId, UserId
from raysched.core.views import JobView, WorkflowView
from raysched.errors import InvalidSetting
from raysched.imaging.request import read_request
from serve_app.account_models import Key, NewKey, User
from serve_app.models import Engines, Gates, Job, Jobs, Why, Workflow

if TYPE_CHECKING:
    from raysched.cluster.accounts import Accounts
    from raysched.cluster.gateway import Gateway
    from raysched.cluster.health import Health
    from serve_app.estimate_models import Estimate
    from serve_app.log_models import LogLine
    from serve_app.node_models import NodeLanes
    from serve_app.report_models import Cluster, UsageReport

T = TypeVar("T")
LOG_PAGE = 500


class JobHere(Job):
    """A job whose results folder can be named to who reads this."""

    out: Path = Field(exclude=True)

    @classmethod
    def seen(cls, view: JobView) -> JobHere:
        """The operator's view: no path is concealed."""
        shown = dict(Job.of(view, in_full=True))
        return cls(**shown, out=Path(read_request(view.kind, view.request).out))


class Here:
    """See ``raysched.cli.service.Service``."""

    def __init__(self, address: str | None) -> None:
        self._config = settings(address)

    @property
    def takes(self) -> tuple[type[BaseModel], type[BaseModel]]:
        """See ``Service.takes``: results may go anywhere."""
        from raysched.cluster.submission import JobRequest, Submission

        return Submission, JobRequest

    def submit_workflow(self, work: BaseModel, key: str) -> Workflow:
        """See ``Service.submit_workflow``."""
        from raysched.cli.wish import Wish
        from raysched.cluster.submission import Submission

        wish = Wish.of(Submission.model_validate(work), key, self._config)

        async def submit(gateway: Gateway) -> WorkflowView:
            return await gateway.submit((await wish.at(gateway)).prepared)

        return Workflow.of(self._ask(submit))

    def estimate_work(self, work: BaseModel) -> Estimate:
        """See ``Service.estimate_work``."""
        from raysched.cli.estimate import estimated
        from raysched.cli.wish import Wish
        from raysched.cluster.submission import Submission

        wish = Wish.of(Submission.model_validate(work), uuid4().hex, self._config)

        async def estimate(gateway: Gateway) -> Estimate:
            there = await wish.at(gateway)
            return await estimated(gateway, there.prepared, there.config)

        return self._ask(estimate)

    def newest_jobs(self, *, only_open: bool = False) -> Jobs:
        """See ``Service.newest_jobs``."""
        from raysched.cluster.listing import JobQuery
        from serve_app.pages import cursor_of

        query = JobQuery(open=True if only_open else None)
        page = self._ask(lambda gateway: gateway.jobs(LOCAL_USER, query))
        return Jobs(jobs=tuple(map(JobHere.seen, page.items)), next=cursor_of(page.next))

    def job(self, job: str) -> Job:
        """See ``Service.job``."""
        return self._seen(lambda gateway: gateway.job(LOCAL_USER, JobId(job)))

    def explain(self, job: str) -> Why:
        """See ``Service.explain``."""
        return self.job(job).why

    def follow(self, job: str, show: Show) -> Job:
        """See ``Service.follow``."""
        from raysched.cli.follow import follow

        return self._seen(lambda gateway: follow(gateway, JobId(job), show))

    def cancel(self, job: str) -> Job:
        """See ``Service.cancel``."""
        return self._seen(lambda gateway: gateway.cancel(LOCAL_USER, JobId(job)))

    def retry(self, job: str) -> Job:
        """See ``Service.retry``."""
        return self._seen(lambda gateway: gateway.retry(LOCAL_USER, JobId(job)))

    def retry_failed_tiles(self, job: str) -> Workflow:
        """See ``Service.retry_failed_tiles``."""
        from raysched.cluster.failed_tiles import failed_tiles_again

        key = uuid4().hex

        async def again(gateway: Gateway) -> WorkflowView:
            view = await gateway.job(LOCAL_USER, JobId(job))
            return await gateway.submit(failed_tiles_again(view, key=key, config=self._config))

        return Workflow.of(self._ask(again))

    def answer_mpp(self, job: str, mpp: float) -> Job:
        """See ``Service.answer_mpp``."""
        return self._seen(lambda gateway: gateway.answer_mpp(LOCAL_USER, JobId(job), mpp))

    def read_log(self, job: str, ask: LogWish, say: Callable[[LogLine], None]) -> None:
        """See ``Service.read_log``."""
        from raysched.cluster.job_log import LogAsk, LogLevel, read_log
        from serve_app.log_models import LogLine

        if ask.level not in set(LogLevel):
            raise InvalidSetting(
                f"There is no level {ask.level!r}.", remedy=f"Use one of {', '.join(LogLevel)}."
            )

        async def show(gateway: Gateway) -> None:
            cursor, seen = None, -1
            while True:
                wanted = LogAsk(LOG_PAGE, cursor, LogLevel(ask.level))
                page = await read_log(gateway, self._config, LOCAL_USER, JobId(job), wanted)
                for line in page.lines:
                    say(LogLine.of(line, ()))
                cursor = page.next
                if not page.complete:
                    continue
                if page.state.is_final or not ask.follow:
                    return
                seen, _ = await gateway.watch(LOCAL_USER, JobId(job), seen, NEWS_WAIT_S)

        self._ask(show)

    def usage_report(self, since: date | None, until: date | None, user: str | None) -> UsageReport:
        """See ``Service.usage_report``: everybody's."""
        from serve_app.report_models import UsageReport, wanted

        asked = wanted(since, until, user)
        return UsageReport.of(asked, self._ask(lambda gateway: gateway.usage(asked)))

    def cluster(self, limit: int = 100) -> Cluster:
        """See ``Service.cluster``."""
        from serve_app.report_models import Cluster

        return Cluster.of(self._ask(lambda gateway: gateway.cluster(limit)))

    def engines(self) -> Engines:
        """See ``Service.engines``: those of this installation, also when nothing runs."""
        from raysched.imaging.catalogue import catalogue

        return Engines.of(catalogue(), in_full=True)

    def pause(self) -> Gates:
        """See ``Service.pause``."""
        return self._hold(ClusterPaused(0.0, LOCAL_USER))

    def drain(self) -> Gates:
        """See ``Service.drain``."""
        return self._hold(ClusterDrained(0.0, LOCAL_USER))

    def resume(self) -> Gates:
        """See ``Service.resume``."""
        return self._hold(ClusterResumed(0.0, LOCAL_USER))

    def drain_node(self, node: str) -> NodeLanes:
        """See ``Service.drain_node``."""
        from raysched.cluster.node_drains import drain_node
        from serve_app.node_models import NodeLanes

        return NodeLanes.of(self._ask(lambda gateway: drain_node(gateway, LOCAL_USER, node)))

    def resume_node(self, node: str) -> NodeLanes:
        """See ``Service.resume_node``."""
        from raysched.cluster.node_drains import resume_node
        from serve_app.node_models import NodeLanes

        return NodeLanes.of(self._ask(lambda gateway: resume_node(gateway, LOCAL_USER, node)))

    def result(self, job: str) -> Result:
        """See ``Service.result``."""
        from raysched.cli.folder import FolderResult
        from raysched.cluster.stores import at_hand
        from serve_app.results import cells_of

        async def found(gateway: Gateway) -> JobView:
            view = await gateway.job(LOCAL_USER, JobId(job))
            return await at_hand(view, await gateway.store())

        return FolderResult(cells_of(self._ask(found)))

    def place(self, job: Job) -> str:
        """See ``Service.place``."""
        return f"results in {job.out}" if isinstance(job, JobHere) else ""

    # --- users ------------------------------------------------------------------------------------

    def users(self) -> tuple[User, ...]:
        """See ``Users.users``."""
        return tuple(map(User.of, self._ask(lambda gateway: gateway.accounts())))

    def create_user(self, user: str, *, name: str | None = None, role: Role | str = "user") -> User:
        """See ``Users.create_user``."""
        made = self._accounts(lambda accounts: accounts.create(user, name or user, Role(role)))
        return User.of(made)

    def change_user(self, user: str, **changes: Any) -> User:
        """See ``Users.change_user``."""
        change = UserChanged(0.0, UserId(user), **changes)
        return User.of(self._accounts(lambda accounts: accounts.change(change)))

    def delete_user(self, user: str) -> User:
        """See ``Users.delete_user``."""
        return User.of(self._accounts(lambda accounts: accounts.delete(user)))

    def user_keys(self, user: str) -> tuple[Key, ...]:
        """See ``Users.user_keys``."""
        found = self._ask(lambda gateway: gateway.keys(UserId(user)))
        return tuple(Key.of(each) for each in found if each.kind is not KeyKind.LOGIN)

    def make_user_key(
        self,
        user: str,
        name: str = "key",
        *,
        role: Role | str | None = None,
        days: float | None = None,
    ) -> NewKey:
        """See ``Users.make_user_key``."""
        from raysched.cluster.accounts import KeyWish

        wish = KeyWish(name, Role(role) if role else None, days)
        return NewKey.of(user, self._accounts(lambda accounts: accounts.make_key(user, wish)))

    def revoke_user_key(self, user: str, key: str) -> None:
        """See ``Users.revoke_user_key``."""
        self._accounts(lambda accounts: accounts.revoke(user, key))

    def _ask(self, question: Callable[[Gateway], Awaitable[T]]) -> T:
        return ask(self._config, question)

    def _hold(self, event: OperatorEvent) -> Gates:
        async def held(gateway: Gateway) -> Health:
            await gateway.hold(event)
            return await gateway.health()

        return Gates.of(self._ask(held))

    def _seen(self, question: Callable[[Gateway], Awaitable[JobView]]) -> JobHere:
        return JobHere.seen(self._ask(question))

    def _accounts(self, question: Callable[[Accounts], Awaitable[T]]) -> T:
        def asked(gateway: Gateway) -> Awaitable[T]:
            from raysched.cluster.accounts import Accounts

            return question(Accounts(gateway))

        return self._ask(asked)
