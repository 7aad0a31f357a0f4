"""Settings that would keep the scheduler from working are refused before they are in force."""

from __future__ import annotations

import pytest

from raysched.config import load_config
from raysched.core.limits import Limits
from raysched.errors import InvalidSetting


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("first_tile_estimate_s", "nan"),
        ("first_tile_estimate_s", "inf"),
        ("first_tile_estimate_s", "0"),
        ("max_running_jobs", "0"),
        ("max_active_users", "0"),
        ("max_jobs_per_user", "-1"),
        ("max_retries", "-1"),
        ("slot_tenure_s", "inf"),
        ("retry_backoff_s", "-2"),
        ("retry_backoff_max_s", "nan"),
    ],
)
def test_limits_that_nothing_could_run_under_are_refused_by_name(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(f"RAYSCHED_SCHEDULING__{name.upper()}", value)
    with pytest.raises(InvalidSetting, match=name):
        load_config()


def test_the_strictest_limits_that_make_sense_are_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    none = dict.fromkeys(("max_retries", "max_losses_per_unit", "max_done_work_per_user"), 0)
    strict = {**none, "slot_tenure_s": 0.0}
    for name, value in strict.items():
        monkeypatch.setenv(f"RAYSCHED_SCHEDULING__{name.upper()}", str(value))
    assert load_config().scheduling == Limits(**strict)  # type: ignore[arg-type]
