"""Processes of the service: found whatever became of their parents, and ended without leftovers.

``raysched up`` runs the service in a session of its own, which all that it starts belongs to. What
leaves that session stays below the keeper, which adopts orphans where the system lets it (Linux).
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import sys
from collections.abc import Callable, Iterable

import psutil

PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36
END_WAIT_S = 10.0
ENDED = (psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD)
SAME_START_S = 0.05
"""The system says when a process began in hundredths of a second."""


def adopt_orphans() -> None:
    """Become the parent of whatever loses its own below this process. Linux alone can do it."""
    _prctl(PR_SET_CHILD_SUBREAPER, 1)


def end_with(parent: int) -> None:
    """Have this process killed when its parent ends, however that ends. Linux alone can do it."""
    _prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it ended before the line above
        os._exit(1)


def began(pid: int) -> float:
    """When a process began, in seconds since the epoch; 0 where there is none."""
    try:
        return float(psutil.Process(pid).create_time())
    except psutil.Error:
        return 0.0


def is_alive(pid: int, began_at: float | None = None) -> bool:
    """Whether a process is there that has not ended, and is the one that began then."""
    try:
        process = psutil.Process(pid)
        is_same = began_at is None or abs(process.create_time() - began_at) <= SAME_START_S
        return is_same and process.status() not in ENDED
    except psutil.Error:
        return False


def below(pid: int) -> list[psutil.Process]:
    """All descendants of a process that have not ended."""
    try:
        return [each for each in psutil.Process(pid).children(recursive=True) if runs(each)]
    except psutil.Error:
        return []


def children() -> list[psutil.Process]:
    """What this process has started itself and runs."""
    return [each for each in psutil.Process().children() if runs(each)]


def of_session(leader: int, began_at: float) -> list[psutil.Process]:
    """The processes of a session, also when its leader is gone. None if the number of the leader
    has become another process's."""
    if began_at <= psutil.boot_time() or (psutil.pid_exists(leader) and not _is(leader, began_at)):
        return []
    return [each for each in psutil.process_iter() if _session(each.pid) == leader and runs(each)]


def end_all(found: Callable[[], Iterable[psutil.Process]]) -> int:
    """Kill what is found, and what is found then, until nothing is; how many that were."""
    ended: set[int] = set()
    for _ in range(20):
        there = list(found())
        if not there:
            break
        for process in there:
            ended.add(process.pid)
            with contextlib.suppress(psutil.Error):
                process.kill()
        _, there = psutil.wait_procs(there, timeout=END_WAIT_S / 20)
    return len(ended)


def reap(*, but: int = 0) -> None:
    """Let go of adopted orphans that have ended; ``but``: a child whose end somebody waits for."""
    with contextlib.suppress(psutil.Error):
        for process in psutil.Process().children():
            if process.pid != but and not runs(process):
                with contextlib.suppress(OSError):
                    os.waitpid(process.pid, os.WNOHANG)


def _is(pid: int, began_at: float) -> bool:
    return abs(began(pid) - began_at) <= SAME_START_S


def runs(process: psutil.Process) -> bool:
    """Whether a process has not ended."""
    try:
        return process.status() not in ENDED
    except psutil.Error:
        return False


def _session(pid: int) -> int:
    try:
        return os.getsid(pid)
    except OSError:
        return -1


def _prctl(option: int, value: int) -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(option, value, 0, 0, 0)
