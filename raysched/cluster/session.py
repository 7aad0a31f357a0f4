"""Being connected: join or start Ray, find or start the scheduler actor.

A process that starts Ray for a state folder writes the address into ``cluster.json`` there, so
that others who use the same folder join it instead of fighting over the journal. The owner does
not leave while others watch jobs on its cluster. Where ``raysched up`` keeps a service up, nobody
else starts a cluster for its folder, also not while it is being started again.
"""

from __future__ import annotations

import fcntl
import logging
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import ray
from ray.exceptions import GetTimeoutError, RayError, RayTaskError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from raysched import __version__
from raysched.cluster import processes
from raysched.cluster.actor import SchedulerActor
from raysched.cluster.gateway import ACTOR_NAME, Gateway
from raysched.cluster.health import Health
from raysched.cluster.lanes import remove_lanes
from raysched.cluster.listing import JobQuery
from raysched.cluster.record import CLUSTER, ClusterRecord, being_started, cluster_of, keeper_of
from raysched.cluster.versions import is_newer, other_version
from raysched.config import ClusterSettings, Config
from raysched.errors import ClusterUnreachable, RayschedError, StorageFailed

log = logging.getLogger(__name__)

STATE_RESOURCE = "raysched_state"
"""Custom resource of the node that holds the state folder; the actor is pinned to it."""

OBJECT_STORE_BYTES = 200 * 1024**2  # receipts only pass through it
LEAVE_POLL_S = 0.5
CLOSE_WAIT_S = 60.0
KEEP_IDLE_MS = 3_600_000
"""Ray would end a lane's process after a second without work, and the next job would wait seconds
for a new one. `ray start` takes it from RAY_idle_worker_killing_time_threshold_ms."""


@dataclass(frozen=True, slots=True)
class Session:
    """A live connection. ``owned``: this process started Ray and Ray ends with it; ``replaced``:
    the older version whose scheduler was closed for it."""

    gateway: Gateway
    address: str
    owned: bool
    dashboard_url: str | None
    replaced: str | None = None


@contextmanager
def connect(config: Config, *, keeps: bool = False) -> Iterator[Session]:
    """Join the cluster at ``config.cluster.address``, else the one that this state folder's live
    service or run uses, else start one on this machine; make sure that the scheduler actor lives.

    ``keeps``: for ``raysched up``, which starts a cluster with a dashboard, and takes the work of
    an older version over. Raises ``ClusterUnreachable``, ``OtherVersion``, and what kept the
    scheduler from starting (``StateLocked``, ``StorageFull``, ``JournalDamaged``).
    """
    record = config.state / CLUSTER
    with _only_one(config.state / "cluster.lock"):
        session = _join(config) or _start(config, record, keeps=keeps)
        try:
            session = replace(session, replaced=_ensure_actor(config, keeps=keeps))
        except BaseException:
            _shut_down(record, owned=session.owned)
            raise
    try:
        yield session
    finally:
        if session.owned:
            _leave(config)
        _shut_down(record, owned=session.owned)


@contextmanager
def joined(config: Config) -> Iterator[None]:
    """As ``join``, for a while."""
    join(config)
    try:
        yield
    finally:
        ray.shutdown()


def join(config: Config) -> None:
    """Join the cluster that the settings name, or that was started for the state folder, without
    starting a scheduler. Raises ``ClusterUnreachable``."""
    if _join(config) is None:
        raise ClusterUnreachable(
            f"No cluster of the state folder {config.state} answers.",
            remedy="Start the service with `raysched up`, or name its cluster with --address.",
        )


def close_service(config: Config) -> dict[str, bool]:
    """Close the scheduler on the cluster at hand in order, and remove it and its lanes; what of
    these was there."""
    is_there = is_scheduler_there(config)
    if is_there:
        _close_scheduler(config)
    return {"scheduler": is_there, "lanes": bool(remove_lanes())}


@contextmanager
def _only_one(path: Path) -> Iterator[None]:
    """One process at a time decides whether to join or to start."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.open("w")
    except OSError as error:
        raise StorageFailed(
            f"The state folder {path.parent} cannot be used: {error.strerror}.",
            remedy="Point RAYSCHED_STATE at a folder that you may write to.",
        ) from error
    with file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _join(config: Config) -> Session | None:
    address = config.cluster.address
    if address is None and not ray.is_initialized():
        found = cluster_of(config.state)
        if found is None or not found.is_live:
            return None
        address = found.address
    try:
        context = ray.init(
            address=address,
            namespace=config.cluster.namespace,
            ignore_reinit_error=True,
            log_to_driver=False,
            logging_level=logging.WARNING,
        )
    except (ConnectionError, ValueError, RuntimeError, RayError) as error:
        if config.cluster.address is None:
            return None
        raise ClusterUnreachable(
            f"No Ray cluster answers at {address!r}.",
            remedy="Check --address, RAY_ADDRESS and RAY_AUTH_MODE, or start one here without.",
        ) from error
    url = context.dashboard_url or None
    return Session(Gateway(config.cluster.namespace), address or "", owned=False, dashboard_url=url)


def _start(config: Config, record: Path, *, keeps: bool) -> Session:
    if not keeps and (keeper := keeper_of(config.state)):
        raise being_started(keeper)
    context = ray.init(
        address="local",
        namespace=config.cluster.namespace,
        include_dashboard=keeps,
        resources={STATE_RESOURCE: 1},
        object_store_memory=OBJECT_STORE_BYTES,
        _system_config={
            "idle_worker_killing_time_threshold_ms": KEEP_IDLE_MS,
            "worker_niceness": 0,  # lanes give way by themselves, the service does not
        },
        log_to_driver=False,
        logging_level=logging.WARNING,
    )
    address = str(ray.get_runtime_context().gcs_address)
    owner = os.getpid()
    said = ClusterRecord(address=address, pid=owner, mark=processes.mark(owner))
    record.write_text(said.model_dump_json())
    url = context.dashboard_url or None
    return Session(Gateway(config.cluster.namespace), address, owned=True, dashboard_url=url)


def _ensure_actor(config: Config, *, keeps: bool) -> str | None:
    """Returns the older version that was closed for this one."""
    handle, replaced = _actor(config), None
    health = _heard(handle, config)
    if health.version != __version__:
        if not keeps or not is_newer(__version__, health.version):
            raise other_version(health.version)
        replaced = health.version
        _close_scheduler(config)
        handle = _actor(config)
        health = _heard(handle, config)
    if health.trouble is not None:
        _raise_trouble(handle)
    return replaced


def _heard(handle: Any, config: Config) -> Health:
    """What a scheduler says once it has started. What another version says may have other fields:
    only its version is looked at."""
    replayed = -1
    while True:
        try:
            health: Health = ray.get(handle.health.remote(), timeout=config.cluster.start_timeout_s)
        except (GetTimeoutError, RayError) as error:
            raise ClusterUnreachable(
                f"The scheduler actor did not start ({type(error).__name__}).",
                remedy="Look at its log in the Ray dashboard, or under "
                "/tmp/ray/session_latest/logs.",
            ) from error
        if health.version != __version__:
            return health
        if health.ready or health.trouble is not None or health.events_replayed <= replayed:
            return health
        replayed = health.events_replayed  # a long journal takes its time: wait while it moves on


def _close_scheduler(config: Config) -> None:
    """Close a scheduler in order and remove it, with its lanes, whose processes hold its code. One
    that does not close is killed: what it has acknowledged is in the journal."""
    try:
        handle = ray.get_actor(ACTOR_NAME, namespace=config.cluster.namespace)
        ray.get(handle.close.remote(), timeout=CLOSE_WAIT_S)
    except ValueError:
        return
    except (GetTimeoutError, RayError) as error:
        log.warning("The scheduler did not close in order: %r", error)
    ray.kill(handle, no_restart=True)
    deadline = time.monotonic() + CLOSE_WAIT_S
    while is_scheduler_there(config) and time.monotonic() < deadline:
        time.sleep(LEAVE_POLL_S / 5)
    remove_lanes()


def is_scheduler_there(config: Config) -> bool:
    """Whether a scheduler has the name, dead ones that Ray starts again among them."""
    try:
        ray.get_actor(ACTOR_NAME, namespace=config.cluster.namespace)
    except ValueError:
        return False
    return True


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


def _leave(config: Config) -> None:
    """Close the scheduler once nobody else watches a job on this cluster."""
    try:
        handle = ray.get_actor(ACTOR_NAME, namespace=config.cluster.namespace)
        while _watchers(handle) > 0:
            time.sleep(LEAVE_POLL_S)
        ray.get(handle.close.remote(), timeout=CLOSE_WAIT_S)
    except (ValueError, RayError) as error:
        log.debug("The scheduler was gone already: %r", error)


def _watchers(handle: Any) -> int:
    health: Health = ray.get(handle.health.remote(), timeout=10)
    return health.watchers


def _shut_down(record: Path, *, owned: bool) -> None:
    if owned:
        record.unlink(missing_ok=True)
    ray.shutdown()
