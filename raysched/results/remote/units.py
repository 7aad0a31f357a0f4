"""The stages with an object store between the nodes: the same four, with the same arguments.

Each unit works in a folder of its own on its node: what it reads comes there first, then the stage
does its work as on any folder, and what it has made goes to the store; what vouches goes last. So
the stages' promises hold: half of anything is never seen, and each may be killed and done again.
"""

from __future__ import annotations

import fcntl
import hashlib
import logging
import os
import shutil
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from raysched.errors import ChunksMissing, RayschedError, SlideChanged, StorageFailed
from raysched.imaging.plan import SlidePlan, TissuePlan
from raysched.imaging.planning import plan_fingerprint
from raysched.imaging.request import SlideRequest
from raysched.imaging.slide import file_state
from raysched.results import stages
from raysched.results.chunks import RECEIPT, WHOLE, WITH_HOLES
from raysched.results.folders import RESULT, staging_folder
from raysched.results.manifest import (
    ANY_MANIFEST,
    MANIFEST,
    RECEIPTS,
    Manifest,
    TissueManifest,
)
from raysched.results.outcomes import Assembled, Planned, Published, Receipt, Stopped
from raysched.results.remote.bucket import Bucket
from raysched.results.remote.door import Door, Standing
from raysched.results.remote.place import StorePlace
from raysched.results.remote.slides import NodeSlides
from raysched.results.shelf import NO_SHELF, Shelf
from raysched.results.staging import PICTURE, PLAN, PLANNED, TISSUE, PlanReceipt
from raysched.results.storage import SCRATCH, Disk, unique

log = logging.getLogger(__name__)

ANY_PLAN: TypeAdapter[SlidePlan | TissuePlan] = TypeAdapter(SlidePlan | TissuePlan)
ABANDONED_S = 3600.0
PLANS_KEPT = 64
"""On each node, those read last."""


@contextmanager
def _named(slide: Path) -> Iterator[None]:
    """Where a node keeps its copy of a slide is nobody's business: errors name the slide."""
    try:
        yield
    except RayschedError as error:
        error.message = error.message.replace(str(slide), slide.name)
        error.remedy = error.remedy.replace(str(slide), slide.name)
        raise


def _never() -> bool:
    return False


@dataclass(frozen=True, slots=True)
class Desk:
    """Where one unit works. ``request`` names the slide's copy and a results folder on this node,
    beside which is the job's ``staging``."""

    request: SlideRequest
    out: Path
    staging: Path


class RemoteStages:
    """The stages of one node."""

    def __init__(self, place: StorePlace) -> None:
        self._bucket = Bucket(place)
        self._slides = NodeSlides(self._bucket, place)
        # Where nodes share the folder, their locks need not.
        self._units = place.folder / "units" / socket.gethostname()
        self._plans = place.folder / "plans"

    def plan_slide(
        self,
        request: SlideRequest,
        job: str,
        should_stop: Callable[[], bool] = _never,
        *,
        shelf: Shelf = NO_SHELF,
    ) -> Planned:
        """See ``stages.plan_slide``."""
        with self._desk(request, job, should_stop) as desk:
            done = self._bring_published(desk, job)
            planned = stages.plan_slide(desk.request, job, should_stop, disk=SCRATCH, shelf=shelf)
            if not done:
                parts = [TISSUE, PICTURE, PLAN]
                there = [name for name in parts if (desk.staging / name).exists()]
                self._bucket.send_all(desk.staging, there, jobs_folder(job))
                self._bucket.send(desk.staging / PLANNED, f"{jobs_folder(job)}/{PLANNED}")
            return planned

    def segment_chunk(
        self,
        request: SlideRequest,
        job: str,
        chunk: int,
        should_stop: Callable[[], bool],
        *,
        shelf: Shelf = NO_SHELF,
    ) -> Receipt:
        """See ``stages.segment_chunk``."""
        with self._desk(request, job, should_stop) as desk:
            receipt = self._bring_plan(desk, job)
            if receipt is None:
                return stages.segment_chunk(
                    desk.request, job, chunk, should_stop, disk=SCRATCH, shelf=shelf
                )
            chunks = f"chunks-{receipt.fingerprint[:12]}"
            done = self._bring_chunk(desk, job, chunks, chunk)
            if done is not None and not done.tiles_failed:
                return done
            made = stages.segment_chunk(
                desk.request, job, chunk, should_stop, disk=SCRATCH, shelf=shelf
            )
            self._send_chunk(desk, job, chunks, made)
            # Else the one with failed tiles would count if the whole one were lost.
            if done is not None and not made.tiles_failed:
                self._bucket.drop([f"{jobs_folder(job)}/{chunks}/{chunk:06d}{WITH_HOLES}"])
            return made

    def assemble(
        self,
        request: SlideRequest,
        job: str,
        should_stop: Callable[[], bool],
        *,
        shelf: Shelf = NO_SHELF,
    ) -> Assembled:
        """See ``stages.assemble``."""
        with self._desk(request, job, should_stop) as desk:
            receipt = self._bring_plan(desk, job)
            if receipt is None:
                return stages.assemble(desk.request, job, should_stop, disk=SCRATCH, shelf=shelf)
            folder = jobs_folder(job)
            names = self._bucket.sizes(folder)
            chunks = f"chunks-{receipt.fingerprint[:12]}/"
            wanted = [name for name in names if name.startswith(chunks) or name == PICTURE]
            self._bucket.fetch_all(folder, wanted, desk.staging)
            try:
                made = stages.assemble(desk.request, job, should_stop, disk=SCRATCH, shelf=shelf)
            except ChunksMissing as error:  # damaged ones would vouch for themselves again
                lost = [f"{folder}/{chunks}{chunk:06d}" for chunk in error.chunks]
                self._bucket.drop([f"{each}{end}" for each in lost for end in (WHOLE, WITH_HOLES)])
                raise
            self._send_result(desk.staging / RESULT, job, receipt.fingerprint, made)
            return made

    def publish(
        self, request: SlideRequest, job: str, run: str = "", *, shelf: Shelf = NO_SHELF
    ) -> Published:
        """See ``stages.publish``; here by one replacement of one object. Later jobs do not look for
        an equal result, so the shelf is told nothing."""
        del shelf
        door = Door(self._bucket, job)
        stands = door.standing()
        if stands is None or not stands.published:
            if stands is not None and stands.run == run:  # now nobody else can change it
                self._check_complete(stands, job)
            stands = door.publish(run)
        manifest = read_stored(self._bucket, stands, job)
        self._bucket.remove(jobs_folder(job))
        self._drop_others(stands, job)
        cells = manifest.counts.cells if isinstance(manifest, Manifest) else 0
        return Published(cells, manifest.checksum, request.out)

    @contextmanager
    def _desk(
        self, request: SlideRequest, job: str, should_stop: Callable[[], bool]
    ) -> Iterator[Desk]:
        """A new folder for one unit, and the slide held; removed in the end, and what killed
        processes have left with it."""

        def check() -> None:
            if should_stop():
                raise Stopped

        assert request.stored is not None, "only jobs whose slide is in the store come here"
        self._sweep()
        fresh, folder = self._units / f"new-{unique()}", self._units / f"unit-{unique()}"
        fresh.mkdir(parents=True)
        with (fresh / "lock").open("wb") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            fresh.rename(folder)  # from now on others see it, and that it is locked
            try:
                with self._slides.held(request.stored, check) as slide:
                    out = folder / Path(request.out).name
                    here = request.model_copy(update={"slide": str(slide), "out": str(out)})
                    with _named(slide):
                        yield Desk(here, out, staging_folder(out, job))
            finally:
                SCRATCH.remove_tree(folder)

    def _sweep(self) -> None:
        for lock in self._units.glob("unit-*/lock"):
            # At work, or just now gone.
            with suppress(BlockingIOError, FileNotFoundError), lock.open("rb") as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(lock.parent, ignore_errors=True)
        for left in self._units.glob("new-*"):
            with suppress(FileNotFoundError):
                if left.stat().st_mtime < time.time() - ABANDONED_S:
                    shutil.rmtree(left, ignore_errors=True)

    def _bring_published(self, desk: Desk, job: str) -> bool:
        """Whether the job's result is published: then what vouches for it is on the desk, from
        which every stage answers."""
        stands = Door(self._bucket, job).standing()
        if stands is None or not stands.published:
            return False
        manifest = read_stored(self._bucket, stands, job)
        names = [MANIFEST, RECEIPTS] if isinstance(manifest, Manifest) else [MANIFEST]
        self._bucket.fetch_all(result_folder(job, stands), names, desk.out)
        return True

    def _bring_plan(self, desk: Desk, job: str) -> PlanReceipt | None:
        """The plan, as if it had been made on this node: with this node's copy of the slide. None
        where the result is published: then what vouches for it is on the desk."""
        staging, folder = desk.staging, jobs_folder(job)
        told = self._bucket.read(f"{folder}/{PLANNED}")
        if told is None and self._bring_published(desk, job):
            return None
        try:
            receipt = PlanReceipt.model_validate_json(told or b"")
            known = self._kept_plan(folder, receipt)
            plan = ANY_PLAN.validate_json((known / PLAN).read_bytes())
        except (ValidationError, FileNotFoundError) as error:
            raise StorageFailed(
                f"The plan in {folder} of the object store is missing or incomplete.",
                remedy="Retry the job: it is planned again and finished chunks are kept.",
            ) from error
        path = Path(desk.request.slide)
        if path.stat().st_size != plan.slide.size_bytes:
            raise SlideChanged(
                f"{path.name} is another file than when the job was planned.",
                remedy="Retry the job: it is planned and computed anew.",
                path=str(path),
            )
        staging.mkdir()
        (staging / TISSUE).hardlink_to(known / TISSUE)
        write_plan_here(staging, plan, receipt, path, SCRATCH)
        return receipt

    def _kept_plan(self, folder: str, receipt: PlanReceipt) -> Path:
        """The folder of this node with a plan and its tissue: every chunk asks for them. Raises
        ``FileNotFoundError`` where they are not in the store."""
        name = hashlib.sha256(f"{folder} {receipt.model_dump_json()}".encode()).hexdigest()[:32]
        kept = self._plans / name
        if not kept.exists():
            plan, tissue = (self._bucket.read(f"{folder}/{part}") or b"" for part in (PLAN, TISSUE))
            is_of_it = plan_fingerprint(ANY_PLAN.validate_json(plan)) == receipt.fingerprint
            if not is_of_it or hashlib.sha256(tissue).hexdigest() != receipt.tissue_sha256:
                raise FileNotFoundError("another plan is being written")
            fresh = self._plans / f"new-{unique()}"
            fresh.mkdir(parents=True)
            (fresh / PLAN).write_bytes(plan)
            (fresh / TISSUE).write_bytes(tissue)
            with suppress(OSError):  # a neighbour was faster
                fresh.rename(kept)
            shutil.rmtree(fresh, ignore_errors=True)
            self._forget_plans()
        os.utime(kept)
        return kept

    def _forget_plans(self) -> None:
        ages = []
        for path in self._plans.iterdir():
            with suppress(FileNotFoundError):
                ages.append((path.stat().st_mtime, path))
        for _, old in sorted(ages)[:-PLANS_KEPT]:
            gone = old.with_name(f"new-{unique()}")
            with suppress(FileNotFoundError):
                old.rename(gone)  # whole, or not there at all
                shutil.rmtree(gone, ignore_errors=True)

    def _bring_chunk(self, desk: Desk, job: str, chunks: str, chunk: int) -> Receipt | None:
        """The receipt of a chunk that is done. One with failed tiles is brought onto the desk, to
        be done but for these."""
        folder = jobs_folder(job)
        for ending in (WHOLE, WITH_HOLES):
            name = f"{chunks}/{chunk:06d}{ending}"
            content = self._bucket.read(f"{folder}/{name}")
            if content is None:
                continue
            try:
                receipt = RECEIPT.validate_json(content)
            except ValidationError:
                log.warning("The receipt %s is damaged: the chunk is done again.", name)
                continue
            if self._bucket.size(f"{folder}/{receipt.file}") != receipt.size_bytes:
                continue
            if receipt.tiles_failed:
                self._bucket.fetch(f"{folder}/{receipt.file}", desk.staging / receipt.file)
                SCRATCH.write(desk.staging / name, content)
            return receipt
        return None

    def _send_chunk(self, desk: Desk, job: str, chunks: str, made: Receipt) -> None:
        folder = jobs_folder(job)
        self._bucket.send(desk.staging / made.file, f"{folder}/{made.file}")
        ending = WITH_HOLES if made.tiles_failed else WHOLE
        name = f"{chunks}/{made.chunk:06d}{ending}"
        self._bucket.write(f"{folder}/{name}", RECEIPT.dump_json(made, indent=1))

    def _send_result(self, result: Path, job: str, fingerprint: str, made: Assembled) -> None:
        """Send a complete result under a name that nobody else uses, then say that it is there."""
        folder = unique()
        names = [str(path.relative_to(result)) for path in result.rglob("*") if path.is_file()]
        stands = None
        try:
            self._bucket.send_all(result, names, f"results/{job}/{folder}")
            stands = Door(self._bucket, job).settle(folder, fingerprint, made.tiles_failed)
        finally:
            if stands is None or stands.folder != folder:
                self._bucket.remove(f"results/{job}/{folder}")

    def _check_complete(self, stands: Standing, job: str) -> None:
        """Raise ``StorageFailed`` where what a late twin has assembled is of an older plan."""
        planned = self._bucket.read(f"{jobs_folder(job)}/{PLANNED}") or b"{}"
        manifest = read_stored(self._bucket, stands, job)
        try:
            if PlanReceipt.model_validate_json(planned).fingerprint == manifest.fingerprint:
                return
        except ValidationError:
            log.warning("The plan of %s is not in the object store any more.", job)
        raise StorageFailed(
            f"The result in {result_folder(job, stands)} of the object store is of another plan.",
            remedy="Retry the job: finished chunks are kept.",
        )

    def _drop_others(self, stands: Standing, job: str) -> None:
        """Of a published job, remove what other twins have assembled; one that is still at it does
        so itself."""
        keep = f"{stands.folder}/"
        self._bucket.drop(
            [
                f"results/{job}/{name}"
                for name in self._bucket.sizes(f"results/{job}")
                if "/" in name and not name.startswith(keep)
            ]
        )


def write_plan_here(
    staging: Path, plan: SlidePlan | TissuePlan, receipt: PlanReceipt, slide: Path, disk: Disk
) -> None:
    """Put a plan of another node where its tissue is already, as if it had been made of this node's
    file of the slide. The receipt goes last."""
    facts = plan.slide.model_copy(update={"path": str(slide)})
    here = plan.model_copy(update={"slide": facts})
    disk.write(staging / PLAN, here.model_dump_json().encode())
    state = file_state(slide) if slide.exists() else ""
    told = receipt.model_copy(update={"slide_state": state})
    disk.write(staging / PLANNED, told.model_dump_json().encode())


def read_stored(bucket: Bucket, stands: Standing, job: str) -> Manifest | TissueManifest:
    """The manifest of a complete result. Raises ``StorageFailed``."""
    key = f"{result_folder(job, stands)}/{MANIFEST}"
    try:
        return ANY_MANIFEST.validate_json(bucket.read(key) or b"")
    except ValidationError as error:
        raise StorageFailed(
            f"{key} in the object store is missing or damaged.",
            remedy="Submit the slide again: the result is computed anew.",
        ) from error


def result_folder(job: str, stands: Standing) -> str:
    """Where the objects of a complete result are."""
    return f"results/{job}/{stands.folder}"


def jobs_folder(job: str) -> str:
    """Where what a job has so far is: under the same names as in a staging folder."""
    return f"jobs/{job}"
