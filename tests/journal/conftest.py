"""Programs of their own and a journal to attack."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from attack import Begin, write

ROOT = Path(__file__).parents[2]


@pytest.fixture
def begin() -> Iterator[Begin]:
    """Starts a program in a process of its own; none outlives the test."""
    begun: list[subprocess.Popen[str]] = []
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent)}

    def start(program: str, *arguments: object, under: tuple[str, ...] = ()) -> object:
        command = [*under, sys.executable, "-c", program, *map(str, arguments)]
        pipe = subprocess.PIPE
        begun.append(
            subprocess.Popen(command, cwd=ROOT, env=environment, stdin=pipe, stdout=pipe, text=True)
        )
        return begun[-1]

    yield start
    for process in begun:
        with process:  # closes the pipes and waits
            process.kill()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A state folder with ten events, closed properly."""
    folder = tmp_path / "state"
    write(folder, 1, 10)
    return folder
