"""How usage becomes a table: harmless in a spreadsheet, whatever a user is called."""

from __future__ import annotations

import csv
import io
from datetime import date

import pytest

from raysched.errors import InvalidSetting
from raysched.journal.usage import Usage, Wanted
from serve_app.report_models import UsageReport, wanted

DAY = date(2026, 1, 2)


def report(user: str) -> UsageReport:
    row = Usage(DAY, user, *range(1, 14), 1.0004, 2.0, 0.5, 0.25, 1.5, None, 4.0)
    return UsageReport.of(Wanted(DAY, DAY), [row])


def test_a_row_has_every_number_and_the_sum_of_the_stages() -> None:
    (row,) = csv.DictReader(io.StringIO(report("ann").as_csv()))
    assert row["day"] == "2026-01-02"
    assert (row["submitted"], row["runs_lost"], row["cells"]) == ("1", "13", "9")
    assert (row["plan_s"], row["lane_s"]) == ("1.0", "3.75")
    assert (row["wait_median_s"], row["wait_p90_s"]) == ("1.5", "")


@pytest.mark.parametrize("user", ["=1+1", "+1", "-1", "@SUM(A1)", "\tx", "\rx"])
def test_a_name_that_is_a_formula_is_text(user: str) -> None:
    (row,) = csv.DictReader(io.StringIO(report(user).as_csv(), newline=""))
    assert row["user"] == f"'{user}"


def test_an_ordinary_name_stays_as_it_is() -> None:
    (row,) = csv.DictReader(io.StringIO(report('a"b, c').as_csv()))
    assert row["user"] == 'a"b, c'


def test_thirty_days_until_today_are_meant_unless_said() -> None:
    usual = wanted(None, None, None)
    assert (usual.until - usual.since).days == 29
    assert wanted(DAY, DAY, "ann") == Wanted(DAY, DAY, "ann")
    with pytest.raises(InvalidSetting):
        wanted(date(2026, 1, 3), DAY, None)
    with pytest.raises(InvalidSetting):
        wanted(date(2025, 1, 1), DAY, None)
