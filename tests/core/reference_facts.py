"""What the naive model of scheduling knows, and what it must refuse. ``reference`` changes it.

Plain dicts and lists, read from end to end for each question: no index, no shortcut.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from raysched.core.events import (
    ChunkFinished,
    ChunksMissed,
    Event,
    JobCancelRequested,
    JobRetryRequested,
    MppAnswered,
    MppMissed,
    ResultAssembled,
    ResultPublished,
    SchedulerStarted,
    SlidePlanned,
    TimePassed,
    UserWeighted,
    WorkflowSubmitted,
)
from raysched.core.limits import Limits
from raysched.core.model import JobSpec, JobState, PlanFacts, RunId, Stage
from raysched.errors import (
    Conflict,
    Draining,
    IllegalMove,
    InvalidSetting,
    InvalidWorkflow,
    LimitReached,
    NotFound,
    RayschedError,
)

S = JobState
STAGE = {
    S.WAITING: Stage.PLAN,
    S.PLANNING: Stage.PLAN,
    S.SEGMENTING: Stage.SEGMENT,
    S.ASSEMBLING: Stage.ASSEMBLE,
    S.PUBLISHING: Stage.PUBLISH,
}
POOLS = ("", "gpu")
BAD = (S.FAILED, S.CANCELLED, S.SKIPPED)
REPORT_OF = {
    SlidePlanned: Stage.PLAN,
    MppMissed: Stage.PLAN,
    ChunkFinished: Stage.SEGMENT,
    ResultAssembled: Stage.ASSEMBLE,
    ChunksMissed: Stage.ASSEMBLE,
    ResultPublished: Stage.PUBLISH,
}


REUSED = ChunkFinished(0.0, RunId("an equal job's"), 0.0, 0, 0, "")
"""Stands for a chunk of an equal job's result: its cells are known when they are assembled."""


@dataclass(eq=False)
class JobFacts:
    """A job, with whom it follows: the jobs it names, and the one before it in its branch."""

    spec: JobSpec
    user: str
    order: int
    leaders: list[JobFacts]
    followers: list[JobFacts] = field(default_factory=list)
    state: JobState = S.WAITING
    begun: bool = False
    attempt: int = 1
    tries: int = 1
    plan: PlanFacts | None = None
    done: dict[int, ChunkFinished] = field(default_factory=dict)
    losses: list[tuple[Stage, int]] = field(default_factory=list)
    too_large: list[tuple[Stage, int]] = field(default_factory=list)
    will_retry: bool | None = None
    retry_at: float | None = None
    skipped_by: str | None = None
    awaits: JobFacts | None = None
    mpp: float | None = None
    retry_keys: tuple[str, ...] = ()
    checksum: str | None = None

    def begin_attempt(self) -> None:
        """What was lost is counted anew."""
        self.attempt, self.losses, self.too_large = self.attempt + 1, [], []


@dataclass(eq=False)
class RunFacts:
    """A run in flight."""

    job: JobFacts
    stage: Stage
    chunk: int
    lane: str
    at: float
    est_s: float
    told: bool = False


class Turns:
    """Start-time fair queueing, straight from the paper, over names that are ready or not."""

    def __init__(self) -> None:
        self.virtual = 0.0
        self.tags: dict[str, float] = {}
        self.ready: list[str] = []  # in the order in which they became ready: ties go to the first

    def settle(self, name: str, is_ready: bool) -> None:
        if is_ready and name not in self.ready:
            self.ready.append(name)
            self.tags[name] = max(self.tags.get(name, 0.0), self.virtual)
        elif not is_ready and name in self.ready:
            self.ready.remove(name)

    def first(self) -> str | None:
        return min(self.ready, key=self.tags.__getitem__, default=None)

    def charge(self, name: str, cost: float) -> None:
        self.virtual = max([self.virtual, *sorted(self.tags[n] for n in self.ready)[:1]])
        self.tags[name] += cost


class Facts:
    """What is so, given what happened."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.epoch, self.now = 0, 0.0
        self.jobs: dict[str, JobFacts] = {}
        self.asked: dict[tuple[str, str], WorkflowSubmitted] = {}
        self.ended: list[WorkflowSubmitted] = []  # in memory, without open jobs, oldest first
        self.retired: list[WorkflowSubmitted] = []
        self.deleted: list[WorkflowSubmitted] = []
        self.cleared: list[tuple[str, str]] = []
        self.removals: list[str] = []
        self.paused = self.drained = False
        self.went_again = 0
        self.counted: tuple[int, int, dict[str, tuple[int, int, str]]] = (0, 0, {})
        self.submitted = 0
        self.runs: dict[str, RunFacts] = {}
        self.runs_ever: set[str] = set()
        self.lanes: list[str] = []
        self.pool_of: dict[str, str] = {}
        self.node_of: dict[str, str] = {}
        self.staged: dict[str, set[str]] = {}
        self.closing: list[str] = []
        self.drained_nodes: list[str] = []
        self.slots: list[tuple[str, float]] = []
        self.queue: list[str] = []
        self.yielding: list[str] = []
        self.users = {pool: Turns() for pool in POOLS}
        self.weights: dict[str, float] = {}
        self.branches: dict[str, dict[str, Turns]] = {}
        self.rates: dict[tuple[str, Stage], float] = {}
        self.done_work: dict[str, list[str]] = {}
        self.parked: dict[str, JobFacts | None] = {}
        self.wake_at: float | None = None
        self.touched: list[JobFacts] = []
        self.to_stop: list[str] = []
        self.popped: list[str] = []

    # --- what must be refused, and what is no news ----------------------------------------------

    def answer(self, event: Event) -> type[RayschedError] | bool:
        """The kind of error an event must be refused with, or whether it is news."""
        match event:
            case SchedulerStarted(epoch=epoch):
                return epoch > self.epoch or IllegalMove
            case WorkflowSubmitted():
                return self._answer_submit(event)
            case JobCancelRequested() | JobRetryRequested() | MppAnswered():
                job = self.jobs.get(event.job)
                if job is None or job.user != event.user:
                    return NotFound
                return self._answer_request(event, job)
            case UserWeighted(user=user, weight=weight):
                if not 0.01 <= weight <= 100:
                    return InvalidSetting
                known = any(user == asker for asker, _ in self.asked)
                return self.weights.get(user, 1.0 if known else None) != weight
            case TimePassed():
                return True
        if event.run not in self.runs:
            return False
        stage = self.runs[event.run].stage
        return REPORT_OF.get(type(event), stage) is stage or IllegalMove

    def _answer_submit(self, event: WorkflowSubmitted) -> type[RayschedError] | bool:
        known = self.asked.get((event.user, event.key))
        if known in self.retired:
            return False
        if known in self.deleted:
            return Conflict
        if known is not None:
            by_digest = bool(known.digest and event.digest)
            same = known.digest == event.digest if by_digest else shape(known) == shape(event)
            return False if same else Conflict
        gone = [*self.retired, *(other for other in self.deleted if other.user != event.user)]
        here = [other for other in self.asked.values() if other not in gone]
        if any(event.workflow == other.workflow for other in here):
            return Conflict
        known = [*self.jobs, *self.removals]
        if not makes_sense(event.jobs) or any(spec.job in known for spec in event.jobs):
            return InvalidWorkflow
        fits = len(event.jobs) <= self.limits.max_jobs_per_workflow
        if fits and self.drained:
            return Draining
        return (fits and self._has_room(event.user, len(event.jobs))) or LimitReached

    def _answer_request(
        self, event: JobCancelRequested | JobRetryRequested | MppAnswered, job: JobFacts
    ) -> type[RayschedError] | bool:
        match event:
            case JobCancelRequested():
                stopping = job.state in (S.CANCELLED, S.CANCELLING)
                return False if stopping else not job.state.is_final or Conflict
            case JobRetryRequested():
                if event.key and event.key in job.retry_keys:
                    return False
                if job.state is not S.FAILED:
                    return Conflict
                if any(j.spec.job in self.removals for j in (job, *self.revived_by(job))):
                    return Conflict
                if self.drained:
                    return Draining
                return self._has_room(job.user, 1 + len(self.revived_by(job))) or LimitReached
            case MppAnswered(mpp=mpp):
                if not 0.08 <= mpp <= 2.0:
                    return InvalidSetting
                again = job.state is not S.NEEDS_MPP and job.mpp == mpp
                return False if again else job.state is S.NEEDS_MPP or Conflict

    def _has_room(self, user: str, more: int) -> bool:
        mine = [job for job in self.open() if job.user == user]
        return len(mine) + more <= self.limits.max_jobs_per_user

    # --- what leaves memory -----------------------------------------------------------------------

    def note_what_ended(self) -> None:
        for event in self.asked.values():
            if event in self.retired or event in self.deleted:
                continue
            is_open = any(not self.jobs[spec.job].state.is_final for spec in event.jobs)
            if is_open and event in self.ended:
                self.ended.remove(event)
            elif not is_open and event not in self.ended:
                self.ended.append(event)

    def retire(self) -> dict[str, list[JobState]]:
        """The workflows that leave now, with the states of their jobs."""
        gone = {}
        for user in {event.user for event in self.ended}:
            mine = [event for event in self.ended if event.user == user]
            while sum(len(e.jobs) for e in mine) > self.limits.max_ended_jobs_per_user:
                if len(mine) == 1:
                    break
                oldest = mine.pop(0)
                self.ended.remove(oldest)
                self.retired.append(oldest)
                gone[oldest.workflow] = [self.jobs.pop(spec.job).state for spec in oldest.jobs]
        return gone

    # --- reading ----------------------------------------------------------------------------------

    def open(self) -> list[JobFacts]:
        return [job for job in self.jobs.values() if not job.state.is_final]

    def flights(self, job: JobFacts) -> list[RunFacts]:
        return [run for run in self.runs.values() if run.job is job]

    def running(self, pool: str) -> list[JobFacts]:
        return [job for job in self.open() if self.flights(job) and job.spec.pool == pool]

    def idle(self, pool: str | None = None) -> set[str]:
        free = set(self.lanes) - set(self.closing) - {run.lane for run in self.runs.values()}
        return {lane for lane in free if pool in (None, self.pool_of[lane])}

    def pending(self, job: JobFacts) -> list[int]:
        if job.plan is None:
            return []
        flying = [run.chunk for run in self.flights(job) if run.stage is Stage.SEGMENT]
        return [
            n for n in range(len(job.plan.chunk_tiles)) if n not in flying and n not in job.done
        ]

    def has_unit(self, job: JobFacts) -> bool:
        if job.will_retry is not None:
            return False
        if job.state is S.WAITING:
            met = all(other.state is S.SUCCEEDED for other in job.leaders)
            return met and job.awaits is None
        if job.state is S.SEGMENTING:
            return bool(self.pending(job))
        return job.state in STAGE and not self.flights(job)

    def is_at_work(self, job: JobFacts) -> bool:
        return job.state in (S.SEGMENTING, S.ASSEMBLING, S.PUBLISHING)

    def equal_at_work(self, job: JobFacts) -> JobFacts | None:
        """The job, of the same user, that computes right now what none has done yet."""
        for other in self.jobs.values() if not self.is_done(job) else ():  # as submitted
            both = job.plan and other.plan and job.plan.work == other.plan.work != ""
            if both and other.user == job.user and other is not job and self.is_at_work(other):
                return other
        return None

    def done_of(self, job: JobFacts, plan: PlanFacts) -> dict[int, ChunkFinished]:
        """What is done of a plan that was just made for a job: what was done of the same, but for
        chunks with failed tiles; or all of it, where an equal job's result is used."""
        lost = job.plan is not None and job.plan.reused and not plan.reused
        is_new = job.plan is None or job.plan.fingerprint != plan.fingerprint or lost
        done = {} if is_new else job.done
        if plan.may_fail is not None:
            whole = {chunk: each for chunk, each in done.items() if not each.tiles_failed}
            self.went_again += len(whole) < len(done)
            done = whole
        chunks = range(len(plan.chunk_tiles))
        return {n: done.get(n, REUSED) for n in chunks} if plan.reused else done

    def has_failed_too_much(self, job: JobFacts) -> bool:
        """Whether more tiles of the job's plan have failed than may."""
        failed = sum(chunk.tiles_failed for chunk in job.done.values())
        most = job.plan.may_fail if job.plan is not None else None
        return most is not None and failed > most

    def is_done(self, job: JobFacts) -> bool:
        """Whether a job of the user's is known to have succeeded with the same work."""
        return job.plan is not None and job.plan.work in self.done_work.get(job.user, [])

    def note_done(self, job: JobFacts) -> None:
        """The newest are known, and those that jobs are at; where none may be known, none is."""
        most, work = self.limits.max_done_work_per_user, job.plan.work if job.plan else ""
        if not (most and work):
            return
        known = [*(name for name in self.done_work.get(job.user, []) if name != work), work]
        at_work = [j for j in self.jobs.values() if j.user == job.user and self.is_at_work(j)]
        at_rest = [n for n in known if all(j.plan is None or j.plan.work != n for j in at_work)]
        gone = at_rest[: max(0, len(known) - most)]
        self.done_work[job.user] = [name for name in known if name not in gone]

    def head(self, user: str, branch: str) -> JobFacts | None:
        """The job of a branch that has begun; if none has, the one submitted first."""
        line = [job for job in self.open() if (job.user, job.spec.branch) == (user, branch)]
        return min(line, key=lambda job: (not job.begun, job.order), default=None)

    def revived_by(self, root: JobFacts) -> list[JobFacts]:
        """What a retry revives of what the job had skipped: what follows nothing else bad."""
        found = [job for job in self.jobs.values() if job.skipped_by == root.spec.job]
        while True:
            able = [
                job
                for job in found
                if not any(o.state in BAD and o is not root and o not in found for o in job.leaders)
            ]
            if able == found:
                return found
            found = able

    def to_blame(self, job: JobFacts) -> set[str]:
        """The failed or cancelled jobs that keep a job from running, however far away."""
        names: set[str] = set()
        for other in job.leaders:
            if other.state is S.SKIPPED:
                names |= self.to_blame(other)
            elif other.state in BAD:
                names.add(other.spec.job)
        return names


def shape(event: WorkflowSubmitted) -> list[object]:
    """What was asked for, whatever the jobs were called."""
    names = [spec.job for spec in event.jobs]
    return [
        (s.branch, s.kind, s.request, [names.index(n) if n in names else n for n in s.depends_on])
        for s in event.jobs
    ]


def makes_sense(jobs: Sequence[JobSpec]) -> bool:
    """Whether the jobs can be done one after another: take away what follows nothing, again."""
    names = [spec.job for spec in jobs]
    if not jobs or len(set(names)) < len(names):
        return False
    left = list(jobs)
    while left:
        remaining = {spec.job for spec in left}
        free = [
            spec
            for place, spec in enumerate(left)
            if not remaining & set(spec.depends_on)
            and set(spec.depends_on) <= set(names)
            and all(other.branch != spec.branch for other in left[:place])
        ]
        if not free:
            return False
        left = [spec for spec in left if spec not in free]
    return True
