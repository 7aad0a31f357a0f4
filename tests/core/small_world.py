"""A world small enough that everything that may happen in it can be tried, breadth first.

Two users, ann and bob, submit the same three jobs each: ``1`` and ``3`` in branch x, ``2`` in
branch y, and ``3`` depends on ``2`` across the branches. From there, in each state reached, each
event that the world still allows is tried on a copy of the scheduler. Equal states are merged.

What makes two states equal is in ``fingerprint``; what it leaves out cannot change what the core
does from there on:

- the time, as all it is compared with is kept relative to it; the epoch, the revision, the counters
  of runs and tickets, run ids and attempts: they only name things, and their order is kept;
- which lane a run is in: lanes are alike, and only their number and the runs' order are looked at;
- times of submission, start and end, cell counts, checksums, failures' texts, receipts' sums: they
  are shown to people and never looked at when deciding;
- the jobs, workflows and limits themselves, which are the same in all states of a world;
- learnt rates: units in here take as long as they are estimated to, so that a rate never moves;
- fair tags are kept relative to virtual time, which is all that they are compared with. Those of
  names that have nothing to do and lie behind it are lifted to it, as their next turn would do.
"""

from __future__ import annotations

import pickle
from collections.abc import Hashable
from dataclasses import dataclass, replace
from io import BytesIO
from typing import TypeVar

from raysched.core.commands import Command, RunUnit, WakeAt
from raysched.core.events import (
    ChunkFinished,
    Event,
    JobCancelRequested,
    JobRetryRequested,
    LaneLost,
    LaneOpened,
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
from raysched.core.fairness import FairQueue
from raysched.core.invariants import check
from raysched.core.limits import Limits
from raysched.core.model import (
    MAIN,
    BranchName,
    Failure,
    JobId,
    JobSpec,
    JobState,
    LaneId,
    PlanFacts,
    Stage,
    Unit,
    UserId,
    WorkflowId,
)
from raysched.core.scheduler import Scheduler
from raysched.core.state import Job, Run, State, User, Workflow
from raysched.testing import job

K = TypeVar("K", bound=Hashable)
USERS = ("ann", "bob")
NONE: FairQueue[BranchName] = FairQueue()
BOOM = Failure("boom", "it broke", "fix it")
NEVER_MORE = (JobState.SUCCEEDED, JobState.CANCELLED)
STOPPING = (JobState.CANCELLED, JobState.CANCELLING)


@dataclass(frozen=True)
class World:
    """What may happen, and how often in one life. All else may happen at any time."""

    name: str
    lanes: int = 1
    users: int = 2
    running: int = 2
    chunks: int = 0
    work: str = ""
    """What all jobs compute; once one of a user's has succeeded, their others reuse its chunks."""
    sweep: bool = False
    """They measure it in different ways: none can reuse another's result, only what is done."""
    unit_s: float = 0.0
    tenure_s: float = 0.0
    max_retries: int = 0
    max_losses: int = 0
    crashes: int = 1
    failures: int = 0
    losses: int = 0
    cancels: int = 0
    retries: int = 0
    at_least: int = 0
    """States that must be reached, so that the search cannot silently shrink."""

    @property
    def limits(self) -> Limits:
        """The core's limits in this world. Back-offs take a second, so that time has one step."""
        return Limits(
            max_running_jobs=self.running,
            max_active_users=self.users,
            max_retries=self.max_retries,
            max_losses_per_unit=self.max_losses,
            retry_backoff_s=1.0,
            retry_backoff_max_s=1.0,
            slot_tenure_s=self.tenure_s,
            first_tile_estimate_s=self.unit_s,
        )


@dataclass(frozen=True, slots=True)
class Left:
    """How often the rarer things may still happen."""

    crashes: int
    failures: int
    losses: int
    cancels: int
    retries: int


@dataclass(slots=True)
class Node:
    """A state that was reached, and how."""

    frozen: bytes
    left: Left
    parent: int
    event: Event
    ends: bool
    onward: list[int]
    """Where it may go without anything going wrong and without anyone's asking."""


class Search:
    """All states of a world."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.nodes: list[Node] = []
        self.known: dict[tuple[object, ...], int] = {}
        self.tried = 0

    def run(self) -> None:
        """Reach everything; raise with the whole story at the first thing that is wrong."""
        world = self.world
        left = Left(world.crashes, world.failures, world.losses, world.cancels, world.retries)
        begin: list[Event] = [SchedulerStarted(0.0, 1)]
        begin += [LaneOpened(0.0, LaneId(f"lane{n}")) for n in range(world.lanes)]
        begin += [submission(user) for user in USERS]
        core = Scheduler(world.limits)
        for event in begin:
            core.handle(event)
        self._reach(core, left, -1, begin[-1])
        at = 0
        while at < len(self.nodes):
            self._leave(at)
            at += 1

    def _leave(self, at: int) -> None:
        """Try all that may happen in a state."""
        node = self.nodes[at]
        state = thaw(node.frozen).state
        before = remember(state)
        for event, left, is_onward in possible(state, node.left, self.world):
            self.tried += 1
            core = thaw(node.frozen)
            commands = core.handle(event)
            try:
                judge_step(before, core.state, event, commands)
                lost = sum(sum(one.losses.values()) for one in core.state.jobs.values())
                assert lost <= self.world.losses - left.losses, "a loss that was none is counted"
                to = self._reach(core, left, at, event)
            except AssertionError as error:
                raise AssertionError(f"{error}\n{self.story(at, event)}") from error
            if is_onward:
                node.onward.append(to)
        node.frozen = b""  # all that may follow is known now

    def _reach(self, core: Scheduler, left: Left, parent: int, event: Event) -> int:
        mark = fingerprint(core.state, left)
        known = self.known.get(mark)
        if known is not None:
            return known
        check(core)
        frozen = freeze(core)
        ends = all(job.state.is_final for job in core.state.jobs.values())
        self.known[mark] = len(self.nodes)
        self.nodes.append(Node(frozen, left, parent, event, ends, []))
        return len(self.nodes) - 1

    def story(self, at: int, *more: Event) -> str:
        """The events that lead to a state, and more, to be told again by hand."""
        events = list(reversed(more))
        while at > 0:
            events.append(self.nodes[at].event)
            at = self.nodes[at].parent
        return "\n".join(f"  {event}" for event in reversed(events))

    def stuck(self) -> list[int]:
        """States from which not all jobs can end, though all goes well from there on."""
        behind: list[list[int]] = [[] for _ in self.nodes]
        for at, node in enumerate(self.nodes):
            for to in node.onward:
                behind[to].append(at)
        can = [node.ends for node in self.nodes]
        at_hand = [at for at, ends in enumerate(can) if ends]
        while at_hand:
            for at in behind[at_hand.pop()]:
                if not can[at]:
                    can[at] = True
                    at_hand.append(at)
        return [at for at, it_can in enumerate(can) if not it_can]


VALUES = (JobSpec, Limits, PlanFacts, Run, Unit, Workflow)
KEPT: list[object] = []
PLACES: dict[object, int] = {}


def keep(value: object) -> tuple[object, ...]:
    """Pickle a frozen value as its place in ``KEPT``, so that all copies share it."""
    place = PLACES.setdefault(value, len(KEPT))
    if place == len(KEPT):
        KEPT.append(value)
    return kept, (place,)


def kept(place: int) -> object:
    return KEPT[place]


def freeze(core: Scheduler) -> bytes:
    """A copy for later. A pickle and back takes 0.08 ms, a deep copy five times as long."""
    into = BytesIO()
    pickler = pickle.Pickler(into, pickle.HIGHEST_PROTOCOL)
    pickler.dispatch_table = dict.fromkeys(VALUES, keep)
    pickler.dump(core)
    return into.getvalue()


def thaw(frozen: bytes) -> Scheduler:
    """A copy to try something on."""
    core = pickle.loads(frozen)
    assert isinstance(core, Scheduler)
    return core


def submission(user: str) -> WorkflowSubmitted:
    """Three jobs, two branches, one dependency across them."""
    one, two, three = (f"{user}{number}" for number in (1, 2, 3))
    jobs = (job(one, "x"), job(two, "y"), job(three, "x", after=[two]))
    return WorkflowSubmitted(0.0, UserId(user), "key", WorkflowId(f"of {user}"), "n", jobs)


# --- what may happen ------------------------------------------------------------------------------


def possible(state: State, left: Left, world: World) -> list[tuple[Event, Left, bool]]:
    """Each event that may come next, what is left after it, and whether all goes well with it."""
    now = state.now
    found = [(event, left, True) for event in reports(state, world)]
    if state.wake_at is not None:
        found.append((TimePassed(state.wake_at), left, True))
    closed = [n for n in range(world.lanes) if f"lane{n}" not in state.lanes]
    if closed:
        found.append((LaneOpened(now, LaneId(f"lane{closed[0]}")), left, True))
    found += trouble(state, left, world)
    if left.crashes:
        crash = SchedulerStarted(now, state.epoch + 1)
        found.append((crash, replace(left, crashes=left.crashes - 1), False))
    return found


def reports(state: State, world: World) -> list[Event]:
    """Each run in flight ends well; one that was told to stop may also do that."""
    found: list[Event] = []
    for run in state.runs.values():
        found.append(ends_well(run, state, world))
        if run.told_to_stop:
            found.append(RunStopped(state.now, run.run, world.unit_s))
    return found


def ends_well(run: Run, state: State, world: World) -> Event:
    """The report of a run that took as long as it was thought to."""
    at, name, seconds = state.now, run.run, world.unit_s
    match run.unit.stage:
        case Stage.PLAN:
            mine = state.users[state.jobs[run.unit.job].user].jobs
            is_there = any(state.jobs[one].state is JobState.SUCCEEDED for one in mine)
            reused = bool(world.work) and is_there and not world.sweep
            plan = PlanFacts("p", (1,) * world.chunks, world.work, reused)
            return SlidePlanned(at, name, seconds, plan)
        case Stage.SEGMENT:
            return ChunkFinished(at, name, seconds, 1, 0, "sum")
        case Stage.ASSEMBLE:
            return ResultAssembled(at, name, seconds, 1)
        case Stage.PUBLISH:
            return ResultPublished(at, name, seconds, 1, "sum")


def trouble(state: State, left: Left, world: World) -> list[tuple[Event, Left, bool]]:
    """Runs fail, in a way that may pass or for good; they or their lanes get lost; people ask."""
    at = state.now
    found: list[tuple[Event, Left, bool]] = []
    if left.failures:
        rest = replace(left, failures=left.failures - 1)
        for name in state.runs:
            for may_pass in (True, False):
                failed = RunFailed(at, name, world.unit_s, BOOM, may_pass)
                found.append((failed, rest, False))
    if left.losses:
        rest = replace(left, losses=left.losses - 1)
        found += [(RunLost(at, name, "killed"), rest, False) for name in state.runs]
        found += [(LaneLost(at, lane, "gone"), rest, False) for lane in state.lanes]
    for name, one in state.jobs.items():
        if left.cancels and not one.state.is_final and one.state is not JobState.CANCELLING:
            rest = replace(left, cancels=left.cancels - 1)
            found.append((JobCancelRequested(at, one.user, name), rest, False))
        if left.retries and one.state is JobState.FAILED:
            rest = replace(left, retries=left.retries - 1)
            found.append((JobRetryRequested(at, one.user, name), rest, False))
    return found


# --- what must hold -------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Before:
    """What must not go back: of each job its state and chunks; and the wake-up asked for."""

    jobs: dict[JobId, tuple[JobState, int]]
    wake_at: float | None


def remember(state: State) -> Before:
    """Of a state, what the next one is compared with."""
    jobs = {
        name: (job.state, job.progress.chunks_done if job.progress else 0)
        for name, job in state.jobs.items()
    }
    return Before(jobs, state.wake_at)


def judge_step(before: Before, state: State, event: Event, commands: list[Command]) -> None:
    """I9 and I14, which are about two states rather than one; ``check`` judges each state."""
    for name, (was, done) in before.jobs.items():
        job = state.jobs[name]
        assert was not in NEVER_MORE or job.state is was, f"I9 {name} was {was}, is {job.state}"
        if was.is_final and job.state is not was:
            assert isinstance(event, JobRetryRequested), f"I9 {name} came back by itself"
        assert job.tries <= state.limits.max_retries + 1, f"{name} is tried once too often"
        assert job.checksum is None or job.state is JobState.SUCCEEDED, f"I14 {name} published"
        assert job.progress is None or job.progress.chunks_done >= done, f"I9 chunks of {name}"
    # who keeps the alarm forgets it when it rings, and in a crash
    rings = isinstance(event, TimePassed | SchedulerStarted)
    alarm = None if rings else before.wake_at
    for command in commands:
        if isinstance(command, WakeAt):
            alarm = command.at
        if isinstance(command, RunUnit):
            now = state.jobs[command.unit.job].state
            assert now not in STOPPING, f"I14 {command} though its job is {now}"
    assert state.wake_at in (None, alarm), f"nobody was asked to wake it at {state.wake_at}"


# --- when two states are the same -----------------------------------------------------------------


def fingerprint(state: State, left: Left) -> tuple[object, ...]:
    """All that may change what the core does from here on; see the top of this file."""
    now, tenure_s = state.now, state.limits.slot_tenure_s
    jobs = tuple(shared(job_mark(job, now)) for job in state.jobs.values())
    runs = tuple(
        shared(
            (
                run.unit.job,
                run.unit.stage,
                run.unit.chunk,
                now - run.started_at if left.losses else 0,  # only what is lost is charged its age
            )
        )
        for run in state.runs.values()
    )
    slots = tuple((name, max(since - now, -tenure_s)) for name, since in state.slots.items())
    busy = {state.jobs[run.unit.job].user for run in state.runs.values()}
    users = tuple(shared(user_mark(state, user)) for user in state.users.values())
    wake_in_s = None if state.wake_at is None else state.wake_at - now
    rest = (len(state.lanes), slots, tuple(state.queue), state.parked(), wake_in_s)
    return left, jobs, runs, users, shared(queue_mark(state.pools[MAIN].turns, busy)), *rest


MARKS: dict[tuple[object, ...], tuple[object, ...]] = {}


def shared(mark: tuple[object, ...]) -> tuple[object, ...]:
    """The same part of many fingerprints, kept once."""
    return MARKS.setdefault(mark, mark)


def job_mark(job: Job, now: float) -> tuple[object, ...]:
    """A job without what is only shown."""
    progress = job.progress
    return (
        job.state,
        job.stage,
        job.tries,
        progress and (progress.plan.reused, progress.chunks_done, *sorted(progress.pending)),
        job.verdict and job.verdict.retry,
        None if job.retry_at is None else job.retry_at - now,
        job.skipped_by,
        job.awaits,
        *sorted(job.losses.items()),
    )


def user_mark(state: State, user: User) -> tuple[object, ...]:
    """A user's branches: which job each is at, and whose turn it is."""
    busy = {state.jobs[state.runs[run].unit.job].spec.branch for run in user.runs}
    current = sorted((name, branch.current or "") for name, branch in user.branches.items())
    return (*current, tuple(user.done_work), queue_mark(user.turns.get(MAIN, NONE), busy))


def queue_mark(turns: FairQueue[K], busy: set[K]) -> tuple[object, ...]:
    """Who is ready, in the order in which ties are broken, and how far ahead everybody is.

    Who has nothing in flight and lies behind is lifted, which waking would do before anyone looks;
    with a run in flight the tag may be corrected or compared before that, and is kept as it is.
    """
    ahead = {name: tag - turns.virtual for name, tag in turns.tags.items()}
    resting = {name for name in ahead if name not in turns.ready and name not in busy}
    marks = sorted((name, max(0.0, by) if name in resting else by) for name, by in ahead.items())
    return (*turns.ready, *marks)
