"""The one door to scheduling: an event goes in, commands come out.

``handle`` is: check (reads only, may refuse), apply (writes, cannot refuse), cycle (decides what
can be done now). Whoever calls it owns the time, the journal and the carrying out of commands.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from raysched.core import identity, reports, requests
from raysched.core.commands import Command, Retire
from raysched.core.decision import Decision, decision_of
from raysched.core.dispatch import cycle
from raysched.core.events import (
    ChunkFinished,
    ChunksMissed,
    Event,
    JobCancelRequested,
    JobRetryRequested,
    KeyMade,
    KeyRevoked,
    KeyUsed,
    LaneLost,
    LaneOpened,
    LoggedIn,
    MppAnswered,
    MppMissed,
    ResultAssembled,
    ResultPublished,
    RunFailed,
    RunLost,
    RunStopped,
    SchedulerStarted,
    SlidePlanned,
    TimePassed,
    UserChanged,
    UserCreated,
    UserDeleted,
    UserWeighted,
    WorkflowSubmitted,
)
from raysched.core.limits import Limits
from raysched.core.model import JobId, RunId, UserId, WorkflowId
from raysched.core.reading import view_job
from raysched.core.state import Run, State, User
from raysched.core.step import Step
from raysched.core.views import JobView, WorkflowView
from raysched.errors import NotFound

_Check = Callable[[State, Any], bool]
_Apply = Callable[[State, Any, Step], None]

_HANDLERS: dict[type[Event], tuple[_Check, _Apply]] = {
    SchedulerStarted: (reports.check_started, reports.apply_started),
    WorkflowSubmitted: (requests.check_submitted, requests.apply_submitted),
    JobCancelRequested: (requests.check_cancel, requests.apply_cancel),
    JobRetryRequested: (requests.check_retry, requests.apply_retry),
    MppAnswered: (requests.check_mpp, requests.apply_mpp),
    UserWeighted: (requests.check_weighted, requests.apply_weighted),
    UserCreated: (identity.check_created, identity.apply_created),
    UserChanged: (identity.check_changed, identity.apply_changed),
    UserDeleted: (identity.check_deleted, identity.apply_deleted),
    KeyMade: (identity.check_key_made, identity.apply_key_made),
    KeyRevoked: (identity.check_key_revoked, identity.apply_key_revoked),
    KeyUsed: (identity.check_key_used, identity.apply_key_used),
    LoggedIn: (identity.check_logged_in, identity.apply_logged_in),
    LaneOpened: (reports.check_lane_opened, reports.apply_lane_opened),
    LaneLost: (reports.check_lane_lost, reports.apply_lane_lost),
    SlidePlanned: (reports.is_news, reports.apply_planned),
    MppMissed: (reports.is_news, reports.apply_mpp_missed),
    ChunkFinished: (reports.is_news, reports.apply_chunk),
    ResultAssembled: (reports.is_news, reports.apply_assembled),
    ChunksMissed: (reports.check_missed, reports.apply_chunks_missed),
    ResultPublished: (reports.is_news, reports.apply_published),
    RunFailed: (reports.is_news, reports.apply_failed),
    RunLost: (reports.is_news, reports.apply_lost),
    RunStopped: (reports.is_news, reports.apply_stopped),
    TimePassed: (reports.check_time, reports.apply_time),
}


class Scheduler:
    """Holds the state; nothing else writes it. Not safe to share between threads."""

    def __init__(self, limits: Limits = Limits()) -> None:  # noqa: B008 - frozen
        self._state = State(limits=limits)

    @classmethod
    def of(cls, state: State) -> Scheduler:
        """A scheduler that goes on from a state, which is its own from then on."""
        core = cls()
        core._state = state
        return core

    @classmethod
    def of_retired(cls, retired: Retire) -> Scheduler:
        """A scheduler that knows one ended workflow and nothing else, to read its views from."""
        workflow = retired.workflow
        jobs = {job.id: job for job in retired.jobs}
        user = User(jobs=dict.fromkeys(jobs), keys={workflow.key: workflow.workflow})
        return cls.of(
            State(jobs=jobs, workflows={workflow.workflow: workflow}, users={workflow.user: user})
        )

    def handle(self, event: Event, decision: Decision | None = None) -> list[Command]:
        """Take in one event and say what is to be done now.

        ``decision`` is what was decided when the event was first handled: a replay dispatches by
        it, so that runs keep their names and units although the rules may have changed since.

        An event that is not news (a stale report, the same request again) changes nothing and
        gives no commands. Raises ``RequestError`` for what cannot be done as asked and
        ``IllegalMove`` for what should not have happened; then nothing has changed either.
        """
        state = self._state
        check, apply = _HANDLERS[type(event)]
        if not check(state, event):
            return []
        state.now = max(state.now, event.at)
        state.revision += 1
        step = Step()
        apply(state, event, step)
        cycle(state, step, decision)
        return step.commands

    def decided(self, commands: Sequence[Command]) -> Decision:
        """What the last event made the scheduler decide, given the commands that it returned."""
        return decision_of(commands, self._state.parking)

    # --- reads ---------------------------------------------------------------------------------

    @property
    def state(self) -> State:
        """The state, to compare and to check; never to be written."""
        return self._state

    @property
    def epoch(self) -> int:
        """Which life of the scheduler this is."""
        return self._state.epoch

    @property
    def revision(self) -> int:
        """Grows with every event that changed anything."""
        return self._state.revision

    def workflow_for_key(self, user: UserId, key: str) -> WorkflowId | None:
        """The workflow that was submitted under an idempotency key."""
        known = self._state.users.get(user)
        return known.keys.get(key) if known is not None else None

    def has_retired(self, user: UserId) -> bool:
        """Whether any job of the user's has left memory."""
        known = self._state.users.get(user)
        return known is not None and known.jobs_retired > 0

    def job_view(self, user: UserId | None, job: JobId, now: float) -> JobView:
        """A job of the user's (None: of anybody's). Raises ``NotFound``."""
        return view_job(self._state, requests.find_job(self._state, user, job), now)

    def workflow_view(self, user: UserId | None, workflow: WorkflowId, now: float) -> WorkflowView:
        """A workflow of the user's (None: of anybody's). Raises ``NotFound``."""
        found = self._state.workflows.get(workflow)
        if found is None or (user is not None and found.user != user):
            raise NotFound(
                f"There is no workflow {workflow}.",
                remedy="List your jobs with `raysched status`.",
                workflow=workflow,
            )
        views = tuple(view_job(self._state, self._state.jobs[name], now) for name in found.jobs)
        return WorkflowView(
            workflow, found.user, found.name, found.submitted_at, views, found.digest
        )

    def jobs_of(
        self, user: UserId | None, now: float, *, only_open: bool = False
    ) -> tuple[JobView, ...]:
        """The user's jobs (None: everybody's) in order of submission."""
        state = self._state
        whose = state.users if user is None else [user] if user in state.users else []
        found = []
        for who in whose:
            names = state.users[who].open if only_open else state.users[who].jobs
            found += [state.jobs[name] for name in names]
        found.sort(key=lambda job: job.order)
        return tuple(view_job(state, job, now) for job in found)

    def open_jobs(self) -> int:
        """How many jobs are not final."""
        return sum(len(user.open) for user in self._state.users.values())

    def runs(self) -> Mapping[RunId, Run]:
        """The runs in flight."""
        return MappingProxyType(self._state.runs)
