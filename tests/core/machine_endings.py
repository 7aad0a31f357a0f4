"""Rules of random lives: the operator's gates, much cancelled at once, and what is deleted."""

from __future__ import annotations

from typing import Any

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
    ResultsDeleted,
    WorkflowCancelRequested,
    WorkflowDeleted,
    WorkflowSubmitted,
)
from raysched.core.model import JobId, JobState, UserId

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

    def in_state(self, state: JobState) -> list[str]:
        raise NotImplementedError

    def resume(self) -> None:
        self.tell(ClusterResumed(self.now, OPERATOR))

    @rule(hold=st.sampled_from(HOLDS), steps=st.integers(0, 4), is_over=st.sampled_from("yyyn"))
    def the_operator_holds_the_cluster(self, hold: Any, steps: int, is_over: str) -> None:
        """For a while, mostly: lives in which nothing starts any more would show little."""
        self.tell(hold(self.now, OPERATOR))
        self.tell(hold(self.now, OPERATOR))
        for name in self.in_state(JobState.FAILED)[:1]:
            user = UserId(self.model.jobs[name].user)
            self.tell(JobRetryRequested(self.now, user, JobId(name)))
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
        user = event.user if stranger else UserId("eve")
        asked = WorkflowDeleted(self.now, user, event.workflow)
        if event in self.model.retired:
            names = tuple(spec.job for spec in event.jobs)
            lives = submission(self.model, event.workflow, event.user) is not None
            if lives or any(name in self.model.jobs for name in names):
                return  # ids follow from users and keys: there is no second of one id
            asked = WorkflowDeleted(self.now, user, event.workflow, event.key, names)
            self.met["a workflow is deleted from the archive"] += bool(stranger)
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
