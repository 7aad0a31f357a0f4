"""Engine ``classical``: nuclei in H&E as the most nucleus-like of nested dark regions.

Above every level of haematoxylin lie connected regions, and those above a higher level lie inside
those above a lower one. Each that could be a nucleus by its size gets a score from its shape and
from how it stands out; of nested regions the best set without overlap is taken
(``raysched.imaging.kernels.tree``). So each nucleus finds its own threshold, pale and dark ones
on one slide, and touching ones part where they are more nucleus-like apart than together.

What depends on the slide (the haematoxylin scale and threshold) is computed once in ``prepare``;
``segment`` sees only its pixels and that context, in whole numbers, so that no rounding tells where
a tile begins. How far it looks from the centroid of a nucleus, in um: 22 to any pixel of a region
that could hold it, 8 on for the surroundings and 1 for smoothing, less than ``halo_um``; hence a
tile with its halo gives exactly the nuclei of the uncut slide.
"""

from __future__ import annotations

from typing import Any, ClassVar

import cv2
import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field

from raysched.imaging.engine import Labels, Overview, Rgb
from raysched.imaging.likeness import UNIT, likeness, measures
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
STEP = 6
"""Of ``UNIT``, from one level to the next: finer steps find no more of the annotated nuclei."""
LONGEST_UM = 22.0
"""Longest side of the bounding box of a nucleus: keeps the reach finite."""
SMOOTH_UM = 0.25
"""Sigma of the denoising: more loses the pale line between touching nuclei."""
NEARBY_UM = 4.0
"""Radius of the mean against which haematoxylin is sharpened before it is ranked."""
AROUND_UM = 8.0
"""Radius of the surroundings that a nucleus is compared to."""


class ClassicalParams(BaseModel):
    """Parameters of the engine ``classical``; areas are physical."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    threshold: float = Field(
        default=0.6, ge=0.2, le=3.0, description="factor on the slide's haematoxylin threshold"
    )
    likeness: float = Field(
        default=0.4, ge=0.0, le=1.0, description="least likeness to a nucleus; more finds fewer"
    )
    min_area_um2: float = Field(default=5.0, ge=1.0, le=100.0, description="smallest nucleus, um2")
    max_area_um2: float = Field(default=300.0, ge=50.0, le=400.0, description="largest, um2")


class ClassicalEngine:
    """See the module. Stateless: one instance serves all slides."""

    name: ClassVar[str] = "classical"
    version: ClassVar[str] = "3"
    Params: ClassVar[type[BaseModel]] = ClassicalParams
    target_mpp: ClassVar[float] = 0.5
    halo_um: ClassVar[float] = 34.0

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
        from raysched.imaging.kernels import rims, tree

        assert isinstance(params, ClassicalParams)
        facts, rim, parent, flood = candidates(rgb, mpp, context, params)
        score = likeness(measures(facts, rim, mpp)) - params.likeness
        side = np.maximum(rim[:, rims.RIGHT] - rim[:, rims.LEFT], rim[:, rims.BOTTOM])
        score[side > LONGEST_UM / mpp] = -1.0
        taken = tree.best(score, parent)
        return paint(facts[taken], rim[taken], flood, (rgb.shape[0], rgb.shape[1]))

    def optical_density(
        self,
        rgb: Rgb,
        context: dict[str, Any],  # noqa: ARG002 - the protocol's; the vectors are fixed here
    ) -> tuple[F32, F32]:
        """Amounts of haematoxylin and eosin, each (h, w) float32, in OD units."""
        from raysched.imaging.kernels import stains

        return stains.densities(np.ascontiguousarray(rgb), STAIN_TABLES)


STAIN_TABLES = np.ascontiguousarray(TABLES[:, :2].transpose(1, 0, 2))


def paint(facts: I64, rim: I64, flood: I32, shape: tuple[int, int]) -> Labels:
    """Regions as labels 1..n, holes filled."""
    from raysched.imaging.kernels import rims, tree

    interval = facts[:, [tree.FIRST, tree.LAST, tree.CORNER]]
    return rims.painted(np.ascontiguousarray(interval), rim, flood, shape)


def candidates(
    rgb: Rgb, mpp: float, context: dict[str, Any], params: ClassicalParams
) -> tuple[I64, I64, I32, I32]:
    """All regions that could be a nucleus by their size.

    Returns their measures of ``kernels.tree`` and ``kernels.rims``, the region around each, and the
    flood.
    """
    from raysched.imaging.kernels import relief, rims, stains, tree

    table = amount_table(float(context["low"]), float(context["high"]))
    amount, tissue, clear = stains.scaled(np.ascontiguousarray(rgb), table, MOST_GREEN, GLASS)
    stained = np.asarray(cv2.bitwise_and(tissue, clear), np.uint8)
    amount = _blur(amount, SMOOTH_UM / mpp)
    near, wide = (2 * round(radius / mpp) + 1 for radius in (NEARBY_UM, AROUND_UM))
    nearby = np.asarray(cv2.blur(amount, (near, near)), np.uint8)
    sums = (
        _box_sum(np.asarray(cv2.multiply(amount, tissue), np.uint8), wide),
        _box_sum(tissue, wide),
    )
    floor = int(float(context["threshold"]) * params.threshold * UNIT)
    level, middle, around = relief.levels((amount, nearby, stained), sums, ranks(floor))
    limits = (round(params.min_area_um2 / mpp**2), round(params.max_area_um2 / mpp**2))
    flat, middles, width = level.ravel(), middle.ravel(), level.shape[1]
    facts, parent, flood = tree.regions(flat, middles, around.ravel(), width, limits)
    begin = np.ascontiguousarray(facts[:, [tree.CORNER, tree.LEVEL]])
    return facts, rims.rims(begin, flat, middles, width), parent, flood


def ranks(floor: int) -> U8:
    """The level of each amount: 0 up to ``floor``, then one more every ``STEP``."""
    amounts = np.arange(256)
    return np.where(amounts > floor, 1 + (amounts - floor - 1) // STEP, 0).astype(np.uint8)


def _most_green() -> U8:
    """Per red value, the most green that is not blue or green pen: it absorbs red far more."""
    inked = OD_TABLE[None, :] < INK_GREEN_TO_RED * OD_TABLE[:, None]
    return np.where(inked.any(axis=1), 255 - inked.sum(axis=1), 255).astype(np.uint8)


MOST_GREEN = _most_green()


def amount_table(low: float, high: float) -> F32:
    """Per channel, what each of its values adds to the haematoxylin in units: (3, 256) float32.

    On the slide's own scale haematoxylin is about 0 in stroma and 1 in the darkest nuclei.
    """
    table = TABLES[:, 0].astype(np.float64) * UNIT / (high - low)
    table[0] -= low * UNIT / (high - low)
    return table.astype(np.float32)


def _box_sum(image: U8, side: int) -> I32:
    """Exact sums over boxes; beyond the image is nothing."""
    total = cv2.boxFilter(
        image, cv2.CV_32S, (side, side), normalize=False, borderType=cv2.BORDER_CONSTANT
    )
    return np.asarray(total, np.int32)


def _blur(image: U8, sigma_px: float) -> U8:
    """Gaussian of whole numbers, which OpenCV computes bit for bit alike everywhere."""
    reach = 2 * max(1, round(3 * sigma_px)) + 1
    border = cv2.BORDER_REFLECT_101
    return np.asarray(
        cv2.GaussianBlur(image, (reach, reach), sigma_px, borderType=border), np.uint8
    )
