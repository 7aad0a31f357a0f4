"""The staging folder of one job: where an attempt keeps what is done, and reads it back.

Layout, beside the results folder ``out`` and on the same file system::

    .{out.name}.{job}.partial/
        plan.json  tissue.npz  tissue.png    what ``plan`` found; no picture where a result has it
        planned.json                         vouches for them; written last
        chunks-{fingerprint}/000012-{checksum}.arrow  000012.json
                             000012.holes.json       instead, where tiles have failed
        result.{unique}/                     a result in the making
        result/                              a complete result
        publish.{run}/                       the same, handed over to one run of publish
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Mapping
from contextlib import suppress
from copy import deepcopy
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any, Generic, TypeVar

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, ValidationError

from raysched.errors import SlideChanged, StorageFailed
from raysched.imaging.plan import SlidePlan, TissuePlan
from raysched.imaging.planning import plan_fingerprint, plan_work
from raysched.imaging.slide import file_state, slide_sha256
from raysched.imaging.tissue import TissueMask
from raysched.results.chunks import ChunkStore
from raysched.results.storage import Disk

PLAN, TISSUE, PICTURE, PLANNED = "plan.json", "tissue.npz", "tissue.png", "planned.json"
PLANS_KEPT = 4
"""Plans that a process holds ready: a lane does chunks of as many jobs in turn, and reading a plan
anew for each of n chunks takes time that grows with n squared."""


P = TypeVar("P", SlidePlan, TissuePlan)


class PlanReceipt(BaseModel):
    """Vouches for the plan in a staging folder. ``reused``: as in the manifest; ``slide_state``: of
    the slide's file before it was looked at (``imaging.slide.file_state``)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    job: str
    kind: str = "cell_segmentation"
    fingerprint: str
    tissue_sha256: str
    seconds: float
    reused: tuple[str, ...] = ()
    slide_state: str = ""
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Staged(Generic[P]):
    """A plan read back from its staging folder. ``work``: see ``plan_work``; "" of tissue."""

    folder: Path
    receipt: PlanReceipt
    plan: P
    tissue: TissueMask
    work: str

    def chunks(self, disk: Disk) -> ChunkStore:
        """The finished chunks of this plan."""
        return ChunkStore(self.folder, self.receipt.fingerprint, disk)


@dataclass(frozen=True, slots=True)
class FreshPlan:
    """What the plan stage found, before it is on disk. ``picture``: PNG bytes; None where an equal
    result has it."""

    job: str
    plan: SlidePlan | TissuePlan
    tissue: TissueMask
    picture: bytes | None
    seconds: float
    slide_state: str
    reused: tuple[str, ...] = ()


def save_plan(folder: Path, fresh: FreshPlan, disk: Disk) -> PlanReceipt:
    """Put a plan into its staging folder, which is made if need be. The receipt goes last."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    disk.folder(folder)
    tissue = _pack(fresh.tissue)
    disk.write(folder / PLAN, fresh.plan.model_dump_json(indent=1).encode())
    disk.write(folder / TISSUE, tissue)
    if fresh.picture is not None:
        disk.write(folder / PICTURE, fresh.picture)
    receipt = PlanReceipt(
        job=fresh.job,
        kind=fresh.plan.kind,
        fingerprint=plan_fingerprint(fresh.plan),
        tissue_sha256=hashlib.sha256(tissue).hexdigest(),
        seconds=fresh.seconds,
        reused=fresh.reused,
        slide_state=fresh.slide_state,
        created_at=datetime.now(UTC).replace(microsecond=0),
    )
    disk.write(folder / PLANNED, receipt.model_dump_json(indent=1).encode())
    return receipt


def check_unchanged(staged: Staged[P]) -> None:
    """Raise ``SlideChanged`` if the slide's file is another than the one that was planned, and
    ``SlideMissing`` or ``SlideForbidden`` if it is gone or may not be read any more."""
    facts, known = staged.plan.slide, staged.receipt.slide_state
    path = Path(facts.path)
    if not known:
        return
    with suppress(OSError):  # reading it says in what way it is gone
        if file_state(path) == known:
            return
    if slide_sha256(path) != facts.sha256:
        raise SlideChanged(
            f"{path} is another file than when the job was planned.",
            remedy="Retry the job: it is planned and computed anew.",
            path=facts.path,
        )


def read_receipt(folder: Path) -> PlanReceipt | None:
    """Of the plan of any kind in a staging folder; None where there is none."""
    try:
        return PlanReceipt.model_validate_json((folder / PLANNED).read_bytes())
    except (FileNotFoundError, ValidationError):
        return None


def load_plan(folder: Path) -> Staged[SlidePlan]:
    """The plan of a segmentation's staging folder. Raises as ``load_any_plan``."""
    return load_any_plan(folder, SlidePlan)


def load_any_plan(folder: Path, kind: type[P]) -> Staged[P]:
    """The plan of a staging folder.

    Raises ``StorageFailed`` when it is missing (never planned, or already published and removed)
    or its parts do not belong together (a new plan is being written).
    """
    try:
        files = [(folder / name).read_bytes() for name in (PLANNED, PLAN, TISSUE)]
        receipt, plan, tissue, work = _understood(kind, *files)
    except (FileNotFoundError, ValidationError) as error:
        raise _unplanned(folder, "is missing or incomplete") from error
    except _NotOne as error:
        raise _unplanned(folder, str(error)) from error
    # Engines are given the context: what one of them changes there stays with this reading.
    own = {"context": deepcopy(plan.context)} if isinstance(plan, SlidePlan) else {}
    return Staged(folder, receipt, plan.model_copy(update=own), tissue, work)


class _NotOne(Exception):
    """The parts do not belong together."""


@lru_cache(maxsize=PLANS_KEPT)
def _understood(
    kind: type[P], planned: bytes, text: bytes, packed: bytes
) -> tuple[PlanReceipt, P, TissueMask, str]:
    """What the bytes of a staging folder's files say: always the same, so it is kept."""
    receipt = PlanReceipt.model_validate_json(planned)
    plan = kind.model_validate_json(text)
    if plan_fingerprint(plan) != receipt.fingerprint:
        raise _NotOne("does not match its receipt")
    if hashlib.sha256(packed).hexdigest() != receipt.tissue_sha256:
        raise _NotOne("has another tissue mask than its receipt says")
    work = plan_work(plan) if isinstance(plan, SlidePlan) else ""
    return receipt, plan, unpack_tissue(packed), work


def _unplanned(folder: Path, what: str) -> StorageFailed:
    return StorageFailed(
        f"The plan in {folder} {what}.",
        remedy="Retry the job: it is planned again and finished chunks are kept.",
        path=str(folder),
    )


def mask_parts(mask: npt.NDArray[np.bool_]) -> dict[str, Any]:
    """A mask (h, w) as arrays to be saved, a bit for each px; see ``mask_of``."""
    return {"bits": np.packbits(mask), "shape": mask.shape}


def mask_of(parts: Mapping[str, Any]) -> npt.NDArray[np.bool_]:
    """The mask of ``mask_parts``."""
    height, width = (int(side) for side in parts["shape"])
    bits = np.unpackbits(parts["bits"], count=height * width)
    return bits.reshape(height, width).astype(np.bool_)


def _pack(tissue: TissueMask) -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, **mask_parts(tissue.mask), w_per_px=tissue.w_per_px)
    return buffer.getvalue()


def unpack_tissue(packed: bytes) -> TissueMask:
    """The mask in a file ``TISSUE``, of a staging folder or of a published segmentation."""
    with np.load(io.BytesIO(packed), allow_pickle=False) as parts:
        return TissueMask(mask=mask_of(parts), w_per_px=float(parts["w_per_px"]))
