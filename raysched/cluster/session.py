"""Being connected: join or start Ray, with the scheduler actor on it.

A process that starts Ray for a state folder writes the address into ``cluster.json`` there, so
that others who use the same folder join it instead of fighting over the journal. The owner does
not leave while others watch jobs on its cluster. Where ``raysched up`` keeps a service up, nobody
else starts a cluster for its folder, also not while it is being started again.
"""

from __future__ import annotations

import fcntl
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import ray
from ray._common.utils import get_default_system_temp_dir
from ray.exceptions import AuthenticationError, RayError

from raysched.cluster import processes
from raysched.cluster.gateway import Gateway
from raysched.cluster.record import (
    CLUSTER,
    ClusterRecord,
    being_started,
    cluster_of,
    keeper_of,
    made_usable,
)
from raysched.cluster.scheduler_actor import (
    STATE_RESOURCE,
    Reads,
    ensure_scheduler,
    leave_scheduler,
    nobody,
)
from raysched.config import Config
from raysched.errors import ClusterRefused, ClusterUnreachable

log = logging.getLogger(__name__)

OBJECT_STORE_BYTES = 200 * 1024**2  # receipts only pass through it
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
    replaced: str | None = None


@contextmanager
def connect(config: Config, *, keeps: bool = False, reads: Reads = nobody) -> Iterator[Session]:
    """Join the cluster at ``config.cluster.address``, else the one that this state folder's live
    service or run uses, else start one on this machine; make sure that the scheduler actor lives.

    ``keeps``: for ``raysched up``, which starts a cluster with a dashboard, and takes the work of
    an older version over. ``reads``: as in ``ensure_scheduler``. Raises ``ClusterUnreachable``,
    ``OtherVersion``, and what kept the scheduler from starting (``StateLocked``, ``StorageFull``,
    ``JournalDamaged``).
    """
    record = config.state / CLUSTER
    with _only_one(config.state / "cluster.lock"):
        session = _join(config) or _start(config, record, keeps=keeps)
        of_service = keeps or not session.owned
        try:
            replaced = ensure_scheduler(_spared(config, of_service), keeps=keeps, reads=reads)
            session = replace(session, replaced=replaced)
        except BaseException:
            _shut_down(record, owned=session.owned)
            raise
    try:
        yield session
    finally:
        if session.owned:
            leave_scheduler(config)
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


@contextmanager
def _only_one(path: Path) -> Iterator[None]:
    """One process at a time decides whether to join or to start."""
    with made_usable(path.parent):
        file = path.open("w")
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
        ray.init(
            address=address,
            namespace=config.cluster.namespace,
            ignore_reinit_error=True,
            log_to_driver=False,
            logging_level=logging.WARNING,
        )
    except (ConnectionError, ValueError, RuntimeError, RayError) as error:
        if _wants_a_token(error):
            raise ClusterRefused(
                f"The Ray cluster at {address!r} lets nobody in without its token.",
                remedy="Set RAY_AUTH_MODE=token, and put the token into ~/.ray/auth_token: "
                "`ray get-auth-token` prints it on the head.",
            ) from error
        if config.cluster.address is None:
            return None
        raise ClusterUnreachable(
            f"No Ray cluster answers at {address!r}.",
            remedy="Check --address, RAY_ADDRESS and RAY_AUTH_MODE, or start one here without.",
        ) from error
    return Session(Gateway(config.cluster.namespace), address or "", owned=False)


def _wants_a_token(error: BaseException | None) -> bool:
    """Whether Ray was not let in, or had no token to try; it says so somewhere in its errors."""
    while error is not None:
        if isinstance(error, AuthenticationError) or AuthenticationError.__name__ in str(error):
            return True
        error = error.__cause__
    return False


def _start(config: Config, record: Path, *, keeps: bool) -> Session:
    if not keeps and (keeper := keeper_of(config.state)):
        raise being_started(keeper)
    ray.init(
        address="local",
        namespace=config.cluster.namespace,
        include_dashboard=keeps,
        _temp_dir=None if keeps else _lone_folder(),
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
    return Session(Gateway(config.cluster.namespace), address, owned=True)


def _lone_folder() -> str:
    """Where Ray of a command that works alone keeps its files: not where a service's does. Ray
    remembers there which cluster of a machine is the newest, and takes that for the one of its
    jobs."""
    return str(Path(get_default_system_temp_dir(), "ray-alone"))


def _spared(config: Config, of_service: bool) -> Config:
    """With a spare process where a service is, unless the settings say otherwise: who runs a job
    alone has better use for its CPU time and memory."""
    if config.cluster.spare_process is not None:
        return config
    cluster = config.cluster.model_copy(update={"spare_process": of_service})
    return config.model_copy(update={"cluster": cluster})


def _shut_down(record: Path, *, owned: bool) -> None:
    if owned:
        record.unlink(missing_ok=True)
    ray.shutdown()
