"""The line of those who wait for a report."""

from __future__ import annotations

from contextlib import ExitStack

import pytest

from raysched.cluster.reports import MOST_WAITING, Reports
from raysched.errors import Busy


def test_who_finds_a_long_line_is_told_to_come_again_and_then_has_a_turn() -> None:
    reports = Reports()
    with ExitStack() as line:
        for _ in range(MOST_WAITING):
            line.enter_context(reports.turn())
        with pytest.raises(Busy, match="8 usage reports"), reports.turn():
            pytest.fail("there was no room")
    with reports.turn():
        pass
