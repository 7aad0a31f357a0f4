"""The one mutable container of scheduling. Its one door is ``Scheduler.handle``.

Ground state is what the events say; an index repeats ground state in the shape that a decision
needs, and ``raysched.core.invariants`` recomputes each of them naively. Two states are equal when
the same events made them. All sets of ids are dicts: their order is the same in every process.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from typing import NamedTuple

from raysched.core.accounts import Identities
from raysched.core.fairness import FairQueue
from raysched.core.limits import Limits
from raysched.core.line import JobLine
from raysched.core.model import (
    MAIN,
    PLAN,
    SEGMENTING,
    WAITING,
    BranchName,
    Failure,
    JobId,
    JobSpec,
    JobState,
    LaneId,
    NodeId,
    PlanFacts,
    PoolName,
    RunId,
    Stage,
    Unit,
    UserId,
    WorkflowId,
)


class Run(NamedTuple):
    """One dispatch of a unit to a lane, in flight. ``est_s`` is what it was charged.

    A tuple, as a unit and the command to run it are: they are made for every dispatch, and a
    frozen dataclass takes three times as long to make.
    """

    run: RunId
    unit: Unit
    lane: LaneId
    started_at: float
    est_s: float
    told_to_stop: bool = False

    def left_s(self, now: float) -> float:
        """How long it will still take by its estimate; below 0 when it takes longer."""
        return self.started_at + self.est_s - now


@dataclass(frozen=True, slots=True)
class Verdict:
    """How an attempt that has failed will go on, once its last run in flight has ended."""

    failure: Failure
    retry: bool


@dataclass(slots=True)
class Progress:
    """What is done of a plan. It outlives an attempt as long as the plan stays the same."""

    plan: PlanFacts
    pending: list[int]
    """Chunks neither done nor in flight, as a heap: the lowest goes first."""
    chunks_done: int = 0
    tiles_done: int = 0
    tiles_failed: int = 0
    cells: int = 0
    seconds: float = 0.0
    holes: dict[int, tuple[int, int]] = field(default_factory=dict)
    """Of each finished chunk with failed tiles how many these are, and how many cells it has."""


@dataclass(slots=True)
class Job:
    """One job. ``state`` is written by ``transitions.move`` only."""

    spec: JobSpec
    user: UserId
    workflow: WorkflowId
    order: int
    submitted_at: float
    before: JobId | None = None
    """The neighbours in the same branch of the same workflow."""
    after: JobId | None = None
    dependents: list[JobId] = field(default_factory=list)
    unmet: dict[JobId, None] = field(default_factory=dict)
    """The ``depends_on`` jobs that have not succeeded (index)."""
    state: JobState = WAITING
    stage: Stage = PLAN
    """The stage whose units go next."""
    attempt: int = 1
    tries: int = 1
    """Attempts since the submission or since a person's last retry."""
    progress: Progress | None = None
    mpp: float | None = None
    runs: dict[RunId, None] = field(default_factory=dict)
    """The runs in flight (index)."""
    losses: dict[str, int] = field(default_factory=dict)
    """How often each unit of this attempt was lost with its process; by stage and chunk."""
    too_large: dict[str, None] = field(default_factory=dict)
    """Of these, the units whose process was ended for the memory that it held."""
    verdict: Verdict | None = None
    retry_at: float | None = None
    retry_key: str = ""
    """The idempotency key of the last retry that a person asked for."""
    earlier_retry_keys: tuple[str, ...] = ()
    skipped_by: JobId | None = None
    awaits: JobId | None = None
    """The user's job that is at work on the same: until it has left, this one has no unit."""
    failure: Failure | None = None
    question: str | None = None
    cells: int = 0
    checksum: str | None = None
    started_at: float | None = None
    ended_at: float | None = None

    @property
    def id(self) -> JobId:
        """The job's id."""
        return self.spec.job

    def has_unit(self) -> bool:
        """Whether a unit could be dispatched now, were it this job's turn."""
        if self.verdict is not None:
            return False
        state = self.state
        if state is WAITING:
            return not self.unmet and self.awaits is None
        if state is SEGMENTING:
            return self.progress is not None and bool(self.progress.pending)
        return state in _SINGLE_UNIT and not self.runs


_SINGLE_UNIT = frozenset({JobState.PLANNING, JobState.ASSEMBLING, JobState.PUBLISHING})


@dataclass(slots=True)
class Branch:
    """A lane of order of one user. ``current`` has begun and is not yet final."""

    line: JobLine = field(default_factory=JobLine)
    current: JobId | None = None

    def head(self) -> JobId | None:
        """The one job of the branch that may be dispatched."""
        return self.current or self.line.first()


@dataclass(slots=True)
class User:
    """What one tenant has: nothing in here depends on another user's events."""

    weight: float = 1.0
    jobs: dict[JobId, None] = field(default_factory=dict)
    """Those in memory, in order of submission."""
    keys: dict[str, WorkflowId] = field(default_factory=dict)
    """Idempotency keys of the workflows in memory."""
    retired_keys: set[int] = field(default_factory=set)
    """Digests of the keys of retired workflows (``retirement.key_digest``)."""
    deleted: dict[WorkflowId, None] = field(default_factory=dict)
    """Workflows that the user has deleted: the archive may still hold them, nobody sees them."""
    deleted_keys: set[int] = field(default_factory=set)
    """Digests of their keys, which are of no use any more."""
    cleared: dict[JobId, float] = field(default_factory=dict)
    """Jobs whose results were deleted, and when; also of jobs that have left memory."""
    ended: dict[WorkflowId, None] = field(default_factory=dict)
    """Workflows in memory with no open job, the one that ended first in front."""
    jobs_ended: int = 0
    """Jobs of the ended workflows (index)."""
    jobs_retired: int = 0
    """Jobs that have left memory; the journal's archive has them."""
    open: dict[JobId, None] = field(default_factory=dict)
    """The jobs that are not final (index)."""
    runs: dict[RunId, None] = field(default_factory=dict)
    """The runs in flight (index)."""
    branches: dict[BranchName, Branch] = field(default_factory=dict)
    turns: dict[PoolName, FairQueue[BranchName]] = field(default_factory=dict)
    """Fairness over the branches in each pool; ready are those whose head has a unit to dispatch
    there (index)."""
    at_work: dict[str, dict[JobId, dict[JobId, None]]] = field(default_factory=dict)
    """By what is computed: the jobs at work on it, each with those that wait for it (index)."""
    done_work: OrderedDict[str, None] = field(default_factory=OrderedDict)
    """What jobs that succeeded have computed, the newest last: nobody waits for it."""


@dataclass(frozen=True, slots=True)
class Workflow:
    """A DAG of jobs as it was submitted; never changes."""

    workflow: WorkflowId
    user: UserId
    key: str
    name: str
    submitted_at: float
    jobs: tuple[JobId, ...]
    digest: str = ""


@dataclass(slots=True)
class Totals:
    """What was done since the journal began; never goes back. Work counts when it was done,
    whatever became of its job; a job that ended, was revived and ended again counts twice."""

    chunks: int = 0
    tiles: int = 0
    tiles_failed: int = 0
    cells: int = 0
    """As chunks found them, before seams are reconciled."""
    lane_s: float = 0.0
    """Seconds that lanes were busy, as far as the runs have ended."""
    latency_s: float = 0.0
    """Seconds from submission to success, of all jobs that succeeded."""
    ended: dict[JobState, int] = field(default_factory=dict)
    """Jobs by how they ended."""


@dataclass(slots=True)
class Pool:
    """Lanes of one shape, and whose turn it is there: no pool's work waits for another pool's, and
    what is served in one costs nobody a turn in another. Slots, branches and all else are of all
    pools together."""

    name: PoolName = MAIN
    turns: FairQueue[UserId] = field(default_factory=FairQueue)
    """Fairness over users; ready are slot holders with a ready branch who need not yield."""
    idle: dict[LaneId, None] = field(default_factory=dict)
    """Lanes without a run that are not to go (index)."""
    running: dict[JobId, None] = field(default_factory=dict)
    """Jobs with runs in flight (index)."""
    parking: JobId | None = None
    """The running job that gets no new chunk, so that the cap lets a job in whose turn it is."""
    wanted: int = 0
    room: int = 0
    """How many lanes there are to be, and how many the cluster has room for; 0: not known yet, or
    none while nobody has work for it."""
    is_known: bool = False
    """Whether it was among the pools that there are when they were last counted."""
    lacks: str = ""
    """What no node has enough of for a lane."""


class Site(NamedTuple):
    """Whose lane it is, and where."""

    pool: PoolName
    node: NodeId


@dataclass(slots=True)
class State:
    """Everything the scheduler knows."""

    limits: Limits = field(default_factory=Limits)
    epoch: int = 0
    revision: int = 0
    now: float = 0.0
    """The latest time any event carried: time never runs backward in here."""
    jobs_submitted: int = 0
    runs_started: int = 0
    jobs: dict[JobId, Job] = field(default_factory=dict)
    workflows: dict[WorkflowId, Workflow] = field(default_factory=dict)
    unfinished: dict[WorkflowId, int] = field(default_factory=dict)
    """Open jobs of each workflow that has any (index)."""
    users: dict[UserId, User] = field(default_factory=dict)
    totals: Totals = field(default_factory=Totals)
    identities: Identities = field(default_factory=Identities)
    """Accounts and keys; scheduling looks at who is disabled and at quotas, and at nothing else."""
    paused_at: float | None = None
    """Since when the operator lets nothing new start."""
    drained_at: float | None = None
    """Since when the operator takes nothing new in."""
    removals: dict[JobId, None] = field(default_factory=dict)
    """Jobs whose files are to be removed and may still be there."""
    drained_nodes: dict[NodeId, float] = field(default_factory=dict)
    """Nodes that the operator drains, and since when."""
    lanes: dict[LaneId, RunId | None] = field(default_factory=dict)
    sites: dict[LaneId, Site] = field(default_factory=dict)
    pools: dict[PoolName, Pool] = field(default_factory=lambda: {MAIN: Pool()})
    """Those that there are lanes or work for, or were."""
    staged: OrderedDict[str, dict[NodeId, None]] = field(default_factory=OrderedDict)
    """The nodes that have a slide, by its name; the slide worked on last is the last."""
    closing: dict[LaneId, float] = field(default_factory=dict)
    """Lanes that are to go and take no work, and since when."""
    lanes_wanted: int = 0
    lanes_room: int = 0
    """The same of all pools together."""
    runs: dict[RunId, Run] = field(default_factory=dict)
    slots: OrderedDict[UserId, float] = field(default_factory=OrderedDict)
    """Who holds a slot, since when; in order of admission."""
    queue: OrderedDict[UserId, float] = field(default_factory=OrderedDict)
    """Who waits for a slot, since when; first in, first out."""
    rates: dict[str, dict[Stage, float]] = field(default_factory=dict)
    """Seconds per tile (segment) or per unit (the other stages), by kind: moving averages."""
    wake_at: float | None = None
    """The last ``WakeAt`` that is still to come."""
    yielding: dict[UserId, None] = field(default_factory=dict)
    """Slot holders whose tenure is over while others wait (index)."""
    alarms: list[tuple[float, int, JobId]] = field(default_factory=list)
    """Ends of back-offs, sorted (index)."""

    def pool(self, name: PoolName) -> Pool:
        """A pool; made if this is the first that is heard of it."""
        pool = self.pools.get(name)
        if pool is None:
            pool = self.pools[name] = Pool(name)
        return pool

    def parked(self) -> tuple[JobId, ...]:
        """The parked job of each pool that has one."""
        return tuple(pool.parking for pool in self.pools.values() if pool.parking is not None)

    def jobs_running(self) -> int:
        """Jobs with runs in flight."""
        return sum(len(pool.running) for pool in self.pools.values())

    def is_served(self, name: PoolName) -> bool:
        """Whether a pool has lanes that take work, or may get some without the operator's doing
        anything. The main pool always does."""
        pool = self.pools.get(name)
        if name == MAIN or pool is None or not self.lanes_wanted:
            return True
        if pool.wanted and not pool.lacks:
            return True
        lanes = (lane for lane, site in self.sites.items() if site.pool == name)
        return any(lane not in self.closing for lane in lanes)

    def is_held(self, job: Job) -> bool:
        """Whether a job has not begun and may not, since its user is disabled."""
        is_new = job.state is WAITING and job.started_at is None
        return is_new and self.identities.is_shut(job.user)

    def user(self, name: UserId) -> User:
        """A user; made if this is the first that is heard of them."""
        user = self.users.get(name)
        if user is None:
            user = self.users[name] = User()
        return user

    def branch_of(self, job: Job) -> Branch:
        """The branch a job stands in; made if it is not there."""
        branches = self.users[job.user].branches
        branch = branches.get(job.spec.branch)
        if branch is None:
            branch = branches[job.spec.branch] = Branch()
        return branch
