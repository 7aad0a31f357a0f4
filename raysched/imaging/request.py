"""What a user asks of one slide: the request of each job kind."""

from __future__ import annotations

import math
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

SHARE_SLACK = 1e-9
"""0.29 of 100 tiles are 29, not the 28 that floating point makes of it."""

Sweep = Annotated[
    dict[str, Annotated[list[Any], Field(min_length=1, max_length=1000)]],
    Field(max_length=8, description="values of parameters: a job for each combination"),
]
"""Parameters by name (the engine's, ``tissue.NAME``, ``measure.NAME``) with the values to try."""


class Asked(BaseModel):
    """Base of the requests' values."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class TissueParams(Asked):
    """What counts as tissue. The defaults suit H&E; see ``raysched.imaging.tissue``."""

    threshold: int | None = Field(
        default=None,
        ge=1,
        le=254,
        description="8-bit chroma above which a pixel is tissue; default: found on the slide",
    )
    speck_um2: float = Field(
        default=4_000.0, ge=0, le=1e9, description="smaller pieces of tissue are left out, um2"
    )
    hole_um2: float = Field(
        default=20_000.0, ge=0, le=1e9, description="smaller holes in tissue are filled, um2"
    )
    close_um: float = Field(
        default=24.0, ge=0, le=500.0, description="gaps of this width are closed, um"
    )


class MeasureParams(Asked):
    """How found cells are measured. Another value finds the same cells."""

    ring_um: float = Field(
        default=2.0,
        ge=0.5,
        le=4.0,  # wider, the neighbours that tiles see begin to differ at seams
        description="width of the ring of background that confidence compares a cell with, um",
    )


class SlideRequest(Asked):
    """What every kind asks for.

    ``slide`` and ``out`` are absolute paths on storage that every node sees. ``out`` is the
    results folder that appears by one atomic rename when the job has succeeded. ``slide_id``: what
    the slide goes by where it is a user's own. ``stored``: the slide's key in the object store
    through which the work goes; then both paths are the service's, not seen by every node.
    """

    slide: str
    slide_id: str | None = None
    out: str
    mpp: float | None = Field(default=None, ge=0.08, le=2.0, description="um per level-0 px")
    tissue: TissueParams = TissueParams()
    stored: str | None = None


class SegmentationRequest(SlideRequest):
    """Everything that decides a segmentation's result: kind ``cell_segmentation``."""

    engine: str = "classical"
    params: dict[str, Any] = Field(default_factory=dict)
    measure: MeasureParams = MeasureParams()
    tile_px: int = Field(default=1024, ge=64, le=8192, description="owned tile edge, working px")
    chunk_tiles: int = Field(default=4, ge=1, le=256, description="tiles per chunk")
    max_failed_share: float = Field(
        default=1.0,  # of requests from before there was such a limit
        ge=0,
        le=1,
        description="share of tiles above which failed ones fail the job",
    )

    def may_fail(self, tiles: int) -> int:
        """How many of so many tiles may fail: never all, since nothing would be left."""
        return max(0, min(math.floor(self.max_failed_share * tiles + SHARE_SLACK), tiles - 1))


class TissueRequest(SlideRequest):
    """Where there is tissue: kind ``tissue_mask``."""


KINDS: dict[str, type[SlideRequest]] = {
    "cell_segmentation": SegmentationRequest,
    "tissue_mask": TissueRequest,
}
"""The job kinds, each with its request."""


def read_request(kind: str, text: str) -> SlideRequest:
    """A job's request from its JSON."""
    return KINDS[kind].model_validate_json(text)
