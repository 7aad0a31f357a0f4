"""Whether the cluster still answers the process that serves it, and why not.

The head's processes of a cluster of ours are looked at as processes: the driver itself would hear
of a dead GCS only after a minute. Whatever hangs instead of ending is told by the beats, which
come only while everything answers.
"""

from __future__ import annotations

import contextlib
import http.client
import threading
import time
import urllib.error
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import psutil
import ray
from ray.exceptions import RayError

from raysched.cluster import processes
from raysched.cluster.nearby import ask_nearby
from raysched.cluster.scheduler_actor import find_scheduler
from raysched.cluster.session import Session

LOOK_S = 0.5
ASK_S = 2.0
HTTP_WAIT_S = 10.0
HTTP_SILENT_S = 120.0
"""Serve starts its own processes again; where it does not, everything is started again."""
MISSED = 3
"""Looks in which the scheduler has no name before it counts as closed."""


@dataclass(frozen=True, slots=True)
class Watched:
    """What is looked at: where HTTP answers, and who hears of it. ``beat``: all is well;
    ``broken``: it does not come back by itself, and why; ``closed``: somebody else has closed or
    replaced the scheduler."""

    url: str
    beat: Callable[[], None]
    broken: Callable[[str], None]
    closed: Callable[[], None]


class Pulse:
    """Looks until the process ends, in a thread of its own."""

    def __init__(self, session: Session, namespace: str, watched: Watched) -> None:
        self._owned = session.owned
        self._namespace = namespace
        self._watched = watched
        self._head = _head() if session.owned else {}
        self._node = ray.get_runtime_context().get_node_id()
        self._scheduler = self._scheduler_id()
        self._missed = 0
        self._http_at = self._asked_at = time.monotonic()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._keep, name="pulse", daemon=True)

    def start(self) -> None:
        """Begin to look."""
        self._thread.start()

    def stop(self) -> None:
        """Look no more: what ends from here on is meant to."""
        self._stop.set()

    def _keep(self) -> None:
        while not self._stop.wait(LOOK_S):
            why = self._ended_process() or self._silence()
            if why and not self._stop.is_set():
                self._watched.broken(why)
                return
            if self._is_closed and not self._stop.is_set():
                if self._owned:
                    self._watched.broken("the scheduler was killed for good")
                else:
                    self._watched.closed()
                return

    @property
    def _is_closed(self) -> bool:
        return self._missed >= MISSED

    def _ended_process(self) -> str | None:
        for process, name in self._head.items():
            if not processes.runs(process):
                return f"Ray's {name} (process {process.pid}) has ended"
        return None

    def _silence(self) -> str | None:
        """Ask everybody; who hangs here gives no beat, and that is noticed by who waits for it."""
        now = time.monotonic()
        if now < self._asked_at + ASK_S:
            return None
        self._asked_at = now
        try:
            if self._node not in {node["NodeID"] for node in ray.nodes() if node["Alive"]}:
                return None  # no beat: a head that was started anew knows no scheduler, either
            self._note_scheduler()
        except (RayError, ConnectionError, RuntimeError, ValueError):
            return None  # no beat
        if _answers(f"{self._watched.url}/healthz"):
            self._http_at = time.monotonic()
        elif time.monotonic() > self._http_at + HTTP_SILENT_S:
            return f"HTTP has not answered for {HTTP_SILENT_S:g} s"
        self._watched.beat()
        return None

    def _note_scheduler(self) -> None:
        is_same = self._scheduler_id() == self._scheduler
        self._missed = 0 if is_same else self._missed + 1

    def _scheduler_id(self) -> str | None:
        handle = find_scheduler(self._namespace)
        return str(handle._actor_id.hex()) if handle is not None else None


def _head() -> dict[psutil.Process, str]:
    """The processes of Ray that this one has started, and what they are called."""
    found = {}
    for process in processes.children():
        with contextlib.suppress(psutil.Error):
            words = process.cmdline()
            if any("/ray/" in word for word in words):
                scripts = [Path(word).stem for word in words if word.endswith(".py")]
                found[process] = scripts[0] if scripts else process.name()
    return found


def _answers(url: str) -> bool:
    try:
        with ask_nearby(url, HTTP_WAIT_S) as response:
            return bool(response.status == http.client.OK)
    except urllib.error.HTTPError:
        return True
    except (OSError, http.client.HTTPException):
        return False
