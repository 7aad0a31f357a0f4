"""``raysched up`` as a person starts and stops it: nothing that was submitted is lost."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

pytestmark = [pytest.mark.http, pytest.mark.slow]

ENTRY = "from raysched.cli.main import main; main()"
STOP_WAIT_S = 30.0


@dataclass
class Up:
    """A running ``raysched up --json`` and what it said."""

    process: subprocess.Popen[str]
    url: str
    jobs_open: int
    login: str
    admin_key: str | None
    dashboard: str | None

    def job(self, id_: str, key: str) -> dict[str, Any]:
        """How a job is."""
        response = httpx.get(f"{self.url}/api/v1/jobs/{id_}", headers=bearer(key), timeout=60)
        view: dict[str, Any] = response.raise_for_status().json()
        return view

    def stop(self) -> dict[str, Any]:
        """Ctrl-C, and what it said last."""
        self.process.send_signal(signal.SIGINT)
        stdout, _ = self.process.communicate(timeout=STOP_WAIT_S)
        assert self.process.returncode == 0
        last: dict[str, Any] = json.loads(stdout.splitlines()[-1])["stopped"]
        return last


def environment(state: Path, slides: Path) -> dict[str, str]:
    settings = {
        "RAYSCHED_STATE": str(state),
        "RAYSCHED_SERVE__SLIDE_FOLDERS": json.dumps([str(slides)]),
        "RAYSCHED_LIMITS__DEFAULT_BURST": "100000",  # a test asks faster than people do
    }
    return {**os.environ, **settings}


def followed(job: str, env: dict[str, str]) -> list[dict[str, Any]]:
    """What `raysched logs --follow` says of a job until it has ended."""
    told = subprocess.run(
        [sys.executable, "-c", ENTRY, "logs", job, "--follow", "--json"],
        env=env,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return [json.loads(line) for line in told.stdout.splitlines()]


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


@contextmanager
def up(state: Path, slides: Path) -> Iterator[Up]:
    """The service in a process of its own, on any free port."""
    process = subprocess.Popen(
        [sys.executable, "-c", ENTRY, "up", "--port", "0", "--json"],
        env=environment(state, slides),
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    try:
        said: dict[str, Any] = json.loads(process.stdout.readline())["up"]
        said_of = ("url", "jobs_open", "login", "admin_key", "dashboard")
        yield Up(process, **{name: said[name] for name in said_of})
    finally:
        process.terminate()
        process.wait(STOP_WAIT_S)
        process.stdout.close()


def test_unfinished_work_goes_on_after_a_stop_and_a_start(
    tmp_path: Path, sample_slide: Path
) -> None:
    """Two jobs, one after the other: the first may be done before the service has stopped."""
    slide = {"slide": sample_slide.name, "chunk_tiles": 1}
    body = {"jobs": [{**slide, "tile_px": tile_px} for tile_px in (256, 264)]}
    with up(tmp_path / "state", sample_slide.parent) as first:
        key = first.admin_key
        assert key is not None
        url = f"{first.url}/api/v1/workflows"
        assert httpx.post(url, json=body, timeout=60).status_code == 401
        created = httpx.post(url, json=body, headers=bearer(key), timeout=60)
        jobs = [job["id"] for job in created.raise_for_status().json()["jobs"]]
        assert first.jobs_open == 0
        info = httpx.get(f"{first.url}/api/v1/info", headers=bearer(key)).json()
        assert info["dashboard_url"] == first.dashboard is not None
        while first.job(jobs[0], key)["tiles_done"] == 0:
            pass
        assert first.stop()["jobs_open"] > 0
    with up(tmp_path / "state", sample_slide.parent) as second:
        assert second.admin_key is None  # it was shown once
        assert httpx.get(second.login).status_code == 303
        lines = followed(jobs[1], environment(tmp_path / "state", sample_slide.parent))
        assert second.job(jobs[1], key)["state"] == "succeeded"
        assert lines[0]["message"] == "Submitted with 1 other job on branch main."
        assert lines[-1]["message"].startswith("Published: ")
        assert {"Chunk 0 is done."} < {line["message"] for line in lines}
        for job in jobs:
            view = second.job(job, key)
            while view["state"] != "succeeded":
                view = second.job(job, key)
                assert view["failure"] is None
            assert view["tiles_done"] == view["tiles_total"]
        assert second.stop() == {"jobs_open": 0}
