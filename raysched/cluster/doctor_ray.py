"""Checks of ``raysched doctor`` that ask Ray. They follow those of ``doctor_files``."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator
from typing import Final, TypeVar

import ray
from ray.exceptions import GetTimeoutError, RayError

from raysched import __version__
from raysched.cluster.doctor import Check, Finding, Grade, Look
from raysched.cluster.groups import is_ours, lane_groups, remove_lanes
from raysched.cluster.health import Health
from raysched.cluster.record import cluster_of
from raysched.cluster.scheduler_actor import find_scheduler
from raysched.cluster.session import join
from raysched.cluster.sight import ClusterView
from raysched.cluster.versions import other_version
from raysched.config import missing_token
from raysched.core.model import LaneId

T = TypeVar("T")

REACH_S: Final = 5.0
ANSWER_S: Final = 20.0
MOST_LANES: Final = 10_000
"""All of them: one that the scheduler does not tell of would count as unknown to it."""
LOOK_AGAIN_S: Final = 5.0
"""A lane that is just being opened is known to Ray before the scheduler reports it."""


def ray_reachable(look: Look) -> Iterator[Finding]:
    """The cluster that the settings or the state folder name."""
    found = cluster_of(look.config.state)
    address = look.config.cluster.address or (found.address if found and found.is_live else None)
    if address is None:
        return
    if not _listens(address):
        if look.keeper:
            yield Finding(
                f"Ray does not answer at {address}",
                Grade.BAD,
                "`raysched up` starts it again by itself, within a minute; see what it says.",
            )
        else:
            yield Finding(f"no Ray answers at {address}", Grade.BAD, "Check --address, start Ray.")
        return
    if (token := missing_token()) is not None:
        yield Finding(
            f"Ray asks for a token here, and {token} is not there",
            Grade.BAD,
            "Copy it from the head, or set RAY_AUTH_MODE as it is set there.",
        )
        return
    join(look.config)
    look.joined = True  # until `leave`
    yield Finding(f"Ray answers at {address} ({len(ray.nodes())} nodes)")


def scheduler(look: Look) -> Iterator[Finding]:
    """There, of this version, ready."""
    if not look.joined:
        return
    health = _ask(look, "health", Health)
    if health is None:
        remedy = "Start it: `raysched up`."
        if look.keeper:
            remedy = "It starts again by itself; if this stays: `raysched down`, `raysched up`."
        yield Finding("no scheduler answers on the cluster", Grade.BAD, remedy)
    elif health.version != __version__:
        error = other_version(health.version)
        yield Finding(error.message, Grade.BAD, error.remedy)
    elif health.trouble:
        yield Finding(health.trouble, Grade.BAD, "It tries again by itself once that is mended.")
    elif not health.ready:
        says = f"{health.events_replayed:,} of {health.events:,} events are read back"
        yield Finding(f"the scheduler is starting: {says}", Grade.NOTE)
    else:
        work = f"{health.jobs_open} open jobs, {health.lanes_busy} of {health.lanes} lanes busy"
        yield Finding(f"the scheduler is ready: life {health.epoch}, {work}")
        if health.paused_at is not None or health.drained_at is not None:
            yield Finding("it is paused or drained", Grade.NOTE, "`raysched resume` ends that.")


def lanes(look: Look) -> Iterator[Finding]:
    """Those in Ray are those of the scheduler."""
    if not look.joined:
        return
    before = _strange(look)
    if before is None:
        return
    if before:
        time.sleep(LOOK_AGAIN_S)
    is_alone = look.keeper is None and find_scheduler(look.config.cluster.namespace) is None
    for lane, state in sorted(before.items() & (_strange(look) or {}).items()):
        if state == "CREATED" or is_alone:  # one that waits for room keeps an autoscaler at work
            yield Finding(
                f"{lane} is in Ray, and the scheduler does not know it",
                Grade.BAD,
                "Remove it, so that others have its room.",
                _removing(lane),
            )
        else:
            yield Finding(
                f"{lane} waits for room on the cluster",
                Grade.NOTE,
                "Others hold the resources, or cluster.lanes is more than there is room for.",
            )


CHECKS: Final[dict[str, Check]] = {"Ray": ray_reachable, "scheduler": scheduler, "lanes": lanes}


def leave() -> None:
    """Leave Ray, if a check has joined it."""
    ray.shutdown()


def _strange(look: Look) -> dict[LaneId, str] | None:
    """Lanes of Ray that the scheduler has not; None: it cannot say."""
    view = _ask(look, "cluster", ClusterView, MOST_LANES)
    if view is None and find_scheduler(look.config.cluster.namespace) is not None:
        return None  # it is starting: it adopts what it finds
    known = view.places if view else {}
    found = lane_groups().items()  # of all services on the cluster
    return {x: group.state for x, group in found if x not in known and is_ours(x)}


def _removing(lane: LaneId) -> Callable[[], str]:
    return lambda: f"removed {', '.join(remove_lanes({lane})) or 'nothing: it was gone'}"


def _ask(look: Look, verb: str, kind: type[T], *args: object) -> T | None:
    """What the scheduler answers; None: there is none, or it does not answer in time."""
    handle = find_scheduler(look.config.cluster.namespace)
    if handle is None:
        return None
    try:
        answer = ray.get(getattr(handle, verb).remote(*args), timeout=ANSWER_S)
    except (GetTimeoutError, RayError):
        return None
    return answer if isinstance(answer, kind) else None


def _listens(address: str) -> bool:
    host, _, port = address.rpartition(":")
    if not port.isdigit():
        return True  # "auto", or a Ray client's: only Ray can say
    try:
        socket.create_connection((host, int(port)), REACH_S).close()
    except OSError:
        return False
    return True
