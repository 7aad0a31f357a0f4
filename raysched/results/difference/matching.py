"""Which cells of two results are the same cell: those whose outlines have an IoU above 1/2.

Above 1/2 a cell has one partner at most where the cells of a result do not overlap (Kirillov, He,
Girshick, Rother & Dollar, Panoptic Segmentation, CVPR 2019). Outlines of one result may overlap a
little: they are simplified, and two reports at a seam may share up to half of the smaller. So what
is left of rivalry is decided in the order of IoU.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import shapely

from raysched.imaging.accuracy import THRESHOLDS
from raysched.results.runs import I64, U32

F64 = npt.NDArray[np.float64]
Polygons = npt.NDArray[Any]
"""(n,) shapely polygons as objects."""

MATCHING_IOU = THRESHOLDS[0]
ROUNDING = 1e-9
"""How far a bound may be off by rounding, relative to what it bounds."""


@dataclass(frozen=True, slots=True)
class Pairs:
    """Pairs of cells: (k,) the id in the first result, that in the second, and their IoU."""

    first: U32
    second: U32
    iou: F64

    @classmethod
    def joined(cls, some: Iterable[Pairs]) -> Pairs:
        """All pairs of several, in their order."""
        every = [cls(np.zeros(0, np.uint32), np.zeros(0, np.uint32), np.zeros(0)), *some]
        return cls(
            np.concatenate([each.first for each in every]),
            np.concatenate([each.second for each in every]),
            np.concatenate([each.iou for each in every]),
        )

    def take(self, kept: npt.NDArray[Any]) -> Pairs:
        """Some of them, by index or mask."""
        return Pairs(self.first[kept], self.second[kept], self.iou[kept])


def matches(first: Polygons, second: Polygons) -> tuple[I64, I64, F64]:
    """Places i, j and the IoU of all pairs first[i], second[j] above ``MATCHING_IOU``: (k,) each.

    Only outlines whose bounds and areas allow such an IoU are intersected; equal ones need not be.
    """
    i, j = shapely.STRtree(second).query(first)
    area_i, area_j = shapely.area(first)[i], shapely.area(second)[j]
    able = _most_shared(shapely.bounds(first)[i], shapely.bounds(second)[j], area_i, area_j)
    # The IoU grows with what is shared, so this is the largest that it can be.
    kept = able >= MATCHING_IOU * (area_i + area_j - able) * (1 - ROUNDING)
    i, j, area_i, area_j = i[kept], j[kept], area_i[kept], area_j[kept]
    iou = np.ones(len(i))
    rest = ~shapely.equals_exact(first[i], second[j])
    shared = shapely.area(shapely.intersection(first[i[rest]], second[j[rest]]))
    iou[rest] = shared / (area_i[rest] + area_j[rest] - shared)
    above = iou > MATCHING_IOU
    return i[above], j[above], iou[above]


class Partners:
    """Who is whose partner: no cell has two. Sixteen bytes a cell, filled window by window.

    ``second`` (n + 1,) is the id in the second result of each id of the first, 0 where it has none,
    ``iou`` stands beside it; ``first`` (m + 1,) is the same the other way round. All is final once
    it is ``settled``.
    """

    def __init__(self, first: int, second: int) -> None:
        self.second: U32 = np.zeros(first + 1, np.uint32)
        self.iou: F64 = np.zeros(first + 1)
        self.first: U32 = np.zeros(second + 1, np.uint32)
        self._rivals: list[Pairs] = []

    def add(self, pairs: Pairs) -> None:
        """Take some cells of the first result: all pairs of each of them, which come only once.

        Whatever shares a cell with another pair is put aside, also when the other came before.
        """
        earlier = self.first[pairs.second]
        contested = _again(pairs.first) | _again(pairs.second) | (earlier > 0)
        ousted = np.unique(earlier)
        ousted = ousted[self.second[ousted] > 0]
        self._rivals.append(pairs.take(contested))
        self._rivals.append(Pairs(ousted, self.second[ousted], self.iou[ousted]))
        self.second[ousted] = 0
        self.first[pairs.second] = pairs.first
        self._place(pairs.take(~contested))

    def settled(self) -> Partners:
        """Itself, once rivals have been told apart."""
        rivals = Pairs.joined(self._rivals)
        self._rivals.clear()
        self.first[rivals.second] = 0
        self._place(one_to_one(rivals))
        return self

    def _place(self, pairs: Pairs) -> None:
        self.second[pairs.first], self.iou[pairs.first] = pairs.second, pairs.iou
        self.first[pairs.second] = pairs.first


def one_to_one(pairs: Pairs) -> Pairs:
    """Pairs of which no two share a cell: of rivals the one of higher IoU is kept, of equals that
    of the lower ids. What is kept does not depend on the order of ``pairs``."""
    kept = []
    taken_first: set[int] = set()
    taken_second: set[int] = set()
    for place in np.lexsort((pairs.second, pairs.first, -pairs.iou)):
        a, b = int(pairs.first[place]), int(pairs.second[place])
        if a not in taken_first and b not in taken_second:
            kept.append(place)
            taken_first.add(a)
            taken_second.add(b)
    return pairs.take(np.array(kept, np.int64))


def _most_shared(bounds_i: F64, bounds_j: F64, area_i: F64, area_j: F64) -> F64:
    """The largest area that two polygons can share, by their bounds and areas: (k,)."""
    low = np.maximum(bounds_i[:, :2], bounds_j[:, :2])
    sides = np.minimum(bounds_i[:, 2:], bounds_j[:, 2:]) - low
    return np.asarray(np.minimum(sides.prod(axis=1), np.minimum(area_i, area_j)), np.float64)


def _again(ids: U32) -> npt.NDArray[np.bool_]:
    """Which ids stand in more than one place."""
    _, at, times = np.unique(ids, return_inverse=True, return_counts=True)
    return np.asarray(times[at] > 1, np.bool_)
