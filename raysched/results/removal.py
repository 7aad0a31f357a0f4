"""Removing what the service has placed for a job: its results folder and its staging folder.

Only names that follow from the job's id, directly below the folder of results that the service
chose; what a job was told to write elsewhere is its owner's. Each folder first takes another name,
by one rename, so that it is gone at once and whole for whoever reads it; then it is taken apart.
A removal that was cut off is repeated by removing again. Links are removed, never followed.
"""

from __future__ import annotations

from pathlib import Path

from raysched.errors import StorageFailed
from raysched.results.folders import staging_folder
from raysched.results.storage import DISK, Disk, storage


def remove_job_files(results: Path, job: str, disk: Disk = DISK) -> None:
    """Remove what is there of a job below ``results``; nothing there is no fault.

    Raises ``StorageFailed`` when something stays, ``StorageFull``.
    """
    if Path(job).name != job or job in ("", ".", ".."):
        return  # no name of ours: nothing can have been placed under it
    folder = results / job
    for number, place in enumerate((folder, staging_folder(folder, job))):
        aside = results / f".{job}.{number}.removed"
        with storage(place):
            _remove(aside, disk)  # what an earlier removal has left
            if place.is_symlink() or place.exists():
                disk.rename(place, aside)
                _remove(aside, disk)


def _remove(path: Path, disk: Disk) -> None:
    if path.is_symlink() or path.is_file():
        disk.step("remove", path)
        path.unlink(missing_ok=True)
        return
    disk.remove_tree(path)
    if path.exists():
        raise StorageFailed(
            f"{path} could not be removed.",
            remedy="Check who owns what is in it; it is tried again when the scheduler starts.",
            path=str(path),
        )
