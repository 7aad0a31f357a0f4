"""Rectangles and tiles in working pixels."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Rect:
    """A half-open rectangle: x0 <= x < x1, y0 <= y < y1. Whole pixels of one frame."""

    x0: int
    y0: int
    x1: int
    y1: int

    @property
    def width(self) -> int:
        """Pixels across."""
        return self.x1 - self.x0

    @property
    def height(self) -> int:
        """Pixels down."""
        return self.y1 - self.y0

    def grow(self, by: int, within: Rect) -> Rect:
        """The rectangle with ``by`` pixels more on each side, cut at ``within``."""
        return Rect(
            max(within.x0, self.x0 - by),
            max(within.y0, self.y0 - by),
            min(within.x1, self.x1 + by),
            min(within.y1, self.y1 + by),
        )


@dataclass(frozen=True, slots=True)
class Tile:
    """What one engine call sees (``read``, with halo) and answers for (``owned``), in w_ px.

    ``index`` is the tile's place in the full grid, row by row, also counting tiles without
    tissue; the order of cell ids follows it.
    """

    index: int
    owned: Rect
    read: Rect
