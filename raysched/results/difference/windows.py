"""The windows where most cells differ, and the outlines of both results in them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from raysched.results.difference.facts import Facts
from raysched.results.difference.matching import Polygons
from raysched.results.difference.status import Status

DETAIL_UM = 120.0
MOST_WINDOWS = 4
MOST_OUTLINES = 2000
"""Of either result in a window: far more than cells fit there."""


@dataclass(frozen=True, slots=True)
class Window:
    """A square of the slide, ``side_px`` long from (x, y), in level-0 px, with its cells: the
    outlines of the first result by status, and those of the second."""

    name: str
    x: float
    y: float
    side_px: float
    first: dict[Status, Polygons]
    second: dict[Status, Polygons]

    def count(self, status: Status) -> int:
        """Its cells of a status."""
        return len((self.second if status is Status.GAINED else self.first)[status])


def places(facts: Facts) -> list[tuple[float, float, float]]:
    """x, y and side of up to ``MOST_WINDOWS`` squares with most lost and gained cells, in level-0
    px, most first; they do not overlap."""
    counted, slide = facts.counted, facts.first.manifest.slide
    side = min(DETAIL_UM / slide.mpp, slide.width, slide.height)
    changed = (counted.squares[Status.LOST] + counted.squares[Status.GAINED]).astype(np.float32)
    across = max(1, round(side / counted.side_px))
    summed = cv2.boxFilter(
        changed, -1, (across, across), normalize=False, borderType=cv2.BORDER_CONSTANT
    )
    rows, columns = summed.shape
    left, top = (
        np.clip((np.arange(squares) + 0.5) * counted.side_px - side / 2, 0.0, whole - side)
        for squares, whole in ((columns, slide.width), (rows, slide.height))
    )
    found: list[tuple[float, float, float]] = []
    while len(found) < MOST_WINDOWS and summed.max() >= 1:
        row, column = np.unravel_index(int(summed.argmax()), summed.shape)
        x, y = float(left[column]), float(top[row])
        found.append((x, y, side))
        summed[np.ix_(np.abs(top - y) < side, np.abs(left - x) < side)] = 0
    return found


def windows(facts: Facts) -> list[Window]:
    """The windows with their outlines."""
    made = []
    for name, (x, y, side) in zip("ABCD", places(facts), strict=False):
        box = np.array([x, y, x + side, y + side])
        first, second = (each.within(box) for each in (facts.first, facts.second))
        lost = facts.partners.second[first.ids] == 0
        alone = facts.partners.first[second.ids] == 0
        made.append(
            Window(
                name, x, y, side,
                {Status.LOST: _some(first, lost), Status.MATCHED: _some(first, ~lost)},
                {Status.GAINED: _some(second, alone), Status.MATCHED: _some(second, ~alone)},
            )
        )  # fmt: skip
    return made


def _some(outlines: Any, chosen: npt.NDArray[np.bool_]) -> Polygons:
    polygons: Polygons = outlines.take(np.flatnonzero(chosen)[:MOST_OUTLINES]).polygons()
    return polygons
