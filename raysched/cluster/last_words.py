"""What those who wait are told when a life of the scheduler ends."""

from __future__ import annotations

import asyncio

from raysched.errors import ClusterError, InternalError, RayschedError


def ending_of(error: BaseException) -> RayschedError:
    """What callers are told of the end of a life."""
    if isinstance(error, RayschedError):
        return error
    if isinstance(error, asyncio.CancelledError):
        return ClusterError("The scheduler is closing.", remedy="Nothing is lost; ask again later.")
    return failed_unexpectedly(error)


def failed_unexpectedly(error: BaseException) -> InternalError:
    """A fault of ours, for those who wait; the traceback is in the actor's log."""
    return InternalError(
        f"The scheduler failed unexpectedly: {error!r}.",
        remedy="Report this with the scheduler actor's log; it starts anew by itself.",
    )
