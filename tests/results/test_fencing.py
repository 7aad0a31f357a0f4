"""Twins that come back late: real processes, stopped right before a rename, continued after it
does not matter any more."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path

import pytest

from raysched.imaging.request import SegmentationRequest
from raysched.results import stages
from raysched.results.fencing import hand_over, take_back
from raysched.results.folders import staging_folder
from raysched.results.manifest import read_manifest
from raysched.results.removal import remove_job_files
from tests.results.conftest import Attempt, Died, DyingDisk, crop_attempt, never

TWIN = """
import json, os, signal, sys
from raysched.errors import RayschedError
from raysched.imaging.request import SegmentationRequest
from raysched.results import stages
from raysched.results.storage import Disk

class StopsFirst(Disk):
    def step(self, what, path):
        if what == sys.argv[2] and path.name.endswith(sys.argv[3]):
            os.kill(os.getpid(), signal.SIGSTOP)

request = SegmentationRequest.model_validate_json(sys.argv[1])
more, disk = json.loads(sys.argv[5]), StopsFirst()
try:
    print(type(getattr(stages, sys.argv[4])(request, "job-1", *more, disk=disk)).__name__)
except RayschedError as error:
    print(error.code)
"""
"""Arguments: the request, the change before which it stops, how its path ends, the stage, and what
the stage is also given."""
CHUNK_TWIN = TWIN.replace('"job-1", *more', '"job-1", *more, lambda: False')


class Twin:
    """A process that does one stage and is stopped by the system before one of its changes."""

    def __init__(self, attempt: Attempt, stage: str, what: str, end: str, *more: object) -> None:
        script = CHUNK_TWIN if stage in ("segment_chunk", "assemble") else TWIN
        asked = attempt.request.model_dump_json()
        command = [sys.executable, "-c", script, asked, what, end, stage, json.dumps(more)]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        _, status = os.waitpid(self._process.pid, os.WUNTRACED)
        assert os.WIFSTOPPED(status), "it ended before that change"

    def goes_on(self) -> str:
        """What it says at last: the name of its outcome, or the code of its error."""
        os.kill(self._process.pid, signal.SIGCONT)
        said, _ = self._process.communicate(timeout=60)
        return said.strip()

    def kill(self) -> None:
        self._process.kill()
        self._process.communicate()


@pytest.fixture
def twins() -> Iterator[list[Twin]]:
    """Those that a test makes; none outlives it."""
    made: list[Twin] = []
    yield made
    for twin in made:
        twin.kill()


def assembled(attempt: Attempt) -> None:
    for chunk in range(len(attempt.plan().chunk_tiles)):
        attempt.segment(chunk)
    attempt.assemble()


def stopped_publish(attempt: Attempt, run: str = "1-7") -> Twin:
    """A run of publish that has the result and is about to give it its final name."""
    hand_over(attempt.staging, run)
    return Twin(attempt, "publish", "rename", f"/{attempt.out.name}"[1:], run)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_what_was_taken_back_is_published_by_nobody(attempt: Attempt, twins: list[Twin]) -> None:
    assembled(attempt)
    twins.append(stopped_publish(attempt))
    take_back(attempt.staging)  # as a cancel does before it is acknowledged
    assert twins[0].goes_on() == "storage_failed"
    assert names(attempt.out.parent) == [attempt.staging.name]
    assert (attempt.staging / "result" / "manifest.json").is_file()


def test_a_run_of_publish_that_comes_late_adds_nothing_to_the_one_after_it(
    attempt: Attempt, twins: list[Twin]
) -> None:
    assembled(attempt)
    twins.append(stopped_publish(attempt))
    hand_over(attempt.staging, "1-8")
    published = stages.publish(attempt.request, attempt.job, "1-8")
    before = (attempt.out / "manifest.json").stat()
    assert twins[0].goes_on() == "Published"  # what it finds there is the job's own
    assert (attempt.out / "manifest.json").stat() == before
    assert stages.publish(attempt.request, attempt.job, "1-8") == published
    assert names(attempt.out.parent) == ["out"]


def test_an_earlier_attempt_publishes_nothing_over_a_newer_one_with_other_parameters(
    attempt: Attempt, crop: Path, twins: list[Twin]
) -> None:
    assembled(attempt)
    twins.append(stopped_publish(attempt))
    take_back(attempt.staging)  # as planning anew begins
    request = attempt.request.model_copy(update={"mpp": 0.6})
    newer = Attempt(request, attempt.job)
    assembled(newer)
    assert twins[0].goes_on() == "storage_failed"
    assert not newer.out.exists()
    hand_over(newer.staging, "2-1")
    stages.publish(newer.request, newer.job, "2-1")
    manifest = read_manifest(newer.out)
    assert manifest is not None
    assert manifest.slide.mpp == 0.6
    assert names(attempt.out.parent) == ["out"]


def test_deleted_results_do_not_come_back(crop: Path, tmp_path: Path, twins: list[Twin]) -> None:
    attempt = crop_attempt(crop, tmp_path / "job-1")
    assembled(attempt)
    twins.append(stopped_publish(attempt))
    remove_job_files(tmp_path, "job-1")
    assert twins[0].goes_on() == "storage_failed"
    assert names(tmp_path) == []


def test_twins_of_two_stages_bring_back_nothing_together(
    attempt: Attempt, twins: list[Twin]
) -> None:
    for chunk in range(len(attempt.plan().chunk_tiles)):
        attempt.segment(chunk)
    twins.append(Twin(attempt, "assemble", "rename", "result"))
    attempt.assemble()
    twins.append(stopped_publish(attempt))
    take_back(attempt.staging)
    hand_over(attempt.staging, "1-9")
    assert twins[0].goes_on() == "Assembled"  # a second result, beside the one that 1-9 has
    take_back(attempt.staging)
    assert twins[1].goes_on() == "storage_failed"
    assert names(attempt.out.parent) == [attempt.staging.name]
    assert [name for name in names(attempt.staging) if name.startswith(("result", "publish"))] == [
        "result"
    ]


@pytest.mark.parametrize(("what", "end"), [("rename", ".arrow"), ("replace", "000000.json")])
@pytest.mark.parametrize("then", ["finished", "published"])
def test_a_chunk_that_comes_late_is_the_same_chunk(
    attempt: Attempt, twins: list[Twin], what: str, end: str, then: str
) -> None:
    chunks = len(attempt.plan().chunk_tiles)
    twins.append(Twin(attempt, "segment_chunk", what, end, 0))
    receipt = attempt.segment(0)
    file = attempt.staging / receipt.file
    whole = file.read_bytes()
    if then == "published":
        for chunk in range(1, chunks):
            attempt.segment(chunk)
        attempt.assemble()
        attempt.publish()
        assert twins[0].goes_on() == "Receipt"
        assert names(attempt.out.parent) == ["out"]
        return
    assert twins[0].goes_on() == "Receipt"
    assert file.read_bytes() == whole
    assert attempt.segment(0).checksum == receipt.checksum
    assert len(names(file.parent)) == 2


def test_a_kill_between_any_two_changes_while_handing_over_loses_nothing(attempt: Attempt) -> None:
    assembled(attempt)
    counter = DyingDisk()
    hand_over(attempt.staging, "1-1", counter)
    hand_over(attempt.staging, "1-2", counter)
    for alive_for in range(counter.steps):
        with pytest.raises(Died):
            disk = DyingDisk(alive_for)
            hand_over(attempt.staging, "2-1", disk)
            hand_over(attempt.staging, "2-2", disk)
            take_back(attempt.staging, disk)
        hand_over(attempt.staging, "3-1")
        assert [name for name in names(attempt.staging) if "publish" in name] == ["publish.3-1"]
    stages.publish(attempt.request, attempt.job, "3-1")
    assert names(attempt.out.parent) == ["out"]


def test_where_nothing_can_be_nothing_is_taken_back(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for place in (tmp_path / "no", tmp_path / "file" / "x", tmp_path / ("x" * 300), Path("a\0b")):
        take_back(place)


def test_a_plan_that_is_told_to_stop_leaves_nothing(crop: Path, tmp_path: Path) -> None:
    request = SegmentationRequest(slide=str(crop), out=str(tmp_path / "out"), mpp=0.5)
    asked = 0

    def after(most: int) -> bool:
        nonlocal asked
        asked += 1
        return asked > most

    stages.plan_slide(request, "count", lambda: after(10**9))
    assert asked > 3, "it looks while it reads"
    for most in range(asked):
        asked = 0
        job = f"job-{most}"
        with pytest.raises(stages.Stopped):
            stages.plan_slide(request, job, lambda most=most: after(most))  # type: ignore[misc]
        assert not staging_folder(tmp_path / "out", job).exists()
    assert stages.plan_slide(request, "job", never).chunk_tiles


def test_assembling_looks_whether_to_stop_while_it_writes_the_picture(attempt: Attempt) -> None:
    """Half a second of a large slide, and the longest step without a tile."""
    attempt.plan()
    for chunk in range(3):
        attempt.segment(chunk)
    making = attempt.staging.glob("result.*/labels.zarr/zarr.json")

    def is_at_the_picture() -> bool:
        return "encode" in {frame.name for frame in traceback.extract_stack()}

    with pytest.raises(stages.Stopped):
        stages.assemble(attempt.request, attempt.job, is_at_the_picture)
    assert list(making) == [], "and leaves nothing half made"
    assert attempt.assemble().cells


def test_what_was_handed_over_comes_back_in_the_place_of_what_a_late_twin_has_assembled(
    tmp_path: Path,
) -> None:
    """The twin may have begun before failed tiles were read after all."""
    for name, content in (("publish.1-7", "of the chunks as they are"), ("result", "a twin's")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "manifest.json").write_text(content)
    take_back(tmp_path)
    assert names(tmp_path) == ["result"]
    assert (tmp_path / "result" / "manifest.json").read_text() == "of the chunks as they are"
