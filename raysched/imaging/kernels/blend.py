"""Bilinear interpolation in whole numbers, so that a pixel is the same however it is asked for."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from raysched.imaging.kernels.compiled import compiled

I64 = npt.NDArray[np.int64]
U8 = npt.NDArray[np.uint8]


@compiled("u1[:,:,::1](u1[:,:,::1], i8[:,::1], i8[:,::1], i8)")
def blended(source: U8, across: I64, down: I64, fractions: int) -> U8:
    """Pixels between pixels: (m, n, 3) uint8, rounded to nearest.

    ``across``, (3, n), names for each column the two columns of ``source``, (h, w, 3), that it lies
    between, and how many of ``fractions`` parts of the way it lies from the first to the second;
    ``down``, (3, m), does so for rows.
    """
    out = np.empty((down.shape[1], across.shape[1], 3), np.uint8)
    half = np.int64(fractions * fractions // 2)
    for i in range(down.shape[1]):
        above, below, v = down[0, i], down[1, i], down[2, i]
        for j in range(across.shape[1]):
            left, right, u = across[0, j], across[1, j], across[2, j]
            for c in range(3):
                top = source[above, left, c] * (fractions - u) + source[above, right, c] * u
                bottom = source[below, left, c] * (fractions - u) + source[below, right, c] * u
                total = top * (fractions - v) + bottom * v + half
                out[i, j, c] = np.uint8(total // (fractions * fractions))
    return out
