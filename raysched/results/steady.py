"""A slide that stays open across unreadable places, and is read one rectangle ahead."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from concurrent.futures import Future, wait
from pathlib import Path
from types import TracebackType
from typing import Self

from raysched.errors import SlideUnreadable
from raysched.imaging.frames import read_working
from raysched.imaging.geometry import Rect
from raysched.imaging.plan import WorkingGrid
from raysched.imaging.slide import Rgb, Slide, open_slide
from raysched.results.threads import thread


class SteadySlide:
    """Context manager over an open slide that can be opened again, since OpenSlide's handle is dead
    after an error. Errors as ``open_slide``."""

    def __init__(self, path: str | Path) -> None:
        self._path = path
        self.slide: Slide = open_slide(path)
        self._coming: Future[Rgb | SlideUnreadable] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._coming is not None and not self._coming.cancel():
            wait([self._coming])  # the thread may be reading
        self.slide.close()

    def reopen(self) -> None:
        """Replace a handle that an error has killed."""
        fresh = open_slide(self._path)
        self.slide.close()
        self.slide = fresh

    def ahead(self, grid: WorkingGrid, rects: Iterable[Rect]) -> Iterator[Rgb | SlideUnreadable]:
        """Pixels of each rectangle, or why it cannot be read, in order.

        While the caller works on one, the next is read and decoded in another thread: nobody else
        may read from this slide meanwhile. At most two are in memory.
        """
        for rect in rects:
            before, self._coming = self._coming, thread("reader").submit(self._read, grid, rect)
            if before is not None:
                yield before.result()
        if self._coming is not None:
            yield self._coming.result()
            self._coming = None

    def _read(self, grid: WorkingGrid, rect: Rect) -> Rgb | SlideUnreadable:
        try:
            return read_working(self.slide, grid, rect)
        except SlideUnreadable as error:
            self.reopen()
            return error
