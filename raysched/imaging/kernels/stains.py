"""Stains of each pixel by table look-up: what colour deconvolution comes to for 8-bit light.

The amount of a stain is a sum of one term per channel (``raysched.imaging.stain``), and a channel
has 256 values: three look-ups and two additions are the matrix product.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from raysched.imaging.kernels.compiled import compiled

F32 = npt.NDArray[np.float32]
U8 = npt.NDArray[np.uint8]

TISSUE, INK = 1, 2


@compiled("Tuple((f4[:,::1], f4[:,::1]))(u1[:,:,::1], f4[:,:,::1])")
def densities(rgb: U8, tables: F32) -> tuple[F32, F32]:
    """Two stains of an image: (h, w, 3) and tables (2 stains, 3 channels, 256) -> (h, w) each."""
    height, width, _ = rgb.shape
    first = np.empty((height, width), np.float32)
    second = np.empty((height, width), np.float32)
    for y in range(height):
        for x in range(width):
            r, g, b = rgb[y, x, 0], rgb[y, x, 1], rgb[y, x, 2]
            first[y, x] = tables[0, 0, r] + tables[0, 1, g] + tables[0, 2, b]
            second[y, x] = tables[1, 0, r] + tables[1, 1, g] + tables[1, 2, b]
    return first, second


@compiled("Tuple((u1[:,::1], u1[:,::1], u1[:,::1]))(u1[:,:,::1], f4[:,::1], u1[::1], i8)")
def scaled(rgb: U8, table: F32, most_green: U8, glass: int) -> tuple[U8, U8, U8]:
    """One stain in 8 bits, where tissue is, and where ink is not; the latter two as 0 or 1.

    ``table``: (3 channels, 256), whose sum is rounded and cut at 0 and 255. A pixel is tissue when
    its darkest channel is below ``glass``; it is ink when its green passes ``most_green`` of its
    red.
    """
    height, width, _ = rgb.shape
    amount = np.empty((height, width), np.uint8)
    tissue = np.empty((height, width), np.uint8)
    clear = np.empty((height, width), np.uint8)
    for y in range(height):
        for x in range(width):
            r, g, b = rgb[y, x, 0], rgb[y, x, 1], rgb[y, x, 2]
            value = table[0, r] + table[1, g] + table[2, b] + np.float32(0.5)
            value = min(max(value, np.float32(0.0)), np.float32(255.0))
            amount[y, x] = np.uint8(value)
            tissue[y, x] = min(r, g, b) < glass
            clear[y, x] = g <= most_green[r]
    return amount, tissue, clear
