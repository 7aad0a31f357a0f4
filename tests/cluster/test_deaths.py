"""What the end of a run's process means, by what Ray and the system say; without a cluster."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from ray.exceptions import NodeDiedError, OutOfMemoryError, RayError, WorkerCrashedError

from raysched.cluster import tasks
from raysched.cluster.deaths import Died, meaning_of
from raysched.cluster.guard import NOTE, too_large
from raysched.cluster.run_endings import Lost
from raysched.core.commands import RunUnit
from raysched.core.model import JobId, LaneId, RunId, Stage, Unit, UserId

RUN, LANE = RunId("1-7"), LaneId("raysched-lane-0")
SAID_BY_RAY = OutOfMemoryError(
    "Task was killed due to the node running low on memory.\nMemory on the node (IP: 10.0.0.7, ID: "
    "ab12) where the task (actor ID: NIL_ID, name=segment, pid=7, memory used=2.81GB) was running "
    "was 28.50GB / 30.00GB (0.950000), which exceeds the memory usage threshold of 0.95."
)


def death(
    folder: Path,
    error: RayError,
    *,
    careful: bool = False,
    is_short: bool = False,
    was_stopped: bool = False,
    **notes: object,
) -> tasks.Failed | Lost:
    """``notes``: what the process has left, by its kind."""
    unit = Unit(JobId("a"), 1, Stage.SEGMENT, 3)
    command = RunUnit(RUN, LANE, unit, "cell_segmentation", UserId("ann"), "{}", None, careful)
    folder.mkdir(exist_ok=True)
    for kind, content in notes.items():
        (folder / f"{RUN}.{kind}").write_text(str(content))

    async def memory_short(lane: LaneId) -> bool:
        assert lane == LANE
        return is_short

    return asyncio.run(meaning_of(Died(command, error, was_stopped), folder, memory_short))


@pytest.mark.parametrize(
    ("error", "held", "is_short", "words"),
    [
        (SAID_BY_RAY, 0, False, "ended by Ray, because its machine had no memory left (28.50GB / "),
        (SAID_BY_RAY, 2_810_000_000, False, "left (the process held 2.8 GB, 28.50GB / 30.00GB of "),
        (WorkerCrashedError(), 2_810_000_000, True, "ended by the system, because its machine had"),
    ],
)
def test_what_was_ended_for_memory_goes_with_care_and_then_fails_with_numbers(
    error: RayError, held: int, is_short: bool, words: str, tmp_path: Path
) -> None:
    first = death(tmp_path, error, careful=False, held=held or "", is_short=is_short)
    assert isinstance(first, Lost) and first.too_large
    assert words in first.cause
    last = death(tmp_path / "again", error, careful=True, held=held or "", is_short=is_short)
    assert isinstance(last, tasks.Failed)
    assert last.retryable, "the machine may have room later"
    assert last.failure.code == "work_too_large"
    assert words in last.failure.message
    assert last.failure.message.endswith(", also in a fresh process and one tile at a time.")


@pytest.mark.parametrize("careful", [False, True])
@pytest.mark.parametrize(
    ("error", "held", "is_short"),
    [
        (WorkerCrashedError(), None, True),  # a small process is killed by a person
        (WorkerCrashedError(), 2_810_000_000, False),
        (NodeDiedError("its node died"), 2_810_000_000, True),
    ],
)
def test_other_deaths_are_not_for_memory(
    error: RayError, held: int | None, is_short: bool, careful: bool, tmp_path: Path
) -> None:
    ending = death(tmp_path, error, careful=careful, held=held or "", is_short=is_short)
    assert isinstance(ending, Lost)
    assert not ending.too_large


@pytest.mark.parametrize("careful", [False, True])
def test_a_process_that_ended_itself_gives_its_own_reason(careful: bool, tmp_path: Path) -> None:
    said = too_large("The segment stage made its process hold 9.0 GB", careful)
    left = NOTE.dump_json(said).decode()
    ending = death(tmp_path, WorkerCrashedError(), careful=careful, json=left)
    if careful:
        assert ending == tasks.Failed(said, retryable=False)
    else:
        assert ending == Lost("The segment stage made its process hold 9.0 GB", too_large=True)


def test_what_was_told_to_stop_did_not_die_for_its_memory(tmp_path: Path) -> None:
    """It is killed by Ray then, whatever else may be so on its machine."""
    ending = death(tmp_path, SAID_BY_RAY, was_stopped=True, held=2_810_000_000)
    assert isinstance(ending, Lost)
    assert not ending.too_large
