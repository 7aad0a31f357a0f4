"""What a difference says, as numbers: every pair of one cell, and what they add up to.

Two passes. One goes over the row groups of the first result, window by window, and matches its
cells with those of the second that lie there; the other adds up, over both results, what the
matches say. But for the sixteen bytes a cell of ``Partners`` nothing grows with their number.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from raysched.errors import DifferentSlides
from raysched.imaging.accuracy import THRESHOLDS, Tally
from raysched.results.difference.matching import MATCHING_IOU, Pairs, Partners, matches
from raysched.results.difference.side import Outlines, Side
from raysched.results.difference.status import Status
from raysched.results.manifest import Manifest, SlideNote
from raysched.results.report.facts import Histogram
from raysched.results.schema import MEASURES

F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]

WINDOW_UM = 512.0
"""Edge of a window: tissue has a few thousand cells in one at most."""
MAP_SQUARES = 900
"""Squares along the longer side of the map."""
CHANGE_STEPS = 1 << 15
"""Steps of a change to either side of 0, up to the largest that could be."""
NOT_SETTINGS = {
    *("job", "created_at", "fingerprint", "timings", "files", "format", "chunk_tiles"),
    *("checksum", "column_checksums", "counts", "reused"),
}
DERIVED = {f"grid.{name}" for name in ("width", "height", "columns", "rows")}
"""What follows from the scale and the tiles."""
CENTROID = ("centroid_x_px", "centroid_y_px")


class Change:
    """How one measurement of the matched cells differs, the second result's minus the first's.

    Counted in ``2 * CHANGE_STEPS + 1`` equal steps around 0, from ``-most`` to ``most``, so that
    quantiles are exact to half a step, and no change at all is 0.
    """

    def __init__(self, first: tuple[float, float], second: tuple[float, float]) -> None:
        most = max(abs(second[1] - first[0]), abs(second[0] - first[1]))
        self._step = max(most / CHANGE_STEPS, 1e-12)
        self._counts = np.zeros(2 * CHANGE_STEPS + 1, np.int64)

    def add(self, changes: F64) -> None:
        """Take some changes; what is not finite is left out."""
        whole = np.rint(changes[np.isfinite(changes)] / self._step).astype(np.int64)
        place = (whole + CHANGE_STEPS).clip(0, 2 * CHANGE_STEPS)
        self._counts += np.bincount(place, minlength=len(self._counts))

    @property
    def count(self) -> int:
        """Changes seen."""
        return int(self._counts.sum())

    def quantile(self, share: float) -> float:
        """The change that this share of all is at most."""
        if not self.count:
            return math.nan
        place = np.searchsorted(self._counts.cumsum(), max(share * self.count, 0.5))
        return float(int(place) - CHANGE_STEPS) * self._step


@dataclass(frozen=True, slots=True)
class Counted:
    """Centroids by status and square of ``side_px`` level-0 px: (rows, columns) each."""

    squares: dict[Status, I64]
    side_px: float

    @classmethod
    def of(cls, slide: SlideNote) -> Counted:
        """Of no cells yet."""
        side = max(slide.width, slide.height) / MAP_SQUARES
        shape = math.ceil(slide.height / side - 1e-9), math.ceil(slide.width / side - 1e-9)
        return cls({status: np.zeros(shape, np.int64) for status in Status}, side)

    def add(self, status: Status, x_px: F64, y_px: F64) -> None:
        """Take the centroids of some cells."""
        squares = self.squares[status]
        row = (y_px / self.side_px).astype(np.int64).clip(0, squares.shape[0] - 1)
        column = (x_px / self.side_px).astype(np.int64).clip(0, squares.shape[1] - 1)
        np.add.at(squares, (row, column), 1)


@dataclass(frozen=True, slots=True)
class Facts:
    """All that a difference says. In ``tally`` the first result is what is annotated."""

    first: Side
    second: Side
    partners: Partners
    tally: Tally
    changes: dict[str, Change]
    ious: Histogram
    counted: Counted

    @property
    def counts(self) -> dict[Status, int]:
        """Cells by status."""
        matched = self.tally.matched[0]
        return {
            Status.MATCHED: matched,
            Status.LOST: self.tally.annotated - matched,
            Status.GAINED: self.tally.found - matched,
        }

    @property
    def jaccard(self) -> float:
        """Matched cells / all cells of either result; 1 where there are none."""
        everything = sum(self.counts.values())
        return self.counts[Status.MATCHED] / everything if everything else 1.0


def gather(first: Path, second: Path) -> Facts:
    """Compare two results folders.

    Raises ``NotReady`` when one is no finished result, ``DifferentSlides``, ``StorageFailed``.
    """
    a, b = Side(first), Side(second)
    if a.manifest.slide.sha256 != b.manifest.slide.sha256:
        raise DifferentSlides(
            f"{a.manifest.job} is of the slide {a.manifest.slide.name} and {b.manifest.job} of "
            f"{b.manifest.slide.name}: their SHA-256 differ.",
            remedy="Compare two results of the same slide file.",
            first=a.manifest.slide.sha256,
            second=b.manifest.slide.sha256,
        )
    partners = Partners(len(a), len(b))
    for pairs in _pairs(a, b):
        partners.add(pairs)
    facts = _added_up(a, b, partners.settled())
    for side in (a, b):
        side.forget()
    return facts


def differing(first: Manifest, second: Manifest) -> list[tuple[str, Any, Any]]:
    """What made the two results and is not the same: (name, in the first, in the second).

    Names of nested values are joined by dots; what only one of them has is None in the other.
    """
    mine, other = (
        _flat(side.model_dump(mode="json", exclude=NOT_SETTINGS)) for side in (first, second)
    )
    names = [name for name in dict.fromkeys([*mine, *other]) if name not in DERIVED]
    return [
        (name, mine.get(name), other.get(name))
        for name in names
        if mine.get(name) != other.get(name)
    ]


def _flat(values: dict[str, Any], before: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, dict):
            flat |= _flat(value, f"{before}{name}.")
        else:
            flat[before + name] = value
    return flat


def _pairs(first: Side, second: Side) -> Iterator[Pairs]:
    """Every pair above the matching IoU, by the windows of the first's cells."""
    side_px = WINDOW_UM / first.manifest.slide.mpp
    for place in range(len(first.groups)):
        outlines = first.outlines(place)
        for some in _windows(outlines, side_px):
            mine = outlines.take(some)
            box = np.concatenate([mine.boxes[:, :2].min(axis=0), mine.boxes[:, 2:].max(axis=0)])
            near = second.within(box)
            i, j, iou = matches(mine.polygons(), near.polygons())
            yield Pairs(mine.ids[i], near.ids[j], iou)


def _windows(outlines: Outlines, side_px: float) -> list[I64]:
    """Places of the cells of each window in turn: a cell is in that of the middle of its bounds."""
    middle = (outlines.boxes[:, :2] + outlines.boxes[:, 2:]) / 2
    column, row = (middle // side_px).astype(np.int64).T
    order = np.lexsort((column, row))
    cuts = np.flatnonzero(np.diff(row[order]) | np.diff(column[order])) + 1
    return np.split(order, cuts)


def _added_up(first: Side, second: Side, partners: Partners) -> Facts:
    """Read both results once more for the sums, the changes and the map."""
    tally, ious = Tally(found=len(second), annotated=len(first)), Histogram(MATCHING_IOU, 1.0)
    changes = {name: Change(first.range(name), second.range(name)) for name in MEASURES}
    counted = Counted.of(first.manifest.slide)
    for place in range(len(first.groups)):
        table = first.read(place, (*CENTROID, *MEASURES))
        ids = table.column("id").to_numpy()
        partner = partners.second[ids]
        here = partner > 0
        iou = partners.iou[ids[here]]
        tally += _matched(iou)
        ious.add(iou)
        x, y = (table.column(name).to_numpy() for name in CENTROID)
        counted.add(Status.MATCHED, x[here], y[here])
        counted.add(Status.LOST, x[~here], y[~here])
        theirs = second.values(partner[here], MEASURES)
        for name, change in changes.items():
            change.add(theirs[name] - table.column(name).to_numpy()[here].astype(np.float64))
    for place in range(len(second.groups)):
        table = second.read(place, CENTROID)
        alone = partners.first[table.column("id").to_numpy()] == 0
        x, y = (table.column(name).to_numpy()[alone] for name in CENTROID)
        counted.add(Status.GAINED, x, y)
    return Facts(first, second, partners, tally, changes, ious, counted)


def _matched(iou: F64) -> Tally:
    matched = tuple(int((iou > threshold).sum()) for threshold in THRESHOLDS)
    return Tally(matched=matched, matched_iou=float(iou.sum()))
