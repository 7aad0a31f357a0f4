"""The engine ``classical`` said plainly with scikit-image and SciPy: what its kernels must match.

Floating point and one library call per step, 10 to 50 times as slow. Neither how a step is
computed nor its rounding is shared with the engine; the recipe and its parameters are.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import ndimage
from skimage.filters import gaussian
from skimage.measure import find_contours, label, regionprops

from raysched.imaging.classical import (
    AROUND_UM,
    GLASS,
    INK_GREEN_TO_RED,
    LONGEST_UM,
    NEARBY_UM,
    SMOOTH_UM,
    STEP,
    ClassicalEngine,
    ClassicalParams,
)
from raysched.imaging.engine import Overview
from raysched.imaging.kernels.rims import FAR_PX
from raysched.imaging.kernels.tree import GROWTH
from raysched.imaging.likeness import UNIT, likeness
from raysched.imaging.stain import BROWN, EOSIN, HAEMATOXYLIN

EVERY_NEIGHBOUR = np.ones((3, 3))
MPP = 0.5


def prepared(rgb: np.ndarray) -> dict[str, Any]:
    """What the engine knows of an image at 0.5 um/px that is all tissue."""
    pixels = rgb.reshape(-1, 3)
    tissue = pixels[pixels.min(axis=1) < 225]
    overview = Overview(rgb, np.ones(rgb.shape[:2], bool), MPP, tissue)
    return ClassicalEngine().prepare(overview, MPP, ClassicalParams())


def optical_density(rgb: np.ndarray) -> np.ndarray:
    return -np.log10(np.maximum(rgb, 1) / 255.0)


def amounts(rgb: np.ndarray) -> np.ndarray:
    """Haematoxylin, eosin and brown, (h, w, 3), by the inverse of the stain matrix."""
    vectors = np.array([HAEMATOXYLIN, EOSIN, BROWN])
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return optical_density(rgb) @ np.linalg.inv(vectors)


@dataclass
class Region:
    """One connected region above a level; ``mask`` is its box with holes filled."""

    area: int
    box: tuple[slice, slice]
    mask: np.ndarray
    measures: tuple[float, ...]
    parent: Region | None = None
    inside: float = 0.0
    taken: bool = False


def segment(
    rgb: np.ndarray, mpp: float, context: dict[str, Any], params: ClassicalParams
) -> np.ndarray:
    amount, around, ranked = images(rgb, mpp, context)
    floor = int(context["threshold"] * params.threshold * UNIT)
    found: list[Region] = []
    inner: list[Region] = []  # those that have no parent yet
    for least in reversed(np.arange(floor + 1, 256, STEP)):
        labels = label(ranked >= least - 0.5, connectivity=1)
        regions = regions_of(labels, amount, around, mpp, params)
        inside: dict[int, list[Region]] = {}
        for child in inner:
            y, x = np.argwhere(child.mask)[0]  # on the rim: not in a hole
            inside.setdefault(labels[child.box][y, x], []).append(child)
        for number, region in regions.items():
            children = inside.get(number, [])
            largest = max((child.area for child in children), default=0)
            if GROWTH * (region.area - largest) >= largest:
                found.append(region)
                for child in children:
                    child.parent = region
                inside[number] = [region]
        inner = [region for each in inside.values() for region in each]
    return chosen(found, mpp, params, rgb.shape[:2])


def images(
    rgb: np.ndarray, mpp: float, context: dict[str, Any]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The amount of haematoxylin, its mean around, and what is ranked; -1 on glass and ink."""
    scaled = (amounts(rgb)[..., 0] - context["low"]) / (context["high"] - context["low"])
    amount = gaussian(np.clip(scaled * UNIT, 0, 255), SMOOTH_UM / mpp)
    tissue = (rgb.min(axis=2) < GLASS).astype(float)
    near, wide = (2 * round(radius / mpp) + 1 for radius in (NEARBY_UM, AROUND_UM))
    total = ndimage.uniform_filter(amount * tissue, wide, mode="constant")
    share = ndimage.uniform_filter(tissue, wide, mode="constant")
    around = np.divide(total, share, out=np.zeros_like(total), where=share > 1e-6)
    ranked = np.clip(2 * amount - ndimage.uniform_filter(amount, near, mode="mirror"), 0, 255)
    density = optical_density(rgb)
    ranked[density[..., 1] < INK_GREEN_TO_RED * density[..., 0]] = -1
    ranked[rgb.min(axis=2) >= GLASS] = -1
    return amount, around, ranked


def regions_of(
    labels: np.ndarray,
    amount: np.ndarray,
    around: np.ndarray,
    mpp: float,
    params: ClassicalParams,
) -> dict[int, Region]:
    """Those regions of one level that could be a nucleus by their size."""
    sizes = np.bincount(labels.ravel())
    fits = (sizes >= round(params.min_area_um2 / mpp**2)) & (
        sizes <= round(params.max_area_um2 / mpp**2)
    )
    fits[0] = False
    found = {}
    for region in regionprops(np.where(fits[labels], labels, 0)):
        mask = ndimage.binary_fill_holes(region.image, EVERY_NEIGHBOUR)
        measured = measures(region, mask, amount, around, mpp)
        found[region.label] = Region(int(region.area), region.slice, mask, measured)
    return found


def measures(
    region: Any, mask: np.ndarray, amount: np.ndarray, around: np.ndarray, mpp: float
) -> tuple[float, ...]:
    """As ``raysched.imaging.likeness.MEASURES``."""
    whole = regionprops(mask.astype(np.uint8))[0]
    # scikit-image takes pixels for points; a pixel's own second moment adds 16 / 12.
    short, long = (
        np.sqrt(axis**2 + 16 / 12) for axis in (whole.axis_minor_length, whole.axis_major_length)
    )
    here = amount[region.slice][region.image]
    cracks, falls, far = rim(mask, region.slice, amount)
    return (
        np.log(whole.area * mpp**2),
        whole.area / (np.pi / 4 * short * long),
        np.log(short * mpp),
        np.log(long / short),
        cracks / (4 * np.sqrt(whole.area)),
        1 - region.area / whole.area,
        (here.mean() - np.mean(far)) / UNIT,
        np.mean(falls) / UNIT,
        (here.mean() - around[region.slice][region.image].mean()) / UNIT,
        here.std() / UNIT,
    )


def rim(
    mask: np.ndarray, box: tuple[slice, slice], amount: np.ndarray
) -> tuple[int, np.ndarray, np.ndarray]:
    """Cracks of the outer rim, the fall of the amount over each, and the amount further out."""
    padded = np.pad(mask, 1)
    cracks, falls, far = 0, [], []
    last = np.array(amount.shape) - 1
    for step in np.array([(-1, 0), (1, 0), (0, -1), (0, 1)]):
        beyond = np.roll(padded, -step, axis=(0, 1))
        inner = np.argwhere(padded & ~beyond) - 1 + (box[0].start, box[1].start)
        cracks += len(inner)
        inner = inner[((inner + step >= 0) & (inner + step <= last)).all(axis=1)]
        falls.append(amount[tuple(inner.T)] - amount[tuple((inner + step).T)])
        far.append(amount[tuple(np.clip(inner + FAR_PX * step, 0, last).T)])
    return cracks, np.concatenate(falls), np.concatenate(far)


def chosen(
    found: list[Region], mpp: float, params: ClassicalParams, shape: tuple[int, int]
) -> np.ndarray:
    """Labels of the set of regions without overlap whose scores add up to most."""
    labels = np.zeros(shape, np.int32)
    if not found:
        return labels
    scores = likeness(np.array([region.measures for region in found])) - params.likeness
    for region, score in zip(found, scores, strict=True):
        best = score if max(region.mask.shape) <= LONGEST_UM / mpp else -1.0
        region.taken = best > 0 and best >= region.inside
        if region.parent:
            region.parent.inside += best if region.taken else region.inside
    covered: set[int] = set()
    for number, region in enumerate(reversed(found), start=1):
        if region.parent and (id(region.parent) in covered or region.parent.taken):
            covered.add(id(region))
        elif region.taken:
            inside = labels[region.box]
            mask = ndimage.binary_fill_holes(region.mask)  # also what is open at a corner only
            inside[mask & (inside == 0)] = number
    return labels


def ring(mask: np.ndarray) -> np.ndarray:
    """The longest contour of a mask as (x, y), pixel (y, x) covering x..x+1, y..y+1."""
    found = find_contours(np.pad(mask, 1).astype(float), 0.5, fully_connected="high")
    return max(found, key=len)[:, ::-1] - 0.5
