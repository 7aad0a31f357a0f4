"""Engine ``classical``: nuclei in H&E by haematoxylin, local contrast and watershed.

What depends on the slide (the haematoxylin scale and threshold) is computed once in
``prepare``; ``segment`` sees only its pixels and that context. Each step looks a finite distance
around a pixel, and their sum stays within ``halo_um``, so that a tile with its halo gives the
same nuclei as the uncut slide.
"""

from __future__ import annotations

from typing import Any, ClassVar

import cv2
import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field

from raysched.imaging.engine import Labels, Overview, Rgb
from raysched.imaging.measure import Moments
from raysched.imaging.stain import OD_TABLE, TABLES, unmix

F32 = npt.NDArray[np.float32]
I32 = npt.NDArray[np.int32]
I64 = npt.NDArray[np.int64]
U8 = npt.NDArray[np.uint8]

cv2.setNumThreads(1)  # a lane is given one CPU; also keeps sums in one order

SCALE_PERCENTS = (1.0, 99.5)
THRESHOLD_LIMITS = (0.15, 0.60)
"""Plausible range of the slide's threshold on the scaled haematoxylin 0..1."""
GLASS = 215
"""A pixel whose darkest channel is brighter than this has no tissue in it."""
INK_GREEN_TO_RED = 0.7
"""Haematoxylin absorbs 1.08 times as much green as red, eosin more still."""
DISTANCE_CAP_PX = 12.0
"""Distances saturate here: no nucleus is wider, and the reach of seeds stays finite."""
LEVELS = 170
"""Whole numbers per unit of scaled haematoxylin, which so reaches 1.5 in 8 bits. On whole numbers
filters are exact, so that no rounding tells where a tile begins."""
DEPTH_UNITS = 256
"""Whole numbers per px of depth."""


class ClassicalParams(BaseModel):
    """Parameters of the engine ``classical``; lengths and areas are physical."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    threshold: float = Field(
        default=0.9, gt=0.2, le=3.0, description="factor on the slide's haematoxylin threshold"
    )
    contrast: float = Field(
        default=0.03, ge=0.0, le=0.5, description="least haematoxylin above the surroundings, 0..1"
    )
    darker: float = Field(
        default=1.1,
        ge=0.5,
        le=3.0,
        description="least factor of haematoxylin over the surroundings",
    )
    background_um: float = Field(
        default=16.0, ge=4.0, le=16.0, description="radius of the surroundings, um"
    )
    smooth_um: float = Field(default=0.5, ge=0.0, le=2.0, description="denoising sigma, um")
    seed_um: float = Field(
        default=2.5, ge=1.0, le=6.0, description="least distance between two seeds, um"
    )
    min_area_um2: float = Field(default=10.0, ge=1.0, le=100.0, description="smallest nucleus, um2")
    max_area_um2: float = Field(default=300.0, ge=50.0, le=400.0, description="largest, um2")
    min_width_um: float = Field(default=2.0, ge=0.0, le=10.0, description="least short axis, um")
    min_ellipse_fill: float = Field(
        default=0.75, ge=0.0, le=1.0, description="least area over that of the fitted ellipse"
    )


class ClassicalEngine:
    """See the module. Stateless: one instance serves all slides."""

    name: ClassVar[str] = "classical"
    version: ClassVar[str] = "2"
    Params: ClassVar[type[BaseModel]] = ClassicalParams
    target_mpp: ClassVar[float] = 0.5
    halo_um: ClassVar[float] = 40.0

    def prepare(
        self,
        overview: Overview,
        mpp: float,  # noqa: ARG002 - the protocol's; this engine needs no more than samples
        params: BaseModel,  # noqa: ARG002
    ) -> dict[str, Any]:
        """Scale and threshold of the slide's haematoxylin. ``mpp``: um per working px."""
        from skimage.filters import threshold_otsu

        if not len(overview.samples):
            return {"low": 0.0, "high": 1.0, "threshold": 1.0}
        haematoxylin, _ = unmix(overview.samples)
        low, high = np.percentile(haematoxylin, SCALE_PERCENTS)
        high = max(high, low + 0.05)
        scaled = np.clip((haematoxylin - low) / (high - low), 0.0, 1.0)
        otsu = threshold_otsu(scaled) if np.ptp(scaled) > 0 else 1.0
        return {
            "low": round(float(low), 6),
            "high": round(float(high), 6),
            "threshold": round(float(np.clip(otsu, *THRESHOLD_LIMITS)), 6),
        }

    def segment(self, rgb: Rgb, mpp: float, context: dict[str, Any], params: BaseModel) -> Labels:
        """Label the nuclei of one tile: (h, w) int32, 0 is background."""
        from raysched.imaging.kernels import stains

        assert isinstance(params, ClassicalParams)
        table = level_table(float(context["low"]), float(context["high"]))
        amount, tissue, clear = stains.scaled(np.ascontiguousarray(rgb), table, LEAST_INK, GLASS)
        amount = _blur(amount, params.smooth_um / mpp)
        limits = (
            float(context["threshold"]) * params.threshold * LEVELS,
            params.darker,
            params.contrast * LEVELS,
        )
        mask = stand_out(amount, tissue, clear, limits, round(params.background_um / mpp))
        mask = clean(mask, mpp, params)
        labels, totals = split(amount, mask, mpp, params)
        return keep_nuclei(labels, totals, mpp, params)

    def optical_density(
        self,
        rgb: Rgb,
        context: dict[str, Any],  # noqa: ARG002 - the protocol's; the vectors are fixed here
    ) -> tuple[F32, F32]:
        """Amounts of haematoxylin and eosin, each (h, w) float32, in OD units."""
        from raysched.imaging.kernels import stains

        return stains.densities(np.ascontiguousarray(rgb), STAIN_TABLES)


STAIN_TABLES = np.ascontiguousarray(TABLES[:, :2].transpose(1, 0, 2))


def _least_ink() -> U8:
    """Per red value, the least green that blue or green pen leaves: it absorbs red far more."""
    inked = OD_TABLE[None, :] < INK_GREEN_TO_RED * OD_TABLE[:, None]
    return np.where(inked.any(axis=1), 255 - inked.sum(axis=1), 255).astype(np.uint8)


LEAST_INK = _least_ink()


def level_table(low: float, high: float) -> F32:
    """Per channel, what each of its values adds to the haematoxylin in levels: (3, 256) float32.

    On the slide's own scale haematoxylin is about 0 in stroma and 1 in the darkest nuclei.
    """
    table = TABLES[:, 0].astype(np.float64) * LEVELS / (high - low)
    table[0] -= low * LEVELS / (high - low)
    return table.astype(np.float32)


def stand_out(
    amount: U8, tissue: U8, clear: U8, limits: tuple[float, float, float], radius: int
) -> U8:
    """Where haematoxylin is above its own limit and above the mean of the tissue around.

    Asking a nucleus to be darker than its surroundings is what keeps large dark areas (keratin,
    folds) from becoming cells; leaving glass out of their mean is what keeps their rims from it.
    """
    from raysched.imaging.kernels import relief

    side = 2 * radius + 1
    total = _box_sum(np.asarray(cv2.multiply(amount, tissue), np.uint8), side)
    return relief.darker(amount, clear, total, _box_sum(tissue, side), limits)


def clean(wanted: U8, mpp: float, params: ClassicalParams) -> U8:
    """The mask, 0 or 1, without bridges of a pixel or two and without pale centres.

    A hole is filled when it is smaller than a quarter of the largest nucleus: the inside of a gland
    is not.
    """
    from raysched.imaging.kernels import holes

    mask = np.asarray(cv2.morphologyEx(wanted, cv2.MORPH_OPEN, _disk(0.6 / mpp)), np.uint8)
    most = params.max_area_um2 / 4
    holes.fill_holes(mask, int(most / mpp**2), round(HOLE_SIDE_UM / mpp))
    return mask


HOLE_SIDE_UM = 16.0
"""A hole longer than this is none, whatever its area: so the reach stays finite."""


def split(amount: U8, mask: U8, mpp: float, params: ClassicalParams) -> tuple[Labels, I64]:
    """Touching nuclei apart: seeds at the peaks of depth and darkness, then watershed.

    Returns the labels and, per label, the sums of ``kernels.flood``.
    """
    from raysched.imaging.kernels import flood, relief

    distance = np.asarray(cv2.distanceTransform(mask, cv2.DIST_L2, 5), np.float32)
    depth = _blur(relief.fixed_point(distance, DISTANCE_CAP_PX, DEPTH_UNITS), 1.0)
    weight = round(2.0 * DEPTH_UNITS / LEVELS)
    heights = relief.add(depth, _blur(amount, 1.5 / mpp), weight)
    highest = np.asarray(cv2.dilate(heights, _disk(params.seed_um / mpp)), np.uint16)
    seeds = relief.peaks(heights, highest, depth, mask, DEPTH_UNITS)
    return flood.flood(heights, mask, seeds)


def keep_nuclei(labels: Labels, totals: I64, mpp: float, params: ClassicalParams) -> Labels:
    """Drop, in place, what is too small, too large, too thin or too ragged to be a nucleus.

    Raggedness is the area over that of the ellipse with the same second moments, 4 pi times the
    square root of their determinant: 1 for an ellipse, less for crescents, forks and streaks.
    """
    from raysched.imaging.kernels import flood

    shape = Moments.of_sums(totals.astype(np.float64))
    area = shape.area * mpp**2
    short, _ = shape.axes
    fits = (area >= params.min_area_um2) & (area <= params.max_area_um2)
    fits &= shape.ellipse_fill >= params.min_ellipse_fill
    fits &= short * mpp >= params.min_width_um
    new = np.zeros(len(fits) + 1, np.int32)
    new[1:][fits] = np.arange(1, fits.sum() + 1)
    flood.renumber(labels, new)
    return labels


def _box_sum(image: U8, side: int) -> I32:
    """Exact sums over boxes; beyond the image is nothing."""
    total = cv2.boxFilter(
        image, cv2.CV_32S, (side, side), normalize=False, borderType=cv2.BORDER_CONSTANT
    )
    return np.asarray(total, np.int32)


def _blur(image: Any, sigma_px: float) -> Any:
    """Gaussian of whole numbers, which OpenCV computes bit for bit alike everywhere."""
    if sigma_px <= 0:
        return image
    reach = 2 * max(1, round(3 * sigma_px)) + 1
    return cv2.GaussianBlur(image, (reach, reach), sigma_px, borderType=cv2.BORDER_REFLECT_101)


def _disk(radius_px: float) -> U8:
    side = 2 * max(1, round(radius_px)) + 1
    return np.asarray(cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side)), np.uint8)
