"""What HTTP shows of the queue, of the last hour and of the service itself."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from serve_app.models import Shown, utc, utc_or_none

if TYPE_CHECKING:
    from raysched.cluster.minutes import LastMinutes, MinuteView
    from raysched.core.limits import Limits
    from raysched.core.model import UserId
    from raysched.core.picture import Picture

MOST_WAITING = 200
"""Users of the queue that are shown; their number is of all."""
Anonymous = Annotated[
    str | None, Field(description="null: another user, whom only administrators are told")
]


class SlotHolder(Shown):
    """A user with a slot. ``parked``: the slot's tenure is over and others wait; ``lanes``: at work
    for the user now."""

    mine: bool
    user: Anonymous
    since: datetime
    parked: bool
    lanes: int
    jobs_running: int


class SlotWaiter(Shown):
    """A user who waits for a slot; ``rank`` counts from 1."""

    mine: bool
    user: Anonymous
    rank: int
    since: datetime


class MyStake(Shown):
    """What the caller has. ``rank``: in the queue, null outside of it; ``share``: what the caller's
    weight is of those of all slot holders, the caller among them; ``share_used``: of the busy
    lanes, now."""

    rank: int | None
    share: float
    share_used: float
    jobs_open: int


class QueuePicture(Shown):
    """Who holds slots and who waits for one, as everybody may see it. ``waiting`` has the first
    200 of ``users_waiting``. ``paused_at``: since when nothing new starts; ``draining_at``: since
    when no new work is taken in."""

    at: datetime
    slots: int
    slots_held: int
    held: tuple[SlotHolder, ...]
    users_waiting: int
    waiting: tuple[SlotWaiter, ...]
    lanes_open: int
    lanes_busy: int
    jobs_open: int
    jobs_running: int
    max_running_jobs: int
    me: MyStake
    paused_at: datetime | None
    draining_at: datetime | None

    @classmethod
    def of(cls, seen: Picture, user: UserId, *, names_all: bool) -> QueuePicture:
        """The scheduler's picture as this user sees it; ``names_all``: with everybody's names."""

        def whose(name: UserId) -> dict[str, bool | str | None]:
            is_mine = name == user
            return {"mine": is_mine, "user": name if is_mine or names_all else None}

        same = ("lanes_open", "lanes_busy", "jobs_open", "jobs_running", "max_running_jobs")
        return cls.model_validate(
            {
                "at": utc(seen.at),
                "slots": seen.slots,
                "slots_held": len(seen.held),
                "held": [
                    {
                        **whose(each.user),
                        "since": utc(each.since),
                        "parked": each.parked,
                        "lanes": each.lanes,
                        "jobs_running": each.jobs_running,
                    }
                    for each in seen.held
                ],
                "users_waiting": len(seen.waiting),
                "waiting": [
                    {**whose(each.user), "rank": rank, "since": utc(each.since)}
                    for rank, each in enumerate(seen.waiting[:MOST_WAITING], start=1)
                ],
                **{name: getattr(seen, name) for name in same},
                "me": {
                    "rank": seen.rank_of(user),
                    "share": seen.share_of(user),
                    "share_used": seen.share_used_by(user),
                    "jobs_open": seen.stake_of(user).jobs_open,
                },
                "paused_at": utc_or_none(seen.paused_at),
                "draining_at": utc_or_none(seen.drained_at),
            }
        )


class ClusterMinute(Shown):
    """One minute from ``at``; the last one goes on. Waits are from submission to the first
    dispatch, of the jobs that started in it; chunks' times are in their lanes; ``lanes_busy`` is
    the share of the lanes' time, 0..1; ``queue_depth``: unfinished jobs with no work in flight, at
    its end; a request's time is until its answer begins. Null: there were none."""

    at: datetime
    jobs_submitted: int
    jobs_started: int
    jobs_ended: int
    wait_median_s: float | None
    wait_p90_s: float | None
    chunks: int
    chunk_median_s: float | None
    chunk_p90_s: float | None
    tiles: int
    cells: int
    lanes_busy: float
    queue_depth: int
    requests: int
    request_median_ms: float | None
    request_p95_ms: float | None

    @classmethod
    def of(cls, view: MinuteView) -> ClusterMinute:
        """The scheduler's minute."""
        facts = {name: getattr(view, name) for name in cls.model_fields}
        short = {name: round(it, 4) for name, it in facts.items() if isinstance(it, float)}
        return cls.model_validate({**facts, **short, "at": utc(view.at)})


class ClusterMinutes(Shown):
    """The last 60 minutes, oldest first. ``since``: nothing is known of the time before, when this
    life of the scheduler had not begun."""

    since: datetime
    minutes: tuple[ClusterMinute, ...]

    @classmethod
    def of(cls, view: LastMinutes) -> ClusterMinutes:
        """What the scheduler remembers."""
        return cls(since=utc(view.since), minutes=tuple(map(ClusterMinute.of, view.minutes)))


class SharingLimits(Shown):
    """The scheduler's limits: jobs with work in flight, users with slots, unfinished jobs of one
    user, and how long a slot is kept while others wait (seconds; 0: until its user has nothing
    more to do)."""

    max_running_jobs: int
    max_active_users: int
    max_jobs_per_user: int
    max_jobs_per_workflow: int
    slot_tenure_s: float

    @classmethod
    def of(cls, limits: Limits) -> SharingLimits:
        """Those in force."""
        return cls(**{name: getattr(limits, name) for name in cls.model_fields})


class Info(Shown):
    """The service: what a page needs to know of it. ``dashboard_url``: Ray's own, which asks for
    the operator's token; null: there is none, or the caller is no administrator. ``piece_bytes``:
    of an upload, at most."""

    version: str
    at: datetime
    dashboard_url: str | None
    limits: SharingLimits
    piece_bytes: int
    paused_at: datetime | None
    draining_at: datetime | None
