"""The one door to scheduling: an event goes in, commands come out.

``handle`` is: check (reads only, may refuse), apply (writes, cannot refuse), cycle (decides what
can be done now). Whoever calls it owns the time, the journal and the carrying out of commands.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from itertools import groupby
from types import MappingProxyType
from typing import Any, NamedTuple

from raysched.core import endings, gates, identity, lanes, reports, requests
from raysched.core.commands import Command, Retire
from raysched.core.decision import Decision, decision_of
from raysched.core.dispatch import cycle
from raysched.core.events import (
    AllCancelRequested,
    ChunkFinished,
    ChunksMissed,
    ClusterDrained,
    ClusterPaused,
    ClusterResumed,
    Event,
    FilesRemoved,
    JobCancelRequested,
    JobRetryRequested,
    KeyMade,
    KeyRevoked,
    KeyUsed,
    LaneClosing,
    LaneLost,
    LaneOpened,
    LanesCounted,
    LoggedIn,
    MppAnswered,
    MppMissed,
    NodeDrained,
    NodeResumed,
    ResultAssembled,
    ResultPublished,
    ResultsDeleted,
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
    WorkflowCancelRequested,
    WorkflowDeleted,
    WorkflowSubmitted,
)
from raysched.core.limits import Limits
from raysched.core.model import JobId, RunId, UserId, WorkflowId
from raysched.core.reading import view_job, view_workflow
from raysched.core.state import Run, State, User, Workflow
from raysched.core.step import Step
from raysched.core.views import JobView, WorkflowView

_Check = Callable[[State, Any], bool]
_Apply = Callable[[State, Any, Step], None]

_HANDLERS: dict[type[Event], tuple[_Check, _Apply]] = {
    SchedulerStarted: (reports.check_started, reports.apply_started),
    WorkflowSubmitted: (requests.check_submitted, requests.apply_submitted),
    JobCancelRequested: (requests.check_cancel, requests.apply_cancel),
    JobRetryRequested: (requests.check_retry, requests.apply_retry),
    MppAnswered: (requests.check_mpp, requests.apply_mpp),
    WorkflowCancelRequested: (endings.check_workflow_cancel, endings.apply_workflow_cancel),
    AllCancelRequested: (endings.check_all_cancel, endings.apply_all_cancel),
    WorkflowDeleted: (endings.check_workflow_deleted, endings.apply_workflow_deleted),
    ResultsDeleted: (endings.check_results_deleted, endings.apply_results_deleted),
    FilesRemoved: (endings.check_removed, endings.apply_removed),
    ClusterPaused: (gates.check_paused, gates.apply_paused),
    ClusterDrained: (gates.check_drained, gates.apply_drained),
    ClusterResumed: (gates.check_resumed, gates.apply_resumed),
    NodeDrained: (gates.check_node_drained, gates.apply_node_drained),
    NodeResumed: (gates.check_node_resumed, gates.apply_node_resumed),
    UserWeighted: (requests.check_weighted, requests.apply_weighted),
    UserCreated: (identity.check_created, identity.apply_created),
    UserChanged: (identity.check_changed, identity.apply_changed),
    UserDeleted: (identity.check_deleted, identity.apply_deleted),
    KeyMade: (identity.check_key_made, identity.apply_key_made),
    KeyRevoked: (identity.check_key_revoked, identity.apply_key_revoked),
    KeyUsed: (identity.check_key_used, identity.apply_key_used),
    LoggedIn: (identity.check_logged_in, identity.apply_logged_in),
    LaneOpened: (lanes.check_opened, lanes.apply_opened),
    LaneClosing: (lanes.check_closing, lanes.apply_closing),
    LaneLost: (lanes.check_lost, lanes.apply_lane_lost),
    LanesCounted: (lanes.check_counted, lanes.apply_counted),
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


class Shown(NamedTuple):
    """What one event made look otherwise, by owner: jobs, and workflows that are deleted."""

    jobs: Mapping[JobId, UserId]
    deleted: Mapping[WorkflowId, UserId]


class Scheduler:
    """Holds the state; nothing else writes it. Not safe to share between threads."""

    def __init__(self, limits: Limits = Limits()) -> None:  # noqa: B008 - frozen
        self._state = State(limits=limits)
        self._shown = Shown({}, {})

    @classmethod
    def of(cls, state: State) -> Scheduler:
        """A scheduler that goes on from a state, which is its own from then on."""
        core = cls()
        core._state = state
        return core

    @classmethod
    def of_retired(cls, retired: Retire, cleared: Mapping[JobId, float]) -> Scheduler:
        """A scheduler that knows one ended workflow and nothing else, to read its views from.
        ``cleared``: what the user has deleted the results of, meanwhile."""
        workflow = retired.workflow
        jobs = {job.id: job for job in retired.jobs}
        user = User(jobs=dict.fromkeys(jobs), keys={workflow.key: workflow.workflow})
        user.cleared = {name: cleared[name] for name in jobs if name in cleared}
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
        if event.at > state.now:  # noqa: PLR1730 - for every event; max() takes twice as long
            state.now = event.at
        state.revision += 1
        step = Step()
        apply(state, event, step)
        cycle(state, step, decision)
        self._shown = Shown(step.jobs, step.workflows)
        return step.commands

    def decided(self, commands: Sequence[Command]) -> Decision:
        """What the last event made the scheduler decide, given the commands that it returned."""
        return decision_of(commands, self._state.parked())

    # --- reads ---------------------------------------------------------------------------------

    @property
    def state(self) -> State:
        """The state, to compare and to check; never to be written."""
        return self._state

    @property
    def shown(self) -> Shown:
        """What the last event that changed anything made look otherwise to its owner. Positions and
        expected times, which move with everybody's work, are not counted."""
        return self._shown

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

    def cleared_by(self, user: UserId) -> Mapping[JobId, float]:
        """The jobs that the user has deleted the results of, and when."""
        known = self._state.users.get(user)
        return MappingProxyType(known.cleared if known is not None else {})

    def deleted_by(self, user: UserId) -> Collection[WorkflowId]:
        """The workflows that the user has deleted."""
        known = self._state.users.get(user)
        return tuple(known.deleted) if known is not None else ()

    def has_deleted(self, user: UserId, workflow: WorkflowId) -> bool:
        """Whether the user has deleted this workflow."""
        known = self._state.users.get(user)
        return known is not None and workflow in known.deleted

    def job_view(self, user: UserId | None, job: JobId, now: float) -> JobView:
        """A job of the user's (None: of anybody's). Raises ``NotFound``."""
        return view_job(self._state, requests.find_job(self._state, user, job), now)

    def workflow_view(
        self, user: UserId | None, workflow: WorkflowId, now: float, shown: slice = slice(None)
    ) -> WorkflowView:
        """A workflow of the user's (None: of anybody's) with some of its jobs. Raises
        ``NotFound``."""
        found = endings.find_workflow(self._state, user, workflow)
        return view_workflow(self._state, found, now, shown)

    def workflows_of(self, user: UserId) -> Iterator[Workflow]:
        """A user's workflows in memory, the newest first; of those of one moment, by their ids."""
        known = self._state.users.get(user)
        names = reversed(known.keys.values()) if known is not None else ()
        newest = (self._state.workflows[name] for name in names)
        for _, at_once in groupby(newest, key=lambda one: one.submitted_at):
            yield from sorted(at_once, key=lambda one: one.workflow, reverse=True)

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

    def open_jobs(self, user: UserId | None = None) -> int:
        """How many jobs of the user's (None: of all) are not final."""
        whose = self._state.users.values() if user is None else [self._state.users.get(user)]
        return sum(len(each.open) for each in whose if each is not None)

    def runs(self) -> Mapping[RunId, Run]:
        """The runs in flight."""
        return MappingProxyType(self._state.runs)
