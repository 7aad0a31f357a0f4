"""The geometry of deep zoom: levels that halve, each cut into tiles. No pixels are here.

Level ``levels - 1`` is the whole image; each level before it is half as wide and high, rounded up.
Pixel i of a level covers the pixels ``i * shrink`` to ``(i + 1) * shrink`` of the whole image.
"""

from __future__ import annotations

from dataclasses import dataclass

from raysched.errors import NotFound
from raysched.imaging.geometry import Rect


@dataclass(frozen=True, slots=True)
class Pyramid:
    """``width`` x ``height`` px in ``levels`` levels, in tiles of ``tile_px``, ragged at the right
    and bottom edges."""

    width: int
    height: int
    tile_px: int
    levels: int

    @classmethod
    def of(cls, width: int, height: int, tile_px: int, most_shrink: float = 2.0**62) -> Pyramid:
        """Down to one tile, but no level that is shrunk by more than ``most_shrink``."""
        levels = 1
        while max(width, height) > tile_px << (levels - 1) and 1 << levels <= most_shrink:
            levels += 1
        return cls(width, height, tile_px, levels)

    def shrink(self, z: int) -> int:
        """Pixels of the whole image along a pixel of level ``z``."""
        return 1 << (self.levels - 1 - z)

    def size(self, z: int) -> tuple[int, int]:
        """(width, height) of a level."""
        by = self.shrink(z)
        return -(-self.width // by), -(-self.height // by)

    def overlapping(self, z: int, x: int, y: int, px: int) -> Rect:
        """A tile with ``px`` more on each side that has a neighbour. Raises ``NotFound``."""
        rect, (width, height) = self.tile(z, x, y), self.size(z)
        return rect.grow(px, Rect(0, 0, width, height))

    def tile(self, z: int, x: int, y: int) -> Rect:
        """The pixels of a tile in those of its level. Raises ``NotFound``."""
        if 0 <= z < self.levels and x >= 0 and y >= 0:
            width, height = self.size(z)
            x0, y0 = x * self.tile_px, y * self.tile_px
            if x0 < width and y0 < height:
                return Rect(x0, y0, min(x0 + self.tile_px, width), min(y0 + self.tile_px, height))
        raise NotFound(
            f"There is no tile {z}/{x}/{y}.",
            remedy=f"Levels are 0 to {self.levels - 1}; GET .../view says how large they are.",
        )
