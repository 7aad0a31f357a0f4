"""Every limit and tunable of the scheduling rules, on one frozen value."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import isfinite

_MAY_BE_NONE = ("max_retries", "max_losses_per_unit", "max_done_work_per_user")


@dataclass(frozen=True, slots=True)
class Limits:
    """Scheduling rules' numbers. Times in seconds."""

    max_running_jobs: int = 4
    max_active_users: int = 3
    max_jobs_per_user: int = 50
    max_jobs_per_workflow: int = 10_000
    max_ended_jobs_per_user: int = 200
    max_done_work_per_user: int = 1000
    max_retries: int = 2
    max_losses_per_unit: int = 5
    retry_backoff_s: float = 2.0
    retry_backoff_max_s: float = 300.0
    slot_tenure_s: float = 600.0
    first_tile_estimate_s: float = 0.5

    def faults(self) -> Iterator[str]:
        """What is wrong with the numbers, in words: with such limits nothing would run, or a cost
        would be no number. Checked where limits are made, not where a journal gives them back."""
        for name in self.__slots__:
            value = getattr(self, name)
            least = 0 if name in _MAY_BE_NONE else 1
            if isinstance(value, int) and name.startswith("max_") and value < least:
                yield f"{name}: must be at least {least}, not {value}"
            if not isfinite(value) or value < 0:
                yield f"{name}: must be a number of at least 0, not {value}"
        if not self.first_tile_estimate_s > 0:
            yield f"first_tile_estimate_s: must be above 0, not {self.first_tile_estimate_s}"
