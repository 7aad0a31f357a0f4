"""One JPEG tile of a TIFF: completed to a stream that stands alone, and decoded strictly.

A tile in a TIFF leaves its tables to the page and its colours to the page's photometric tag, where
decoders that see a stream alone guess the colours from its markers. So the stream is put together
anew: an Adobe marker that says what the photometric tag says, the page's tables, and what the tile
itself brings except for its application markers.

libjpeg only warns of damaged data and makes up the missing pixels. OpenSlide takes such a warning
as an error; hence a decoder that does so too.
"""

from __future__ import annotations

import struct

import numpy as np
import numpy.typing as npt
import simplejpeg

Rgb = npt.NDArray[np.uint8]

START, END = b"\xff\xd8", b"\xff\xd9"
SCAN = 0xDA
TABLES = {0xC4, 0xDB, 0xDD}
"""Huffman tables, quantisation tables, restart interval."""
FRAMES = {0xC0, 0xC1, 0xC2}
"""Sizes and samplings of baseline, extended and progressive JPEG."""
PASSED_OVER = {*range(0xE0, 0xF0), 0xFE}
"""Application markers and comments."""
RGB_AS_IS, YCBCR = 0, 1
"""Adobe's colour transforms."""


class OddTile(Exception):
    """A tile, or its page, that is not read here; says why. OpenSlide is to judge it."""


def page_tables(data: bytes | None) -> bytes:
    """The segments of a page's ``JPEGTables``; empty where every tile brings its own.

    Raises ``OddTile``.
    """
    if not data:
        return b""
    if data[:2] != START or data[-2:] != END:
        raise OddTile("its JPEG tables are cut short")
    return data[2:-2]


def decode_tile(
    data: bytes, tables: bytes, transform: int, size: tuple[int, int]
) -> npt.NDArray[np.uint8]:
    """Pixels of a tile of ``size`` (w, h): (h, w, 3) uint8.

    ``transform``: ``RGB_AS_IS`` or ``YCBCR``. Raises ``OddTile`` when the tile has another size, is
    damaged in any way that libjpeg notices, or has a part that is not expected in it.
    """
    stream = _complete(data, tables, transform, size)
    width, height = size
    pixels = np.empty((height, width, 3), np.uint8)
    try:
        found = simplejpeg.decode_jpeg(stream, "RGB", buffer=pixels, strict=True)
    except ValueError as error:
        raise OddTile(f"a tile is damaged ({error})") from None
    if found.shape != pixels.shape:
        raise OddTile(f"a tile has {found.shape[1]} x {found.shape[0]} px")
    return pixels


def _complete(data: bytes, tables: bytes, transform: int, size: tuple[int, int]) -> bytes:
    if data[:2] != START:
        raise OddTile("a tile is no JPEG")
    adobe = b"\xff\xee" + struct.pack(">H5sHHHB", 14, b"Adobe", 100, 0, 0, transform)
    parts = [START, adobe, tables]
    at, framed = 2, False
    while at + 4 <= len(data):
        lead, kind, length = struct.unpack_from(">BBH", data, at)
        if lead != 0xFF or length < 2:
            break
        segment = data[at : at + 2 + length]
        if kind == SCAN and framed:
            return b"".join([*parts, data[at:]])
        if kind in FRAMES:
            _check_frame(segment, size)
            framed = True
        elif kind not in TABLES | PASSED_OVER:
            break
        if kind not in PASSED_OVER:
            parts.append(segment)
        at += 2 + length
    raise OddTile("a tile's JPEG header is damaged or unusual")


def _check_frame(segment: bytes, size: tuple[int, int]) -> None:
    """Refuse before decoding what would take more memory, or other samples, than the page says."""
    if len(segment) < 10:
        raise OddTile("a tile's JPEG header is cut short")
    bits, height, width, samples = struct.unpack_from(">BHHB", segment, 4)
    if (bits, samples) != (8, 3):
        raise OddTile(f"a tile has {samples} samples of {bits} bits a px")
    if (width, height) != size:
        raise OddTile(f"a tile has {width} x {height} px where {size[0]} x {size[1]} are due")
