"""``raysched export`` of a folder: what it writes, what it says, what it refuses to overwrite."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from raysched.cli.main import app
from raysched.results.exports.formats import KINDS, Format
from tests.results.conftest import Attempt


@pytest.fixture(autouse=True)
def elsewhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RAYSCHED_STATE", str(tmp_path / "state"))


def raysched(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(each) for each in arguments])


@pytest.mark.parametrize("wanted", Format)
def test_every_format_is_written_under_the_name_of_the_folder(
    wanted: Format, done: Attempt, tmp_path: Path
) -> None:
    result = raysched("export", done.out, "--format", wanted, "--json")
    (line,) = result.stdout.splitlines()
    told = json.loads(line)["export"]
    out = tmp_path / f"out{KINDS[wanted].suffix}"
    assert (told["path"], told["format"], told["complete"]) == (str(out), wanted, True)
    assert told["cells"] > 50
    sizes = [each.stat().st_size for each in [out, *out.rglob("*")] if each.is_file()]
    assert told["size_bytes"] == sum(sizes) > 0
    assert {Path(path) for path in [told["path"], *told["beside"]]} == set(tmp_path.iterdir())


def test_nothing_is_overwritten_also_not_beside(done: Attempt, tmp_path: Path) -> None:
    (tmp_path / "x.polygons.csv").write_text("mine")
    result = raysched("export", done.out, "--format", "csv", "--out", "x.csv")
    assert result.exit_code == 2
    assert "x.polygons.csv exists already" in result.stderr
    assert [path.read_text() for path in tmp_path.iterdir()] == ["mine"]


def test_an_unfinished_job_is_said_to_be_unfinished(attempt: Attempt, tmp_path: Path) -> None:
    attempt.plan()
    attempt.segment(0)
    result = raysched("export", attempt.staging, "--format", "geojson", "--out", "x.geojson.gz")
    assert result.exit_code == 0
    assert "The job has not finished" in result.output
    refused = raysched("export", attempt.staging, "--format", "ome-zarr")
    assert refused.exit_code == 2
    assert "There is no ome-zarr of job-1 yet" in refused.stderr


def test_a_dash_is_the_standard_output(done: Attempt, tmp_path: Path) -> None:
    result = raysched("export", done.out, "--format", "ome-zarr-zip", "--out", "-")
    assert result.stdout_bytes[:4] == b"PK\x03\x04"
    assert list(tmp_path.iterdir()) == []
