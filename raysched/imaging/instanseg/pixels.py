"""From 8 bits to what the backbone was trained on, the same for all tiles of a slide."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import numpy.typing as npt

from raysched.imaging.synthetic import write_synthetic_slide

F32 = npt.NDArray[np.float32]
F64 = npt.NDArray[np.float64]
U8 = npt.NDArray[np.uint8]

LOW_PERCENT, HIGH_PERCENT = 0.1, 99.9
LEAST_RANGE = 1e-3
LIMITS = (-2.0, 3.0)
"""The reference cuts off what is further out."""
TRIAL_PX = 256


def percentiles(samples: U8) -> F64:
    """Of each channel the values that become 0 and 1: (2, 3). ``samples``: (n, 3) uint8.

    Without samples nothing is known of the slide, and 0 and 255 do.
    """
    if not len(samples):
        return np.array([[0.0] * 3, [255.0] * 3])
    return np.asarray(np.percentile(samples, [LOW_PERCENT, HIGH_PERCENT], axis=0), np.float64)


def normalised(rgb: U8, ends: F64) -> F32:
    """Pixels (h, w, 3) as the backbone takes them, (3, h, w); ``ends``: of ``percentiles``."""
    values = np.arange(256)[:, None]
    table = np.clip((values - ends[0]) / np.maximum(ends[1] - ends[0], LEAST_RANGE), *LIMITS)
    table = table.astype(np.float32)
    return np.stack([table[:, c].take(rgb[..., c]) for c in range(3)])


def padded(rgb: U8, align_px: int) -> U8:
    """Pixels mirrored at their right and bottom edges up to a multiple of ``align_px``."""
    height, width = rgb.shape[:2]
    more = ((0, -height % align_px), (0, -width % align_px), (0, 0))
    return np.pad(rgb, more, "reflect")


def tissue(seed: int, side: int = TRIAL_PX) -> U8:
    """Made-up stained tissue with nuclei, (side, side, 3) uint8, always the same."""
    import tifffile

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "tissue.tif"
        write_synthetic_slide(
            path, width_px=side, height_px=side, tissue="full", levels=False,
            jpeg_quality=None, seed=seed,
        )  # fmt: skip
        return np.asarray(tifffile.imread(path, key=0), np.uint8)
