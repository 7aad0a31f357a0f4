"""Who serves a state folder, and where the cluster is that was started for it. Knows no Ray.

``up.lock`` is locked by ``raysched up`` for as long as it lives, however it ends; what is written
in it says who that is, and which session its service runs in. ``cluster.json`` names the cluster
that a process has started for the folder. Both may be left by who is dead, and are read so.
"""

from __future__ import annotations

import fcntl
import time
from pathlib import Path
from typing import Final, Self, TextIO

import psutil
from pydantic import BaseModel, ConfigDict, ValidationError

from raysched.cluster import processes
from raysched.errors import ClusterUnreachable, StorageFailed

LOCK: Final = "up.lock"
CLUSTER: Final = "cluster.json"
PROBED_S: Final = 1.0
"""Who only looks whether the lock is held holds it for a moment."""


class Keeper(BaseModel):
    """A ``raysched up``. ``session``: the process of its service, which leads a session, and
    ``began``: when that began (s since the epoch); ``cluster``: it serves one of others."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    pid: int
    version: str
    cluster: str | None = None
    session: int = 0
    began: float = 0.0
    url: str | None = None


class ClusterRecord(BaseModel):
    """The cluster of a state folder: its GCS, and the process that owns it. ``began``: 0 where
    that is not known."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    address: str
    pid: int
    began: float = 0.0

    @property
    def is_live(self) -> bool:
        """Whether its owner still lives."""
        return processes.is_alive(self.pid, self.began or None)


class UpLock:
    """Held from ``take`` until ``release`` or the end of the process."""

    def __init__(self, file: TextIO) -> None:
        self._file = file

    @classmethod
    def take(cls, state: Path) -> Self | None:
        """The lock, or None while another holds it. Raises ``StorageFailed``."""
        try:
            state.mkdir(parents=True, exist_ok=True)
            file = (state / LOCK).open("a+", encoding="utf-8")
        except OSError as error:
            raise StorageFailed(
                f"The state folder {state} cannot be used: {error.strerror}.",
                remedy="Point RAYSCHED_STATE at a folder that you may write to.",
            ) from error
        deadline = time.monotonic() + PROBED_S
        while not _locked(file, fcntl.LOCK_EX):
            if time.monotonic() > deadline:
                file.close()
                return None
            time.sleep(PROBED_S / 20)
        return cls(file)

    def tell(self, keeper: Keeper | None) -> None:
        """Say who holds it; None: nobody, and nothing of theirs is left."""
        self._file.truncate(0)
        if keeper is not None:
            self._file.write(keeper.model_dump_json() + "\n")
        self._file.flush()

    def release(self) -> None:
        """Let the next one in."""
        self._file.close()


def keeper_of(state: Path) -> Keeper | None:
    """The ``raysched up`` that serves a state folder now."""
    try:
        with (state / LOCK).open(encoding="utf-8") as file:
            if _locked(file, fcntl.LOCK_SH):
                return None
    except OSError:
        return None
    return last_keeper(state)


def last_keeper(state: Path) -> Keeper | None:
    """Who has served it last, unless it has left in order."""
    try:
        return Keeper.model_validate_json((state / LOCK).read_text(encoding="utf-8"))
    except (OSError, ValidationError):
        return None


def cluster_of(state: Path) -> ClusterRecord | None:
    """The cluster that was started for a state folder, also when its owner is dead."""
    try:
        return ClusterRecord.model_validate_json((state / CLUSTER).read_bytes())
    except (OSError, ValidationError):
        return None


def being_started(keeper: Keeper) -> ClusterUnreachable:
    """There is a ``raysched up``, but no cluster of its own yet, or again."""
    return ClusterUnreachable(
        f"The service is being started (`raysched up`, process {keeper.pid}).",
        remedy="Ask again in a moment; nothing is lost.",
    )


def left_behind(state: Path) -> list[psutil.Process]:
    """Processes of a service whose ``raysched up`` is dead."""
    keeper = last_keeper(state)
    if keeper is None or not keeper.session or keeper_of(state) is not None:
        return []
    return processes.of_session(keeper.session, keeper.began)


def _locked(file: TextIO, how: int) -> bool:
    try:
        fcntl.flock(file, how | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
