"""Pixels straight from the JPEG tiles of a TIFF: OpenSlide's own, several times as fast.

OpenSlide spends most of a read on compositing. Where a level is nothing but JPEG tiles side by side
there is nothing to composite. ``JpegTiff`` finds the page of a level, ``check`` compares it with
OpenSlide before it is used, and whatever is out of the ordinary raises ``OddTile``: then OpenSlide
reads, and its word counts.

Nothing here is shared between files. One thread at a time may use a ``JpegTiff``; it need not be
always the same one, and decoding leaves the interpreter to others.
"""

from __future__ import annotations

import os
import weakref
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import tifffile

from raysched.imaging.geometry import Rect
from raysched.imaging.jpeg_stream import RGB_AS_IS, YCBCR, OddTile, Rgb, decode_tile, page_tables

I64 = npt.NDArray[np.int64]

VENDORS = {"aperio", "generic-tiff"}
"""OpenSlide's names of formats whose levels are plain pages: no overlaps, no stitching."""
CACHE_BYTES = 32 * 1024 * 1024
"""Decoded tiles that are kept, so that halos are not decoded twice: some 160 of 256 px."""
MOST_TILE_PX = 2048 * 2048
CHECK_PX = 128
"""Edge of the windows that are compared with OpenSlide: they touch up to eight tiles."""
JPEG, CONTIGUOUS = 7, 1
TRANSFORMS = {2: RGB_AS_IS, 6: YCBCR}
"""Adobe's colour transform by TIFF's photometric interpretation, RGB and YCbCr."""
OFFSETS, BYTE_COUNTS = 324, 325
WORDS = {3: "u2", 4: "u4", 16: "u8"}
"""NumPy's names of TIFF's types for offsets and byte counts."""


@dataclass(frozen=True, slots=True, eq=False)
class TiledPage:
    """Where the tiles of a page lie in the file, row by row, and how they are to be decoded."""

    number: int
    width: int
    height: int
    tile_w: int
    tile_h: int
    tables: bytes
    transform: int
    offsets: I64
    byte_counts: I64

    @property
    def columns(self) -> int:
        """Tiles side by side; the last one may reach beyond the page."""
        return -(-self.width // self.tile_w)

    def place(self, tile: int) -> Rect:
        """What a tile covers, in px of the page; ragged at the right and bottom edges."""
        row, column = divmod(tile, self.columns)
        x0, y0 = column * self.tile_w, row * self.tile_h
        return Rect(x0, y0, min(x0 + self.tile_w, self.width), min(y0 + self.tile_h, self.height))

    def tiles(self, rect: Rect) -> list[int]:
        """Numbers of the tiles that a rectangle inside the page meets."""
        return [
            row * self.columns + column
            for row in range(rect.y0 // self.tile_h, -(-rect.y1 // self.tile_h))
            for column in range(rect.x0 // self.tile_w, -(-rect.x1 // self.tile_w))
        ]


class JpegTiff:
    """An open TIFF file and the tiles of it that were decoded last."""

    def __init__(self, path: Path, cache_bytes: int = CACHE_BYTES) -> None:
        self.path = path
        self.cached_bytes = 0
        self._cache_bytes = cache_bytes
        self._tiles: OrderedDict[tuple[int, int], Rgb] = OrderedDict()
        self._file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        self._close = weakref.finalize(self, os.close, self._file)

    def close(self) -> None:
        """Close the file. Closing twice is harmless."""
        self._close()
        self._tiles.clear()
        self.cached_bytes = 0

    def page(self, size: tuple[int, int]) -> TiledPage:
        """The one tiled page of a size (w, h). Raises ``OddTile`` when it cannot be read here."""
        try:
            with tifffile.TiffFile(self.path) as tiff:
                return self._described(*_only_page(tiff, size), tiff.byteorder)
        except OddTile:
            raise
        except Exception as error:  # noqa: BLE001 - what OpenSlide opens, tifffile may trip over
            raise OddTile(f"its TIFF directory is unusual ({error!r})") from None

    def read(self, page: TiledPage, rect: Rect) -> Rgb:
        """Pixels of a rectangle that lies inside the page: (h, w, 3) uint8, white where a tile is
        left out of the file. Raises ``OddTile``."""
        out = np.empty((rect.height, rect.width, 3), np.uint8)
        for tile in page.tiles(rect):
            place = page.place(tile)
            x0, y0 = max(place.x0, rect.x0), max(place.y0, rect.y0)
            x1, y1 = min(place.x1, rect.x1), min(place.y1, rect.y1)
            into = out[y0 - rect.y0 : y1 - rect.y0, x0 - rect.x0 : x1 - rect.x0]
            if page.byte_counts[tile] == 0:
                into[:] = 255
            else:
                pixels = self._tile(page, tile)
                into[:] = pixels[y0 - place.y0 : y1 - place.y0, x0 - place.x0 : x1 - place.x0]
        return out

    def check(self, page: TiledPage, oracle: Callable[[Rect], Rgb]) -> None:
        """Compare a few windows of a page with what ``oracle`` reads there.

        Raises ``OddTile`` when any pixel differs, and before the oracle is asked when a tile cannot
        be decoded. Windows: the first corner, the meeting of four tiles in the middle, the last
        corner, and a tile that is left out if there is one.
        """
        extent = Rect(0, 0, page.width, page.height)
        middle = page.place(
            len(page.offsets) // page.columns // 2 * page.columns + page.columns // 2
        )
        corners = [(0, 0), (middle.x0, middle.y0), (page.width, page.height)]
        for tile in np.flatnonzero(page.byte_counts == 0)[:1]:
            empty = page.place(int(tile))
            corners.append((empty.x0, empty.y0))
        for x, y in corners:
            window = Rect(x, y, x, y).grow(CHECK_PX // 2, extent)
            if not np.array_equal(self.read(page, window), oracle(window)):
                raise OddTile(f"its pixels at x {window.x0}, y {window.y0} are not OpenSlide's")

    def _described(self, number: int, page: tifffile.TiffPage, byteorder: str) -> TiledPage:
        _refuse_unusual(page)
        tile_w, tile_h = page.tilewidth, page.tilelength
        due = -(-page.imagewidth // tile_w) * -(-page.imagelength // tile_h)
        return TiledPage(
            number=number,
            width=page.imagewidth,
            height=page.imagelength,
            tile_w=tile_w,
            tile_h=tile_h,
            tables=page_tables(page.jpegtables),
            transform=TRANSFORMS[int(page.photometric)],
            offsets=self._numbers(page.tags[OFFSETS], due, byteorder),
            byte_counts=self._numbers(page.tags[BYTE_COUNTS], due, byteorder),
        )

    def _numbers(self, tag: tifffile.TiffTag, due: int, byteorder: str) -> I64:
        """A tag's numbers: read here, because there are a hundred thousand in a large slide."""
        if tag.count != due:
            raise OddTile(f"it lists {tag.count} tiles where {due} are due")
        word = np.dtype(byteorder + WORDS[int(tag.dtype)])
        return np.frombuffer(self._bytes(tag.valueoffset, due * word.itemsize), word).astype(
            np.int64
        )

    def _tile(self, page: TiledPage, tile: int) -> Rgb:
        key = (page.number, tile)
        pixels = self._tiles.pop(key, None)
        if pixels is None:
            size = page.tile_w, page.tile_h
            length = int(page.byte_counts[tile])
            if length > 4 * page.tile_w * page.tile_h + 65_536:
                raise OddTile(f"a tile of {length} bytes cannot be right")
            data = self._bytes(int(page.offsets[tile]), length)
            pixels = decode_tile(data, page.tables, page.transform, size)
            self.cached_bytes += pixels.nbytes
        self._tiles[key] = pixels
        while self.cached_bytes > self._cache_bytes:
            self.cached_bytes -= self._tiles.popitem(last=False)[1].nbytes
        return pixels

    def _bytes(self, offset: int, length: int) -> bytes:
        if not self._close.alive:
            raise OddTile("the file is closed")
        try:
            data = os.pread(self._file, length, offset)
        except OSError as error:
            raise OddTile(f"it cannot be read ({error.strerror})") from None
        if len(data) < length:
            raise OddTile("it is cut short")
        return data


def _only_page(tiff: tifffile.TiffFile, size: tuple[int, int]) -> tuple[int, tifffile.TiffPage]:
    """The tiled page of a size (w, h) and its place in the file; thumbnails are in strips."""
    fits = [
        (number, page)
        for number, page in enumerate(tiff.pages)
        if isinstance(page, tifffile.TiffPage)
        and page.is_tiled
        and (page.imagewidth, page.imagelength) == size
    ]
    if len(fits) != 1:
        width, height = size
        raise OddTile(f"{len(fits) or 'no'} tiled pages have {width} x {height} px")
    return fits[0]


def _refuse_unusual(page: tifffile.TiffPage) -> None:
    """Raise ``OddTile`` unless a page holds what ``decode_tile`` makes."""
    bits = page.bitspersample
    compression = getattr(page.compression, "name", page.compression)
    photometric = getattr(page.photometric, "name", page.photometric)
    for usual, said in (
        (bits == 8, f"its samples have {bits} bits, not 8"),
        (page.samplesperpixel == 3, f"it has {page.samplesperpixel} samples a px, not 3"),
        (page.compression == JPEG, f"its tiles are compressed as {compression}, not JPEG"),
        (page.photometric in TRANSFORMS, f"its colours are {photometric}, not RGB or YCbCr"),
        (page.planarconfig == CONTIGUOUS, "its colours lie in separate planes"),
        (page.tilewidth * page.tilelength <= MOST_TILE_PX, "its tiles are too large to be kept"),
    ):
        if not usual:
            raise OddTile(said)
