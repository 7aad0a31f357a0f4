"""What the scheduler says of itself."""

from __future__ import annotations

from dataclasses import dataclass

from raysched.results.remote.place import StorePlace


@dataclass(frozen=True, slots=True)
class Health:
    """``ready`` is false while the journal cannot be written (``trouble`` then says why) and while
    it is read back: ``events_replayed`` grows until it is ``events``. ``closing``: it has been told
    to end, and has ended or will. ``version`` stays the first field: it is what programs of other
    versions can read."""

    version: str
    epoch: int
    ready: bool
    trouble: str | None
    lanes: int
    lanes_busy: int
    lanes_wanted: int
    lanes_room: int
    """How many lanes there are to be, and how many the cluster has room for."""
    jobs_open: int
    paused_at: float | None
    """Since when the operator lets nothing new start."""
    drained_at: float | None
    """Since when the operator takes nothing new in."""
    watchers: int
    events_replayed: int
    events: int
    state: str
    store: StorePlace | None
    closing: bool = False
