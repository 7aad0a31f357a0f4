"""The engine ``classical`` said plainly with scikit-image and SciPy: what its kernels must match.

Floating point and one library call per step, 10 to 50 times as slow. Neither how a step is
computed nor its rounding is shared with the engine; the recipe and its parameters are.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import ndimage
from skimage.filters import gaussian
from skimage.measure import find_contours, label, regionprops
from skimage.morphology import dilation, disk, opening
from skimage.segmentation import clear_border, watershed

from raysched.imaging.classical import (
    DISTANCE_CAP_PX,
    GLASS,
    HOLE_SIDE_UM,
    INK_GREEN_TO_RED,
    ClassicalParams,
)
from raysched.imaging.stain import BROWN, EOSIN, HAEMATOXYLIN


def optical_density(rgb: np.ndarray) -> np.ndarray:
    return -np.log10(np.maximum(rgb, 1) / 255.0)


def amounts(rgb: np.ndarray) -> np.ndarray:
    """Haematoxylin, eosin and brown, (h, w, 3), by the inverse of the stain matrix."""
    vectors = np.array([HAEMATOXYLIN, EOSIN, BROWN])
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return optical_density(rgb) @ np.linalg.inv(vectors)


def segment(
    rgb: np.ndarray, mpp: float, context: dict[str, Any], params: ClassicalParams
) -> np.ndarray:
    scaled = (amounts(rgb)[..., 0] - context["low"]) / (context["high"] - context["low"])
    scaled = gaussian(np.clip(scaled, 0, 1.5), params.smooth_um / mpp, truncate=3)
    mask = stained_nuclei(rgb, scaled, mpp, context, params)
    most = int(params.max_area_um2 / 4 / mpp**2)
    mask = without_small_holes(mask, most, round(HOLE_SIDE_UM / mpp))
    return whole_nuclei(apart(scaled, mask, mpp, params), mpp, params)


def stained_nuclei(
    rgb: np.ndarray,
    scaled: np.ndarray,
    mpp: float,
    context: dict[str, Any],
    params: ClassicalParams,
) -> np.ndarray:
    tissue = (rgb.min(axis=2) < GLASS).astype(float)
    side = 2 * round(params.background_um / mpp) + 1
    total = ndimage.uniform_filter(scaled * tissue, side, mode="constant")
    around = total / np.maximum(ndimage.uniform_filter(tissue, side, mode="constant"), 1e-9)
    red, green = (optical_density(rgb)[..., channel] for channel in (0, 1))
    wanted = (scaled > context["threshold"] * params.threshold) & (green >= INK_GREEN_TO_RED * red)
    wanted &= scaled > around * params.darker + params.contrast
    return opening(wanted, disk(max(1, round(0.6 / mpp))))


def without_small_holes(mask: np.ndarray, most_px: int, most_side_px: int) -> np.ndarray:
    mask = mask.copy()
    for hole in regionprops(clear_border(label(~mask, connectivity=1))):
        top, left, bottom, right = hole.bbox
        if hole.area <= most_px and max(bottom - top, right - left) <= most_side_px:
            mask[hole.slice][hole.image] = True
    return mask


def apart(scaled: np.ndarray, mask: np.ndarray, mpp: float, params: ClassicalParams) -> np.ndarray:
    depth = np.minimum(ndimage.distance_transform_edt(mask), DISTANCE_CAP_PX)
    depth = gaussian(depth, 1.0, truncate=3)
    relief = depth + 2 * gaussian(scaled, 1.5 / mpp, truncate=3)
    highest = dilation(relief, disk(max(1, round(params.seed_um / mpp))))
    seeds = label((relief == highest) & mask & (depth > 1), connectivity=2)
    return watershed(-relief, seeds, mask=mask)


def whole_nuclei(labels: np.ndarray, mpp: float, params: ClassicalParams) -> np.ndarray:
    kept = np.zeros_like(labels)
    for number, region in enumerate(regionprops(labels), start=1):
        area = region.area * mpp**2
        # scikit-image takes pixels for points; a pixel's own second moment adds 16 / 12.
        short, long = (
            np.sqrt(axis**2 + 16 / 12)
            for axis in (region.axis_minor_length, region.axis_major_length)
        )
        fits = params.min_area_um2 <= area <= params.max_area_um2
        fits &= short * mpp >= params.min_width_um
        if fits and region.area >= params.min_ellipse_fill * np.pi / 4 * short * long:
            kept[region.slice][region.image] = number
    return kept


def ring(mask: np.ndarray) -> np.ndarray:
    """The longest contour of a mask as (x, y), pixel (y, x) covering x..x+1, y..y+1."""
    found = find_contours(np.pad(mask, 1).astype(float), 0.5, fully_connected="high")
    return max(found, key=len)[:, ::-1] - 0.5
