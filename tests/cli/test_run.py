"""``raysched run`` as a person starts it: a process, its two streams, its exit code."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from raysched.cluster.session import connect
from raysched.config import load_config

pytestmark = [pytest.mark.ray, pytest.mark.slow]

ENTRY = "from raysched.cli.main import main; main()"


def start(state: Path, *arguments: object, **variables: object) -> subprocess.Popen[str]:
    """A raysched command. It starts Ray if none runs for this state folder, and joins it else."""
    given = {name: str(value) for name, value in variables.items()}
    environment = {**os.environ, "RAYSCHED_STATE": str(state), **given}
    environment.pop("RAY_ADDRESS", None)
    return subprocess.Popen(
        [sys.executable, "-c", ENTRY, *map(str, arguments)],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def lines_of(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def left_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.name != "state")


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The state folder of a cluster that runs already, for commands that may join one."""
    folder = tmp_path_factory.mktemp("running") / "state"
    with connect(load_config(state=folder, cluster={"lanes": 2, "address": None})):
        yield folder


@pytest.fixture
def ray_folder() -> Iterator[Path]:
    """Short: sockets lie in it."""
    with tempfile.TemporaryDirectory(prefix="rs-", dir="/tmp") as folder:
        yield Path(folder)


def test_a_run_from_nothing_in_json_ends_with_its_result(
    tmp_path: Path, sample_slide: Path, ray_folder: Path
) -> None:
    command = start(
        tmp_path / "state",
        *("run", sample_slide, "--out", tmp_path / "out", "--json"),
        RAY_TMPDIR=ray_folder,
    )
    stdout, stderr = command.communicate(timeout=200)
    *changes, last = lines_of(stdout)
    assert (command.returncode, stderr) == (0, "")
    states = [change["job"]["state"] for change in changes]
    assert states[-1] == "succeeded"
    assert states == sorted(states, key=STATES.index)
    result = last["result"]
    assert result["cells"] == result["job"]["cells"] > 1000
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert (manifest["checksum"], manifest["job"]) == (result["checksum"], result["job"]["id"])
    assert [name for name, path in result["files"].items() if not Path(path).exists()] == []
    assert left_in(tmp_path) == ["out"]
    assert not (tmp_path / "state" / "cluster.json").exists()
    assert left_in(ray_folder) == ["ray-alone"], "a service's Ray would not find itself any more"


STATES = ["waiting", "planning", "segmenting", "assembling", "publishing", "succeeded"]


def test_a_slide_without_a_pixel_size_is_a_question_and_leaves_nothing(
    state: Path, tmp_path: Path, samples: Path
) -> None:
    slide = samples / "slides" / "openslide-python__boxes.tiff"
    command = start(state, "run", slide, "--out", tmp_path / "out")
    stdout, stderr = command.communicate(timeout=120)
    assert (command.returncode, stdout) == (2, "")
    *_, what, todo = stderr.splitlines()
    assert what.startswith("error: What is the pixel size of openslide-python__boxes.tiff?")
    assert todo == "  do: Run it again with --mpp X; nothing was left behind."
    assert left_in(tmp_path) == []


def test_ctrl_c_cancels_the_job_and_says_what_is_left(
    state: Path, tmp_path: Path, sample_slide: Path
) -> None:
    arguments = ("run", sample_slide, "--out", tmp_path / "out", "--tile-px", 128, "--json")
    command = start(state, *arguments, "--chunk-tiles", 1)
    assert command.stdout is not None
    for line in command.stdout:
        if json.loads(line)["job"]["state"] == "segmenting":
            break
    command.send_signal(signal.SIGINT)
    stdout, _ = command.communicate(timeout=60)
    *changes, last = lines_of(stdout)
    assert command.returncode == 130
    assert changes[-1]["job"]["state"] == "cancelled"
    assert last["error"] == {
        "code": "interrupted",
        "message": last["error"]["message"],
        "exit_code": 130,
    }
    (kept,) = left_in(tmp_path)
    assert kept.endswith(".partial")
    assert kept in last["error"]["message"]


def test_the_demo_without_a_network_says_how_many_nuclei_there_really_are(
    state: Path, tmp_path: Path
) -> None:
    command = start(
        state,
        *("demo", "--out", tmp_path / "out"),
        RAYSCHED_SAMPLES=tmp_path / "none",
        RAYSCHED_CACHE=tmp_path / "cache",
        https_proxy="http://127.0.0.1:9",
    )
    stdout, stderr = command.communicate(timeout=200)
    assert command.returncode == 0, stderr
    assert "this is a synthetic slide with 1,500 nuclei instead" in stderr
    *_, compared, look, onward = stdout.splitlines()
    found = json.loads((tmp_path / "out" / "manifest.json").read_text())["counts"]["cells"]
    assert compared == f"the synthetic slide has 1,500 nuclei; found: {found:,}"
    assert look == f"look at {tmp_path / 'out' / 'preview.png'}"
    assert onward.endswith("raysched up")
    assert 1400 < found < 1600
