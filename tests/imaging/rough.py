"""An engine that sees a cell a little differently from tile to tile, as networks with strides do.

It looks at blocks of 6 x 6 px, counted from the corner of what it is given, and is blind near its
edges. Tests install it as another package would: by an entry point.
"""

from __future__ import annotations

from typing import Any, ClassVar

import cv2
import numpy as np
from pydantic import BaseModel, ConfigDict

from raysched.imaging.frames import box_mean

STRIDE = 6
BLIND_PX = 8
DARK = 190
"""Red of a block that holds enough of a nucleus: a third."""


class RoughParams(BaseModel):
    """There is nothing to choose."""

    model_config = ConfigDict(extra="forbid")


class RoughEngine:
    """Dark blocks that touch are a cell."""

    name: ClassVar[str] = "rough"
    version: ClassVar[str] = "1"
    Params: ClassVar[type[BaseModel]] = RoughParams
    target_mpp: ClassVar[float] = 0.5
    halo_um: ClassVar[float] = 20.0

    def prepare(self, overview: object, mpp: float, params: BaseModel) -> dict[str, Any]:
        return {}

    def segment(
        self, rgb: np.ndarray, mpp: float, context: dict[str, Any], params: BaseModel
    ) -> np.ndarray:
        seen = np.full_like(rgb, 255)
        inner = np.s_[BLIND_PX:-BLIND_PX, BLIND_PX:-BLIND_PX]
        seen[inner] = rgb[inner]
        height, width, _ = rgb.shape
        whole = np.pad(seen, ((0, -height % STRIDE), (0, -width % STRIDE), (0, 0)), mode="edge")
        dark = (box_mean(whole, STRIDE)[..., 0] < DARK).astype(np.uint8)
        _, labels = cv2.connectedComponents(dark)
        fine = labels.repeat(STRIDE, axis=0).repeat(STRIDE, axis=1)
        return np.ascontiguousarray(fine[:height, :width], np.int32)

    def optical_density(
        self, rgb: np.ndarray, context: dict[str, Any]
    ) -> tuple[np.ndarray, np.ndarray]:
        dark = 1.0 - rgb[..., 0].astype(np.float32) / 255
        return dark, dark
