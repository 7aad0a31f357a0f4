"""The scripts that people start by hand."""

from __future__ import annotations

import os
import re
import subprocess
import tomllib
from pathlib import Path

from packaging.requirements import Requirement

ROOT = Path(__file__).parent.parent
HELPERS = {"bench_engines", "driver", "figures", "looked_at", "made_up", "many_lanes", "slides"}
HELPERS |= {"raylets"}
BENCHMARKS = {path.stem for path in (ROOT / "scripts" / "benchmarks").glob("[a-z]*.py")}


def script(name: str, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    command = [str(ROOT / "scripts" / name), *arguments]
    return subprocess.run(
        command, capture_output=True, text=True, check=False, env={**os.environ, **variables}
    )


def test_bench_lists_every_benchmark_with_what_it_measures() -> None:
    listed = script("bench")
    assert listed.returncode == 0, listed.stderr
    lines = dict(line.split(maxsplit=1) for line in listed.stdout.splitlines())
    assert set(lines) == BENCHMARKS - HELPERS
    assert [said for said in lines.values() if not said.endswith(".")] == []


def test_bench_refuses_a_name_that_it_does_not_know() -> None:
    refused = script("bench", "nothing")
    assert refused.returncode == 2
    assert "there is no benchmark nothing; see cancel, cluster, demo, diff," in refused.stderr


def test_the_peer_s_environment_is_pinned() -> None:
    lines = (ROOT / "scripts" / "benchmarks" / "peers.txt").read_text().splitlines()
    loose = [line for line in lines if not re.match(r"#|[\w.-]+==[\w.]+( ;|$)", line)]
    assert loose == []
    assert "histomicstk==1.4.0" in lines


def test_without_a_network_a_peer_that_is_not_there_yet_says_what_to_do(tmp_path: Path) -> None:
    folder = tmp_path / "bench"
    offline = {"UV_OFFLINE": "1", "UV_CACHE_DIR": str(tmp_path / "uv")}
    refused = script("bench", "peers", RAYSCHED_BENCH=str(folder), **offline)
    assert refused.returncode == 1
    making, what, remedy = refused.stderr.splitlines()
    peer, log = folder / "histomicstk", folder / "histomicstk.log"
    assert making.startswith(f"making {peer}: ")
    assert what == f"error: HistomicsTK could not be installed into {peer}: see {log}"
    assert remedy == "  do: check the network and the room on the disk, then run this again"
    assert log.exists()


def test_the_engines_environment_is_pinned_and_enough_for_the_extra() -> None:
    text = (ROOT / "scripts" / "setup-engines").read_text()
    pinned = dict(re.findall(r"([\w-]+)==([\d.]+)", text))
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    wanted = [
        Requirement(each) for each in project["project"]["optional-dependencies"]["instanseg"]
    ]
    assert [each.name for each in wanted if pinned[each.name] not in each.specifier] == []
    assert "instanseg-torch" in pinned


def test_set_up_that_is_done_does_nothing() -> None:
    again = script("setup")
    assert (again.returncode, again.stdout, again.stderr) == (0, "", "")
