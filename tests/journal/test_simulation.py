"""Many users, faults and crashes in virtual time: invariants hold and the replay is the truth."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from raysched.cli.main import app
from raysched.simulation import Outcome, Scenario, Simulation


def simulated(folder: Path, **scenario: int) -> Outcome:
    return Simulation(Scenario(**scenario), folder).run()


@pytest.mark.parametrize("seed", range(8))
def test_whatever_fails_every_job_ends_and_no_invariant_breaks(seed: int, tmp_path: Path) -> None:
    scenario = Scenario(seed, 400, users=2 + seed, lanes=1 + seed, faults=0.03 * seed, crashes=3)
    outcome = Simulation(scenario, tmp_path).run()
    assert outcome.violations == []
    assert (sum(outcome.ended.values()), outcome.replays) == (400, 4)
    assert set(outcome.ended) <= {"succeeded", "failed", "cancelled", "skipped"}
    assert outcome.ended["succeeded"] > 200


def test_without_faults_everything_succeeds(tmp_path: Path) -> None:
    outcome = Simulation(Scenario(jobs=300, faults=0.0, crashes=0), tmp_path).run()
    assert (outcome.ended, outcome.violations) == ({"succeeded": 300}, [])
    assert outcome.reused > 0


def test_the_same_seed_is_the_same_simulation(tmp_path: Path) -> None:
    one, two, other = (
        simulated(tmp_path / name, jobs=200, seed=seed)
        for name, seed in (("one", 5), ("two", 5), ("other", 6))
    )
    assert (one.events, one.waits_s, one.ended) == (two.events, two.waits_s, two.ended)
    assert one.waits_s != other.waits_s


def test_a_journal_that_says_something_else_is_a_violation(tmp_path: Path) -> None:
    simulated(tmp_path, jobs=5)
    again = simulated(tmp_path, jobs=5, seed=1)
    assert again.violations != []


def test_the_command_tells_what_came_of_it() -> None:
    result = CliRunner().invoke(app, ["sim", "--jobs", "50", "--users", "3", "--json"])
    assert result.exit_code == 0
    told = json.loads(result.stdout)["simulation"]
    assert (told["jobs"], told["violations"]) == (50, [])
    assert set(told["wait_s"]) == {"p50", "p90", "p99", "p100"}
    said = CliRunner().invoke(app, ["sim", "--jobs", "50"]).stdout
    assert "violations  none" in said
