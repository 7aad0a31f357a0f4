"""The plan of one slide: all that must be global, computed once and passed to every tile."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict

from raysched.imaging.geometry import Rect, Tile
from raysched.imaging.request import MeasureParams, TissueParams

PLAN_FORMAT = 3


class Frozen(BaseModel):
    """Base of the plan's values."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class SlideFacts(Frozen):
    """What the file is. Sizes in level-0 px; ``bounds_*`` is OpenSlide's non-empty region.

    ``reader`` is who read the working level, "jpeg tiles" or "openslide", and ``reader_note`` why
    not the former. Both give the same pixels, so the fingerprint covers neither.
    """

    path: str
    sha256: str
    size_bytes: int
    vendor: str
    width: int
    height: int
    bounds_x: int
    bounds_y: int
    mpp: float
    mpp_source: str  # "user" | "vendor" | "tiff" | "objective"
    reader: str = "openslide"
    reader_note: str = ""


class WorkingGrid(Frozen):
    """The frame an engine sees.

    Level ``level`` of the file is averaged in exact ``box`` x ``box`` blocks and, when what
    remains differs from the engine's resolution by more than 5 %, interpolated by ``scale``
    (input px per working px after the box). ``l0_per_w`` = level downsample * box * scale.
    ``mpp`` is the true um per working px. ``width`` x ``height`` working px cover the slide.
    """

    level: int
    box: int
    scale: float
    l0_per_w: float
    mpp: float
    width: int
    height: int

    @property
    def extent(self) -> Rect:
        """The whole frame."""
        return Rect(0, 0, self.width, self.height)


class SlidePlan(Frozen):
    """Everything a tile needs besides its own pixels. JSON-able; its hash is the fingerprint.

    ``context`` is what the engine computed once for the slide (stain vectors, percentiles,
    thresholds) and gets back with every tile. ``chunks[i]`` lists tile indices of chunk ``i``, in
    increasing order; chunks partition the tiles with tissue, in order. ``measure`` alone changes
    nothing of what is found.
    """

    format: int = PLAN_FORMAT
    slide: SlideFacts
    grid: WorkingGrid
    engine: str
    engine_version: str
    params: dict[str, Any]
    context: dict[str, Any]
    tile_px: int
    halo_px: int
    seam_px: int
    tissue: TissueParams = TissueParams()
    tissue_fraction: float
    measure: MeasureParams = MeasureParams()
    chunks: tuple[tuple[int, ...], ...]

    @property
    def kind(self) -> str:
        """The job kind that is planned like this."""
        return "cell_segmentation"

    @property
    def columns(self) -> int:
        """Tiles in one row of the full grid."""
        return -(-self.grid.width // self.tile_px)

    @property
    def rows(self) -> int:
        """Tiles in one column of the full grid."""
        return -(-self.grid.height // self.tile_px)

    def tile(self, index: int) -> Tile:
        """The tile at a place of the full grid; ragged at the right and bottom edges."""
        row, column = divmod(index, self.columns)
        x0, y0 = column * self.tile_px, row * self.tile_px
        extent = self.grid.extent
        owned = Rect(x0, y0, min(x0 + self.tile_px, extent.x1), min(y0 + self.tile_px, extent.y1))
        return Tile(index, owned, owned.grow(self.halo_px, extent))


class TissuePlan(Frozen):
    """What a tissue mask is made of; its hash is the fingerprint. ``grid`` is the frame of the
    picture, ``mask_mpp`` um per px of the mask."""

    format: int = PLAN_FORMAT
    slide: SlideFacts
    grid: WorkingGrid
    tissue: TissueParams
    tissue_version: str
    tissue_fraction: float
    mask_mpp: float

    @property
    def kind(self) -> str:
        """The job kind that is planned like this."""
        return "tissue_mask"
