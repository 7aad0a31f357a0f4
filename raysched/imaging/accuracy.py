"""How well found cells agree with annotated ones: pure functions of two label images.

Everything follows from one sparse table, how many pixels each found cell shares with each
annotated one (``overlap``), and of it a few sums are kept (``Tally``). Tallies of images add up, so
one formula serves an image and a whole set: the sums of all its images are put into it ("pooled").

Where there is nothing to judge, the answer is 1: nothing was missed and nothing is wrong. So an
image without cells in which none are found scores 1 throughout; when one side alone has none,
F1, PQ, AJI and Dice are 0. Nothing is ever NaN.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from operator import add
from typing import Any

import numpy as np
import numpy.typing as npt

I64 = npt.NDArray[np.int64]
F64 = npt.NDArray[np.float64]
Bool = npt.NDArray[np.bool_]

THRESHOLDS = (0.5, 0.6, 0.7, 0.8, 0.9)
"""A pair matches when its intersection over union is greater than this."""


@dataclass(frozen=True, slots=True)
class Overlap:
    """Which found cells meet which annotated ones.

    ``found`` (n,) and ``annotated`` (m,) are the ids, increasing, with the areas in px beside
    them. Pair i of the k that share a pixel: found[pair_found[i]], annotated[pair_annotated[i]]
    and ``pair_px[i]`` pixels. ``found_at`` (n,) is the first pixel of each found cell in reading
    order, which does not depend on what the cells are called.
    """

    found: I64
    annotated: I64
    found_px: I64
    annotated_px: I64
    found_at: I64
    pair_found: I64
    pair_annotated: I64
    pair_px: I64

    @property
    def union_px(self) -> I64:
        """Pixels of either cell of each pair (k,)."""
        areas = self.found_px[self.pair_found] + self.annotated_px[self.pair_annotated]
        return np.asarray(areas - self.pair_px, np.int64)

    @property
    def iou(self) -> F64:
        """Intersection over union of each pair (k,), in 0..1."""
        return np.asarray(self.pair_px / self.union_px, np.float64)

    def matched(self, threshold: float) -> tuple[Bool, Bool]:
        """Which found (n,) and which annotated cells (m,) have a partner above ``threshold``."""
        pairs = self.iou > _matchable(threshold)
        of_found = np.zeros(len(self.found), np.bool_)
        of_annotated = np.zeros(len(self.annotated), np.bool_)
        of_found[self.pair_found[pairs]] = True
        of_annotated[self.pair_annotated[pairs]] = True
        return of_found, of_annotated


@dataclass(frozen=True, slots=True)
class Tally:
    """Sums over one image or many, and every measure that follows from them.

    ``matched[i]`` counts the pairs above ``THRESHOLDS[i]``, ``matched_iou`` sums the IoU of those
    above 1/2. ``aji_shared_px`` and ``aji_union_px`` are C and U of the aggregated Jaccard index.
    The last three are pixels of any cell: found, annotated, both.
    """

    found: int = 0
    annotated: int = 0
    matched: tuple[int, ...] = (0,) * len(THRESHOLDS)
    matched_iou: float = 0.0
    aji_shared_px: int = 0
    aji_union_px: int = 0
    found_px: int = 0
    annotated_px: int = 0
    shared_px: int = 0

    def __add__(self, other: Tally) -> Tally:
        return Tally(
            found=self.found + other.found,
            annotated=self.annotated + other.annotated,
            matched=tuple(a + b for a, b in zip(self.matched, other.matched, strict=True)),
            matched_iou=self.matched_iou + other.matched_iou,
            aji_shared_px=self.aji_shared_px + other.aji_shared_px,
            aji_union_px=self.aji_union_px + other.aji_union_px,
            found_px=self.found_px + other.found_px,
            annotated_px=self.annotated_px + other.annotated_px,
            shared_px=self.shared_px + other.shared_px,
        )

    def f1(self, threshold: float = 0.5) -> float:
        """2 TP / (2 TP + FP + FN): TP matched pairs, FP found alone, FN annotated alone.

        Both sides' counts add up to the denominator. At 1/2 this is also the recognition quality
        RQ of Kirillov et al. 2019.
        """
        pairs = self.matched[THRESHOLDS.index(threshold)]
        return _share(2 * pairs, self.found + self.annotated)

    @property
    def precision(self) -> float:
        """TP / (TP + FP) at IoU 1/2: the share of found cells that are right."""
        return _share(self.matched[0], self.found)

    @property
    def recall(self) -> float:
        """TP / (TP + FN) at IoU 1/2: the share of annotated cells that were found."""
        return _share(self.matched[0], self.annotated)

    @property
    def sq(self) -> float:
        """Segmentation quality: mean IoU of the matched pairs; 0 when there are cells, but none."""
        if not self.matched[0]:
            return _share(0, self.found + self.annotated)
        return self.matched_iou / self.matched[0]

    @property
    def rq(self) -> float:
        """Recognition quality: F1 at IoU 1/2."""
        return self.f1(0.5)

    @property
    def pq(self) -> float:
        """Panoptic quality: sum of IoU over matched pairs / (TP + FP / 2 + FN / 2) = SQ * RQ.

        Kirillov, He, Girshick, Rother & Dollar, Panoptic Segmentation, CVPR 2019, eq. 1, for one
        class; a pair matches when its IoU is greater than 1/2.
        """
        return self.sq * self.rq

    @property
    def aji(self) -> float:
        """Aggregated Jaccard index C / U.

        Kumar et al., A Dataset and a Technique for Generalized Nuclear Segmentation for
        Computational Pathology, IEEE Trans Med Imaging 36 (2017), 1550-1560, algorithm 1. Each
        annotated cell takes the found cell of best IoU and adds their intersection to C and
        their union to U (its own area when it meets none); found cells that nobody took add their
        area to U. As there, a found cell may be taken more than once and then counts each time.
        """
        return _share(self.aji_shared_px, self.aji_union_px)

    @property
    def dice(self) -> float:
        """Dice's coefficient of the two foregrounds: 2 |A and B| / (|A| + |B|), in pixels.

        Dice, Ecology 26 (1945), 297-302.
        """
        return _share(2 * self.shared_px, self.found_px + self.annotated_px)

    def measures(self) -> dict[str, Any]:
        """All measures as JSON-able numbers, rounded to six places."""
        plain = ("precision", "recall", "pq", "sq", "rq", "aji", "dice")
        return {
            "f1": {f"{threshold:g}": round(self.f1(threshold), 6) for threshold in THRESHOLDS},
            **{name: round(float(getattr(self, name)), 6) for name in plain},
        }


def overlap(found: npt.NDArray[Any], annotated: npt.NDArray[Any]) -> Overlap:
    """The table of two label images (h, w) of whole numbers; 0 is background, any other id a cell.

    Ids need not be consecutive. Raises ``ValueError`` when the shapes differ.
    """
    if found.shape != annotated.shape:
        raise ValueError(f"found is {found.shape} but annotated is {annotated.shape}")
    found_ids, found_at, of_found, found_px = np.unique(
        found.ravel(), return_index=True, return_inverse=True, return_counts=True
    )
    annotated_ids, of_annotated, annotated_px = np.unique(
        annotated.ravel(), return_inverse=True, return_counts=True
    )
    width = max(1, len(annotated_ids))
    both = (found.ravel() != 0) & (annotated.ravel() != 0)
    keys, pair_px = np.unique(of_found[both] * width + of_annotated[both], return_counts=True)
    a, b = found_ids != 0, annotated_ids != 0
    rank_a, rank_b = np.cumsum(a) - 1, np.cumsum(b) - 1
    return Overlap(
        found=found_ids[a].astype(np.int64),
        annotated=annotated_ids[b].astype(np.int64),
        found_px=found_px[a].astype(np.int64),
        annotated_px=annotated_px[b].astype(np.int64),
        found_at=found_at[a].astype(np.int64),
        pair_found=rank_a[keys // width].astype(np.int64),
        pair_annotated=rank_b[keys % width].astype(np.int64),
        pair_px=pair_px.astype(np.int64),
    )


def tally(table: Overlap) -> Tally:
    """The sums of one image."""
    iou = table.iou
    shared, union = _aji(table)
    return Tally(
        found=len(table.found),
        annotated=len(table.annotated),
        matched=tuple(int((iou > threshold).sum()) for threshold in THRESHOLDS),
        matched_iou=float(iou[iou > THRESHOLDS[0]].sum()),
        aji_shared_px=shared,
        aji_union_px=union,
        found_px=int(table.found_px.sum()),
        annotated_px=int(table.annotated_px.sum()),
        shared_px=int(table.pair_px.sum()),
    )


def pooled(tallies: Sequence[Tally]) -> Tally:
    """The sums of many images: every cell and every pixel counts once, wherever it lies."""
    return reduce(add, tallies, Tally())


def mean_measures(tallies: Sequence[Tally]) -> dict[str, Any]:
    """The mean over images of each measure: every image counts the same, however full it is."""
    each = [one.measures() for one in tallies]

    def mean(values: list[float]) -> float:
        return round(float(np.mean(values)), 6) if values else 1.0

    names = [name for name in Tally().measures() if name != "f1"]
    return {
        "f1": {f"{at:g}": mean([one["f1"][f"{at:g}"] for one in each]) for at in THRESHOLDS},
        **{name: mean([one[name] for one in each]) for name in names},
    }


def _aji(table: Overlap) -> tuple[int, int]:
    """C and U of the aggregated Jaccard index, see ``Tally.aji``.

    Of several found cells with the same best IoU the one that begins first in reading order is
    taken: the paper does not say, and ids must not decide.
    """
    order = np.lexsort((table.found_at[table.pair_found], -table.iou, table.pair_annotated))
    met, first = np.unique(table.pair_annotated[order], return_index=True)
    best = order[first]
    missed = np.ones(len(table.annotated), np.bool_)
    missed[met] = False
    unused = np.ones(len(table.found), np.bool_)
    unused[table.pair_found[best]] = False
    shared = int(table.pair_px[best].sum())
    union = int(table.union_px[best].sum())
    union += int(table.annotated_px[missed].sum() + table.found_px[unused].sum())
    return shared, union


def _matchable(threshold: float) -> float:
    """Above 1/2 a cell has one partner at most (Kirillov et al. 2019); below, it might have two."""
    if not 0.5 <= threshold <= 1.0:
        raise ValueError(f"a threshold of {threshold} does not make matches unique: take 0.5..1")
    return threshold


def _share(part: float, whole: float) -> float:
    return part / whole if whole else 1.0
