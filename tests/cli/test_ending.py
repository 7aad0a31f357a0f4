"""How processes end whose libraries still have threads at work."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import TextIO

import pytest

BREAKS = """
import atexit, ctypes, os, sys
from raysched.cli.ending import to_the_end
libc = ctypes.CDLL(None)
libc.__cxa_atexit(libc.abort, None, None)  # what the C library does at an end goes wrong
print(os.getpid())
"""
"""The beginning of a program."""


def ended(program: str, out: int | TextIO = subprocess.PIPE) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", BREAKS + program]
    return subprocess.run(command, text=True, stdout=out, stderr=subprocess.PIPE, check=False)


def test_a_program_that_ends_by_itself_breaks() -> None:
    assert ended("").returncode == -6


@pytest.mark.parametrize(
    ("how", "code"), [("print('done')", 0), ("sys.exit(7)", 7), ("sys.exit()", 0)]
)
def test_its_code_is_what_it_ended_with(how: str, code: int) -> None:
    """Whatever goes wrong after Python's own end, which comes first."""
    program = f"""
def program():
    atexit.register(print, "exit function")
    {how}
to_the_end(program)
"""
    answer = ended(program)
    assert (answer.returncode, answer.stderr) == (code, "")
    assert answer.stdout.splitlines()[-1] == "exit function"


def test_an_error_of_its_own_is_not_hidden() -> None:
    answer = ended("to_the_end(lambda: 1 / 0)")
    assert answer.returncode == -6  # as any other process would
    assert "ZeroDivisionError" in answer.stderr


def test_an_error_that_comes_after_the_code_was_known_is_not_hidden() -> None:
    program = "from raysched.cli.ending import Ending\nEnding().code = 0\nraise KeyError('late')"
    answer = ended(program)
    assert answer.returncode == -6
    assert "KeyError: 'late'" in answer.stderr


def test_closed_streams_are_no_error() -> None:
    program = "sys.stdout = sys.stderr = None\nto_the_end(lambda: sys.exit(3))"
    assert ended(program).returncode == 3


def test_what_cannot_be_written_is_not_hidden() -> None:
    with Path("/dev/full").open("w") as full:
        answer = ended("to_the_end(lambda: print('done'))", full)
    assert answer.returncode != 0
    assert "No space left on device" in answer.stderr


def test_the_command_ends_in_this_way() -> None:
    program = "from raysched.cli.main import main; sys.argv = ['raysched', '--version']; main()"
    answer = ended(program)
    assert (answer.returncode, answer.stderr) == (0, "")
