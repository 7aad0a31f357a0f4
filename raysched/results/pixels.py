"""Pixels of one rectangle after another, read and decoded while the caller works on the last."""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterable
from concurrent.futures import Future, wait

from raysched.errors import SlideUnreadable
from raysched.imaging.frames import read_twice
from raysched.imaging.geometry import Rect
from raysched.imaging.plan import WorkingGrid
from raysched.imaging.slide import Rgb, Slide
from raysched.results.care import is_careful
from raysched.results.threads import thread


def pixels_ahead(
    slide: Slide, grid: WorkingGrid, rects: Iterable[Rect]
) -> Generator[Rgb | SlideUnreadable]:
    """Pixels of each rectangle, or why it cannot be read, in order; at most two are in memory, and
    one where memory is spared: then nothing is read ahead.

    Another thread reads, so nobody else may read from the slide meanwhile. Close the generator
    before the slide: it then waits until that thread has let go of it.
    """
    reads: deque[Future[Rgb | SlideUnreadable]] = deque()
    most = 1 if is_careful() else 2
    try:
        for rect in rects:
            reads.append(thread("reader").submit(_read, slide, grid, rect))
            if len(reads) == most:
                yield reads[0].result()
                reads.popleft()
        for read in reads:
            yield read.result()
    finally:
        for read in reads:
            read.cancel()
        wait(reads)


def _read(slide: Slide, grid: WorkingGrid, rect: Rect) -> Rgb | SlideUnreadable:
    try:
        return read_twice(slide, grid, rect)
    except SlideUnreadable as error:
        return error
