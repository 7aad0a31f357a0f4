"""How many CPUs this process may use, whoever limits it.

A container's quota and a task's CPUs are not seen by ``os.cpu_count``; who starts one thread for
each CPU it counts there, starts too many in a lane, and all of them wait for each other.
"""

from __future__ import annotations

import math
import os
from pathlib import Path

CGROUPS = Path("/sys/fs/cgroup")
OWN_CGROUP = Path("/proc/self/cgroup")

_given: list[int] = []


def give(cpus: int) -> None:
    """Say how many CPUs the lane has that this process works in. Only the lane's task does."""
    _given[:] = [max(1, cpus)]


def usable_cpus(root: Path = CGROUPS, own: Path = OWN_CGROUP) -> int:
    """The least of what the lane has, the scheduler lets us run on, and the cgroup's quota; 1 or
    more. ``root`` and ``own``: where the kernel says it."""
    affine = getattr(os, "sched_getaffinity", None)  # Linux alone has it
    here = len(affine(0)) if affine is not None else os.cpu_count() or 1
    return max(1, min([here, *_given, *map(math.ceil, _quotas(root, own))]))


def _quotas(root: Path, own: Path) -> list[float]:
    """CPUs that this process's cgroup and each around it may use; where unlimited, none."""
    try:
        names = [line.split(":", 2)[2] for line in own.read_text().splitlines()]
    except (OSError, IndexError):
        return []
    found = []
    for folder in {root, *(root / name.lstrip("/") for name in names)}:
        for at in (folder, *folder.parents):
            if at != root and root not in at.parents:
                break
            found.append(_quota(at))
    return [quota for quota in found if quota is not None]


def _quota(folder: Path) -> float | None:
    """A cgroup's ``cpu.max``: microseconds of CPU, or "max", in a period of so many."""
    try:
        quota, period = (folder / "cpu.max").read_text().split()
        return int(quota) / int(period)
    except (OSError, ValueError):
        return None
