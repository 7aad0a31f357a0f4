"""How many CPUs a process may use: the least of what anybody says."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from raysched.imaging import processors
from raysched.imaging.processors import give, usable_cpus


@pytest.fixture(autouse=True)
def nothing_is_given() -> Iterator[None]:
    before = list(processors._given)
    processors._given.clear()
    yield
    processors._given[:] = before


def cgroup(root: Path, name: str, limit: str) -> None:
    folder = root / name
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "cpu.max").write_text(limit)


def test_without_limits_it_is_what_the_process_may_run_on(tmp_path: Path) -> None:
    here = len(os.sched_getaffinity(0))
    assert usable_cpus(tmp_path, tmp_path / "nothing") == here
    (tmp_path / "own").write_text("0::/pod\n")
    cgroup(tmp_path, "pod", "max 100000")
    assert usable_cpus(tmp_path, tmp_path / "own") == here


def test_a_lane_s_cpus_and_the_affinity_of_the_process_bound_it(tmp_path: Path) -> None:
    allowed = os.sched_getaffinity(0)
    give(1)
    assert usable_cpus(tmp_path, tmp_path / "nothing") == 1
    give(10_000)
    assert usable_cpus(tmp_path, tmp_path / "nothing") == len(allowed)
    os.sched_setaffinity(0, {min(allowed)})
    try:
        assert usable_cpus(tmp_path, tmp_path / "nothing") == 1
    finally:
        os.sched_setaffinity(0, allowed)


@pytest.mark.parametrize(
    ("limits", "cpus"),
    [
        ({"": "100000 100000"}, 1),
        ({"pod": "50000 100000"}, 1),
        ({"pod": "max 100000", "pod/box": "99000 100000"}, 1),
        ({"other": "100000 100000"}, None),
        ({"pod": "nonsense"}, None),
    ],
)
def test_the_quota_of_the_cgroup_or_of_one_around_it_bounds_it(
    tmp_path: Path, limits: dict[str, str], cpus: int | None
) -> None:
    if len(os.sched_getaffinity(0)) == 1:
        pytest.skip("one CPU here: nothing could bound it further")
    own = tmp_path / "own"
    own.write_text("0::/pod/box\n")
    for name, limit in limits.items():
        cgroup(tmp_path / "fs", name, limit)
    assert usable_cpus(tmp_path / "fs", own) == (cpus or len(os.sched_getaffinity(0)))
