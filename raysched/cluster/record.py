"""Who serves a state folder, and where the cluster is that was started for it. Knows no Ray.

``up.lock`` is locked by ``raysched up`` for as long as it lives, however it ends; what is written
in it says who that is, and which session its service runs in. ``cluster.json`` names the cluster
that a process has started for the folder. Both may be left by who is dead, and are read so.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final, Self

import psutil
from pydantic import BaseModel, ConfigDict, NonNegativeInt, PositiveInt, ValidationError

from raysched.cluster import processes
from raysched.errors import ClusterUnreachable, StorageFailed

LOCK: Final = "up.lock"
CLUSTER: Final = "cluster.json"
LOCK_BYTES: Final = 4096
PROBED_S: Final = 1.0
"""Who only looks whether the lock is held holds it for a moment."""


@contextlib.contextmanager
def made_usable(state: Path) -> Iterator[None]:
    """The state folder, there for a lock to be opened in it. Raises ``StorageFailed``."""
    try:
        state.mkdir(parents=True, exist_ok=True)
        yield
    except OSError as error:
        raise StorageFailed(
            f"The state folder {state} cannot be used: {error.strerror}.",
            remedy="Point RAYSCHED_STATE at a folder that you may write to.",
        ) from error


class Keeper(BaseModel):
    """A ``raysched up``. ``session``: the process of its service, which leads a session;
    ``cluster``: it serves one of others. Marks are those of ``processes.mark``."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    pid: PositiveInt
    version: str
    mark: str = ""
    cluster: str | None = None
    session: NonNegativeInt = 0
    session_mark: str = ""
    url: str | None = None

    @property
    def is_here(self) -> bool:
        """Whether it is a process that can be seen from here: not one of another machine or
        container that shares the state folder, where its number may be another's."""
        return processes.is_alive(self.pid, self.mark)

    def left(self) -> list[psutil.Process]:
        """The processes of its service's session."""
        return processes.of_session(self.session, self.session_mark) if self.session else []


class ClusterRecord(BaseModel):
    """The cluster of a state folder: its GCS, and the process that owns it, with its mark."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    address: str
    pid: PositiveInt
    mark: str = ""

    @property
    def is_live(self) -> bool:
        """Whether its owner still lives."""
        return processes.is_alive(self.pid, self.mark)


class UpLock:
    """Held from ``take`` until ``release`` or the end of the process."""

    def __init__(self, file: int) -> None:
        self._file = file

    @classmethod
    def take(cls, state: Path) -> Self | None:
        """The lock, or None while another holds it. Raises ``StorageFailed``."""
        with made_usable(state):
            file = os.open(state / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        deadline = time.monotonic() + PROBED_S
        try:
            while not _locked(file, fcntl.LOCK_EX):
                if time.monotonic() > deadline:
                    os.close(file)
                    return None
                time.sleep(PROBED_S / 20)
        except OSError as error:
            os.close(file)
            raise StorageFailed(
                f"The state folder {state} cannot be locked: {error.strerror}.",
                remedy="Point RAYSCHED_STATE at a folder on a disk with file locks.",
            ) from error
        return cls(file)

    def tell(self, keeper: Keeper | None) -> None:
        """Say who holds it; None: nobody, and nothing of theirs is left. A disk that takes nothing
        keeps nobody from serving: what it has is written over, always at the same length."""
        said = keeper.model_dump_json().encode() if keeper is not None else b""
        with contextlib.suppress(OSError):
            os.pwrite(self._file, said.ljust(LOCK_BYTES), 0)

    def release(self) -> None:
        """Let the next one in."""
        os.close(self._file)


def keeper_of(state: Path) -> Keeper | None:
    """The ``raysched up`` that serves a state folder now."""
    try:
        with (state / LOCK).open(encoding="utf-8") as file:
            if _locked(file.fileno(), fcntl.LOCK_SH):
                return None
    except OSError:
        return None
    return last_keeper(state)


def last_keeper(state: Path) -> Keeper | None:
    """Who has served it last, unless it has left in order."""
    try:
        return Keeper.model_validate_json((state / LOCK).read_bytes())
    except (OSError, ValidationError):
        return None


def cluster_of(state: Path) -> ClusterRecord | None:
    """The cluster that was started for a state folder, also when its owner is dead."""
    try:
        return ClusterRecord.model_validate_json((state / CLUSTER).read_bytes())
    except (OSError, ValidationError):
        return None


def being_started(keeper: Keeper) -> ClusterUnreachable:
    """There is a ``raysched up``, but no cluster of its own yet, or again, or none to be seen."""
    if keeper.cluster is not None:
        return ClusterUnreachable(
            f"`raysched up` (process {keeper.pid}) serves this state folder on the cluster "
            f"{keeper.cluster}.",
            remedy=f"Name it: --address {keeper.cluster}, or RAY_ADDRESS.",
        )
    if not keeper.is_here:
        return ClusterUnreachable(
            f"`raysched up` (process {keeper.pid}) serves this state folder from another machine "
            "or container.",
            remedy="Run the command there, or use the service over HTTP.",
        )
    return ClusterUnreachable(
        f"The service is being started (`raysched up`, process {keeper.pid}).",
        remedy="Ask again in a moment; nothing is lost.",
    )


def left_behind(state: Path) -> list[psutil.Process]:
    """Processes of a service whose ``raysched up`` is dead."""
    keeper = last_keeper(state)
    if keeper is None or keeper_of(state) is not None:
        return []
    return keeper.left()


def _locked(file: int, how: int) -> bool:
    try:
        fcntl.flock(file, how | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
