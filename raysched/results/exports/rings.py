"""Outlines as arrays: out of WKB without making objects, and into text of few digits."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import shapely

from raysched.errors import InternalError
from raysched.results.runs import spans

F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]

HEAD_BYTES = 13
RING_HEAD = np.frombuffer(b"\x01\x03\x00\x00\x00\x01\x00\x00\x00", np.uint8)
"""WKB of a polygon of one ring: little-endian, type 3, one ring; the number of points follows."""
POINT_BYTES = 16
DECIMALS = 2


def rings(wkb: Any) -> tuple[F64, I64]:
    """The points x, y of the only ring of each polygon, and where each ring begins: (m, 2), (n+1,).

    ``wkb``: a ``pyarrow.BinaryArray``. Raises ``InternalError`` for anything that is not such a
    polygon, as raysched writes no other.
    """
    if not len(wkb):
        return np.zeros((0, 2)), np.zeros(1, np.int64)
    _, ends_at, body_at = wkb.buffers()
    ends = np.frombuffer(ends_at, np.int32)[wkb.offset : wkb.offset + len(wkb) + 1]
    body = np.frombuffer(body_at, np.uint8)[ends[0] : ends[-1]]
    begins = ends[:-1].astype(np.int64) - ends[0]
    lengths = np.diff(ends).astype(np.int64)
    if lengths.min() < HEAD_BYTES:
        raise _no_ring()
    places = begins[:, None] + np.arange(HEAD_BYTES)
    heads = body[places]
    count = heads[:, 9:].copy().view("<u4")[:, 0].astype(np.int64)
    if (heads[:, :9] != RING_HEAD).any() or (lengths != HEAD_BYTES + POINT_BYTES * count).any():
        raise _no_ring()
    kept = np.ones(len(body), bool)
    kept[places] = False
    points = body[kept].view("<f8").reshape(-1, 2)
    return points, np.concatenate([[0], np.cumsum(count)])


def valid_rings(points: F64, at: I64) -> npt.NDArray[np.bool_]:
    """Whether each ring of four points or more is closed, finite and a valid polygon: (n,).

    Nearly all are shown to be so at a tenth of the time that GEOS takes; GEOS judges the others.
    """
    from raysched.results.exports.simple import surely_simple

    good: npt.NDArray[np.bool_] = (points[at[:-1]] == points[at[1:] - 1]).all(axis=1)
    rest = np.flatnonzero(good & ~surely_simple(points, at))
    if len(rest):
        lengths = np.diff(at)[rest]
        corners = points[spans(at[:-1][rest], lengths)]
        owner = np.repeat(np.arange(len(rest)), lengths)
        finite = np.logical_and.reduceat(
            np.isfinite(corners).all(axis=1), np.cumsum(lengths) - lengths
        )
        corners[~finite[owner]] = 0
        good[rest] = finite & shapely.is_valid(
            shapely.polygons(shapely.linearrings(corners, indices=owner))
        )
    return good


def ring_texts(wkb: Any, origin: tuple[int, int], signs: bytes) -> Any:
    """The points of each outline as text, as a ``pyarrow.StringArray``, to ``DECIMALS`` places.

    ``signs``: what opens a point, stands between x and y, closes a point and stands between
    points, a byte each, a zero byte for nothing: ``b"[,],"`` for JSON.
    """
    from raysched.results.exports import digits

    points, at = rings(wkb)
    whole = np.rint((points - origin) * 10**DECIMALS).astype(np.int64)
    return _strings(*digits.points(whole, at, DECIMALS, np.array(list(signs), np.uint8)))


def number_texts(values: npt.NDArray[np.floating[Any]], decimals: int) -> Any:
    """Finite numbers as text of at most so many decimals, as a ``pyarrow.StringArray``."""
    from raysched.results.exports import digits

    whole = np.rint(values.astype(np.float64) * 10**decimals).astype(np.int64)
    return _strings(*digits.numbers(whole, decimals))


def joined(texts: Any) -> memoryview:
    """A ``pyarrow.StringArray``'s texts one after the other, without copying them."""
    _, ends_at, body = texts.buffers()
    ends = np.frombuffer(ends_at, np.int32)[texts.offset : texts.offset + len(texts) + 1]
    return memoryview(body)[ends[0] : ends[-1]]


def _strings(text: npt.NDArray[np.uint8], ends: npt.NDArray[np.int32]) -> Any:
    return pa.StringArray.from_buffers(len(ends) - 1, pa.py_buffer(ends), pa.py_buffer(text))


def _no_ring() -> InternalError:
    return InternalError(
        "An outline is no polygon of one ring.",
        remedy="Report this with the manifest; the format csv has all that was measured.",
    )
