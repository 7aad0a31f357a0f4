"""A process that grows is ended, in a real process: with the reason, or before it takes work."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from raysched.cluster.guard import held_bytes, kernel_here, taken_held, taken_note, was_worn
from raysched.core.model import RunId

RUN = RunId("1-7")
WORK = """
import json, sys, threading
from pathlib import Path
from raysched.cluster.guard import Watch, guarded
from raysched.core.model import JobId, RunId, Stage, Unit
before, more, careful, earlier, notes = json.loads(sys.argv[1])
unit = Unit(JobId("job-1"), 1, Stage.SEGMENT)
for number in range(earlier):
    with guarded(Watch(unit, RunId("1-6"), 600e6, Path(notes), False)):
        pass
held = bytearray(b"x" * before)
with guarded(Watch(unit, RunId("1-7"), 600e6, Path(notes), careful)):
    print("began", flush=True)
    held += b"x" * more
    if more > 600e6:
        threading.Event().wait(60)  # to be ended long before
print("ended", flush=True)
"""
FAILING = """
import sys, threading
from pathlib import Path
from raysched.cluster import guard
from raysched.core.model import JobId, RunId, Stage, Unit
look, failed = guard.held_bytes, threading.Event()

def held_bytes():
    if threading.current_thread() is not threading.main_thread() and not failed.is_set():
        failed.set()
        raise MemoryError
    return look()

guard.held_bytes = held_bytes
unit = Unit(JobId("job-1"), 1, Stage.SEGMENT)
with guard.guarded(guard.Watch(unit, RunId("1-6"), 600e6, Path(sys.argv[1]), False)):
    failed.wait(60)
sys.stderr.close()
with guard.guarded(guard.Watch(unit, RunId("1-7"), 600e6, Path(sys.argv[1]), False)):
    held = bytearray(b"x" * 900_000_000)
    threading.Event().wait(60)  # to be ended long before
print("ended", flush=True)
"""
ALSO = ", also in a fresh process and one tile at a time"


def work(folder: Path, *, before: int = 0, more: int = 0, **how: bool | int) -> str:
    """What a process that does a unit says, and the exit that goes with it."""
    told = [before, more, how.get("careful", False), how.get("earlier", 0), str(folder)]
    command = [sys.executable, "-c", WORK, json.dumps(told)]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=120)
    assert done.returncode == (0 if "ended" in done.stdout else 1), done.stderr
    return done.stdout


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
    assert work(notes, before=before, more=more) == said
    failure = taken_note(notes, RUN)
    assert (failure.code if failure else None) == noted
    assert failure is None or ALSO not in failure.message
    assert was_worn(notes, RUN) is (before > 0)
    assert taken_note(notes, RUN) is None  # taken once


def test_with_care_a_unit_gets_a_process_that_has_done_no_other(tmp_path: Path) -> None:
    assert work(tmp_path, careful=True) == "began\nended\n"
    assert work(tmp_path, earlier=1) == "began\nended\n"
    assert not was_worn(tmp_path, RUN)
    assert work(tmp_path, careful=True, earlier=1) == ""
    assert was_worn(tmp_path, RUN)


def test_who_grew_with_care_too_is_told_so(tmp_path: Path) -> None:
    assert work(tmp_path, more=900_000_000, careful=True) == "began\n"
    failure = taken_note(tmp_path, RUN)
    assert failure is not None
    assert re.fullmatch(
        r"The segment stage made its process hold 0\.\d GB, more than the 0\.6 GB of a lane"
        f"{ALSO}\\.",
        failure.message,
    )


def test_what_a_large_process_holds_is_known_when_it_is_killed_and_not_kept_when_it_ends(
    tmp_path: Path,
) -> None:
    work(tmp_path, more=900_000_000)
    held = taken_held(tmp_path, RUN)
    assert held is not None and held > 0.5e9
    assert taken_held(tmp_path, RUN) is None
    work(tmp_path, more=100)
    assert list(tmp_path.glob("*.held")) == []


def test_the_system_is_known_by_its_boot_and_counts_whom_it_has_killed() -> None:
    here = kernel_here()
    if not here.boot:
        pytest.skip("this system does not say whom it has killed for want of memory")
    assert re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", here.boot)
    assert here.kills >= 0


def test_a_look_that_fails_is_not_the_last_one(tmp_path: Path) -> None:
    command = [sys.executable, "-c", FAILING, str(tmp_path)]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stdout) == (1, "")
    assert "The memory of this process could not be looked at." in done.stderr
    failure = taken_note(tmp_path, RUN)
    assert failure is not None
    assert failure.code == "work_too_large"


def test_what_is_held_is_measured() -> None:
    before = held_bytes()
    block = bytearray(b"x" * 200_000_000)
    assert 150e6 < held_bytes() - before < 300e6
    del block
