"""The scheduler actor as others see it: found by its name, started, closed, left. In a process that
has joined Ray (``cluster/session.py``)."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Any

import ray
from ray.exceptions import GetTimeoutError, RayError, RayTaskError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from raysched import __version__
from raysched.cluster.actor import SchedulerActor
from raysched.cluster.gateway import ACTOR_NAME
from raysched.cluster.groups import remove_lanes
from raysched.cluster.health import Health
from raysched.cluster.listing import JobQuery
from raysched.cluster.versions import is_newer, other_version
from raysched.config import ClusterSettings, Config
from raysched.errors import ClusterUnreachable, RayschedError

log = logging.getLogger(__name__)

Reads = Callable[[int, int], None]
"""Hears how many events of a journal have been read back, of how many."""

STATE_RESOURCE = "raysched_state"
"""Custom resource of the node that holds the state folder; the actor is pinned to it."""

READ_S = 600.0
"""While a journal is checked, or one of its copies made anew, nothing is told of it."""
LEAVE_POLL_S = 0.5
POLL_S = 0.1
CLOSE_WAIT_S = 60.0


def nobody(_: int, __: int) -> None:
    """Nobody hears it."""


def find_scheduler(namespace: str) -> Any | None:
    """Whoever has the scheduler's name there, dead ones that Ray starts again among them."""
    try:
        return ray.get_actor(ACTOR_NAME, namespace=namespace)
    except ValueError:
        return None


def ensure_scheduler(config: Config, *, keeps: bool, reads: Reads = nobody) -> str | None:
    """Make sure that a scheduler of this version lives and can work.

    ``keeps``: one of an older version is closed for it; returns that version. ``reads`` hears how
    far the journal has been read back, as long as it is. Raises ``ClusterUnreachable``,
    ``OtherVersion``, and what keeps the scheduler from working.
    """
    handle, replaced = _actor(config), None
    health = heard(handle, config, reads)
    if health.version != __version__:
        if not keeps or not is_newer(__version__, health.version):
            raise other_version(health.version)
        replaced = health.version
    if replaced or health.closing:  # whoever closed it did not come to remove it
        close_scheduler(config)
        handle = _actor(config)
        health = heard(handle, config, reads)
    if health.trouble is not None:
        _raise_trouble(handle)
    return replaced


def close_service(config: Config) -> dict[str, bool]:
    """Close the scheduler on the cluster at hand in order, and remove it and its lanes; what of
    these was there."""
    is_there = find_scheduler(config.cluster.namespace) is not None
    if is_there:
        close_scheduler(config)
    return {"scheduler": is_there, "lanes": bool(remove_lanes())}


def close_scheduler(config: Config) -> None:
    """Close a scheduler in order and remove it, with its lanes, whose processes hold its code. One
    that does not close is killed: what it has acknowledged is in the journal."""
    handle = find_scheduler(config.cluster.namespace)
    if handle is None:
        return
    try:
        ray.get(handle.close.remote(), timeout=CLOSE_WAIT_S)
    except (GetTimeoutError, RayError) as error:
        log.warning("The scheduler did not close in order: %r", error)
    ray.kill(handle, no_restart=True)
    deadline = time.monotonic() + CLOSE_WAIT_S
    while find_scheduler(config.cluster.namespace) is not None and time.monotonic() < deadline:
        time.sleep(POLL_S)
    remove_lanes()


def leave_scheduler(config: Config) -> None:
    """Close the scheduler once nobody else watches a job on this cluster."""
    handle = find_scheduler(config.cluster.namespace)
    if handle is None:
        return
    try:
        while _watchers(handle) > 0:
            time.sleep(LEAVE_POLL_S)
        ray.get(handle.close.remote(), timeout=CLOSE_WAIT_S)
    except RayError as error:
        log.debug("The scheduler was gone already: %r", error)


def heard(
    handle: Any, config: Config, reads: Reads = nobody, *, patience_s: float = READ_S
) -> Health:
    """What a scheduler says once it has started, or is to end. What another version says may have
    other fields: only its version is looked at. Raises ``ClusterUnreachable``, also where it has
    not got on with its journal for ``patience_s``."""
    replayed, moved_at = -1, time.monotonic()
    while True:
        try:
            health: Health = ray.get(handle.health.remote(), timeout=config.cluster.start_timeout_s)
        except (GetTimeoutError, RayError) as error:
            raise ClusterUnreachable(
                f"The scheduler actor did not start ({type(error).__name__}).",
                remedy="Look at its log in the Ray dashboard, or on its node in the folder "
                "session_latest/logs of Ray's, /tmp/ray or, of a command alone, /tmp/ray-alone.",
            ) from error
        if health.version != __version__:
            return health
        if health.ready or health.closing or health.trouble is not None:
            return health
        if health.events_replayed > replayed:  # a long journal takes its time
            replayed, moved_at = health.events_replayed, time.monotonic()
            reads(replayed, health.events)
        elif time.monotonic() - moved_at > patience_s:
            raise ClusterUnreachable(
                f"The scheduler has not got on with its journal for {patience_s:.0f} s: "
                f"{replayed} of {health.events} events have been read.",
                remedy="Look at the disk of the state folder, and at `raysched doctor`.",
            )
        else:
            time.sleep(POLL_S)


def _raise_trouble(handle: Any) -> None:
    """Let the scheduler say itself what keeps it from working."""
    try:
        ray.get(handle.jobs.remote("", JobQuery(), None, 1))
    except RayTaskError as error:
        if isinstance(error.cause, RayschedError):
            raise error.cause from None
        raise


def _actor(config: Config) -> Any:
    options: dict[str, Any] = {
        "name": ACTOR_NAME,
        "namespace": config.cluster.namespace,
        "lifetime": "detached",
        "get_if_exists": True,
        "max_restarts": -1,
        "max_task_retries": 0,
        "max_concurrency": _calls_at_once(config.cluster),
        "num_cpus": 0,
    }
    if STATE_RESOURCE in ray.cluster_resources():
        options["resources"] = {STATE_RESOURCE: 0.001}
    else:
        here = ray.get_runtime_context().get_node_id()
        options["scheduling_strategy"] = NodeAffinitySchedulingStrategy(here, soft=False)
    return ray.remote(SchedulerActor).options(**options).remote(config)


def _calls_at_once(settings: ClusterSettings) -> int:
    """Room for all that may wait in the actor, watchers and changes, and as many calls again as
    there are changes: a read finds a place however many write."""
    return settings.max_watchers + 2 * settings.max_waiting_events


def _watchers(handle: Any) -> int:
    health: Health = ray.get(handle.health.remote(), timeout=10)
    return health.watchers
