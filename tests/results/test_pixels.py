"""Reading ahead: the right pixels in order, and no read under way once it is closed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from raysched.errors import SlideUnreadable
from raysched.imaging.frames import read_working, working_grid
from raysched.imaging.geometry import Rect
from raysched.imaging.plan import WorkingGrid
from raysched.imaging.slide import Rgb, Slide, open_slide
from raysched.results.pixels import pixels_ahead

RECTS = [Rect(x, 40, x + 700, 1000 + x) for x in (0, 300, 600)]


class Watched(Slide):
    """The sample, which knows whether it is being read and fails as often as it is told to."""

    failures = 0
    being_read = 0

    def read_level(self, level: int, l_x0: int, l_y0: int, w: int, h: int) -> Rgb:
        self.being_read += 1
        try:
            if self.failures:
                self.failures -= 1
                raise SlideUnreadable("away", remedy="wait")
            return super().read_level(level, l_x0, l_y0, w, h)
        finally:
            self.being_read -= 1


@pytest.fixture
def watched(sample_slide: Path) -> Watched:
    slide = open_slide(sample_slide)
    slide.__class__ = Watched
    assert isinstance(slide, Watched)
    return slide


def grid_of(slide: Slide) -> WorkingGrid:
    return working_grid(slide, 0.5, 0.5)


def test_each_rectangle_comes_in_order_also_after_an_earlier_reader_left(watched: Watched) -> None:
    grid = grid_of(watched)
    early = pixels_ahead(watched, grid, RECTS)
    next(early)
    early.close()
    want = [read_working(watched, grid, rect) for rect in RECTS]
    for rect, found in zip(want, pixels_ahead(watched, grid, RECTS), strict=True):
        assert isinstance(found, np.ndarray)
        assert np.array_equal(found, rect)


def test_once_it_is_closed_nobody_reads_any_more(watched: Watched) -> None:
    for taken in (1, 2):
        pixels = pixels_ahead(watched, grid_of(watched), RECTS)
        for _ in range(taken):
            next(pixels)
        pixels.close()
        assert watched.being_read == 0
    watched.close()


@pytest.mark.parametrize(("failures", "holes"), [(1, 0), (2, 1)])
def test_what_fails_twice_is_a_hole_and_the_rest_is_read(
    watched: Watched, failures: int, holes: int
) -> None:
    watched.failures = failures
    found = list(pixels_ahead(watched, grid_of(watched), RECTS))
    assert [isinstance(each, SlideUnreadable) for each in found] == [True] * holes + [False] * (
        3 - holes
    )
