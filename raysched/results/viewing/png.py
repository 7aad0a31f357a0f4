"""PNG of palette colours: small, quick, and transparent where a palette says so."""

from __future__ import annotations

import struct
import zlib
from functools import lru_cache

import numpy as np
import numpy.typing as npt
from isal import isal_zlib

U8 = npt.NDArray[np.uint8]
SIGNATURE = b"\x89PNG\r\n\x1a\n"
QUICK = 1


def indexed_png(index: U8, palette: U8) -> bytes:
    """An image (h, w) of places in a palette (n, 4) RGBA. Two colours take a bit a pixel."""
    height, width = index.shape
    bits = 1 if len(palette) <= 2 else 8
    body = np.packbits(index, axis=1) if bits == 1 else index
    rows = np.zeros((height, body.shape[1] + 1), np.uint8)  # each row begins with its filter: none
    rows[:, 1:] = body
    head = struct.pack(">IIBBBBB", width, height, bits, 3, 0, 0, 0)
    parts = (
        (b"IHDR", head),
        (b"PLTE", np.ascontiguousarray(palette[:, :3]).tobytes()),
        (b"tRNS", np.ascontiguousarray(palette[:, 3]).tobytes()),
        (b"IDAT", isal_zlib.compress(rows, QUICK)),
        (b"IEND", b""),
    )
    return SIGNATURE + b"".join(_chunk(kind, data) for kind, data in parts)


@lru_cache(maxsize=64)
def blank_png(width: int, height: int) -> bytes:
    """Nothing at all, of that size."""
    return indexed_png(np.zeros((height, width), np.uint8), np.zeros((1, 4), np.uint8))


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
