"""A process that grows is ended, in a real process: with the reason, or before it takes work."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from raysched.cluster.guard import held_bytes, taken_note
from raysched.core.model import RunId

RUN = RunId("1-7")
WORK = """
import sys, threading
from pathlib import Path
from raysched.cluster.guard import guarded
from raysched.core.model import JobId, RunId, Stage, Unit
held = bytearray(b"x" * int(sys.argv[1]))
with guarded(Unit(JobId("job-1"), 1, Stage.SEGMENT), RunId("1-7"), 600e6, Path(sys.argv[3])):
    print("began", flush=True)
    held += b"x" * int(sys.argv[2])
    if int(sys.argv[2]) > 600e6:
        threading.Event().wait(60)  # to be ended long before
print("ended", flush=True)
"""


@pytest.mark.parametrize(
    ("before", "more", "said", "noted"),
    [
        (0, 100, "began\nended\n", None),
        (0, 900_000_000, "began\n", "work_too_large"),
        (500_000_000, 0, "", None),
    ],
)
def test_only_a_unit_that_grew_is_blamed(
    tmp_path: Path, before: int, more: int, said: str, noted: str | None
) -> None:
    notes = tmp_path / "notes"
    command = [sys.executable, "-c", WORK, str(before), str(more), str(notes)]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)
    assert (done.stdout, done.returncode) == (said, 0 if "ended" in said else 1), done.stderr
    failure = taken_note(notes, RUN)
    assert (failure.code if failure else None) == noted
    assert taken_note(notes, RUN) is None  # taken once


def test_what_is_held_is_measured() -> None:
    before = held_bytes()
    block = bytearray(b"x" * 200_000_000)
    assert 150e6 < held_bytes() - before < 300e6
    del block
