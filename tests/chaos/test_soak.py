"""A short soak: users work while whatever can be killed without starting Ray anew is killed."""

from __future__ import annotations

from pathlib import Path

import pytest
from soak import Plan, soak, table

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(900)]


def test_random_kills_lose_nothing_and_leave_nothing_behind(tmp_path: Path) -> None:
    plan = Plan(kills=8, minutes=1.0, jobs=6, side_px=1600, seed=1, with_restarts=False)
    report = soak(plan, tmp_path, print)
    print(table(report))
    assert report.violations == []
    assert report.left_over == []
    assert set(report.states) <= {"succeeded", "cancelled", "skipped"}
    assert report.states["succeeded"] > 0
