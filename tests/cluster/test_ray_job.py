"""``ray job submit`` against a running service: followed, stopped, and submitted once only."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from operating import Up, up

pytestmark = [pytest.mark.ray, pytest.mark.slow]

SCRIPT = Path(__file__).parents[2] / "scripts" / "submit_job.py"
WAIT_S = 120.0
RAY = str(Path(sys.executable).with_name("ray"))


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory, sample_slide: Path) -> Iterator[Up]:
    with up(tmp_path_factory.mktemp("ray-job") / "state", sample_slide.parent) as running:
        yield running


def ray_job(service: Up, *arguments: str) -> tuple[int, str]:
    """The exit code and all output of `ray job ARGUMENTS` against the service's cluster. The entry
    point would have another state folder by itself."""
    address = {"RAY_ADDRESS": service.where["dashboard"], "RAY_AUTH_MODE": "token"}
    done = subprocess.run(
        [RAY, "job", *arguments],
        env={**os.environ, **address},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=300,
    )
    return done.returncode, done.stdout


ROOT = SCRIPT.parents[1]


def entry(slide: Path, *options: str) -> list[str]:
    own = ["env", "RAYSCHED_STATE=/nowhere"]
    return ["--", *own, sys.executable, str(SCRIPT), "--slide", str(slide), *options]


def jobs(service: Up) -> list[dict[str, Any]]:
    """Those of the service's own user, the newest first."""
    found: list[dict[str, Any]] = service.api("GET", "/api/v1/jobs")["jobs"]
    return found


def test_a_ray_job_says_how_it_goes_and_leaves_the_results_where_the_service_keeps_them(
    service: Up, sample_slide: Path
) -> None:
    code, said = ray_job(
        service, "submit", "--submission-id", "whole", *entry(sample_slide, "--wait")
    )
    assert code == 0, said
    (job,) = jobs(service)
    assert job["state"] == "succeeded"
    folder = Path(service.env["RAYSCHED_STATE"]) / "results" / job["id"]
    assert json.loads((folder / "manifest.json").read_text())["checksum"] == job["checksum"]
    assert f"{job['cells']:,}" in said, said


def test_the_runtime_environment_that_is_documented_carries_the_script(
    service: Up, sample_slide: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    own = ["env", "RAYSCHED_STATE=/nowhere", sys.executable, "scripts/submit_job.py"]
    environment = ["--runtime-env", "configs/runtime-env.yaml"]
    before = len(jobs(service))
    code, said = ray_job(
        service, "submit", *environment, "--", *own, "--slide", str(sample_slide), "--wait"
    )
    assert code == 0, said
    assert len(jobs(service)) == before + 1
    assert jobs(service)[0]["state"] == "succeeded"


def test_the_same_submission_submits_once(service: Up, sample_slide: Path) -> None:
    """Its entry point runs again where Ray had lost it: here in a second Ray job that says so."""
    before = len(jobs(service))
    for _ in range(2):
        code, said = ray_job(service, "submit", "--submission-id", "once", *entry(sample_slide))
        assert code == 0, said
        code, said = ray_job(service, "delete", "once")
        assert code == 0, said
    assert len(jobs(service)) == before + 1
    service.until(jobs(service)[0]["id"], "succeeded")


def test_a_stopped_ray_job_cancels_its_work(service: Up, sample_slide: Path) -> None:
    long = entry(sample_slide, "--wait", "--tile-px", "128", "--chunk-tiles", "1")
    before = jobs(service)[0]["id"]
    code, said = ray_job(service, "submit", "--no-wait", "--submission-id", "stopped", *long)
    assert code == 0, said
    job = service.until(newer_than(service, before), "segmenting")["id"]
    code, said = ray_job(service, "stop", "stopped")
    assert code == 0, said
    assert service.api("GET", f"/api/v1/jobs/{job}")["state"] in {"cancelling", "cancelled"}


def newer_than(service: Up, before: str) -> str:
    """The newest job, once it is another than before."""
    deadline = time.monotonic() + WAIT_S
    while (newest := jobs(service)[0]["id"]) == before:
        assert time.monotonic() < deadline, ray_job(service, "logs", "stopped")
    return str(newest)


def test_what_lies_in_the_working_folder_of_a_ray_job_is_refused(
    service: Up, sample_slide: Path
) -> None:
    for slide, more in ((sample_slide, ["--out", "mine"]), (Path("mine.svs"), [])):
        code, said = ray_job(service, "submit", *entry(slide, "--wait", *more))
        assert code != 0
        assert "working folder of the Ray job" in said
        assert "absolute path" in said
