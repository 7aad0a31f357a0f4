"""What happened, in the past tense, each with the time ``at`` (seconds since the epoch, UTC).

These are the records of the journal. A field may be added with a default; a field is never
removed, renamed or given another meaning: write a new event instead.
"""

from __future__ import annotations

from dataclasses import dataclass

from raysched.core.accounts import KeyKind, Role
from raysched.core.limits import Limits
from raysched.core.model import (
    MAIN,
    SOMEWHERE,
    Failure,
    JobId,
    JobSpec,
    KeyId,
    LaneId,
    NodeId,
    PlanFacts,
    PoolCount,
    PoolName,
    RunId,
    UserId,
    WorkflowId,
)


@dataclass(frozen=True, slots=True)
class SchedulerStarted:
    """A new life of the scheduler began; every run of an earlier epoch is dead.

    ``limits`` are the ones in force from here on. They belong in the journal: dispatch depends on
    them, so a replay under other limits would not give the state that was live. None keeps those
    in force.
    """

    at: float
    epoch: int
    limits: Limits | None = None


@dataclass(frozen=True, slots=True)
class WorkflowSubmitted:
    """A user asked for a DAG of jobs, whole or not at all. ``key`` makes asking twice harmless;
    ``digest`` names what was asked for, as the person wrote it (empty: compare the jobs)."""

    at: float
    user: UserId
    key: str
    workflow: WorkflowId
    name: str
    jobs: tuple[JobSpec, ...]
    digest: str = ""


@dataclass(frozen=True, slots=True)
class JobCancelRequested:
    """A user no longer wants a job."""

    at: float
    user: UserId
    job: JobId


@dataclass(frozen=True, slots=True)
class JobRetryRequested:
    """A user wants a failed job tried again, and what it had skipped revived. ``key`` makes asking
    twice harmless (empty: it is another wish each time)."""

    at: float
    user: UserId
    job: JobId
    key: str = ""


@dataclass(frozen=True, slots=True)
class WorkflowCancelRequested:
    """A user no longer wants a workflow: what of it has not ended is cancelled."""

    at: float
    user: UserId
    workflow: WorkflowId


@dataclass(frozen=True, slots=True)
class AllCancelRequested:
    """A user no longer wants anything that has not ended."""

    at: float
    user: UserId


@dataclass(frozen=True, slots=True)
class WorkflowDeleted:
    """A user deleted a workflow that has ended: nobody sees it any more and its files go.

    ``key`` and ``jobs`` are its own, given when it has left memory and is in the archive alone.
    """

    at: float
    user: UserId
    workflow: WorkflowId
    key: str = ""
    jobs: tuple[JobId, ...] = ()


@dataclass(frozen=True, slots=True)
class ResultsDeleted:
    """A user deleted the files of a job that has ended; the job stays. ``retired``: it has left
    memory, and was found in the archive."""

    at: float
    user: UserId
    job: JobId
    retired: bool = False


@dataclass(frozen=True, slots=True)
class FilesRemoved:
    """Files that were to be removed are gone."""

    at: float
    jobs: tuple[JobId, ...]


@dataclass(frozen=True, slots=True)
class ClusterPaused:
    """The operator paused the cluster: what runs ends, nothing new starts. ``by``: who asked."""

    at: float
    by: UserId


@dataclass(frozen=True, slots=True)
class ClusterDrained:
    """The operator drains the cluster: what was taken in goes on, nothing new is taken in."""

    at: float
    by: UserId


@dataclass(frozen=True, slots=True)
class ClusterResumed:
    """The operator ended a pause and a drain."""

    at: float
    by: UserId


@dataclass(frozen=True, slots=True)
class NodeDrained:
    """The operator drains one node: what runs in its lanes ends, nothing new starts there."""

    at: float
    by: UserId
    node: NodeId


@dataclass(frozen=True, slots=True)
class NodeResumed:
    """The operator ended the drain of a node, or the node is gone."""

    at: float
    by: UserId
    node: NodeId


@dataclass(frozen=True, slots=True)
class MppAnswered:
    """A user said the pixel size (um per level-0 pixel) that a slide did not carry."""

    at: float
    user: UserId
    job: JobId
    mpp: float


@dataclass(frozen=True, slots=True)
class UserWeighted:
    """An administrator said how large a user's share is, against 1 for everybody else."""

    at: float
    user: UserId
    weight: float


@dataclass(frozen=True, slots=True)
class UserCreated:
    """An administrator took a user in, under an id that is never given out again. ``tag`` makes
    asking twice harmless."""

    at: float
    user: UserId
    name: str
    role: Role
    tag: str = ""


@dataclass(frozen=True, slots=True)
class UserChanged:
    """An administrator changed what is given here; None leaves as it is. Quotas: 0 is none of the
    user's own."""

    at: float
    user: UserId
    name: str | None = None
    weight: float | None = None
    max_jobs: int | None = None
    max_bytes: int | None = None
    disabled: bool | None = None


@dataclass(frozen=True, slots=True)
class UserDeleted:
    """An administrator deleted a user: their jobs end and their keys open nothing any more."""

    at: float
    user: UserId


@dataclass(frozen=True, slots=True)
class KeyMade:
    """A user has one more key, or a one-time login. ``digest`` is the SHA-256 of the whole key,
    whose secret is in no event."""

    at: float
    user: UserId
    key: KeyId
    kind: KeyKind
    name: str
    role: Role
    digest: str
    expires_at: float | None = None


@dataclass(frozen=True, slots=True)
class KeyRevoked:
    """A key or session opens nothing any more."""

    at: float
    user: UserId
    key: KeyId


@dataclass(frozen=True, slots=True)
class KeyUsed:
    """A key was used, a minute or more after the use that is known."""

    at: float
    key: KeyId


@dataclass(frozen=True, slots=True)
class LoggedIn:
    """A session began with a key; a one-time login is spent with that."""

    at: float
    key: KeyId
    session: KeyId
    digest: str
    expires_at: float


@dataclass(frozen=True, slots=True)
class LaneOpened:
    """A lane is ready to take work. ``node``: where it is ("" in events of older versions)."""

    at: float
    lane: LaneId
    node: NodeId = SOMEWHERE
    pool: PoolName = MAIN


@dataclass(frozen=True, slots=True)
class LaneClosing:
    """A lane is to go (its node is drained, or nobody needs it): what runs in it ends, and nothing
    new starts there."""

    at: float
    lane: LaneId
    cause: str


@dataclass(frozen=True, slots=True)
class LaneLost:
    """A lane is gone (its node died, it was resized away); what ran in it is lost with it."""

    at: float
    lane: LaneId
    cause: str


@dataclass(frozen=True, slots=True)
class LanesCounted:
    """How many lanes there are to be, and how many the cluster has room for: it has changed.
    ``pools``: the same of each pool; empty where there is one alone."""

    at: float
    wanted: int
    room: int
    pools: tuple[PoolCount, ...] = ()


@dataclass(frozen=True, slots=True)
class SlidePlanned:
    """A plan unit finished."""

    at: float
    run: RunId
    seconds: float
    plan: PlanFacts


@dataclass(frozen=True, slots=True)
class MppMissed:
    """A plan unit ended with the question for the pixel size."""

    at: float
    run: RunId
    question: str


@dataclass(frozen=True, slots=True)
class ChunkFinished:
    """A chunk left a valid receipt. ``tiles_failed`` of its tiles are visible holes."""

    at: float
    run: RunId
    seconds: float
    cells: int
    tiles_failed: int
    checksum: str


@dataclass(frozen=True, slots=True)
class ResultAssembled:
    """The assemble unit finished: ids are final, all files are complete in the staging folder."""

    at: float
    run: RunId
    seconds: float
    cells: int


@dataclass(frozen=True, slots=True)
class ChunksMissed:
    """The assemble unit found that finished chunks are gone or damaged: ``chunks``, in order.

    ``cells`` and ``tiles_failed`` are those of the chunks that are still valid.
    """

    at: float
    run: RunId
    seconds: float
    chunks: tuple[int, ...]
    cells: int
    tiles_failed: int


@dataclass(frozen=True, slots=True)
class ResultPublished:
    """The results folder is in place, by one atomic rename."""

    at: float
    run: RunId
    seconds: float
    cells: int
    checksum: str


@dataclass(frozen=True, slots=True)
class RunFailed:
    """The code of a unit raised. ``retryable`` is false when trying again cannot help."""

    at: float
    run: RunId
    seconds: float
    failure: Failure
    retryable: bool


@dataclass(frozen=True, slots=True)
class RunLost:
    """The process or node that ran a unit died; the unit itself is not to blame, at first.
    ``too_large``: it was ended for the memory that it held."""

    at: float
    run: RunId
    cause: str
    too_large: bool = False


@dataclass(frozen=True, slots=True)
class RunStopped:
    """A unit stopped because it was told to."""

    at: float
    run: RunId
    seconds: float


@dataclass(frozen=True, slots=True)
class TimePassed:
    """A time asked for by ``WakeAt`` has come."""

    at: float


Event = (
    SchedulerStarted
    | WorkflowSubmitted
    | JobCancelRequested
    | JobRetryRequested
    | WorkflowCancelRequested
    | AllCancelRequested
    | WorkflowDeleted
    | ResultsDeleted
    | FilesRemoved
    | ClusterPaused
    | ClusterDrained
    | ClusterResumed
    | NodeDrained
    | NodeResumed
    | MppAnswered
    | UserWeighted
    | UserCreated
    | UserChanged
    | UserDeleted
    | KeyMade
    | KeyRevoked
    | KeyUsed
    | LoggedIn
    | LaneOpened
    | LaneClosing
    | LaneLost
    | LanesCounted
    | SlidePlanned
    | MppMissed
    | ChunkFinished
    | ResultAssembled
    | ChunksMissed
    | ResultPublished
    | RunFailed
    | RunLost
    | RunStopped
    | TimePassed
)

OperatorEvent = ClusterPaused | ClusterDrained | ClusterResumed | NodeDrained | NodeResumed
"""Those by which the operator holds the cluster, or one node of it."""

IdentityEvent = UserCreated | UserChanged | UserDeleted | KeyMade | KeyRevoked | KeyUsed | LoggedIn
"""Those that say who may ask."""
