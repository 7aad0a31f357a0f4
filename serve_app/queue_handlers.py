"""What each route about the queue, the last hour and the service itself does."""

from __future__ import annotations

import time

from fastapi import Request

from raysched import __version__
from raysched.core.accounts import Role
from serve_app.body import MAX_PIECE_BYTES
from serve_app.desk import At, Desk, ready
from serve_app.models import Gates, utc
from serve_app.queue_models import ClusterMinutes, Info, QueuePicture, SharingLimits


def names_all(at: Desk) -> bool:
    """Whether the caller is told who everybody is: an administrator, also with a lesser key."""
    return at.asking.caller.account is Role.ADMIN


async def get_queue(at: At) -> QueuePicture:
    """Who holds slots and who waits for one, at this moment. Others are anonymous. The events have
    it too, as `queue`, whenever it changes."""
    seen = await at.gateway.queue()
    return QueuePicture.of(seen, at.user, names_all=names_all(at))


async def get_cluster_minutes(at: At) -> ClusterMinutes:
    """What happened in each of the last 60 minutes. Kept in memory: it begins anew with the
    scheduler. Requests are told by each replica within 10 s."""
    return ClusterMinutes.of(await at.gateway.minutes())


async def get_info(at: At, request: Request) -> Info:
    """What a page needs to know of the service: version, limits, whether it is paused."""
    health = await ready(request.app.state.pulse)
    address = await at.gateway.dashboard() if names_all(at) else None
    return Info(
        version=__version__,
        at=utc(time.time()),
        dashboard_url=f"http://{address}" if address else None,
        limits=SharingLimits.of(at.config.scheduling),
        piece_bytes=MAX_PIECE_BYTES,
        **Gates.of(health).model_dump(),
    )
