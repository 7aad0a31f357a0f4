"""What a user asks of one slide: the request of the job kind ``cell_segmentation``."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field


class SegmentationRequest(BaseModel):
    """Everything that decides a segmentation's result, and where the result goes.

    ``slide`` and ``out`` are absolute paths on storage that every node sees. ``out`` is the
    results folder that appears by one atomic rename when the job has succeeded.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    slide: str
    out: str
    engine: str = "classical"
    params: dict[str, Any] = Field(default_factory=dict)
    mpp: float | None = Field(default=None, ge=0.08, le=2.0, description="um per level-0 px")
    tile_px: int = Field(default=1024, ge=64, le=8192, description="owned tile edge, working px")
    chunk_tiles: int = Field(default=4, ge=1, le=256, description="tiles per chunk")
