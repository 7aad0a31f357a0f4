"""The scripts that people start by hand."""

from __future__ import annotations

import subprocess
from pathlib import Path

ROOT = Path(__file__).parent.parent
BENCHMARKS = {path.stem for path in (ROOT / "scripts" / "benchmarks").glob("[a-z]*.py")}


def script(name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(ROOT / "scripts" / name), *arguments], capture_output=True, text=True, check=False
    )


def test_bench_lists_every_benchmark_with_what_it_measures() -> None:
    listed = script("bench")
    assert listed.returncode == 0, listed.stderr
    lines = dict(line.split(maxsplit=1) for line in listed.stdout.splitlines())
    assert set(lines) == BENCHMARKS - {"figures", "driver", "slides"}
    assert [said for said in lines.values() if not said.endswith(".")] == []


def test_bench_refuses_a_name_that_it_does_not_know() -> None:
    refused = script("bench", "nothing")
    assert refused.returncode == 2
    assert "there is no benchmark nothing; see demo, export, kernel" in refused.stderr


def test_set_up_that_is_done_does_nothing() -> None:
    again = script("setup")
    assert (again.returncode, again.stdout, again.stderr) == (0, "", "")
