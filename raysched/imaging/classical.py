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
from skimage.filters import threshold_otsu
from skimage.segmentation import watershed

from raysched.imaging.engine import Labels, Overview, Rgb
from raysched.imaging.measure import moments
from raysched.imaging.outline import mask_runs
from raysched.imaging.stain import OD_TABLE, unmix

F32 = npt.NDArray[np.float32]
U8 = npt.NDArray[np.uint8]
Bool = npt.NDArray[np.bool_]

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
    version: ClassVar[str] = "1"
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
        assert isinstance(params, ClassicalParams)
        scaled = self._scaled(rgb, mpp, context, params)
        around = surroundings(scaled, stained(rgb), mpp, params)
        dark = scaled > float(context["threshold"]) * params.threshold
        mask = clean(
            dark & (scaled > around * params.darker + params.contrast) & ~ink(rgb), mpp, params
        )
        return keep_nuclei(split(scaled, mask, mpp, params), mpp, params)

    def optical_density(
        self,
        rgb: Rgb,
        context: dict[str, Any],  # noqa: ARG002 - the protocol's; the vectors are fixed here
    ) -> tuple[F32, F32]:
        """Amounts of haematoxylin and eosin, each (h, w) float32, in OD units."""
        return unmix(rgb)

    def _scaled(
        self, rgb: Rgb, mpp: float, context: dict[str, Any], params: ClassicalParams
    ) -> F32:
        """Haematoxylin on the slide's own scale: about 0 in stroma, 1 in the darkest nuclei."""
        haematoxylin, _ = self.optical_density(rgb, context)
        low, high = float(context["low"]), float(context["high"])
        scaled = np.clip((haematoxylin - low) / (high - low), 0.0, 1.5).astype(np.float32)
        return _blur(scaled, params.smooth_um / mpp)


def stained(rgb: Rgb) -> Bool:
    """Where light passes tissue, not glass."""
    return np.asarray(rgb.min(axis=2) < GLASS, np.bool_)


def ink(rgb: Rgb) -> Bool:
    """Where blue or green pen is: it absorbs red light far more than green, H&E does not."""
    return OD_TABLE[rgb[..., 1]] < INK_GREEN_TO_RED * OD_TABLE[rgb[..., 0]]


def surroundings(scaled: F32, tissue: Bool, mpp: float, params: ClassicalParams) -> F32:
    """Mean haematoxylin of the tissue around each pixel; glass does not count.

    Asking a nucleus to be darker than this is what keeps large dark areas (keratin, folds) from
    becoming cells; leaving glass out is what keeps their rims from it.
    """
    radius = round(params.background_um / mpp)
    size, border = (2 * radius + 1, 2 * radius + 1), cv2.BORDER_REFLECT_101
    weight = tissue.astype(np.float32)
    total = cv2.blur(scaled * weight, size, borderType=border)
    share = cv2.blur(weight, size, borderType=border)
    return np.asarray(total / np.maximum(share, 1e-3), np.float32)


def clean(wanted: Bool, mpp: float, params: ClassicalParams) -> U8:
    """The mask, 0 or 1, without bridges of a pixel or two and without pale centres."""
    mask = np.asarray(
        cv2.morphologyEx(wanted.astype(np.uint8), cv2.MORPH_OPEN, _disk(0.6 / mpp)), np.uint8
    )
    return _fill_small_holes(mask, params.max_area_um2 / mpp**2 / 4)


def split(scaled: F32, mask: U8, mpp: float, params: ClassicalParams) -> Labels:
    """Touching nuclei apart: seeds at the peaks of depth and darkness, then watershed."""
    depth = cv2.distanceTransform(mask, cv2.DIST_L2, 5)
    depth = _blur(np.minimum(depth, DISTANCE_CAP_PX).astype(np.float32), 1.0)
    relief = depth + 2.0 * _blur(scaled, 1.5 / mpp)
    radius = max(1, round(params.seed_um / mpp))
    peaks = (relief >= cv2.dilate(relief, _disk(radius))) & (mask > 0) & (depth > 1.0)
    _, seeds = cv2.connectedComponents(peaks.astype(np.uint8), connectivity=8)
    return np.asarray(watershed(-relief, seeds, mask=mask > 0), np.int32)


def keep_nuclei(labels: Labels, mpp: float, params: ClassicalParams) -> Labels:
    """Drop what is too small, too large, too thin or too ragged to be a nucleus.

    Raggedness is the area over that of the ellipse with the same second moments, 4 pi times the
    square root of their determinant: 1 for an ellipse, less for crescents, forks and streaks.
    """
    count = int(labels.max(initial=0))
    shape = moments(*mask_runs(labels), count)
    area = shape.area * mpp**2
    short, _ = shape.axes
    fits = (area >= params.min_area_um2) & (area <= params.max_area_um2)
    fits &= shape.ellipse_fill >= params.min_ellipse_fill
    fits &= short * mpp >= params.min_width_um
    keep = np.concatenate([[False], fits])
    return np.where(keep[labels], labels, 0).astype(np.int32)


def _blur(image: F32, sigma_px: float) -> F32:
    if sigma_px <= 0:
        return image
    reach = 2 * max(1, round(3 * sigma_px)) + 1
    blurred = cv2.GaussianBlur(image, (reach, reach), sigma_px, borderType=cv2.BORDER_REFLECT_101)
    return np.asarray(blurred, np.float32)


def _disk(radius_px: float) -> U8:
    side = 2 * max(1, round(radius_px)) + 1
    return np.asarray(cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side)), np.uint8)


def _fill_small_holes(mask: U8, most_px: float) -> U8:
    """Fill pale centres of nuclei, but not the inside of a gland."""
    count, labels, stats, _ = cv2.connectedComponentsWithStats(1 - mask, connectivity=4)
    fill = stats[:, cv2.CC_STAT_AREA] <= most_px
    fill[0] = False
    return np.asarray(mask | fill[labels], np.uint8) if count > 1 else mask
