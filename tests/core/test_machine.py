"""Random lives of a scheduler, judged after every event by a naive model and by the invariants.

The model (``reference``) says which events must be refused or are no news, predicts every job, slot
and place in line, and judges each start and stop. Crashes replay the journal, in full or up to any
event, into a fresh scheduler, which must be equal to the one that lived.

``RAYSCHED_NIGHTLY=1`` makes it a long search with new seeds; else the same lives every time.
"""

from __future__ import annotations

import pickle
from collections import Counter
from dataclasses import replace

import pytest
from draws import (
    ANSWERS,
    ASK,
    ENDED_BADLY,
    EQUAL,
    LIMITED,
    LIMITS,
    PLANS,
    REUSED,
    SECONDS,
    SETTINGS,
    SHAPE,
    TILES,
    TO_BE_MET,
    USUAL,
    Shape,
)
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from machine_endings import TO_BE_MET as OF_ENDINGS
from machine_endings import Endings
from machine_lanes import GPU, LANES, Lanes
from machine_lanes import TO_BE_MET as OF_LANES
from machine_tiles import Tiles
from reference import SOMEBODY, Reference

from raysched.core.events import (
    ChunkFinished,
    ChunksMissed,
    Event,
    JobCancelRequested,
    JobRetryRequested,
    LaneOpened,
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
    UserWeighted,
    WorkflowSubmitted,
)
from raysched.core.invariants import check
from raysched.core.limits import Limits
from raysched.core.model import (
    MAIN,
    SOMEWHERE,
    BranchName,
    Failure,
    JobId,
    JobSpec,
    JobState,
    LaneId,
    PlanFacts,
    RunId,
    Stage,
    UserId,
    WorkflowId,
)
from raysched.core.scheduler import Scheduler
from raysched.errors import RayschedError
from tests.nightly import NIGHTLY

USERS = ("zoe7", "ymir8", "xan9", "wim6")
BOOM = Failure("boom", "it broke", "fix it")
MET: Counter[str] = Counter()
"""What the lives have met, so that a search that got poorer is noticed."""


class Life(Endings, Lanes, Tiles, RuleBasedStateMachine):
    met = MET

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.counter = 0
        self.ended: list[Event] = []
        self.submitted: list[WorkflowSubmitted] = []
        self.history: list[Event] = []
        self.moments: list[bytes] = []

    @initialize(
        limits=LIMITS,
        lanes=st.integers(0, 4),
        shapes=st.lists(SHAPE, max_size=len(USERS)),
        pools=st.sampled_from((False, False, True)),
    )
    def begin(self, limits: Limits, lanes: int, shapes: list[Shape], pools: bool) -> None:
        self.limits, self.has_pools = limits, pools
        self.live, self.model = Scheduler(limits), Reference(limits)
        self.moments.append(pickle.dumps(self.live.state))
        self.tell(SchedulerStarted(0.0, 1))
        self.open(LANES[:lanes])
        for user, shape in zip(USERS, shapes, strict=False):
            self.submit(user, shape, 1, False)

    # --- how events go in ------------------------------------------------------------------------

    def tell(self, event: Event) -> bool:
        """Give an event to the core, as the model says it ought to be taken."""
        expected = self.model.answer(event)
        MET[f"{type(event).__name__} {getattr(expected, '__name__', expected)}"] += 1
        if isinstance(expected, type):
            try:
                self.live.handle(event)
            except RayschedError as error:
                assert type(error) is expected, (event, error)
            else:
                raise AssertionError(f"{event} ought to be refused with {expected.__name__}")
            self.nothing_changed()
            return False
        commands = self.live.handle(event)
        self.history.append(event)
        if expected:
            self.model.take(event, commands)
            blamed = [job.skipped_by for job in self.model.jobs.values()]
            MET["a skipped job has somebody else to blame"] += SOMEBODY in blamed
            self.moments.append(pickle.dumps(self.live.state))
        else:
            assert commands == [], event
            self.nothing_changed()
            self.moments.append(self.moments[-1])
        self.model.compare(self.live.state)
        return True

    def nothing_changed(self) -> None:
        assert pickle.loads(self.moments[-1]) == self.live.state

    def clock(self, seconds: float = 0.0) -> float:
        self.now += seconds
        return self.now

    def name(self, prefix: str) -> str:
        self.counter += 1
        return f"{prefix}{self.counter}"

    # --- what people ask for ---------------------------------------------------------------------

    @rule(user=st.sampled_from(USERS), shape=SHAPE, tidy=st.integers(0, 9), named=st.booleans())
    def submit(self, user: str, shape: Shape, tidy: int, named: bool) -> None:
        names = [JobId(self.name("job")) for _ in shape]
        jobs = []
        for place, (branch, kind, needed) in enumerate(shape):
            # nine of ten graphs make sense: dependencies point backward
            after = [names[n] for n in needed if n < (place if tidy else len(names))]
            request = f'"{names[place]}"'
            pool = GPU if self.has_pools and kind != "k" else MAIN
            jobs.append(
                JobSpec(names[place], BranchName(branch), kind, request, tuple(after), pool, branch)
            )
        workflow, key = WorkflowId(self.name("w")), self.name("key")
        digest = key if named else ""
        at = self.clock()
        event = WorkflowSubmitted(at, UserId(user), key, workflow, "n", tuple(jobs), digest)
        if self.tell(event):
            self.submitted.append(event)

    @precondition(lambda self: self.submitted)
    @rule(
        data=st.data(),
        change=st.sampled_from(("nothing", "names", "request", "digest", "user", "key", "short")),
    )
    def submit_again(self, data: st.DataObject, change: str) -> None:
        old = data.draw(st.sampled_from(self.submitted))
        user, key, jobs, digest = old.user, old.key, list(old.jobs), old.digest
        workflow = old.workflow if change == "key" else WorkflowId(self.name("w"))
        match change:
            case "names":
                to = {spec.job: JobId(self.name("job")) for spec in jobs}
                after = [tuple(to[name] for name in spec.depends_on) for spec in jobs]
                jobs = [
                    replace(spec, job=to[spec.job], depends_on=needed)
                    for spec, needed in zip(jobs, after, strict=True)
                ]
            case "request":
                jobs[-1] = replace(jobs[-1], request="new")
            case "digest":
                digest = "other"
            case "user":
                user = UserId(data.draw(st.sampled_from(USERS)))
            case "key":
                key = self.name("key")
            case "short":
                jobs, digest = jobs[:-1], ""
        self.tell(WorkflowSubmitted(self.now, user, key, workflow, "n", tuple(jobs), digest))

    @rule(asks=st.lists(ASK, min_size=1, max_size=4))
    def ask(self, asks: list[tuple[str, int, int, float]]) -> None:
        for what, state, which, mpp in asks:
            if self.model.jobs:
                name = self.some_job(what, state, which)
                self.ask_for(what, name, UserId(self.model.jobs[name].user), mpp)

    def ask_for(self, what: str, name: JobId, user: UserId, mpp: float) -> None:
        MET[f"{what} {self.model.jobs[name].state}"] += 1
        match what:
            case "cancel":
                self.tell(JobCancelRequested(self.clock(), user, name))
            case "retry":
                asked = JobRetryRequested(self.clock(), user, name, self.name("key"))
                if self.tell(asked):
                    self.tell(asked)  # the person clicks twice
            case "mpp":
                if self.tell(MppAnswered(self.clock(), user, name, mpp)):
                    self.tell(MppAnswered(self.now, user, name, mpp))  # the person clicks twice
            case "weigh":
                weight = {0.5: 1.0, 0.25: 3.0, 9.0: 0.0}[mpp]
                self.tell(UserWeighted(self.clock(), user, weight))
            case "leave":
                for mine in [other for other in self.model.open() if other.user == user]:
                    if not mine.state.is_final:
                        self.tell(JobCancelRequested(self.now, user, mine.spec.job))

    @precondition(lambda self: any(j.state is JobState.FAILED for j in self.model.jobs.values()))
    @rule(more=st.integers(1, 4))
    def retry_without_room(self, more: int) -> None:
        """A person asks for a failed job again, having submitted up to the limit meanwhile."""
        name = self.some_job("retry", 1, 0)
        user = self.model.jobs[name].user
        for _ in range(more):
            self.submit(user, [("x", "k", [])], 1, False)
        self.tell(JobRetryRequested(self.now, UserId(user), name, self.name("key")))

    @precondition(lambda self: any(j.state in ENDED_BADLY for j in self.model.jobs.values()))
    @rule(which=st.integers(0, 9))
    def cancel_what_has_ended(self, which: int) -> None:
        ended = [name for name, job in self.model.jobs.items() if job.state in ENDED_BADLY]
        name = ended[which % len(ended)]
        self.ask_for("cancel", name, self.model.jobs[name].user, 0.5)

    @precondition(lambda self: any("slide" in done for done in self.model.done_work.values()))
    @rule()
    def two_more_of_work_that_is_done(self) -> None:
        user = next(user for user, done in self.model.done_work.items() if "slide" in done)
        self.submit(user, [("x", "k", []), ("y", "k", [])], 1, False)
        for _ in range(12):
            self.go_on(1.0)

    def some_job(self, what: str, state: int, which: int) -> JobId:
        """A job in a state chosen first, so that rare states are met as well."""
        jobs = self.model.jobs
        states = sorted({job.state for job in jobs.values()})
        wanted = {"retry": JobState.FAILED, "mpp": JobState.NEEDS_MPP}.get(what)
        found = wanted if wanted in states and state else states[state % len(states)]
        fitting = [name for name, job in jobs.items() if job.state is found]
        return JobId(fitting[which % len(fitting)])

    # --- what lanes report -----------------------------------------------------------------------

    @precondition(lambda self: self.model.runs)
    @rule(
        reports=st.lists(
            st.tuples(st.integers(0, 3), st.sampled_from(ANSWERS), SECONDS), min_size=1, max_size=5
        ),
        plan=PLANS,
    )
    def report(self, reports: list[tuple[int, str, float]], plan: PlanFacts) -> None:
        for which, how, seconds in reports:
            if self.model.runs:
                run = sorted(self.model.runs)[which % len(self.model.runs)]
                event = self.report_of(run, how, self.clock(seconds), seconds, plan)
                self.tell(event)
                self.ended.append(event)

    @precondition(lambda self: self.in_state(JobState.NEEDS_MPP))
    @rule(mpp=st.sampled_from((0.5, 0.25)))
    def a_question_is_answered(self, mpp: float) -> None:
        name = self.in_state(JobState.NEEDS_MPP)[0]
        for _ in range(2):
            self.ask_for("mpp", JobId(name), UserId(self.model.jobs[name].user), mpp)

    @precondition(lambda self: self.assembling())
    @rule(seconds=SECONDS)
    def storage_loses_a_chunk(self, seconds: float) -> None:
        lost = self.report_of(self.assembling()[0], "missed", self.clock(seconds), seconds, USUAL)
        self.tell(lost)
        self.tell(lost)
        self.ended.append(lost)

    @precondition(lambda self: self.runs_of(Stage.PLAN))
    @rule(seconds=SECONDS)
    def an_equal_job_s_result_is_there(self, seconds: float) -> None:
        self.tell(
            self.report_of(
                self.runs_of(Stage.PLAN)[0], "well", self.clock(seconds), seconds, REUSED
            )
        )

    @precondition(lambda self: len(self.model.runs) > 1)
    @rule(seconds=SECONDS, how=st.sampled_from(("lost", "stopped")))
    def an_end_is_reported_twice(self, seconds: float, how: str) -> None:
        ended = self.report_of(max(self.model.runs), how, self.clock(seconds), seconds, USUAL)
        self.tell(ended)
        self.tell(ended)

    def runs_of(self, stage: Stage) -> list[str]:
        return [name for name, run in sorted(self.model.runs.items()) if run.stage is stage]

    def in_state(self, state: JobState) -> list[str]:
        return [name for name, job in self.model.jobs.items() if job.state is state]

    def assembling(self) -> list[str]:
        """The runs that could find chunks gone."""
        return [n for n in self.runs_of(Stage.ASSEMBLE) if self.model.runs[n].job.done]

    @rule(seconds=SECONDS, most=st.integers(1, 12), forgive=st.booleans())
    def all_goes_well_for_a_while(self, seconds: float, most: int, forgive: bool) -> None:
        """Without this, lives are so eventful that few jobs come far."""
        if forgive:
            self.try_all_again()
        for _ in range(most):
            if not self.go_on(seconds):
                break

    def try_all_again(self) -> None:
        for name, job in list(self.model.jobs.items()):
            if job.state is JobState.FAILED:
                key = self.name("key")
                asked = JobRetryRequested(self.now, UserId(job.user), JobId(name), key)
                if self.tell(asked):
                    self.tell(asked)  # the person clicks twice

    def go_on(self, seconds: float) -> bool:
        """The next run ends well, or a person answers, or time passes to the wake-up; if any."""
        asking = self.in_state(JobState.NEEDS_MPP)
        if self.model.runs:
            job = self.model.runs[min(self.model.runs)].job
            self.report([(0, "well", seconds)], EQUAL if job.spec.kind == "k" else LIMITED)
        elif asking:
            user = UserId(self.model.jobs[asking[0]].user)
            self.tell(MppAnswered(self.now, user, JobId(asking[0]), 0.5))
        elif self.live.state.wake_at is not None:
            self.now = max(self.now, self.live.state.wake_at)
            self.tell(TimePassed(self.now))
        else:
            return False
        return True

    @rule(what=st.sampled_from(("again", "again", "stage", "stranger")), which=st.integers(0, 99))
    def nonsense(self, what: str, which: int) -> None:
        """Reports that come twice, or after the lane or the life in which they ran was over;
        reports of another stage; requests about somebody else's job."""
        if what == "again" and self.ended:
            self.tell(self.ended[-1 - which % len(self.ended)])
        if what == "stage" and self.model.runs:
            run = sorted(self.model.runs)[which % len(self.model.runs)]
            if self.model.runs[run].stage is not Stage.ASSEMBLE:
                assert not self.tell(ResultAssembled(self.now, RunId(run), 1.0, 1))
        if what == "stranger" and self.model.jobs:
            name, eve = self.some_job("anything", 0, which), UserId("eve")
            assert not self.tell(JobCancelRequested(self.now, eve, name))
            assert not self.tell(JobRetryRequested(self.now, eve, name))
            assert not self.tell(MppAnswered(self.now, eve, name, 0.5))

    def report_of(self, name: str, how: str, at: float, seconds: float, plan: PlanFacts) -> Event:
        run, stage = RunId(name), self.model.runs[name].stage
        match how, stage:
            case (("badly" | "for good"), _):
                return RunFailed(at, run, seconds, BOOM, how == "badly")
            case "lost", _:
                return RunLost(at, run, "killed", too_large=seconds > 1)
            case "stopped", _:
                return RunStopped(at, run, seconds)
            case "mpp", Stage.PLAN:
                return MppMissed(at, run, "how large?")
            case _, Stage.PLAN:
                return SlidePlanned(at, run, seconds, plan)
            case _, Stage.SEGMENT:
                return ChunkFinished(at, run, seconds, 5, int(seconds > 0), "sum")
            case "missed", Stage.ASSEMBLE if self.model.runs[name].job.done:
                first, *left = sorted(self.model.runs[name].job.done.items())
                cells = sum(receipt.cells for _, receipt in left)
                failed = sum(receipt.tiles_failed for _, receipt in left)
                return ChunksMissed(at, run, seconds, (first[0],), cells, failed)
            case _, Stage.ASSEMBLE:
                return ResultAssembled(at, run, seconds, 5)
            case _:
                return ResultPublished(at, run, seconds, 5, "sum")

    @precondition(lambda self: self.ended)
    @rule(data=st.data())
    def report_again(self, data: st.DataObject) -> None:
        """Twice, or after the lane or the life in which it ran was over."""
        self.tell(data.draw(st.sampled_from(self.ended)))

    @precondition(lambda self: self.model.runs)
    @rule(data=st.data())
    def report_another_stage(self, data: st.DataObject) -> None:
        run = data.draw(st.sampled_from(sorted(self.model.runs)))
        if self.model.runs[run].stage is not Stage.ASSEMBLE:
            assert not self.tell(ResultAssembled(self.now, RunId(run), 1.0, 1))

    # --- lives and time --------------------------------------------------------------------------

    def forget_flights(self, lane: str | None = None) -> None:
        """What was in flight may still report, when nobody waits for it any more."""
        for name, run in self.model.runs.items():
            if lane in (None, run.lane):
                plan = PlanFacts("late", TILES)
                self.ended.append(self.report_of(name, "well", self.now, 1.0, plan))

    @rule(seconds=st.sampled_from((-5.0, 0.0, 1.0, 3.0, 30.0)))
    def time_passes(self, seconds: float) -> None:
        """Or runs backward, which is to be ignored."""
        self.tell(TimePassed(self.clock(seconds) if seconds >= 0 else self.now + seconds))

    @rule(data=st.data())
    def replay_up_to_any_event(self, data: st.DataObject) -> None:
        length = data.draw(st.integers(0, len(self.history)))
        assert self.replayed(length).state == pickle.loads(self.moments[length])

    def replayed(self, length: int) -> Scheduler:
        again = Scheduler(self.limits)
        for event in self.history[:length]:
            again.handle(event)
        return again

    @rule(limits=st.one_of(st.none(), LIMITS), lanes=st.sampled_from((0, 1, 2, 3, 4)))
    def crash(self, limits: Limits | None, lanes: int) -> None:
        """All is lost but the journal: from here on the replayed scheduler lives."""
        again = self.replayed(len(self.history))
        assert again.state == self.live.state
        self.live = again
        assert not self.tell(SchedulerStarted(self.now, self.live.epoch))
        self.forget_flights()
        self.tell(SchedulerStarted(self.clock(), self.live.epoch + 1, limits))
        self.open(LANES[:lanes])

    # --- what must hold --------------------------------------------------------------------------

    @invariant()
    def everything_holds(self) -> None:
        check(self.live)
        MET["somebody is parked"] += any(self.model.parked.values())
        MET["work waits for a lane of its pool beside idle ones"] += self.waits_beside_idle()
        MET["somebody yields"] += bool(self.model.yielding)
        MET["somebody waits for a slot"] += bool(self.model.queue)
        for job in self.model.jobs.values():
            MET["somebody waits for equal work"] += job.awaits is not None
            MET["somebody reuses"] += job.plan is not None and job.plan.reused
        MET["work is done"] += any(self.model.done_work.values())
        MET["equal work side by side"] += self.side_by_side()
        for view in self.live.jobs_of(None, self.now)[-3:]:
            others = set(USERS) - {view.user}
            assert not any(name in view.explanation.sentence for name in others), view

    def side_by_side(self) -> bool:
        computing = [job for job in self.model.open() if job.state is JobState.SEGMENTING]
        works = [(job.user, job.plan.work) for job in computing if job.plan and job.plan.work]
        return len(set(works)) < len(works)

    def teardown(self) -> None:
        """Liveness: from any state, when all goes well from here on, everything ends."""
        self.resume()
        self.tell(LaneOpened(self.now, LaneId("late")))
        self.tell(LaneOpened(self.now, LaneId("late too"), SOMEWHERE, GPU))
        self.try_all_again()
        for _ in range(3000):
            if not self.go_on(1.0):
                break
        self.everything_holds()
        assert [job.spec.job for job in self.model.open()] == []
        assert (self.model.slots, self.model.queue) == ([], [])


@pytest.mark.timeout(0 if NIGHTLY else 900)  # finding a small example may take five minutes
def test_in_random_lives_the_core_does_what_the_naive_model_does() -> None:
    run_state_machine_as_test(Life, settings=SETTINGS)
    assert [name for name in sorted(TO_BE_MET | OF_ENDINGS | OF_LANES) if not MET[name]] == []
