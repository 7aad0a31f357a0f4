"""Processes of the service: found whatever became of their parents, and ended without leftovers.

``raysched up`` runs the service in a session of its own, which all that it starts belongs to. What
leaves that session stays below the keeper, which adopts orphans where the system lets it (Linux).

Numbers of processes are used again, mean others in other containers and on other machines, and
the clock may be set: a process is known again by its mark.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import gc
import os
import platform
import signal
import sys
from collections.abc import Callable, Collection, Iterable
from pathlib import Path

import psutil

PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36
END_WAIT_S = 10.0
YOUNG = 50_000
ENDED = (psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD)


def adopt_orphans() -> None:
    """Become the parent of whatever loses its own below this process. Linux alone can do it."""
    _prctl(PR_SET_CHILD_SUBREAPER, 1)


def end_with(parent: int) -> None:
    """Have this process killed when its parent ends, however that ends. Linux alone can do it."""
    _prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it ended before the line above
        os._exit(1)


def end_with_raylet() -> None:
    """Have this process killed when its node's raylet ends. By itself one that is never idle would
    go on: a proxy answering for replicas that are gone, a scheduler holding the journal. Does
    nothing in a process that no raylet has started."""
    parent = os.getppid()
    with contextlib.suppress(psutil.Error):
        if psutil.Process(parent).name() == "raylet":
            end_with(parent)


def collect_seldom() -> None:
    """Have Python look for cycles once in fifty thousand new objects, not in 700: the scheduler has
    many thousand that wait, and looking at them took a sixth of its CPU time."""
    gc.set_threshold(YOUNG, *gc.get_threshold()[1:])


def mark(pid: int) -> str:
    """What tells a process from all others that had or will have its number, here, after a reboot
    and on other machines; empty where there is none. The clock may be set meanwhile."""
    try:
        if platform.system() == "Linux":
            ticks = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
            return f"{_boot()}/{ticks}"
        return f"{_boot()}/{psutil.Process(pid).create_time():.2f}"
    except (OSError, psutil.Error, ValueError):
        return ""


def is_alive(pid: int, marked: str = "") -> bool:
    """Whether a process is there that has not ended, and is the one of this mark."""
    try:
        is_same = not marked or mark(pid) == marked
        return is_same and psutil.Process(pid).status() not in ENDED
    except (psutil.Error, ValueError, OverflowError):
        return False


def below(pid: int, *, but: Collection[psutil.Process] = ()) -> list[psutil.Process]:
    """All descendants of a process that have not ended; ``but``: children that are left out, with
    all below them."""
    found: list[psutil.Process] = []
    with contextlib.suppress(psutil.Error):
        for child in psutil.Process(pid).children():
            if child not in but:
                found.append(child)
                with contextlib.suppress(psutil.Error):
                    found += child.children(recursive=True)
    return [each for each in found if runs(each)]


def children() -> list[psutil.Process]:
    """What this process has started itself and runs."""
    return [each for each in psutil.Process().children() if runs(each)]


def of_session(leader: int, marked: str) -> list[psutil.Process]:
    """The processes of a session, also when its leader is gone. None if the number of the leader
    has become another process's, or meant one of another machine or before a reboot."""
    is_of_here = marked.rpartition("/")[0] == _boot()
    if not is_of_here or (psutil.pid_exists(leader) and mark(leader) != marked):
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


@functools.cache
def _boot() -> str:
    """Which machine this is, since its last boot."""
    with contextlib.suppress(OSError):
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    return f"{platform.node()}-{psutil.boot_time():.0f}"


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
