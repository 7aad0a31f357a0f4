"""What HTTP and ``--json`` show of usage and of the cluster."""

from __future__ import annotations

import csv
import io
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from raysched.core.model import Stage
from raysched.errors import InvalidSetting
from serve_app.models import Shown, utc, utc_or_none

if TYPE_CHECKING:
    from raysched.cluster.sight import ClusterView, NodeView
    from raysched.core.overview import BranchDepth, LaneView, UserLoad
    from raysched.journal.usage import Usage, Wanted

FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""What a spreadsheet takes a cell for a formula by."""
NODE_ID = 8
"""Digits of a node's id that are shown."""
USUAL_DAYS = 30
MOST_DAYS = 366


def wanted(since: date | None, until: date | None, user: str | None) -> Wanted:
    """The days that are meant: up to today, 30 of them, where nothing is said. Raises
    ``InvalidSetting`` for none, or for more than a year."""
    from raysched.journal.usage import Wanted

    last = until or datetime.now(UTC).date()
    usual = timedelta(days=USUAL_DAYS - 1)
    first = since or (last - usual if last - date.min > usual else date.min)
    if not timedelta(0) <= last - first < timedelta(days=MOST_DAYS):
        raise InvalidSetting(
            f"From {first} to {last} is no range of 1 to {MOST_DAYS} days.",
            remedy="Choose the first and the last day, since and until, within a year.",
        )
    return Wanted(first, last, user)


class UsageDay(Shown):
    """What one user used on one day (UTC). ``submitted``, ``begun`` and the ends count jobs, each
    on the day when it happened; ``reused``: succeeded with an equal job's cells; ``retries``:
    attempts beyond the first of jobs that ended. ``cells``: of succeeded jobs. Tiles, runs and
    lane seconds count what was computed, whatever became of it. Waiting times are from submission
    to the first dispatch, of the jobs that began; null if none did."""

    day: date
    user: str
    submitted: int
    begun: int
    succeeded: int
    failed: int
    cancelled: int
    skipped: int
    reused: int
    retries: int
    cells: int
    tiles: int
    runs: int
    runs_failed: int
    runs_lost: int
    lane_s: float
    plan_s: float
    segment_s: float
    assemble_s: float
    publish_s: float
    wait_median_s: float | None
    wait_p90_s: float | None
    wait_max_s: float | None

    @classmethod
    def of(cls, row: Usage) -> UsageDay:
        """The journal's row, with times to the millisecond."""
        facts = {name: getattr(row, name) for name in cls.model_fields}
        in_ms = {name: round(at, 3) for name, at in facts.items() if isinstance(at, float)}
        return cls(**{**facts, **in_ms})


class UsageReport(Shown):
    """Usage by day, then user; days and users without any are left out."""

    since: date
    until: Annotated[date, Field(description="the last day that is included")]
    user: str | None
    days: tuple[UsageDay, ...]

    @classmethod
    def of(cls, wanted: Wanted, rows: list[Usage]) -> UsageReport:
        """What was asked for and found."""
        days = tuple(map(UsageDay.of, rows))
        return cls(since=wanted.since, until=wanted.until, user=wanted.user, days=days)

    def as_csv(self) -> str:
        """A table with a line for each day and user (RFC 4180). A name that a spreadsheet would
        take for a formula has an apostrophe in front."""
        text = io.StringIO()
        table = csv.writer(text)
        table.writerow(UsageDay.model_fields)
        for each in self.days:
            table.writerow(harmless(value) for value in each.model_dump(mode="json").values())
        return text.getvalue()


def harmless(value: object) -> object:
    """A cell of a table that no spreadsheet takes for a formula."""
    is_formula = isinstance(value, str) and value.startswith(FORMULA)
    return f"'{value}" if is_formula else value


class Node(Shown):
    """A machine of the cluster; ``id`` is the beginning of Ray's. ``holds_state``: the scheduler
    and its state folder are on it. ``is_draining``: by Ray or by the operator; what runs there
    ends, and no new work goes there."""

    id: str
    host: str
    is_alive: bool
    holds_state: bool
    is_draining: bool
    cpus: float
    gpus: float
    memory_bytes: int

    @classmethod
    def of(cls, view: NodeView) -> Node:
        """A node as Ray tells."""
        same = ("host", "is_alive", "holds_state", "is_draining", "cpus", "gpus", "memory_bytes")
        return cls(id=view.node[:NODE_ID], **{name: getattr(view, name) for name in same})


class LaneWork(Shown):
    """What runs in a lane."""

    user: str
    job: str
    stage: Stage
    chunk: int
    since: datetime
    expected_s: float


class Lane(Shown):
    """A lane; ``work`` is null while it is idle."""

    id: str
    node: str
    work: LaneWork | None

    @classmethod
    def of(cls, view: LaneView, node: str) -> Lane:
        """A lane on a node."""
        run, work = view.run, None
        if run is not None:
            same = ("user", "job", "stage", "chunk", "expected_s")
            facts = {name: getattr(run, name) for name in same}
            work = LaneWork(**facts, since=utc(run.since))
        return cls(id=view.lane, node=node[:NODE_ID], work=work)


class BusyUser(Shown):
    """A user with unfinished jobs. ``share``: of the lanes, by weight among those with a slot;
    ``share_used``: of the busy lanes, now. ``parked``: the slot's tenure is over, others wait."""

    user: str
    weight: float
    slot_since: datetime | None
    parked: bool
    queue_rank: int | None
    queued_since: datetime | None
    jobs_open: int
    jobs_running: int
    lanes: int
    share: float
    share_used: float

    @classmethod
    def of(cls, load: UserLoad) -> BusyUser:
        """The core's account of a user's load."""
        same = (
            *("user", "weight", "parked", "queue_rank", "jobs_open", "jobs_running", "lanes"),
            *("share", "share_used"),
        )
        return cls(
            **{name: getattr(load, name) for name in same},
            slot_since=utc_or_none(load.slot_since),
            queued_since=utc_or_none(load.queued_since),
        )


class Branch(Shown):
    """A branch with unfinished jobs; ``head`` is at work or next."""

    user: str
    branch: str
    jobs_open: int
    head: str | None

    @classmethod
    def of(cls, depth: BranchDepth) -> Branch:
        """The core's account of a branch."""
        return cls.model_validate(depth)


class Queue(Shown):
    """Who holds slots and who waits for one, and how much there is to do."""

    slots: int
    slots_held: int
    users_waiting: int
    users_busy: int
    branches_open: int
    jobs_open: int
    jobs_running: int
    max_running_jobs: int


class JournalState(Shown):
    """The log of all that happened."""

    events: int
    epoch: int
    size_bytes: int


class SchedulerState(Shown):
    """The scheduler; ``started_at``: this life of it. ``paused_at``: since when nothing new starts;
    ``draining_at``: since when nothing new is taken in."""

    version: str
    started_at: datetime
    paused_at: datetime | None
    draining_at: datetime | None


class Cluster(Shown):
    """The service at one moment. Lists hold up to ``limit`` entries: nodes that live first, users
    by slot, queue and unfinished jobs, branches by depth; the numbers are of all. ``lanes_wanted``:
    how many lanes there are to be; ``lanes_room``: how many the cluster has room for."""

    at: datetime
    scheduler: SchedulerState
    journal: JournalState
    queue: Queue
    nodes_alive: int
    nodes: tuple[Node, ...]
    lanes_open: int
    lanes_busy: int
    lanes_wanted: int
    lanes_room: int
    lanes: tuple[Lane, ...]
    users: tuple[BusyUser, ...]
    branches: tuple[Branch, ...]

    @classmethod
    def of(cls, view: ClusterView) -> Cluster:
        """What the scheduler saw."""
        seen = view.overview
        return cls(
            at=utc(view.at),
            scheduler=SchedulerState(
                version=view.version,
                started_at=utc(view.started_at),
                paused_at=utc_or_none(seen.paused_at),
                draining_at=utc_or_none(seen.drained_at),
            ),
            journal=JournalState(
                events=view.events, epoch=view.epoch, size_bytes=view.journal_bytes
            ),
            queue=Queue(
                users_waiting=seen.users_queued,
                **{name: getattr(seen, name) for name in AS_SEEN},
            ),
            nodes_alive=view.nodes_alive,
            nodes=tuple(map(Node.of, view.nodes)),
            lanes_open=seen.lanes_open,
            lanes_busy=seen.lanes_busy,
            lanes_wanted=seen.lanes_wanted,
            lanes_room=seen.lanes_room,
            lanes=tuple(Lane.of(each, view.places[each.lane]) for each in seen.lanes),
            users=tuple(map(BusyUser.of, seen.users)),
            branches=tuple(map(Branch.of, seen.branches)),
        )


AS_SEEN = (
    *("slots", "slots_held", "users_busy", "branches_open"),
    *("jobs_open", "jobs_running", "max_running_jobs"),
)
