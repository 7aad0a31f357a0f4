"""The fake of everything around the core, for tests of every layer.

``FakeCluster`` stands where ``raysched.cluster`` stands: it carries the core's commands out in
virtual time and answers each run with exactly one event. It imports the core only.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from heapq import heappop, heappush

from raysched.core.commands import (
    Command,
    ReleaseLane,
    RemoveFiles,
    Retire,
    RunUnit,
    StopRun,
    WakeAt,
)
from raysched.core.decision import Decision
from raysched.core.events import (
    ChunkFinished,
    Event,
    FilesRemoved,
    JobCancelRequested,
    JobRetryRequested,
    LaneClosing,
    LaneLost,
    LaneOpened,
    MppAnswered,
    ResultAssembled,
    ResultPublished,
    RunStopped,
    SchedulerStarted,
    SlidePlanned,
    TimePassed,
    WorkflowSubmitted,
)
from raysched.core.limits import Limits
from raysched.core.model import (
    MAIN,
    BranchName,
    JobId,
    JobSpec,
    LaneId,
    PlanFacts,
    PoolName,
    RunId,
    Stage,
    UserId,
    WorkflowId,
)
from raysched.core.scheduler import Scheduler
from raysched.core.views import JobView

Answer = Callable[[RunUnit, float], tuple[float, Event]]
"""How a run will end: seconds from now, and the report, given the command and the time now."""


def job(
    name: str,
    branch: str = "main",
    *,
    after: Sequence[str] = (),
    kind: str = "k",
    pool: PoolName = MAIN,
) -> JobSpec:
    """A job in few words. Its request is its own name."""
    needed = tuple(JobId(other) for other in after)
    return JobSpec(JobId(name), BranchName(branch), kind, f'"{name}"', needed, pool)


@dataclass
class FakeCluster:
    """A scheduler with everything around it, in virtual time.

    ``history`` and ``decisions`` are the journal. ``work`` names what a job computes; a job whose
    equal of the same user has published is planned as ``reused``, as workers do by their store.
    """

    limits: Limits = field(default_factory=Limits)
    lanes: int = 2
    chunks: Callable[[JobId], tuple[int, ...]] = lambda _: (1, 1, 1)
    answer: Answer | None = None
    after_event: Callable[[Scheduler], None] = lambda _: None
    record: Callable[[Scheduler, Event, list[Command]], None] | None = None
    work: Callable[[JobId], str] = lambda _: ""

    def __post_init__(self) -> None:
        self.core = Scheduler(self.limits)
        self.now = 0.0
        self.history: list[Event] = []
        self.decisions: list[Decision] = []
        self.started: list[RunUnit] = []
        self.retired: list[Retire] = []
        self.in_flight: dict[RunId, RunUnit] = {}
        self.alarm: float | None = None
        self.published: set[tuple[UserId, str]] = set()
        self.submissions = 0
        self._due: list[tuple[float, int, Event]] = []
        self._ticket = 0
        self.restart()

    # --- what comes in -------------------------------------------------------------------------

    def tell(self, event: Event) -> list[Command]:
        """Give an event to the core and carry out its commands."""
        commands = self.core.handle(event)
        (self.record or self._keep)(self.core, event, commands)
        self.now = max(self.now, event.at)
        for command in commands:
            self._carry_out(command)
        self.after_event(self.core)
        return commands

    def _keep(self, core: Scheduler, event: Event, commands: list[Command]) -> None:
        """The usual ``record``: remember everything."""
        self.history.append(event)
        self.decisions.append(core.decided(commands))
        for command in commands:
            if isinstance(command, RunUnit):
                self.started.append(command)
            elif isinstance(command, Retire):
                self.retired.append(command)

    def restart(self, **limits: float) -> None:
        """A new life of the scheduler, some limits changed: all that was in flight is dead, lanes
        are adopted."""
        self.in_flight.clear()
        self._due.clear()
        self.alarm = None
        wanted = replace(self.core.state.limits, **limits)  # type: ignore[arg-type]
        self.tell(SchedulerStarted(self.now, self.core.epoch + 1, wanted))
        for number in range(self.lanes):
            self.tell(LaneOpened(self.now, LaneId(f"lane-{number}")))

    def submit(self, user: str, *jobs: JobSpec, key: str | None = None) -> WorkflowId:
        """Submit a workflow for a user."""
        self.submissions += 1
        workflow = WorkflowId(f"w{self.submissions}")
        key = key or f"key-{self.submissions}"
        self.tell(WorkflowSubmitted(self.now, UserId(user), key, workflow, "test", jobs))
        return workflow

    def cancel(self, name: str) -> list[Command]:
        """Cancel a job as its owner."""
        return self.tell(JobCancelRequested(self.now, self._owner(name), JobId(name)))

    def retry(self, name: str) -> list[Command]:
        """Retry a job as its owner."""
        return self.tell(JobRetryRequested(self.now, self._owner(name), JobId(name)))

    def say_mpp(self, name: str, mpp: float) -> list[Command]:
        """Answer for the pixel size as the job's owner."""
        return self.tell(MppAnswered(self.now, self._owner(name), JobId(name), mpp))

    def lose_lane(self, name: str) -> list[Command]:
        """A lane dies with what is in it."""
        return self.tell(LaneLost(self.now, LaneId(name), "node died"))

    def close_lane(self, name: str) -> list[Command]:
        """A lane is to go."""
        return self.tell(LaneClosing(self.now, LaneId(name), "its node is drained"))

    # --- what goes on --------------------------------------------------------------------------

    def view(self, name: str) -> JobView:
        """A job, seen by an administrator."""
        return self.core.job_view(None, JobId(name), self.now)

    def tick(self) -> bool:
        """Let the next thing happen: a report, or the alarm. False when nothing is to come."""
        while self._due:
            at, _, event = self._due[0]
            if self.alarm is not None and self.alarm <= at:
                break
            heappop(self._due)
            run = getattr(event, "run", None)
            if isinstance(event, FilesRemoved | LaneLost) or run in self.in_flight:
                if run in self.in_flight:
                    del self.in_flight[run]
                self.now = max(self.now, at)
                self.tell(event)
                return True
        if self.alarm is None:
            return False
        at, self.alarm = max(self.alarm, self.now), None
        self.now = at
        self.tell(TimePassed(at))
        return True

    def run(self, seconds: float = float("inf"), most: int = 1_000_000) -> None:
        """Let things happen until nothing is to come, or virtual time is up."""
        until = self.now + seconds
        for _ in range(most):
            times = [self._due[0][0]] if self._due else []
            times += [self.alarm] if self.alarm is not None else []
            if not times or min(times) > until:
                break
            self.tick()
        else:
            raise AssertionError(f"still busy after {most} events")
        if until != float("inf"):
            self.now = max(self.now, until)

    def _owner(self, name: str) -> UserId:
        known = self.core.state.jobs.get(JobId(name))
        return known.user if known is not None else UserId("nobody")

    def _carry_out(self, command: Command) -> None:
        match command:
            case RunUnit():
                self.in_flight[command.run] = command
                after_s, event = (self.answer or self.succeed)(command, self.now)
                self._schedule(self.now + after_s, event)
            case StopRun():
                self._schedule(self.now + 0.1, RunStopped(self.now + 0.1, command.run, 0.1))
            case ReleaseLane():
                self._schedule(self.now, LaneLost(self.now, command.lane, "it was given back"))
            case WakeAt():
                self.alarm = command.at
            case RemoveFiles():
                self._schedule(self.now + 0.1, FilesRemoved(self.now + 0.1, command.jobs))
            case Retire():
                pass

    def _schedule(self, at: float, event: Event) -> None:
        self._ticket += 1
        heappush(self._due, (at, self._ticket, event))

    def succeed(self, command: RunUnit, now: float) -> tuple[float, Event]:
        """The report of a run that goes well: one second per tile, and per other unit."""
        run, unit = command.run, command.unit
        if unit.stage is Stage.PLAN:
            return 1.0, SlidePlanned(now + 1, run, 1.0, self._plan(command))
        if unit.stage is Stage.SEGMENT:
            seconds = float(self.chunks(unit.job)[unit.chunk])
            return seconds, ChunkFinished(now + seconds, run, seconds, 10, 0, f"sum{unit.chunk}")
        cells = 10 * len(self.chunks(unit.job))
        if unit.stage is Stage.ASSEMBLE:
            return 1.0, ResultAssembled(now + 1, run, 1.0, cells)
        self.published.add((command.user, self.work(unit.job)))
        return 1.0, ResultPublished(now + 1, run, 1.0, cells, f"checksum of {unit.job}")

    def _plan(self, command: RunUnit) -> PlanFacts:
        name = command.unit.job
        work = self.work(name)
        is_there = bool(work) and (command.user, work) in self.published
        return PlanFacts(f"plan of {name}", self.chunks(name), work, is_there)
