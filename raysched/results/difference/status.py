"""What became of a cell between two results, and the colour that it has wherever it is shown."""

from __future__ import annotations

from enum import StrEnum

from raysched.results.pictures import Colour


class Status(StrEnum):
    """Matched: in both results. Lost: in the first alone. Gained: in the second alone."""

    MATCHED = "matched"
    LOST = "lost"
    GAINED = "gained"


COLOURS: dict[Status, Colour] = {
    Status.MATCHED: (0, 140, 90),
    Status.LOST: (20, 50, 200),
    Status.GAINED: (240, 135, 0),
}
"""Told apart by hue and by lightness, also by people who see no difference between red and green,
and each to be seen on white."""
