"""Decimal text of many numbers, compiled. Numbers come as whole multiples of 10 ** -decimals.

Importing this imports numba; callers do so when there is something to write.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from raysched.imaging.kernels.compiled import compiled

I64 = npt.NDArray[np.int64]
I32 = npt.NDArray[np.int32]
U8 = npt.NDArray[np.uint8]

MOST = 24
"""Most bytes of a number: sign, 19 digits, point, a leading zero or two."""
ZERO, MINUS, POINT = 48, 45, 46
TEN, NOTHING = np.uint64(10), np.uint64(0)


@compiled("i8(u1[::1],i8,i8,i8)")
def _write(text: U8, at: int, value: int, decimals: int) -> int:
    """Write ``value * 10 ** -decimals`` at a place, without needless zeros; returns where it ends.

    Digits are split off an unsigned number, which is half again as fast as off a signed one.
    """
    if value < 0:
        text[at] = MINUS
        at += 1
        value = -value
    rest = np.uint64(value)
    while decimals > 0 and rest % TEN == NOTHING:
        rest //= TEN
        decimals -= 1
    digits = 1
    above = TEN
    while rest >= above and digits < 19:
        above *= TEN
        digits += 1
    digits = max(digits, decimals + 1)
    end = at + digits
    if decimals > 0:
        end += 1
    place = end - 1
    for _ in range(decimals):
        text[place] = ZERO + np.uint8(rest % TEN)
        rest //= TEN
        place -= 1
    if decimals > 0:
        text[place] = POINT
        place -= 1
    while place >= at:
        text[place] = ZERO + np.uint8(rest % TEN)
        rest //= TEN
        place -= 1
    return end


@compiled("Tuple((u1[::1], i4[::1]))(i8[::1],i8)")
def numbers(values: I64, decimals: int) -> tuple[U8, I32]:
    """All numbers, one after the other, and where each begins: (bytes,), (n + 1,)."""
    text = np.empty(len(values) * MOST, np.uint8)
    ends = np.zeros(len(values) + 1, np.int32)
    at = 0
    for i in range(len(values)):
        at = _write(text, at, values[i], decimals)
        ends[i + 1] = at
    return text[:at].copy(), ends


@compiled("Tuple((u1[::1], i4[::1]))(i8[:,::1],i8[::1],i8,u1[::1])")
def points(xy: I64, rings_at: I64, decimals: int, signs: U8) -> tuple[U8, I32]:
    """The points of each ring, one ring after the other, and where each begins.

    ``signs``: what opens a point, stands between x and y, closes a point and stands between
    points; 0 for nothing.
    """
    text = np.empty(len(xy) * 2 * (MOST + 2), np.uint8)
    ends = np.zeros(len(rings_at), np.int32)
    at = 0
    for ring in range(len(rings_at) - 1):
        for i in range(rings_at[ring], rings_at[ring + 1]):
            if i > rings_at[ring] and signs[3]:
                text[at] = signs[3]
                at += 1
            if signs[0]:
                text[at] = signs[0]
                at += 1
            at = _write(text, at, xy[i, 0], decimals)
            if signs[1]:
                text[at] = signs[1]
                at += 1
            at = _write(text, at, xy[i, 1], decimals)
            if signs[2]:
                text[at] = signs[2]
                at += 1
        ends[ring + 1] = at
    return text[:at].copy(), ends
