"""The words of scheduling as frozen values: ids, states, stages, jobs.

Values only; the one mutable container is ``raysched.core.state.State`` and its one door is
``raysched.core.scheduler.Scheduler.handle``.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple, NewType

UserId = NewType("UserId", str)
WorkflowId = NewType("WorkflowId", str)
JobId = NewType("JobId", str)
BranchName = NewType("BranchName", str)
LaneId = NewType("LaneId", str)
NodeId = NewType("NodeId", str)
"""A machine of the cluster, as Ray names it."""
SOMEWHERE = NodeId("")
"""A node that is not known."""
PoolName = NewType("PoolName", str)
MAIN = PoolName("")
"""The pool of lanes for all work that has none of its own."""
KeyId = NewType("KeyId", str)
"""The public part of a key: names it, opens nothing."""
RunId = NewType("RunId", str)
"""Names one dispatch of one unit of work to one lane; never used twice. Reports carry it alone,
so that a late or repeated report of an old dispatch is recognised and ignored."""


LOCAL_USER = UserId("local")
"""The operator: whoever uses the command line, which talks to the cluster itself."""


class JobState(StrEnum):
    """Where a job is. Exactly one at any time (I1)."""

    WAITING = "waiting"
    PLANNING = "planning"
    NEEDS_MPP = "needs_mpp"
    SEGMENTING = "segmenting"
    ASSEMBLING = "assembling"
    PUBLISHING = "publishing"
    RETRY_WAITING = "retry_waiting"
    CANCELLING = "cancelling"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    SKIPPED = "skipped"

    __hash__ = str.__hash__

    @property
    def is_final(self) -> bool:
        """Whether nothing happens to the job any more unless a person retries it."""
        return self in FINAL_STATES


FINAL_STATES = frozenset(
    {JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED, JobState.SKIPPED}
)


class Stage(StrEnum):
    """The steps of an attempt. Segment is done chunk by chunk, the others are one unit each."""

    PLAN = "plan"
    SEGMENT = "segment"
    ASSEMBLE = "assemble"
    PUBLISH = "publish"

    __hash__ = str.__hash__


# What an event does about ten times is made cheap. A member is hashed as the string it is, since
# ``Enum.__hash__`` is a Python function; and members have names of their own, since on Python 3.11
# reading one from its class takes 0.13 us.
WAITING, SEGMENTING, CANCELLING = JobState.WAITING, JobState.SEGMENTING, JobState.CANCELLING
SUCCEEDED, FAILED = JobState.SUCCEEDED, JobState.FAILED
PLAN, SEGMENT, ASSEMBLE, PUBLISH = Stage.PLAN, Stage.SEGMENT, Stage.ASSEMBLE, Stage.PUBLISH


class Reason(StrEnum):
    """Why a job is not computing right now, or why it ended as it did."""

    WAITING_FOR_BRANCH = "waiting_for_branch"
    WAITING_FOR_DEPENDENCY = "waiting_for_dependency"
    WAITING_FOR_EQUAL_WORK = "waiting_for_equal_work"
    WAITING_FOR_ACCOUNT = "waiting_for_account"
    WAITING_FOR_OPERATOR = "waiting_for_operator"
    WAITING_FOR_SLOT = "waiting_for_slot"
    WAITING_FOR_RUNNING_CAP = "waiting_for_running_cap"
    WAITING_FOR_LANE = "waiting_for_lane"
    WAITING_FOR_TURN = "waiting_for_turn"
    WAITING_FOR_RETRY = "waiting_for_retry"
    WAITING_FOR_MPP = "waiting_for_mpp"
    STOPPING = "stopping"
    COMPUTING = "computing"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True)
class JobSpec:
    """What a user asked for; never changes.

    ``request`` is the kind's own request as canonical JSON: the core carries it and never looks
    inside. ``pool``: whose lanes its units run in. ``slide`` names what it reads: a node that has
    it staged is preferred.
    """

    job: JobId
    branch: BranchName
    kind: str
    request: str
    depends_on: tuple[JobId, ...] = ()
    pool: PoolName = MAIN
    slide: str = ""


@dataclass(frozen=True, slots=True)
class PoolCount:
    """How many lanes a pool is to have, and how many the cluster has room for. ``lacks``: what no
    node has enough of for a single one, with how much of it one takes ("" where there is room)."""

    pool: PoolName
    wanted: int
    room: int
    lacks: str = ""


@dataclass(frozen=True, slots=True)
class PlanFacts:
    """What the core needs to know of a plan.

    ``fingerprint`` names the plan's content: an attempt that plans the same again keeps the
    chunks that are already done. ``chunk_tiles[i]`` is the number of tiles in chunk ``i``.
    ``chunk_tiles`` may be empty (no tissue): the job then goes straight on to assemble.

    ``work`` names what the chunks compute, without what is only measured from it: two plans of one
    user with equal ``work`` can use each other's chunks ("" equals no other). ``reused``: every
    chunk is done already, in the result of a job of equal work.

    ``may_fail``: with more failed tiles than this the attempt fails, and a new plan has the chunks
    with failed tiles done again. None, as in plans of older versions: neither.
    """

    fingerprint: str
    chunk_tiles: tuple[int, ...]
    work: str = ""
    reused: bool = False
    may_fail: int | None = None


@dataclass(frozen=True, slots=True)
class Failure:
    """Why something ended badly, as the person will read it."""

    code: str
    message: str
    remedy: str


class Unit(NamedTuple):
    """The smallest thing that is dispatched: a chunk, or one of the other stages as a whole."""

    job: JobId
    attempt: int
    stage: Stage
    chunk: int = 0
