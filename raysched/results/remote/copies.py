"""What readers at the service have of an object store, at the paths where a service with shared
folders has it: results whole or not at all, and of unfinished jobs what they have so far.

Copies of results below the service's own folder are kept up to a bound, and fetched again; what a
person named as results folder is theirs and stays.
"""

from __future__ import annotations

import hashlib
import logging
import os
import re
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from pydantic import ValidationError

from raysched.errors import ClusterError
from raysched.imaging.request import SlideRequest
from raysched.results.folders import staging_folder
from raysched.results.manifest import MANIFEST, read_provenance
from raysched.results.remote.bucket import Bucket
from raysched.results.remote.door import Door
from raysched.results.remote.place import StorePlace
from raysched.results.remote.units import (
    ANY_PLAN,
    jobs_folder,
    result_folder,
    write_plan_here,
)
from raysched.results.staging import PICTURE, PLAN, PLANNED, TISSUE, PlanReceipt, read_receipt
from raysched.results.storage import DISK, lock, size_of, storage, unique

log = logging.getLogger(__name__)

LOGS, RESULTS = "logs", "results"
LOCK_DIGITS = 4
"""Of hex: 65,536 lock files at most of each kind, which are never removed."""
UNFINISHED = re.compile(r"\.(?P<job>[\w-]+)\.(?P=job)\.partial")
"""What the copy of an unfinished job is called, beside the results of the service."""
RECENT_S = 3600.0
"""A copy that was asked for so lately may still be read: it does not go."""


class Copies:
    """Everything here runs in threads; of two that ask for the same, one waits."""

    def __init__(self, place: StorePlace) -> None:
        self._bucket = Bucket(place)
        self._place = place

    def result(self, request: SlideRequest, job: str) -> bool:
        """Have the published result of a job at ``request.out``; whether there is one.

        Raises ``StorageFailed``, ``StorageFull``.
        """
        out = Path(request.out)
        if self._has(out, job):
            return True
        with self._one_at_a_time(RESULTS, job), storage(out):
            if self._has(out, job):
                return True
            stands = Door(self._bucket, job).standing()
            if stands is None or not stands.published:
                return False
            self._trim(out)
            coming = coming_folder(out, job)
            shutil.rmtree(coming, ignore_errors=True)
            folder = result_folder(job, stands)
            self._bucket.fetch_all(folder, self._bucket.sizes(folder), coming)
            DISK.rename(coming, out)
            DISK.remove_tree(staging_folder(out, job))
        return True

    def so_far(self, request: SlideRequest, job: str) -> None:
        """Have what an unfinished job has so far in its staging folder. Raises ``StorageFailed``,
        ``StorageFull``."""
        staging, folder = staging_folder(Path(request.out), job), jobs_folder(job)
        with self._one_at_a_time(RESULTS, job), storage(staging):
            if not self._plan(Path(request.slide), staging, folder):
                return
            os.utime(staging)  # it was used just now
            there = self._bucket.sizes(folder)
            missing = sorted(
                name
                for name, size in there.items()
                if "/" in name or name == PICTURE
                if not _is_there(staging / name, size)
            )
            vouching = [name for name in missing if name.endswith(".json")]
            self._bucket.fetch_all(folder, set(missing) - set(vouching), staging)
            self._bucket.fetch_all(folder, vouching, staging)  # last: each file before its receipt

    def log(self, job: str, into: Path) -> None:
        """Have what was said on other nodes in the folder of a job's log. Raises as above."""
        with self._one_at_a_time(LOGS, job), storage(into):
            folder = f"{LOGS}/{job}"
            for name, size in self._bucket.sizes(folder).items():
                if not _is_there(into / name, size):
                    self._bucket.fetch(f"{folder}/{name}", into / name)

    def _plan(self, slide: Path, staging: Path, folder: str) -> bool:
        """Have the plan, with the slide as the service has it; whether there is one."""
        try:
            told = PlanReceipt.model_validate_json(self._bucket.read(f"{folder}/{PLANNED}") or b"")
            here = read_receipt(staging)
            if here is not None and here.created_at == told.created_at:
                return True
            plan = ANY_PLAN.validate_json(self._bucket.read(f"{folder}/{PLAN}") or b"")
        except ValidationError:  # not planned yet, or just now again
            return False
        self._trim(staging)
        staging.mkdir(parents=True, exist_ok=True)
        self._bucket.fetch(f"{folder}/{TISSUE}", staging / TISSUE)
        write_plan_here(staging, plan, told, slide, DISK)
        return True

    def _has(self, out: Path, job: str) -> bool:
        manifest = read_provenance(out)
        if manifest is None or manifest.job != job:
            return False
        if self._is_ours(out):
            os.utime(out)  # it was used just now
        return True

    def _is_ours(self, out: Path) -> bool:
        return out.parent == self._place.results

    def _trim(self, coming: Path) -> None:
        """Before another copy comes: remove those that were not used for longest."""
        if not self._is_ours(coming) or not coming.parent.exists():
            return
        with self._one_at_a_time("trim"):
            kept = []
            for path in coming.parent.iterdir():
                with suppress(FileNotFoundError):
                    whole = not path.name.startswith(".") and (path / MANIFEST).exists()
                    if whole or (UNFINISHED.fullmatch(path.name) and (path / PLANNED).exists()):
                        kept.append((path.stat().st_mtime, size_of(path), path))
            total = sum(size for _, size, _ in kept)
            for _, size, path in sorted(kept):
                if total <= self._place.results_bytes:
                    return
                with suppress(OSError, ClusterError):  # then it stays: nobody else's copy does
                    total -= size if self._let_go(path) else 0

    def _let_go(self, path: Path) -> bool:
        """Whether a copy counts no longer: nobody has asked for it lately and it has gone, since
        the store has it; or the store has not, and it is none."""
        unfinished = UNFINISHED.fullmatch(path.name)
        job = unfinished["job"] if unfinished else path.name
        with self._one_at_a_time(RESULTS, job, wait=False) as is_free:
            if not is_free or path.stat().st_mtime > time.time() - RECENT_S:
                return False
            if not self._is_stored(job, with_plan=unfinished is not None):
                return True
            log.info("The copy of %s goes from this node; the object store has it.", job)
            aside = path.with_name(f".{path.name}.{unique()}.removed")
            DISK.rename(path, aside)
            DISK.remove_tree(aside)
            return True

    def _is_stored(self, job: str, *, with_plan: bool) -> bool:
        planned = f"{jobs_folder(job)}/{PLANNED}"
        is_published = Door(self._bucket, job).is_published()
        return is_published or (with_plan and self._bucket.size(planned) is not None)

    @contextmanager
    def removing(self, job: str) -> Iterator[None]:
        """Nothing of a job is copied meanwhile. Removes what the store has of it, and copies that
        were coming. Raises ``StorageFailed``."""
        with self._one_at_a_time(RESULTS, job), self._one_at_a_time(LOGS, job):
            self._bucket.drop([f"results/{job}/result.json"])  # first: nothing is published now
            for folder in (f"results/{job}", jobs_folder(job), f"{LOGS}/{job}"):
                self._bucket.remove(folder)
            DISK.remove_tree(coming_folder(self._place.results / job, job))
            yield

    @contextmanager
    def _one_at_a_time(self, what: str, job: str = "", *, wait: bool = True) -> Iterator[bool]:
        """Whether it is one's turn: always, unless one does not wait. A job may share its lock with
        another. Whoever holds one may wait for one of another ``what``, which is never the same."""
        folder = self._place.folder / "locks" / what
        folder.mkdir(parents=True, exist_ok=True)
        digest = hashlib.sha256(job.encode()).hexdigest()
        with lock(folder / f"{digest[:LOCK_DIGITS]}.lock", wait=wait) as is_mine:
            yield is_mine


def send_log(place: StorePlace, job: str, folder: Path, names: list[str]) -> None:
    """Send what was said on this node of a job. Raises ``StorageFailed``."""
    Bucket(place).send_all(folder, names, f"{LOGS}/{job}")


def coming_folder(out: Path, job: str) -> Path:
    """Where a copy of a result is until it is complete."""
    return staging_folder(out, job).with_suffix(".coming")


def _is_there(path: Path, size: int) -> bool:
    return path.exists() and path.stat().st_size == size
