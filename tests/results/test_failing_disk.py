"""Stages on a real disk that gets full, is shut for writing, or goes away: said in words, and what
was finished is used when it is back."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from raysched.errors import StorageFailed, StorageFull
from raysched.results.manifest import read_manifest
from raysched.results.shelf import Shelf
from tests.results.conftest import Attempt, crop_attempt
from tests.small_disks import SmallDisk, small_disk

CHUNKS = 9


@pytest.fixture
def disk() -> Iterator[SmallDisk]:
    with small_disk("24m") as made:
        yield made


@pytest.fixture(scope="module")
def checksum(crop: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    return attempt_in(crop, tmp_path_factory.mktemp("undisturbed")).run().checksum


def attempt_in(crop: Path, folder: Path) -> Attempt:
    return crop_attempt(crop, folder / "out", chunk_tiles=1)


def go_on(attempt: Attempt, done: int) -> str:
    """Another attempt: chunks that were finished are answered for, not computed again."""
    assert len(attempt.plan().chunk_tiles) == CHUNKS
    before = receipts(attempt)
    for chunk in range(CHUNKS):
        attempt.segment(chunk)
    assert before.items() <= receipts(attempt).items()
    assert len(before) == done
    attempt.assemble()
    return attempt.publish().checksum


def receipts(attempt: Attempt) -> dict[str, int]:
    """When each was written, by name."""
    found = attempt.staging.rglob("??????.json")
    return {path.name: path.stat().st_mtime_ns for path in found}


def stopped_by(fault: type[StorageFailed | StorageFull], work: Callable[[], object]) -> str:
    """What is said of the disk; a person learns what happened and what to do."""
    with pytest.raises(fault) as caught:
        work()
    assert caught.value.remedy
    return caught.value.message


def test_a_full_disk_stops_each_stage_and_loses_nothing(
    crop: Path, disk: SmallDisk, checksum: str
) -> None:
    attempt = attempt_in(crop, disk.path)
    disk.fill()
    full = f"The disk that holds {disk.path} is full."
    assert stopped_by(StorageFull, attempt.plan) == full
    disk.free()
    attempt.plan()
    for chunk in range(4):
        attempt.segment(chunk)
    disk.fill()
    assert stopped_by(StorageFull, lambda: attempt.segment(4)) == full
    disk.free()
    for chunk in range(4, CHUNKS):
        attempt.segment(chunk)
    disk.fill(leave=100_000)
    assert stopped_by(StorageFull, attempt.assemble) == full
    assert not list(attempt.staging.glob("result*")), "what was half made takes no room"
    disk.free()
    assert go_on(attempt, done=CHUNKS) == checksum


def test_a_disk_that_is_shut_for_writing_is_said_to_be_and_published_later(
    crop: Path, disk: SmallDisk, checksum: str
) -> None:
    attempt = attempt_in(crop, disk.path)
    with disk.read_only():
        assert "Read-only file system" in stopped_by(StorageFailed, attempt.plan)
    attempt.plan()
    attempt.segment(0)
    with disk.read_only():
        assert attempt.segment(0).cells > 0, "what is done can be read"
        assert "Read-only file system" in stopped_by(StorageFailed, lambda: attempt.segment(1))
    for chunk in range(1, CHUNKS):
        attempt.segment(chunk)
    with disk.read_only():
        assert "Read-only file system" in stopped_by(StorageFailed, attempt.assemble)
    attempt.assemble()
    with disk.read_only():
        assert "Read-only file system" in stopped_by(StorageFailed, attempt.publish)
        assert read_manifest(attempt.out) is None
    assert go_on(attempt, done=CHUNKS) == checksum


def test_a_results_folder_that_vanishes_and_comes_back_goes_on(
    crop: Path, tmp_path: Path, checksum: str
) -> None:
    home, away = tmp_path / "share", tmp_path / "away"
    home.mkdir()
    attempt = attempt_in(crop, home)
    attempt.plan()
    for chunk in range(3):
        attempt.segment(chunk)
    home.rename(away)
    for stage in (lambda: attempt.segment(3), attempt.assemble, attempt.publish):
        assert str(home) in stopped_by(StorageFailed, stage)
    assert not home.exists(), "a share that is away is not made anew in its mount point's place"
    away.rename(home)
    assert go_on(attempt, done=3) == checksum


@pytest.mark.parametrize("how", ["full", "read-only"])
def test_a_shelf_that_cannot_be_written_costs_no_result(
    how: str, crop: Path, tmp_path: Path, disk: SmallDisk, checksum: str
) -> None:
    attempt = replace(attempt_in(crop, tmp_path), shelf=Shelf(disk.path / "shelf", 10**9))
    if how == "full":
        disk.fill()
        assert attempt.run().checksum == checksum
    else:
        with disk.read_only():
            assert attempt.run().checksum == checksum
