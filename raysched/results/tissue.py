"""The result of the job kind ``tissue_mask``, and the picture of tissue that every kind makes.

A results folder holds ``tissue.zarr`` (OME-Zarr 0.5, 0 is glass and 1 tissue, with a pyramid),
``tissue.geojson`` (annotations for QuPath), ``preview.png`` and ``manifest.json``.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import uuid
from collections.abc import Callable
from pathlib import Path
from time import perf_counter
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import shapely
import zarr
from PIL import Image
from zarr.codecs import ZstdCodec

from raysched.imaging.plan import SlidePlan, TissuePlan
from raysched.imaging.slide import Slide
from raysched.imaging.tissue import TissueMask
from raysched.results.manifest import (
    MANIFEST,
    PREVIEW,
    Timings,
    TissueManifest,
    file_notes,
    slide_note,
    versions,
)
from raysched.results.pictures import Rgb, View, contours, encode, overview, scale_bar, with_legend
from raysched.results.staging import PICTURE, Staged
from raysched.results.storage import Disk

Mask = npt.NDArray[np.bool_]

MASK, OUTLINES = "tissue.zarr", "tissue.geojson"
TISSUE_PX = 1200
"""Longest edge of the picture."""
CHUNK_PX, SMALLEST_PX = 512, 256
EDGE = (0, 110, 60)
MOST_RUNS = 50_000
"""Rows of tissue px, without a gap, that are put together to outlines: some seconds."""
SIMPLIFY_PX = 0.75
"""Takes the steps off the outlines of px."""
PIECE_NAMES = uuid.UUID("5b0c3a55-3d0e-4b6e-9b1f-4f7d3a6b2c10")


def tissue_png(
    slide: Slide,
    plan: SlidePlan | TissuePlan,
    tissue: TissueMask,
    seen: Rgb,
    check: Callable[[], None],
) -> bytes:
    """The slide with what counts as tissue outlined and the rest faded, as PNG bytes. ``check`` is
    called in the middle of it and may raise.

    ``seen``: the whole slide at the mask's resolution. It is read again only where that is coarser
    than the picture.
    """
    longest = max(seen.shape)
    if longest < TISSUE_PX:
        view = overview(slide, plan, TISSUE_PX)
    else:
        height, width = (max(1, round(side * TISSUE_PX / longest)) for side in seen.shape[:2])
        small = cv2.resize(seen, (width, height), interpolation=cv2.INTER_AREA)
        view = View(np.asarray(small, np.uint8), 0.0, 0.0, tissue.w_per_px * longest / TISSUE_PX)
    height, width = view.rgb.shape[:2]
    rows = ((np.arange(height) + 0.5) * view.w_per_px / tissue.w_per_px).astype(np.int64)
    columns = ((np.arange(width) + 0.5) * view.w_per_px / tissue.w_per_px).astype(np.int64)
    rows = rows.clip(0, tissue.mask.shape[0] - 1)
    columns = columns.clip(0, tissue.mask.shape[1] - 1)
    outside = ~tissue.mask[rows[:, None], columns]
    view.rgb[outside] = (view.rgb[outside].astype(np.uint16) + 2 * 200) // 3
    view.draw(contours(tissue), EDGE)
    picture = Image.fromarray(view.rgb)
    scale_bar(picture, view.w_per_px * plan.grid.mpp)
    share = f"{plan.tissue_fraction:.0%} tissue"
    if isinstance(plan, SlidePlan):
        share += f", {sum(len(chunk) for chunk in plan.chunks):,} tiles"
    return encode(with_legend(picture, [plan.slide.path.rsplit("/", 1)[-1], share]), check)


def build_tissue(
    folder: Path, staged: Staged[TissuePlan], check: Callable[[], None], disk: Disk
) -> TissueManifest:
    """Write everything that a published tissue mask holds into ``folder``, which is new. ``check``
    is called before each part and may raise."""
    begun = perf_counter()
    plan, mask = staged.plan, staged.tissue.mask
    check()
    disk.folder(folder)
    _write_mask(folder / MASK, mask, plan, disk)
    check()
    pieces = pieces_of(mask)
    disk.write(folder / OUTLINES, json.dumps(_features(pieces, staged)).encode())
    disk.step("copy", folder / PREVIEW)
    shutil.copyfile(staged.folder / PICTURE, folder / PREVIEW)
    manifest = TissueManifest(
        job=staged.receipt.job,
        created_at=staged.receipt.created_at,
        fingerprint=staged.receipt.fingerprint,
        checksum=hashlib.sha256(np.packbits(mask).tobytes()).hexdigest(),
        slide=slide_note(plan.slide),
        tissue=plan.tissue,
        tissue_version=plan.tissue_version,
        tissue_fraction=plan.tissue_fraction,
        area_mm2=area_mm2(mask, plan),
        pieces=len(pieces),
        mask_width=mask.shape[1],
        mask_height=mask.shape[0],
        mask_mpp=plan.mask_mpp,
        timings=Timings(
            plan_s=round(staged.receipt.seconds, 3),
            segment_s=0.0,
            assemble_s=round(perf_counter() - begun, 3),
        ),
        reused=staged.receipt.reused,
        versions=versions(),
        files=tuple(file_notes(folder)),
    )
    disk.write(folder / MANIFEST, manifest.model_dump_json(indent=2).encode())
    disk.sync_tree(folder)
    return manifest


def area_mm2(mask: Mask, plan: TissuePlan) -> float:
    """The area of tissue; of the mask's last row and column only what lies on the slide counts."""
    per_px = plan.mask_mpp / plan.slide.mpp
    down, across = (
        np.clip(edge - np.arange(px) * per_px, 0.0, per_px) * plan.slide.mpp / 1000
        for px, edge in zip(mask.shape, (plan.slide.height, plan.slide.width), strict=True)
    )
    return float(down @ mask @ across)


def _write_mask(path: Path, mask: Mask, plan: TissuePlan, disk: Disk) -> None:
    """Each coarser level has every second pixel, as label images do."""
    levels = [mask.astype(np.uint8)]
    while max(levels[-1].shape) > SMALLEST_PX:
        levels.append(levels[-1][::2, ::2])
    disk.step("create", path)
    group = zarr.create_group(str(path), zarr_format=3, attributes=_attributes(plan, len(levels)))
    for number, level in enumerate(levels):
        array = group.create_array(
            str(number),
            shape=level.shape,
            dtype="uint8",
            chunks=(CHUNK_PX, CHUNK_PX),
            compressors=ZstdCodec(level=3),
            fill_value=0,
            dimension_names=("y", "x"),
        )
        array[:] = level


def _attributes(plan: TissuePlan, levels: int) -> dict[str, Any]:
    axes = [{"name": name, "type": "space", "unit": "micrometer"} for name in ("y", "x")]
    scales = [[plan.mask_mpp * 2**level] * 2 for level in range(levels)]
    datasets = [
        {"path": str(level), "coordinateTransformations": [{"type": "scale", "scale": scale}]}
        for level, scale in enumerate(scales)
    ]
    multiscale = {"name": "tissue", "axes": axes, "datasets": datasets, "type": "nearest"}
    colours = [
        {"label-value": value, "rgba": rgba}
        for value, rgba in enumerate(([0, 0, 0, 0], [*EDGE, 255]))
    ]
    ome = {"version": "0.5", "multiscales": [multiscale], "image-label": {"colors": colours}}
    per_px = plan.mask_mpp / plan.slide.mpp
    return {"ome": ome, "raysched": {"l0_per_px": per_px, "um_per_px": plan.mask_mpp}}


def pieces_of(mask: Mask) -> list[Any]:
    """Each piece of tissue as a valid ``shapely.Polygon`` with its holes, in px of the mask. Where
    tissue is noise that nobody could outline, of a coarser mask."""
    step = 1
    while True:
        part = mask[::step, ::step]
        edges = np.diff(np.pad(part, ((0, 0), (1, 1))).astype(np.int8), axis=1)
        y, x0 = np.nonzero(edges == 1)
        if len(y) <= MOST_RUNS:
            break
        step *= 2
    _, x1 = np.nonzero(edges == -1)
    whole = shapely.unary_union(shapely.box(x0, y, x1, y + 1) if len(y) else [])
    pieces = shapely.transform(shapely.get_parts(whole), lambda xy: xy * step)
    return [piece for piece in pieces if not piece.is_empty]


def _features(pieces: list[Any], staged: Staged[TissuePlan]) -> dict[str, Any]:
    """A FeatureCollection as QuPath reads it: level-0 px from the corner of OpenSlide's bounds."""
    slide, per_px = staged.plan.slide, staged.plan.mask_mpp / staged.plan.slide.mpp
    edges = shapely.box(0, 0, slide.width, slide.height)
    features = []
    for number, piece in enumerate(pieces):
        smooth = shapely.simplify(piece, SIMPLIFY_PX)  # keeps it valid
        in_slide = shapely.intersection(shapely.transform(smooth, lambda xy: xy * per_px), edges)
        moved = shapely.transform(in_slide, lambda xy: xy - (slide.bounds_x, slide.bounds_y))
        features.append(
            {
                "type": "Feature",
                "id": str(uuid.uuid5(PIECE_NAMES, f"{staged.receipt.job}/{number}")),
                "geometry": json.loads(shapely.to_geojson(shapely.set_precision(moved, 0.01))),
                "properties": {
                    "objectType": "annotation",
                    "classification": {"name": "Tissue", "color": list(EDGE)},
                    "isLocked": True,
                },
            }
        )
    return {"type": "FeatureCollection", "features": features}
