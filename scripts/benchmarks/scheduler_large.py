"""The scheduler with a million jobs, and fifty seeds of twenty thousand; about half an hour."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

from driver import LANES
from figures import Figure
from scheduler import recoveries, simulation

from raysched.simulation import Scenario, Simulation

SEEDS = 50


def measure() -> Iterator[Figure]:
    """The figures that take long."""
    yield simulation(1_000_000, gate=120.0)
    with tempfile.TemporaryDirectory() as name:
        yield from recoveries(Path(name), {100_000: 5.0, 1_000_000: 20.0}, plainly=False)
    yield seeds()


def seeds() -> Figure:
    """Simulations of 20,000 jobs, each with other users, lanes, faults and crashes."""
    seconds = 0.0
    for seed in range(SEEDS):
        scenario = Scenario(
            seed=seed,
            jobs=20_000,
            users=2 + seed % 29,
            lanes=1 + seed % LANES,
            running=1 + seed % 7,
            faults=0.01 * (seed % 11),
            crashes=1 + seed % 4,
        )
        with tempfile.TemporaryDirectory() as folder:
            outcome = Simulation(scenario, Path(folder)).run()
        if outcome.violations:
            raise AssertionError(f"seed {seed}: {outcome.violations[0]}")
        seconds += outcome.wall_s
    return Figure(f"{SEEDS} seeds of 20,000 jobs, none violates anything", seconds, "s")
