"""Outlines as well-known binary (OGC 06-103r4, 8.2): byte order, type, one ring, its points."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from raysched.imaging.kernels.compiled import compiled

HEAD_BYTES = 13
POINT_BYTES = 16

U8 = npt.NDArray[np.uint8]
I32 = npt.NDArray[np.int32]


@compiled("u1[::1](u1[:,::1], i4[::1])")
def polygons(points: U8, at: I32) -> U8:
    """Little-endian Polygons one after the other; ring i is ``points[at[i]:at[i + 1]]``, closed.

    ``points`` are the 16 bytes of each little-endian x and y: (m, 16).
    """
    count = len(at) - 1
    out = np.zeros(count * HEAD_BYTES + len(points) * POINT_BYTES, np.uint8)
    place = 0
    for i in range(count):
        out[place] = 1  # little-endian
        out[place + 1] = 3  # Polygon
        out[place + 5] = 1  # ring
        size = at[i + 1] - at[i]
        for byte in range(4):
            out[place + 9 + byte] = (size >> (8 * byte)) & 255
        place += HEAD_BYTES
        for point in range(at[i], at[i + 1]):
            for byte in range(POINT_BYTES):
                out[place + byte] = points[point, byte]
            place += POINT_BYTES
    return out
