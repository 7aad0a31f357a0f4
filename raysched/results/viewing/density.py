"""Cells per mm2 as a picture, for where single cells are too small to be seen."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from raysched.imaging.geometry import Rect

U8 = npt.NDArray[np.uint8]
F32 = npt.NDArray[np.float32]

FINEST_BIN_PX = 64
MOST_BINS = 1_000_000
SMOOTH_BINS = 1.0
"""Sigma of the Gaussian by which counts are smoothed."""
HIGHEST = 99.5
"""The percentile of the bins with cells that has the last colour."""
STEPS = 255


def bin_px(width: int, height: int) -> int:
    """Edge of a bin in pixels of the labels, a power of two: so many that they fit in memory."""
    edge = FINEST_BIN_PX
    while -(-width // edge) * -(-height // edge) > MOST_BINS:
        edge *= 2
    return edge


class Counts:
    """Cells counted in bins, as they come. Coordinates in pixels of the labels."""

    def __init__(self, width: int, height: int) -> None:
        self.bin_px = bin_px(width, height)
        shape = -(-height // self.bin_px), -(-width // self.bin_px)
        self.bins: npt.NDArray[np.uint32] = np.zeros(shape, np.uint32)

    def add(self, x: npt.NDArray[np.float64], y: npt.NDArray[np.float64]) -> None:
        """Count some cells by their centroids."""
        rows, columns = self.bins.shape
        column = (x / self.bin_px).astype(np.int64).clip(0, columns - 1)
        row = (y / self.bin_px).astype(np.int64).clip(0, rows - 1)
        np.add.at(self.bins, (row, column), 1)


@dataclass(frozen=True, slots=True)
class Density:
    """``places`` (rows, columns): 0 no cells, 255 ``high`` cells per mm2 or more."""

    places: U8
    bin_px: int
    high: float

    @classmethod
    def of(cls, counts: Counts, mpp: float) -> Density:
        """Smoothed. ``mpp``: um per pixel of the labels."""
        area_mm2 = (counts.bin_px * mpp / 1000) ** 2
        per_mm2 = counts.bins.astype(np.float32) / np.float32(area_mm2)
        smooth = cv2.GaussianBlur(per_mm2, (0, 0), SMOOTH_BINS)
        some = smooth[counts.bins > 0]
        high = float(np.percentile(some, HIGHEST)) if len(some) else 0.0
        scaled = np.asarray(smooth) * (STEPS / max(high, 1e-6))
        places = np.ceil(scaled.clip(0, STEPS) - 0.25).clip(0, STEPS).astype(np.uint8)
        return cls(places, counts.bin_px, high)

    def tile(self, rect: Rect, px: float) -> U8:
        """The part under a rectangle of pixels, each as large as ``px`` of the labels (a power of
        two): (h, w) places."""
        if px >= self.bin_px:
            return self._averaged(rect, int(px) // self.bin_px)
        by = px / self.bin_px
        at = np.array(
            [[by, 0, (rect.x0 + 0.5) * by - 0.5], [0, by, (rect.y0 + 0.5) * by - 0.5]], np.float64
        )
        x0, y0 = max(int(at[0, 2]) - 1, 0), max(int(at[1, 2]) - 1, 0)
        part = self.places[y0 : y0 + int(rect.height * by) + 5, x0 : x0 + int(rect.width * by) + 5]
        at[:, 2] -= x0, y0
        drawn = cv2.warpAffine(
            part, at, (rect.width, rect.height),
            flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP, borderMode=cv2.BORDER_REPLICATE,
        )  # fmt: skip
        return np.asarray(drawn, np.uint8)

    def _averaged(self, rect: Rect, by: int) -> U8:
        part = self.places[rect.y0 * by : rect.y1 * by, rect.x0 * by : rect.x1 * by]
        if by == 1:
            return part
        missing = rect.height * by - part.shape[0], rect.width * by - part.shape[1]
        padded = np.pad(part, ((0, missing[0]), (0, missing[1])))
        size = rect.width, rect.height
        return np.asarray(cv2.resize(padded, size, interpolation=cv2.INTER_AREA), np.uint8)
