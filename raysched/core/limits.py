"""Every limit and tunable of the scheduling rules, on one frozen value."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """Scheduling rules' numbers. Times in seconds."""

    max_running_jobs: int = 4
    max_active_users: int = 3
    max_jobs_per_user: int = 50
    max_jobs_per_workflow: int = 10_000
    max_ended_jobs_per_user: int = 200
    max_retries: int = 2
    max_losses_per_unit: int = 5
    retry_backoff_s: float = 2.0
    retry_backoff_max_s: float = 300.0
    slot_tenure_s: float = 600.0
    first_tile_estimate_s: float = 0.5
