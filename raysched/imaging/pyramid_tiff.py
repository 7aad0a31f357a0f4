"""Writing a tiled, pyramidal TIFF that OpenSlide opens, from strips that arrive top to bottom.

The full image is never held: each strip is written as tiles at once, and what the next level needs
of it (1/16 of its pixels) is kept. Only the format that OpenSlide calls generic-tiff is written.
"""

from __future__ import annotations

import io
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import tifffile
from PIL import Image

Rgb = npt.NDArray[np.uint8]

TILE_PX = 256
STRIP_PX = 512
"""Rows of a strip: a multiple of the tile edge and of the step between levels."""
STEP = 4
"""How many times smaller each level is than the one before; scanners use 4."""
SMALLEST_PX = 512
"""No further level once the longer side is this small."""
TIFF_JPEG = 7
UM_PER_CM = 10_000.0


@dataclass(frozen=True, slots=True)
class TiffLayout:
    """What the file is to be: level-0 size in px, um per px (None: not stated), compression.

    ``jpeg_quality`` is 1..95, or None for lossless deflate. ``levels`` False: level 0 alone.
    """

    width: int
    height: int
    mpp: float | None
    jpeg_quality: int | None = None
    levels: bool = True


def write_pyramid(path: Path, layout: TiffLayout, strips: Iterable[Rgb]) -> None:
    """Write the strips, each (<= STRIP_PX, width, 3) uint8 and together ``height`` rows, as a TIFF.

    The same strips and layout give the same bytes. Raises ``OSError`` when it cannot be written.
    """
    reduced: list[Rgb] = []
    with tifffile.TiffWriter(path, bigtiff=layout.width * layout.height > 500_000_000) as tiff:
        _write_level(tiff, layout, (layout.height, layout.width), _watch(strips, reduced))
        level = np.concatenate(reduced) if layout.levels else np.zeros((0, 0, 3), np.uint8)
        longest = max(layout.width, layout.height)
        while layout.levels and longest > SMALLEST_PX and level.size:
            height, width = level.shape[:2]
            cut = [level[top : top + STRIP_PX] for top in range(0, height, STRIP_PX)]
            _write_level(tiff, layout, (height, width), cut)
            longest = max(height, width)
            level = _reduce(level)
    if layout.jpeg_quality is not None:
        _declare_jpeg(path)


def _write_level(
    tiff: tifffile.TiffWriter, layout: TiffLayout, size: tuple[int, int], strips: Iterable[Rgb]
) -> None:
    height, width = size
    options: dict[str, Any] = {}
    if layout.mpp is not None:
        per_px = layout.mpp * layout.width / width
        options = {"resolution": (UM_PER_CM / per_px,) * 2, "resolutionunit": "CENTIMETER"}
    tiff.write(
        (_encode(tile, layout.jpeg_quality) for strip in strips for tile in _tiles(strip)),
        shape=(height, width, 3),
        dtype="uint8",
        tile=(TILE_PX, TILE_PX),
        photometric="rgb",
        compression="adobe_deflate",
        subfiletype=0 if width == layout.width else 1,
        metadata=None,
        software="raysched",
        **options,
    )


def _watch(strips: Iterable[Rgb], reduced: list[Rgb]) -> Iterator[Rgb]:
    for strip in strips:
        reduced.append(_reduce(strip))
        yield strip


def _reduce(pixels: Rgb) -> Rgb:
    """Means of 4 x 4 blocks; a ragged right or bottom edge is cut off, as scanners do."""
    height, width = pixels.shape[0] // STEP, pixels.shape[1] // STEP
    if not height or not width:
        return np.zeros((0, width, 3), np.uint8)
    whole = pixels[: height * STEP, : width * STEP]
    return np.asarray(
        cv2.resize(whole, (width, height), interpolation=cv2.INTER_AREA), np.uint8
    ).reshape(height, width, 3)


def _tiles(strip: Rgb) -> Iterator[Rgb]:
    """Whole tiles, row by row; beyond the edge the last pixels are repeated, so JPEG rings less."""
    height, width = strip.shape[:2]
    more = ((0, -height % TILE_PX), (0, -width % TILE_PX), (0, 0))
    padded = np.pad(strip, more, mode="edge")
    for top in range(0, height, TILE_PX):
        for left in range(0, width, TILE_PX):
            yield padded[top : top + TILE_PX, left : left + TILE_PX]


def _encode(tile: Rgb, jpeg_quality: int | None) -> bytes:
    if jpeg_quality is None:
        return zlib.compress(tile.tobytes(), 1)
    target = io.BytesIO()
    Image.fromarray(tile).save(target, "JPEG", quality=jpeg_quality, keep_rgb=True, subsampling=0)
    return target.getvalue()


def _declare_jpeg(path: Path) -> None:
    """Say that the tiles are JPEG: tifffile itself says so only with a codec we do not need."""
    with tifffile.TiffFile(path, mode="r+") as tiff:
        for page in tiff.pages:
            page.tags["Compression"].overwrite(TIFF_JPEG)  # type: ignore[union-attr]
