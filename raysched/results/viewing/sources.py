"""Where cells that are drawn and clicked come from, however far their job is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from raysched.errors import NotReady
from raysched.imaging.geometry import Rect
from raysched.results.bounded import Bounded
from raysched.results.labels import CHUNK_PX, level_sizes
from raysched.results.runs import U32
from raysched.results.schema import MEASURES, unit_of
from raysched.results.threads import thread
from raysched.results.viewing.density import Density

T = TypeVar("T")
F16 = npt.NDArray[np.float16]
U8 = npt.NDArray[np.uint8]

MB = 1024 * 1024
BLOCK_PX = CHUNK_PX
LOW, HIGH = 2, 98
"""The percentiles between which values are told apart by colour, unless others are asked for."""
MOST_RANKED = 500_000
"""Values that percentiles are taken of."""


class Moved(NotReady):
    """What was looked at has gone since: a job has ended and its chunks are results now, or
    results were deleted."""

    code = "moved"


def moved() -> Moved:
    """It, in words."""
    return Moved(
        "The job has just ended, or its results were deleted.", remedy="Ask for its view again."
    )


@dataclass(frozen=True, slots=True)
class Frame:
    """The frame of the labels: its size in px, level-0 px and um along a px."""

    width: int
    height: int
    l0_per_px: float
    mpp: float

    def sizes(self) -> list[tuple[int, int]]:
        """(height, width) of the levels of the labels, finest first."""
        return level_sizes(self.height, self.width)


@dataclass(frozen=True, slots=True)
class Range:
    """A measure with the values that have the first and the last colour."""

    name: str
    unit: str
    low: float
    high: float


class CellSource(Protocol):
    """The cells of one job. Ids are final where ``complete``; else they are provisional, and the
    same ones in every process. Thread-safe."""

    frame: Frame
    complete: bool

    @property
    def version(self) -> str:
        """Another one whenever something may be drawn otherwise."""
        ...

    @property
    def cells(self) -> int:
        """How many there are; while they are provisional, those at seams may count twice."""
        ...

    def reach(self, version: str) -> None:
        """Draw at least what a process had that has told of this version, as far as it is on this
        node; what is no version of these cells is passed over."""
        ...

    def block(self, level: int, row: int, column: int) -> U32 | None:
        """The ids of a block of ``BLOCK_PX`` px of a level of the labels, ragged at the edges, 0
        where no cell is: (h, w), not to be written to. None: no cells at all."""
        ...

    def values(self, measure: str, ids: U32) -> F16:
        """What was measured on these cells: (n,), NaN where it is not known any more."""
        ...

    def ranges(self) -> tuple[Range, ...]:
        """Every measure; none while there are no cells."""
        ...

    def density(self) -> Density:
        """Cells per mm2."""
        ...

    def row(self, cell: int) -> Any:
        """The cell as a table of ``CELLS`` with one row; None where there is no such cell."""
        ...


class Caches:
    """What is kept of the cells of all jobs that are looked at in one process: about 60 MB."""

    def __init__(self) -> None:
        self.blocks: Bounded[Any, U32 | None] = Bounded(16 * MB, _bytes)
        self.values: Bounded[Any, F16] = Bounded(20 * MB, _bytes)
        self.masks: Bounded[Any, Any] = Bounded(12 * MB, lambda mask: sum(map(_bytes, mask)))
        self.rows: Bounded[Any, Any] = Bounded(4 * MB, lambda table: int(table.nbytes) + 64)
        self.densities: Bounded[Any, Density] = Bounded(8 * MB, lambda each: _bytes(each.places))
        self.ranges: Bounded[Any, tuple[Range, ...]] = Bounded(256)


def _bytes(array: Any) -> int:
    """What is held of it; a key and its place take some as well."""
    return 200 + (0 if array is None else int(array.nbytes))


def alone(what: str, work: Callable[[], T]) -> Callable[[], T]:
    """The same, done in the one thread that reads ``what``: what decoding takes it takes once, for
    each thread keeps its memory for the next time."""
    return lambda: thread(f"viewer {what}").submit(work).result()


def region(source: CellSource, level: int, rect: Rect) -> U32:
    """The ids of any rectangle of a level, 0 beyond its edges: (h, w)."""
    height, width = source.frame.sizes()[level]
    found = np.zeros((rect.height, rect.width), np.uint32)
    x0, y0, x1, y1 = max(rect.x0, 0), max(rect.y0, 0), min(rect.x1, width), min(rect.y1, height)
    for row in range(y0 // BLOCK_PX, -(-y1 // BLOCK_PX)):
        for column in range(x0 // BLOCK_PX, -(-x1 // BLOCK_PX)):
            block = source.block(level, row, column)
            if block is None:
                continue
            left, top = column * BLOCK_PX, row * BLOCK_PX
            a, b = max(x0, left), max(y0, top)
            c, d = min(x1, left + block.shape[1]), min(y1, top + block.shape[0])
            part = block[b - top : d - top, a - left : c - left]
            found[b - rect.y0 : d - rect.y0, a - rect.x0 : c - rect.x0] = part
    return found


def cell_at(source: CellSource, l0_x: float, l0_y: float) -> int:
    """The id of the cell at a point of the slide in level-0 px; 0 where none is."""
    x, y = (int(np.floor(each / source.frame.l0_per_px)) for each in (l0_x, l0_y))
    if not (0 <= x < source.frame.width and 0 <= y < source.frame.height):
        return 0
    block = source.block(0, y // BLOCK_PX, x // BLOCK_PX)
    return 0 if block is None else int(block[y % BLOCK_PX, x % BLOCK_PX])


def ranges_of(values: Callable[[str], Any]) -> tuple[Range, ...]:
    """The range of every measure, of its values."""
    found = []
    for name in MEASURES:
        some = values(name)
        some = some[:: -(-len(some) // MOST_RANKED) or 1].astype(np.float32)
        some = some[np.isfinite(some)]
        if len(some):
            low, high = (float(each) for each in np.percentile(some, (LOW, HIGH)))
            found.append(Range(name, unit_of(name), low, high))
    return tuple(found)


def narrowed(column: Any) -> F16:
    """Values as they are kept for colours: three digits in two bytes."""
    largest = float(np.finfo(np.float16).max)
    return np.asarray(np.clip(np.asarray(column, np.float64), -largest, largest), np.float16)
