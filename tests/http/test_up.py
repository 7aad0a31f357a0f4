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

pytestmark = pytest.mark.http

ENTRY = "from raysched.cli.main import main; main()"
STOP_WAIT_S = 30.0


@dataclass
class Up:
    """A running ``raysched up --json`` and what it said."""

    process: subprocess.Popen[str]
    url: str
    jobs_open: int

    def job(self, id_: str) -> dict[str, Any]:
        """How a job is."""
        response = httpx.get(f"{self.url}/api/v1/jobs/{id_}", timeout=60)
        view: dict[str, Any] = response.raise_for_status().json()
        return view

    def stop(self) -> dict[str, Any]:
        """Ctrl-C, and what it said last."""
        self.process.send_signal(signal.SIGINT)
        stdout, _ = self.process.communicate(timeout=STOP_WAIT_S)
        assert self.process.returncode == 0
        last: dict[str, Any] = json.loads(stdout.splitlines()[-1])["stopped"]
        return last


@contextmanager
def up(state: Path, slides: Path) -> Iterator[Up]:
    """The service in a process of its own, on any free port."""
    settings = {
        "RAYSCHED_STATE": str(state),
        "RAYSCHED_SERVE__SLIDE_FOLDERS": json.dumps([str(slides)]),
    }
    process = subprocess.Popen(
        [sys.executable, "-c", ENTRY, "up", "--port", "0", "--json"],
        env={**os.environ, **settings},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    try:
        said: dict[str, Any] = json.loads(process.stdout.readline())["up"]
        yield Up(process, said["url"], said["jobs_open"])
    finally:
        process.terminate()
        process.wait(STOP_WAIT_S)
        process.stdout.close()


def test_unfinished_work_goes_on_after_a_stop_and_a_start(
    tmp_path: Path, sample_slide: Path
) -> None:
    body = {"jobs": [{"slide": sample_slide.name, "tile_px": 256, "chunk_tiles": 1}]}
    with up(tmp_path / "state", sample_slide.parent) as first:
        created = httpx.post(f"{first.url}/api/v1/workflows", json=body, timeout=60)
        job = created.raise_for_status().json()["jobs"][0]["id"]
        assert first.jobs_open == 0
        while first.job(job)["tiles_done"] == 0:
            pass
        assert first.stop() == {"jobs_open": 1}
    with up(tmp_path / "state", sample_slide.parent) as second:
        view = second.job(job)
        while view["state"] != "succeeded":
            view = second.job(job)
            assert view["failure"] is None
        assert view["tiles_done"] == view["tiles_total"]
        assert second.stop() == {"jobs_open": 0}
