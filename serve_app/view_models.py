"""What a viewer is told: the geometry of tiles, the cells of a job, one cell."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BaseModel, Field

from raysched.results.viewing.palettes import Palette, Style
from serve_app.models import Shown

if TYPE_CHECKING:
    from raysched.results.viewing import viewer  # heavy, and the client imports this
    from raysched.results.viewing.drawing import Look

Template = Annotated[str, Field(description="address of a tile; put in {z}, {x} and {y}")]


MOST_L0 = 10_000_000
"""No slide is larger, in level-0 px."""
MOST_VALUE = 1e9
GREEN = "00e060"


def _place(what: str) -> Any:
    return Field(ge=-MOST_L0, le=MOST_L0, allow_inf_nan=False, description=what)


def _length(what: str) -> Any:
    return Field(gt=0, le=MOST_L0, allow_inf_nan=False, description=what)


def _value(what: str) -> Any:
    return Field(default=None, ge=-MOST_VALUE, le=MOST_VALUE, allow_inf_nan=False, description=what)


class LookAsked(BaseModel):
    """How a tile of the overlay is drawn."""

    style: Style = Field(default=Style.OUTLINE, description="how cells are drawn")
    by: str | None = Field(
        default=None, max_length=64, description="colour each cell by this measure"
    )
    low: float | None = _value("the value of the first colour")
    high: float | None = _value("the value of the last colour")
    palette: Palette | None = Field(default=None, description="colours of values and densities")
    colour: str = Field(
        default=GREEN, pattern="^[0-9a-fA-F]{6}$", description="one for all cells: RRGGBB"
    )
    v: str | None = Field(
        default=None,
        max_length=100,
        description="`version` of the view: its cells are drawn, and the tile may be kept",
    )

    def look(self) -> Look:
        """The same, checked. Raises ``InvalidSetting``."""
        from raysched.results.viewing.drawing import Look

        look = Look(self.style, self.colour, self.by, self.low, self.high, self.palette)
        look.check()
        return look


class PointAsked(BaseModel):
    """A point of a slide."""

    x: float = _place("level-0 px from the left")
    y: float = _place("level-0 px from the top")


class RegionAsked(BaseModel):
    """A region of a slide as a picture."""

    x: float = _place("left edge, level-0 px")
    y: float = _place("upper edge, level-0 px")
    width: float = _length("level-0 px across")
    height: float = _length("level-0 px down")
    outlines: bool = Field(default=True, description="draw the outlines of the cells")
    most_px: int = Field(
        default=768, ge=16, le=2048, description="longer side of the picture, in px"
    )

    @property
    def region(self) -> tuple[float, float, float, float]:
        """x, y, width, height."""
        return self.x, self.y, self.width, self.height


class SlideView(Shown):
    """A slide as tiles. Level ``levels - 1`` is the whole slide, ``width`` x ``height`` px; each
    level before it is half as large, rounded up. A tile has ``overlap`` px more of each neighbour.
    ``mpp``: um per px of the whole slide, null where the file does not say."""

    name: str
    width: int
    height: int
    mpp: float | None
    mpp_source: str | None
    tile_px: int
    overlap: int
    levels: int
    href: Template


class OverlayView(Shown):
    """The cells as tiles that lie over the slide, with the same corner. ``width`` x ``height``:
    px of the finest level; ``l0_per_px``: level-0 px of the slide along one of them.
    ``density_high``: cells per mm2 that the last colour of the density stands for."""

    width: int
    height: int
    l0_per_px: float
    tile_px: int
    levels: int
    density_high: float
    href: Template


class TissueView(Shown):
    """The tissue mask as one picture that lies over the slide, with the same corner."""

    width: int
    height: int
    l0_per_px: float
    href: str


class MeasureRange(Shown):
    """A measure of the cells, and its 2nd and 98th percentiles."""

    name: str
    unit: str
    low: float
    high: float


class CellsView(Shown):
    """All that a viewer of a job needs to know. ``version`` changes whenever the overlay may look
    otherwise; it is the checksum once the job is ``complete``. ``overlay`` is null before the job
    is planned and for a tissue mask, ``tissue`` where no mask is kept."""

    job: str
    complete: bool
    cells: int
    version: str
    slide: SlideView
    overlay: OverlayView | None
    measures: tuple[MeasureRange, ...]
    tissue: TissueView | None


class CellMeasure(Shown):
    """One number of a cell."""

    name: str
    value: float
    unit: str


class Cell(Shown):
    """One cell: the numbers of its row in the results. ``x``, ``y`` (its centroid) and ``outline``
    (closed) in level-0 px; ``tile`` is the tile that reported it. ``provisional``: the job has not
    ended, and the id is another one then."""

    id: int
    provisional: bool
    x: float
    y: float
    tile: int
    outline: tuple[tuple[float, float], ...]
    measures: tuple[CellMeasure, ...]

    @classmethod
    def of(cls, cell: viewer.Cell) -> Cell:
        """A cell that the viewer has found."""
        return cls.model_validate(cell)


class CellHit(Shown):
    """The cell at a point; null where there is none."""

    cell: Cell | None
