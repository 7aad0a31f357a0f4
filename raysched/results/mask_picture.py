"""A tissue mask as a small picture to be laid over the slide."""

from __future__ import annotations

import io
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import zarr
from PIL import Image

from raysched.errors import NotReady
from raysched.imaging.plan import SlidePlan, TissuePlan
from raysched.results.chunk_map import published_mask
from raysched.results.damage import unpacking
from raysched.results.manifest import Manifest, TissueManifest, read_provenance
from raysched.results.staging import TISSUE, Staged, load_any_plan, read_receipt
from raysched.results.storage import storage
from raysched.results.tissue import EDGE, MASK

MOST_PX = 2048
"""Longest side of the picture."""
OPACITY = 110
"""Of tissue in the picture, 0..255; glass is clear."""

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class MaskPicture:
    """``png``: tissue in a colour, glass clear. One px is ``l0_per_px`` level-0 px of the slide,
    whose corner is the picture's; the last row and column may reach beyond the slide."""

    png: bytes
    width: int
    height: int
    l0_per_px: float

    @classmethod
    def of(cls, mask: Mask, l0_per_px: float, most_px: int = MOST_PX) -> MaskPicture:
        """From a mask (h, w), made coarser by a whole factor where it is larger than ``most_px``:
        a px is tissue where half of it is."""
        factor = math.ceil(max(*mask.shape, 1) / most_px)
        if factor > 1:
            height, width = mask.shape
            padded = np.pad(mask, ((0, -height % factor), (0, -width % factor)), mode="edge")
            blocks = padded.reshape(
                padded.shape[0] // factor, factor, padded.shape[1] // factor, factor
            )
            mask = blocks.mean((1, 3)) >= 0.5
        picture = Image.fromarray(mask.astype(np.uint8), "P")
        picture.putpalette([0, 0, 0, *EDGE])
        buffer = io.BytesIO()
        picture.save(buffer, "PNG", bits=1, transparency=bytes((0, OPACITY)), optimize=False)
        return cls(buffer.getvalue(), mask.shape[1], mask.shape[0], l0_per_px * factor)


def job_mask(folder: Path) -> tuple[Mask, float, bool]:
    """The tissue of a job of any kind, from its results or its staging folder: the mask (h, w),
    level-0 px per px of it, and whether the job's results are complete.

    Raises ``NotReady`` before there is a plan, ``NotFound`` for results without their mask,
    ``StorageFailed``.
    """
    with storage(folder):
        manifest = read_provenance(folder)
        if isinstance(manifest, Manifest):
            tissue = published_mask(folder)
            return tissue.mask, tissue.w_per_px * manifest.grid.l0_per_w, True
        if manifest is not None:
            levels = zarr.open_group(str(folder / MASK), mode="r")
            array = levels["0"]
            assert isinstance(array, zarr.Array)
            mask = np.asarray(array[:]) == 1
            return mask, manifest.mask_mpp / manifest.slide.mpp, True
        planned = read_receipt(folder)
        if planned is None:
            raise NotReady(
                "The slide has not been looked at yet: there is no tissue mask.",
                remedy="Ask again when the job has been planned.",
            )
        staged: Staged[SlidePlan] | Staged[TissuePlan] = (
            load_any_plan(folder, SlidePlan)
            if planned.kind == "cell_segmentation"
            else load_any_plan(folder, TissuePlan)
        )
        l0_per_px = staged.tissue.w_per_px * staged.plan.grid.l0_per_w
        return staged.tissue.mask, l0_per_px, False


def mask_size(folder: Path) -> tuple[int, int, float] | None:
    """Width, height and level-0 px per px of the tissue mask that a folder holds: results of either
    kind, or what an unfinished job was planned with. None where none is kept."""
    found = read_provenance(folder)
    if isinstance(found, TissueManifest):
        return found.mask_width, found.mask_height, found.mask_mpp / found.slide.mpp
    if found is not None:
        try:
            packed = io.BytesIO((folder / TISSUE).read_bytes())
        except FileNotFoundError:
            return None
        with unpacking(folder / TISSUE), np.load(packed, allow_pickle=False) as parts:
            height, width = (int(side) for side in parts["shape"])
            return width, height, float(parts["w_per_px"]) * found.grid.l0_per_w
    receipt = read_receipt(folder)
    if receipt is None:
        return None
    kind = SlidePlan if receipt.kind == "cell_segmentation" else TissuePlan
    staged: Staged[Any] = load_any_plan(folder, kind)
    height, width = staged.tissue.mask.shape
    return width, height, staged.tissue.w_per_px * staged.plan.grid.l0_per_w


def mask_picture(folder: Path) -> tuple[MaskPicture, bool]:
    """The tissue of a job's results or staging folder, and whether the results are complete. Raises
    as ``job_mask``."""
    mask, l0_per_px, complete = job_mask(folder)
    return MaskPicture.of(mask, l0_per_px), complete
