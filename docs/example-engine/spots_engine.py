"""The engine ``spots``: dark connected pixels are a cell."""

import cv2
import numpy as np
from pydantic import BaseModel, ConfigDict, Field


class SpotsParams(BaseModel):
    """What may be chosen; the descriptions and limits are shown to people."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    darkness: float = Field(default=0.5, ge=0.1, le=1.0, description="least darkness of a cell")
    longest_um: float = Field(default=20.0, ge=5.0, le=20.0, description="longest cell, um")


class SpotsEngine:
    """Looks 20 um far from the centroid of a cell, and one px on: less than its halo."""

    name, version, Params, target_mpp, halo_um = "spots", "1", SpotsParams, 0.5, 24.0

    def prepare(self, overview, mpp, params):
        """The darkest of the slide's tissue, 0 is white and 255 black."""
        darks = 255 - overview.samples.min(axis=1)
        return {"darkest": max(64, int(np.percentile(darks, 99)) if len(darks) else 255)}

    def segment(self, rgb, mpp, context, params):
        """Number the dark spots that are no longer than a cell; 0 is background."""
        dark = 255 - rgb.max(axis=2) > params.darkness * context["darkest"]
        _, labels, stats, _ = cv2.connectedComponentsWithStats(
            dark.astype(np.uint8), connectivity=4
        )
        longest_um = stats[:, [cv2.CC_STAT_WIDTH, cv2.CC_STAT_HEIGHT]].max(axis=1) * mpp
        return np.where(longest_um[labels] <= params.longest_um, labels * dark, 0).astype(np.int32)

    def optical_density(self, rgb, context):
        """Absorbance of red light, mostly haematoxylin's, and of green, also eosin's."""
        density = -np.log10(np.maximum(rgb, 1).astype(np.float32) / 255)
        return density[..., 0], density[..., 1]
