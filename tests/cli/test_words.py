"""The small words of the command line: numbers, parameters, folders."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from raysched.cli.demo import unused
from raysched.cli.progress import duration
from raysched.cli.run import parse_params


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.2, "0 s"), (99.4, "99 s"), (100, "2 min"), (5900, "98 min"), (7500, "2 h 05 min")],
)
def test_durations_are_said_as_people_say_them(seconds: float, words: str) -> None:
    assert duration(seconds) == words


def test_parameters_are_json_where_they_can_be_and_text_otherwise() -> None:
    given = ["a=1", "b=0.5", "c=true", "d=dark blue", 'e="1"', "f=x=y"]
    wanted = {"a": 1, "b": 0.5, "c": True, "d": "dark blue", "e": "1", "f": "x=y"}
    assert parse_params(given) == wanted


def test_a_second_demo_goes_beside_the_first(tmp_path: Path) -> None:
    folder = tmp_path / "demo"
    assert unused(folder) == folder
    for name in ("demo", "demo-2"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "manifest.json").touch()
    assert unused(folder) == tmp_path / "demo-3"


def test_asking_for_help_imports_nothing_heavy() -> None:
    heavy = {"ray", "fastapi", "zarr", "skimage", "numpy", "pydantic", "pyarrow"}
    program = (
        "import sys, raysched.cli.main; "
        f"print(sorted({heavy!r} & {{name.partition('.')[0] for name in sys.modules}}))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, check=True, text=True
    )
    assert done.stdout == "[]\n"
