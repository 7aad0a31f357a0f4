"""``raysched up`` and other verbs in processes of their own, as an operator has them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import psutil

ENTRY = "from raysched.cli.main import main; main()"
WAIT_S = 300.0  # starting Ray on a busy machine


@dataclass
class Up:
    """A running ``raysched up --json``, asked over HTTP by its administrator."""

    process: subprocess.Popen[str]
    env: dict[str, str]
    where: dict[str, Any] = field(default_factory=dict)
    seen: set[psutil.Process] = field(default_factory=set)

    def until_said(self, name: str) -> dict[str, Any]:
        """The next line about something: each is JSON. On a busy machine Ray or Serve may give up
        starting; that is said, and tried again."""
        assert self.process.stdout is not None
        others = []
        for text in self.process.stdout:
            line: dict[str, dict[str, Any]] = json.loads(text)
            if name in line:
                return line[name]
            others.append(line)
        raise AssertionError(f"it never said {name!r}, but {others}")

    def api(self, method: str, path: str, **how: Any) -> Any:
        """Ask, while it comes back also again and again."""
        headers = {"Authorization": f"Bearer {self.where['admin_key']}", "Idempotency-Key": path}
        deadline = time.monotonic() + WAIT_S
        url = f"{self.where['url']}{path}"
        while True:
            try:
                answer = httpx.request(method, url, headers=headers, timeout=30, **how)
                return answer.raise_for_status().json()
            except httpx.HTTPError:
                assert time.monotonic() < deadline
                assert self.process.poll() is None

    def submit(self, slide: Path, key: str, tile_px: int = 512) -> str:
        """Submit the sample in small chunks; the id of its job."""
        body = {"jobs": [{"slide": slide.name, "tile_px": tile_px, "chunk_tiles": 1}]}
        return str(self.api("POST", f"/api/v1/workflows?{key}", json=body)["jobs"][0]["id"])

    def until(self, job: str, *states: str) -> dict[str, Any]:
        """Ask for a job until it is in one of these states."""
        deadline = time.monotonic() + WAIT_S
        while (view := self.api("GET", f"/api/v1/jobs/{job}"))["state"] not in states:
            assert view["state"] not in {"failed", "cancelled"}, view
            assert time.monotonic() < deadline, view
        return dict(view)

    def kill(self, name: str) -> None:
        """Kill the process of its service, or one below it."""
        below = psutil.Process(self.process.pid).children(recursive=True)
        self.seen |= set(below)
        victims = [each for each in below if each.name() == name] or below[:1]
        victims[0].kill()


def run_verb(env: dict[str, str], *verb: str) -> tuple[int, list[dict[str, Any]]]:
    """Run a verb; its exit code and lines."""
    done = subprocess.run(
        [sys.executable, "-c", ENTRY, *verb, "--json"],
        env=env,
        cwd=env.get("PYTHONPATH"),
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    return done.returncode, [json.loads(line) for line in done.stdout.splitlines()]


@contextmanager
def up(state: Path, slides: Path, *arguments: str, **settings: str) -> Iterator[Up]:
    """The service in a process of its own, on any free port. ``PYTHONPATH`` among the settings
    names the folder of another version's code."""
    env = {
        **os.environ,
        "RAYSCHED_STATE": str(state),
        "RAYSCHED_SERVE__SLIDE_FOLDERS": json.dumps([str(slides)]),
        "RAYSCHED_LIMITS__DEFAULT_BURST": "100000",
        "RAYSCHED_LIMITS__DEFAULT_PER_S": "10000",
        "RAYSCHED_REUSE__MOST_GB_PER_USER": "0",
        "RAYSCHED_CLUSTER__LANES": "1",
        "RAYSCHED_CLUSTER__START_TIMEOUT_S": str(WAIT_S),
        **settings,
    }
    command = [sys.executable, "-c", ENTRY, "up", "--port", "0", "--json", *arguments]
    process = subprocess.Popen(
        command, env=env, cwd=env.get("PYTHONPATH"), stdout=subprocess.PIPE, text=True
    )
    try:
        made = Up(process, env)
        made.where = made.until_said("up")
        yield made
    finally:
        process.send_signal(signal.SIGQUIT)
        process.communicate(timeout=WAIT_S)
