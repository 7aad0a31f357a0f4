"""Random lives of a scheduler: whatever happens in whatever order, the invariants hold.

A second scheduler follows: it is given only what was taken in (as the journal would replay it),
never the refused requests or the reads, and must agree after every event.
"""

from __future__ import annotations

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from raysched.core.commands import RunUnit, StopRun, WakeAt
from raysched.core.events import (
    ChunkFinished,
    Event,
    JobCancelRequested,
    JobRetryRequested,
    LaneLost,
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
    WorkflowSubmitted,
)
from raysched.core.invariants import check
from raysched.core.limits import Limits
from raysched.core.model import (
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
from raysched.errors import InternalError, RequestError

USERS = ("zoe7", "ymir8", "xan9")
BRANCHES = ("x", "y")
ABSORBING = (JobState.SUCCEEDED, JobState.CANCELLED)

LIMITS = st.builds(
    Limits,
    max_running_jobs=st.integers(1, 3),
    max_active_users=st.integers(1, 2),
    max_jobs_per_user=st.just(9),
    max_retries=st.integers(0, 2),
    max_losses_per_unit=st.integers(0, 2),
    retry_backoff_s=st.just(2.0),
    retry_backoff_max_s=st.just(5.0),
    slot_tenure_s=st.sampled_from((0.0, 3.0, 20.0)),
)
ANSWERS = ("well", "well", "well", "well", "badly", "for good", "lost", "stopped", "mpp")


class Life(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.live: Scheduler | None = None
        self.now = 0.0
        self.counter = 0
        self.in_flight: dict[RunId, RunUnit] = {}
        self.ended: list[Event] = []
        self.stopped: set[RunId] = set()
        self.alarm: float | None = None
        self.done: dict[tuple[JobId, str], set[int]] = {}
        self.plans: dict[JobId, PlanFacts] = {}
        self.final: dict[JobId, JobState] = {}

    # --- how events go in ------------------------------------------------------------------------

    def tell(self, event: Event) -> bool:
        assert self.live is not None
        try:
            commands = self.live.handle(event)
        except (RequestError, InternalError):
            assert self.live.state == self.follower.state, "a refusal changed something"
            return False
        assert self.follower.handle(event) == commands
        for command in commands:
            match command:
                case RunUnit(run=run, unit=unit):
                    assert run not in self.in_flight
                    state = self.live.state.jobs[unit.job].state
                    assert state not in (JobState.CANCELLED, JobState.CANCELLING)
                    if unit.stage is Stage.SEGMENT:
                        plan = self.plans[unit.job].fingerprint
                        assert unit.chunk not in self.done.get((unit.job, plan), ())
                    self.in_flight[run] = command
                case StopRun(run=run):
                    assert run in self.in_flight
                    assert run not in self.stopped
                    self.stopped.add(run)
                case WakeAt(at=at):
                    assert at > self.now
                    self.alarm = at
        return True

    def clock(self, seconds: float = 0.0) -> float:
        self.now += seconds
        return self.now

    def name(self, prefix: str) -> str:
        self.counter += 1
        return f"{prefix}{self.counter}"

    # --- what may happen -------------------------------------------------------------------------

    @precondition(lambda self: self.live is None)
    @rule(limits=LIMITS, lanes=st.integers(0, 3))
    def begin(self, limits: Limits, lanes: int) -> None:
        self.live, self.follower = Scheduler(limits), Scheduler(limits)
        self.tell(SchedulerStarted(0.0, 1))
        for number in range(lanes):
            self.tell(LaneOpened(0.0, LaneId(f"lane{number}")))

    @precondition(lambda self: self.live is not None)
    @rule(
        user=st.sampled_from(USERS),
        key=st.one_of(st.none(), st.sampled_from(("k1", "k2"))),
        shape=st.lists(
            st.tuples(
                st.sampled_from(BRANCHES), st.lists(st.integers(0, 3), max_size=2, unique=True)
            ),
            max_size=4,
        ),
        tidy=st.integers(0, 9),
    )
    def submit(
        self, user: str, key: str | None, shape: list[tuple[str, list[int]]], tidy: int
    ) -> None:
        names = [JobId(self.name("job")) for _ in shape]
        jobs = []
        for place, (branch, needed) in enumerate(shape):
            # nine of ten graphs make sense: dependencies point backward
            after = [names[n] for n in needed if n < (place if tidy else len(names))]
            jobs.append(JobSpec(names[place], BranchName(branch), "k", "{}", tuple(after)))
        workflow = WorkflowId(self.name("w"))
        key = key or self.name("key")
        event = WorkflowSubmitted(self.clock(), UserId(user), key, workflow, "n", tuple(jobs))
        if self.tell(event):
            assert self.live is not None
            before = self.live.revision
            assert self.tell(event), "the same request again is not refused"
            assert self.live.revision == before

    @precondition(lambda self: self.in_flight)
    @rule(data=st.data(), how=st.sampled_from(ANSWERS), seconds=st.sampled_from((0.0, 0.5, 4.0)))
    def report(self, data: st.DataObject, how: str, seconds: float) -> None:
        run = data.draw(st.sampled_from(sorted(self.in_flight)))
        chunks = data.draw(st.integers(0, 4))
        plan = data.draw(st.sampled_from("pppq"))
        self.end_run(run, how, seconds, PlanFacts(f"{plan}{chunks}", (1,) * chunks))

    def end_run(self, run: RunId, how: str, seconds: float, plan: PlanFacts) -> None:
        assert self.live is not None
        command = self.in_flight.pop(run)
        job, stage = command.unit.job, command.unit.stage
        at = self.clock(seconds)
        stopped = run in self.stopped
        failure = Failure("boom", "it broke", "fix it")
        event: Event
        match how, stage:
            case (("badly" | "for good"), _):
                event = RunFailed(at, run, seconds, failure, how == "badly")
            case "lost", _:
                event = RunLost(at, run, "killed")
            case "stopped", _:
                event = RunStopped(at, run, seconds)
            case "mpp", Stage.PLAN:
                event = MppMissed(at, run, "how large?")
            case _, Stage.PLAN:
                event = SlidePlanned(at, run, seconds, plan)
                if not stopped:
                    known = self.plans.get(job)
                    if known and known.fingerprint != plan.fingerprint:
                        self.done.pop((job, known.fingerprint), None)
                    self.plans[job] = plan
            case _, Stage.SEGMENT:
                event = ChunkFinished(at, run, seconds, 5, 0, "sum")
                if self.live.state.jobs[job].state is JobState.SEGMENTING:
                    key = (job, self.plans[job].fingerprint)
                    self.done.setdefault(key, set()).add(command.unit.chunk)
            case _, Stage.ASSEMBLE:
                event = ResultAssembled(at, run, seconds, 5)
            case _:
                event = ResultPublished(at, run, seconds, 5, "sum")
        assert self.tell(event)
        self.ended.append(event)

    @precondition(lambda self: self.ended)
    @rule(data=st.data())
    def repeat_a_report(self, data: st.DataObject) -> None:
        assert self.live is not None
        before = self.live.revision
        assert self.tell(data.draw(st.sampled_from(self.ended)))
        assert self.live.revision == before, "a stale report changed something"

    @precondition(lambda self: self.in_flight)
    @rule(data=st.data())
    def report_another_stage(self, data: st.DataObject) -> None:
        run = data.draw(st.sampled_from(sorted(self.in_flight)))
        if self.in_flight[run].unit.stage is not Stage.ASSEMBLE:
            assert not self.tell(ResultAssembled(self.now, run, 1.0, 1))

    @precondition(lambda self: self.live is not None and self.live.state.jobs)
    @rule(data=st.data(), what=st.sampled_from(("cancel", "cancel", "retry", "retry", "mpp")))
    def ask(self, data: st.DataObject, what: str) -> None:
        assert self.live is not None
        state = self.live.state
        wanted = {"cancel": None, "retry": JobState.FAILED, "mpp": JobState.NEEDS_MPP}[what]
        fitting = [name for name, job in state.jobs.items() if wanted in (None, job.state)]
        name = data.draw(st.sampled_from(fitting or list(state.jobs)))
        user, at = state.jobs[name].user, self.clock()
        match what:
            case "cancel":
                self.tell(JobCancelRequested(at, user, name))
            case "retry":
                self.tell(JobRetryRequested(at, user, name))
            case _:
                self.tell(MppAnswered(at, user, name, 0.5))

    @precondition(lambda self: self.live is not None and self.live.state.jobs)
    @rule(data=st.data())
    def a_stranger_asks(self, data: st.DataObject) -> None:
        assert self.live is not None
        name = data.draw(st.sampled_from(list(self.live.state.jobs)))
        assert not self.tell(JobCancelRequested(self.now, UserId("eve"), name))

    @precondition(lambda self: self.live is not None)
    @rule(number=st.integers(0, 3))
    def open_lane(self, number: int) -> None:
        self.tell(LaneOpened(self.clock(), LaneId(f"lane{number}")))

    @precondition(lambda self: self.live is not None and self.live.state.lanes)
    @rule(data=st.data())
    def lose_lane(self, data: st.DataObject) -> None:
        assert self.live is not None
        lane = data.draw(st.sampled_from(sorted(self.live.state.lanes)))
        run = self.live.state.lanes[lane]
        self.tell(LaneLost(self.clock(), lane, "node died"))
        if run is not None:
            del self.in_flight[run]
            self.ended.append(RunLost(self.now, run, "node died"))

    @precondition(lambda self: self.live is not None)
    @rule(seconds=st.sampled_from((0.0, 1.0, 3.0, 30.0)))
    def time_passes(self, seconds: float) -> None:
        self.tell(TimePassed(self.clock(seconds)))

    @precondition(lambda self: self.live is not None)
    @rule(data=st.data())
    def restart(self, data: st.DataObject) -> None:
        assert self.live is not None
        limits = data.draw(st.one_of(st.none(), st.none(), LIMITS))
        lanes = sorted(self.live.state.lanes)
        self.in_flight.clear()
        assert not self.tell(SchedulerStarted(self.now, self.live.epoch))
        self.tell(SchedulerStarted(self.clock(), self.live.epoch + 1, limits))
        for lane in lanes:
            self.tell(LaneOpened(self.now, lane))

    # --- what must hold --------------------------------------------------------------------------

    @invariant()
    def everything_holds(self) -> None:
        if self.live is None:
            return
        check(self.live)
        state = self.live.state
        assert set(self.in_flight) == set(state.runs)
        for view in self.live.jobs_of(None, self.now):
            others = set(USERS) - {view.user}
            assert not any(name in view.explanation.sentence for name in others)
            was = self.final.get(view.job)
            assert was is None or was is view.state, "I9 a final state did not absorb"
            if view.state in ABSORBING:
                self.final[view.job] = view.state
        assert state == self.follower.state

    def teardown(self) -> None:
        """Liveness: from any state, when all goes well from here on, everything ends."""
        if self.live is None:
            return
        state = self.live.state
        self.tell(LaneOpened(self.now, LaneId("late")))
        for _ in range(3000):
            self.everything_holds()
            asking = [n for n, job in state.jobs.items() if job.state is JobState.NEEDS_MPP]
            if self.in_flight:
                plan = PlanFacts("end", (1, 1))
                self.end_run(next(iter(self.in_flight)), "well", 1.0, plan)
            elif asking:
                self.tell(MppAnswered(self.now, state.jobs[asking[0]].user, asking[0], 0.5))
            elif state.wake_at is not None:
                self.now = max(self.now, state.wake_at)
                self.tell(TimePassed(self.now))
            else:
                break
        waiting = {name: job.state for name, job in state.jobs.items() if not job.state.is_final}
        assert waiting == {}
        assert not state.slots
        assert not state.queue


Life.TestCase.settings = settings(
    max_examples=60,
    stateful_step_count=40,
    deadline=None,
    derandomize=True,
    suppress_health_check=list(HealthCheck),
)
TestRandomLives = Life.TestCase
