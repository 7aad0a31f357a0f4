"""Rules of random lives: the operator's gates, much cancelled at once, and what is deleted."""

from __future__ import annotations

from typing import Any

from draws import Shape
from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule
from reference_endings import submission

from raysched.core.events import (
    AllCancelRequested,
    ClusterDrained,
    ClusterPaused,
    ClusterResumed,
    Event,
    FilesRemoved,
    JobRetryRequested,
    MppMissed,
    ResultsDeleted,
    WorkflowCancelRequested,
    WorkflowDeleted,
    WorkflowSubmitted,
)
from raysched.core.model import JobId, JobState, RunId, Stage, UserId

OPERATOR = UserId("local")
HOLDS = (ClusterPaused, ClusterPaused, ClusterDrained)
TO_BE_MET = {
    *(f"{kind} {how}" for kind in ("ClusterPaused", "ClusterDrained") for how in (True, False)),
    *(f"{kind} {how}" for kind in ("ClusterResumed", "FilesRemoved") for how in (True, False)),
    *(f"WorkflowCancelRequested {how}" for how in (True, False, "Conflict", "NotFound")),
    *(f"AllCancelRequested {how}" for how in (True, False)),
    *(f"WorkflowDeleted {how}" for how in (True, False, "Conflict", "NotFound")),
    *(f"ResultsDeleted {how}" for how in (True, False, "Conflict", "NotFound")),
    "WorkflowSubmitted Draining",
    "JobRetryRequested Draining",
    "a workflow is deleted from the archive",
}


class Endings:
    """To be mixed into the machine."""

    model: Any
    met: Any
    now: float
    submitted: list[WorkflowSubmitted]

    def tell(self, event: Event) -> bool:
        raise NotImplementedError

    def go_on(self, seconds: float) -> bool:
        raise NotImplementedError

    def submit(self, user: str, shape: Shape, tidy: int, named: bool) -> None:
        raise NotImplementedError

    def in_state(self, state: JobState) -> list[str]:
        raise NotImplementedError

    def ask_for(self, what: str, name: JobId, user: UserId, mpp: float) -> None:
        raise NotImplementedError

    def runs_of(self, stage: Stage) -> list[str]:
        raise NotImplementedError

    def resume(self) -> None:
        self.tell(ClusterResumed(self.now, OPERATOR))

    @precondition(lambda self: self.runs_of(Stage.PLAN))
    @rule()
    def what_asks_is_cancelled(self) -> None:
        self.tell(MppMissed(self.now, RunId(self.runs_of(Stage.PLAN)[0]), "how large?"))
        self.cancel_first(JobState.NEEDS_MPP)

    @precondition(lambda self: self.in_state(JobState.RETRY_WAITING))
    @rule()
    def what_waits_to_go_again_is_cancelled(self) -> None:
        self.cancel_first(JobState.RETRY_WAITING)

    def cancel_first(self, state: JobState) -> None:
        for name in self.in_state(state)[:1]:
            self.ask_for("cancel", JobId(name), UserId(self.model.jobs[name].user), 0.5)

    @rule(hold=st.sampled_from(HOLDS), steps=st.integers(0, 4), is_over=st.sampled_from("yyyn"))
    def the_operator_holds_the_cluster(self, hold: Any, steps: int, is_over: str) -> None:
        """For a while, mostly: lives in which nothing starts any more would show little."""
        self.tell(hold(self.now, OPERATOR))
        self.tell(hold(self.now, OPERATOR))
        for name in self.in_state(JobState.FAILED)[:1]:
            user = UserId(self.model.jobs[name].user)
            self.tell(JobRetryRequested(self.now, user, JobId(name)))
        if self.model.drained:
            self.submit("zoe7", [("x", "k", [])], 1, False)
        for _ in range(steps):
            self.go_on(1.0)
        if is_over == "y":
            self.resume()
            self.tell(ClusterResumed(self.now, OPERATOR))

    @precondition(lambda self: self.model.drained or self.model.paused)
    @rule()
    def the_operator_resumes(self) -> None:
        self.resume()

    @precondition(lambda self: self.submitted)
    @rule(which=st.integers(0, 9), stranger=st.integers(0, 9), whole=st.booleans())
    def cancel_much(self, which: int, stranger: int, whole: bool) -> None:
        event = self.submitted[-1 - which % len(self.submitted)]
        user = event.user if stranger else UserId("eve")
        asked: Event = WorkflowCancelRequested(self.now, user, event.workflow)
        if not whole and which > 6:
            asked = AllCancelRequested(self.now, user)
        if self.tell(asked):
            self.tell(asked)

    @precondition(lambda self: self.submitted)
    @rule(which=st.integers(0, 9), stranger=st.integers(0, 9), soon=st.booleans())
    def delete_a_workflow(self, which: int, stranger: int, soon: bool) -> None:
        event = self.submitted[which % len(self.submitted)]
        if event not in self.model.retired:
            user = event.user if stranger else UserId("eve")
            self.delete(WorkflowDeleted(self.now, user, event.workflow), soon)

    @precondition(lambda self: self.in_the_archive())
    @rule(which=st.integers(0, 9), stranger=st.integers(0, 9), soon=st.booleans())
    def delete_from_the_archive(self, which: int, stranger: int, soon: bool) -> None:
        archived = self.in_the_archive()
        event = archived[which % len(archived)]
        user = event.user if stranger else UserId("eve")
        names = tuple(spec.job for spec in event.jobs)
        self.delete(WorkflowDeleted(self.now, user, event.workflow, event.key, names), soon)
        self.met["a workflow is deleted from the archive"] += bool(stranger)

    def in_the_archive(self) -> list[WorkflowSubmitted]:
        """Those of which no name is used twice: ids follow from users and keys."""
        return [
            event
            for event in self.model.retired
            if submission(self.model, event.workflow, event.user) is None
            and not any(spec.job in self.model.jobs for spec in event.jobs)
        ]

    def delete(self, asked: WorkflowDeleted, soon: bool) -> None:
        if self.tell(asked):
            self.tell(asked)
        self.files_are_removed(soon)

    @precondition(lambda self: self.model.jobs)
    @rule(which=st.integers(0, 9), stranger=st.integers(0, 9), soon=st.booleans())
    def delete_results(self, which: int, stranger: int, soon: bool) -> None:
        names = sorted(self.model.jobs, key=lambda name: not self.model.jobs[name].state.is_final)
        name = JobId(names[which % len(names)])
        user = UserId(self.model.jobs[name].user) if stranger else UserId("eve")
        asked = ResultsDeleted(self.now, user, name)
        if self.tell(asked):
            self.tell(asked)
        self.files_are_removed(soon)

    def files_are_removed(self, soon: bool) -> None:
        if soon and self.model.removals:
            done = FilesRemoved(self.now, tuple(map(JobId, self.model.removals)))
            self.tell(done)
            self.tell(done)
