"""What the service has placed for a job is removed, whole or again, and nothing else with it."""

from __future__ import annotations

from pathlib import Path

import pytest

from raysched.errors import StorageFailed
from raysched.results.folders import staging_folder
from raysched.results.removal import remove_job_files
from raysched.results.storage import Disk

JOB = "job-abc-1"


def placed(results: Path, job: str = JOB) -> tuple[Path, Path]:
    """A results folder and a staging folder with some files."""
    folder = results / job
    both = folder, staging_folder(folder, job)
    for each in both:
        (each / "cells").mkdir(parents=True)
        (each / "cells" / "1.parquet").write_bytes(b"cells")
        (each / "manifest.json").write_bytes(b"{}")
    return both


def below(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))


def test_results_and_staging_of_one_job_go_and_all_else_stays(tmp_path: Path) -> None:
    results = tmp_path / "results"
    other = placed(results, "job-abc-11")
    kept = below(results)
    placed(results)
    remove_job_files(results, JOB)
    assert below(results) == kept
    assert all(each.is_dir() for each in other)
    remove_job_files(results, JOB)  # nothing is there, and that is no fault


def test_links_are_removed_and_never_followed(tmp_path: Path) -> None:
    results, outside = tmp_path / "results", tmp_path / "outside"
    outside.mkdir()
    (outside / "precious.svs").write_bytes(b"slide")
    folder, staging = placed(results)
    (folder / "cells" / "link").symlink_to(outside)
    (folder / "file").symlink_to(outside / "precious.svs")
    (staging / "manifest.json").unlink()
    (staging / "cells" / "1.parquet").unlink()
    (staging / "cells").rmdir()
    staging.rmdir()
    staging.symlink_to(outside)
    remove_job_files(results, JOB)
    assert below(results) == []
    assert below(outside) == ["precious.svs"]


@pytest.mark.parametrize("name", ["..", ".", "../outside", "a/b", "/etc", ""])
def test_a_name_that_is_no_jobs_removes_nothing(name: str, tmp_path: Path) -> None:
    results = tmp_path / "results"
    placed(results)
    (tmp_path / "outside").mkdir()
    before = below(tmp_path)
    remove_job_files(results, name)
    assert below(tmp_path) == before


class Stops(Disk):
    """Dies before the change of that number."""

    def __init__(self, after: int) -> None:
        self.left = after

    def step(self, what: str, path: Path) -> None:
        self.left -= 1
        if self.left < 0:
            raise InterruptedError


@pytest.mark.parametrize("steps", range(8))
def test_a_removal_that_was_cut_off_anywhere_is_finished_by_the_next(
    steps: int, tmp_path: Path
) -> None:
    placed(tmp_path)
    with pytest.raises(StorageFailed):
        remove_job_files(tmp_path, JOB, Stops(steps))
    remove_job_files(tmp_path, JOB)
    assert below(tmp_path) == []


def test_what_cannot_be_removed_is_said(tmp_path: Path) -> None:
    class Nothing(Disk):
        def remove_tree(self, top: Path) -> None:
            self.step("remove", top)

    placed(tmp_path)
    with pytest.raises(StorageFailed, match="could not be removed"):
        remove_job_files(tmp_path, JOB, Nothing())
