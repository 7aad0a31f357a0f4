"""A slide that stays open across unreadable places: OpenSlide's handle is dead after an error."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Self

from raysched.imaging.slide import Slide, open_slide


class SteadySlide:
    """Context manager over an open slide that can be opened again. Errors as ``open_slide``."""

    def __init__(self, path: str | Path) -> None:
        self._path = path
        self.slide: Slide = open_slide(path)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.slide.close()

    def reopen(self) -> None:
        """Replace a handle that an error has killed."""
        fresh = open_slide(self._path)
        self.slide.close()
        self.slide = fresh
