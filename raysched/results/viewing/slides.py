"""Pixels of slides for a viewer: tiles, and pictures of a region at any scale."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np
import simplejpeg

from raysched.errors import InvalidSetting, SlideMissing
from raysched.imaging.frames import box_mean
from raysched.imaging.slide import Rgb, Slide, file_state, open_slide, shared_cache
from raysched.results.viewing.pyramid import Pyramid

TILE_PX = 256
OVERLAP_PX = 1
"""Tiles have this much of their neighbours: a browser that enlarges them shows no seams then."""
QUALITY = 85
MOST_SHRINK = 16
"""Pixels of a slide's own level along a pixel of a tile: what one tile costs is bounded, also of a
slide without a pyramid, which then has no view in one tile."""
BAND_PX = 1_000_000
"""Pixels of the slide that are in memory at once while a picture is made smaller."""
MOST_READ_PX = 64_000_000
IDLE = 8
CACHE_BYTES = 16 * 1024 * 1024

Key = tuple[Path, str]


class OpenSlides:
    """Slides that were opened, for whoever reads next. At most ``idle`` are kept open that nobody
    reads from; who reads has a handle alone. A file that has changed is opened anew. Thread-safe.
    """

    def __init__(self, idle: int = IDLE, cache_bytes: int = CACHE_BYTES) -> None:
        self._most = idle
        self._cache = shared_cache(cache_bytes)
        self._idle: OrderedDict[int, tuple[Key, Slide]] = OrderedDict()
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._idle)

    @contextmanager
    def borrowed(self, path: Path) -> Iterator[Slide]:
        """A slide of one's own for a while. Raises as ``open_slide``."""
        try:
            key = path, file_state(path)
        except OSError:
            raise SlideMissing(
                f"The slide {path.name} is no longer there.",
                remedy="It was moved or deleted; put it back, or upload it again.",
                path=str(path),
            ) from None
        slide = self._take(key) or open_slide(path, self._cache)
        try:
            yield slide
        except BaseException:
            slide.close()  # nobody knows what state it is in
            raise
        self._give_back(key, slide)

    def close(self) -> None:
        """Close what is idle."""
        with self._lock:
            closing = [slide for _, slide in self._idle.values()]
            self._idle.clear()
        for slide in closing:
            slide.close()

    def _take(self, key: Key) -> Slide | None:
        with self._lock:
            for number in reversed(self._idle):
                if self._idle[number][0] == key:
                    return self._idle.pop(number)[1]
        return None

    def _give_back(self, key: Key, slide: Slide) -> None:
        closing = []
        with self._lock:
            self._idle[id(slide)] = (key, slide)
            while len(self._idle) > self._most:
                closing.append(self._idle.popitem(last=False)[1][1])
        for old in closing:
            old.close()


def slide_pyramid(slide: Slide) -> Pyramid:
    """The levels that a viewer is offered."""
    return Pyramid.of(slide.width, slide.height, TILE_PX, max(slide.downsamples) * MOST_SHRINK)


def slide_tile(slide: Slide, z: int, x: int, y: int) -> bytes:
    """A tile as JPEG. Raises ``NotFound`` where there is none, ``SlideUnreadable``."""
    pyramid = slide_pyramid(slide)
    rect, by = pyramid.overlapping(z, x, y, OVERLAP_PX), pyramid.shrink(z)
    return jpeg(read_scaled(slide, (rect.x0 * by, rect.y0 * by), by, (rect.width, rect.height)))


def jpeg(rgb: Rgb) -> bytes:
    """An image (h, w, 3) as JPEG."""
    pixels = np.ascontiguousarray(rgb)
    made: bytes = simplejpeg.encode_jpeg(pixels, QUALITY, colorspace="RGB", colorsubsampling="420")
    return made


def read_scaled(
    slide: Slide, l0_at: tuple[float, float], l0_per_px: float, size: tuple[int, int]
) -> Rgb:
    """``size`` (width, height) pixels of ``l0_per_px`` level-0 px each, from the point ``l0_at``
    on: means of the pixels of the next finer level of the slide, or, where the slide is not as
    fine, interpolated. White where the slide has nothing. Memory: ``BAND_PX`` pixels of the slide.
    Raises ``InvalidSetting`` for more than ``MOST_READ_PX`` of them, ``SlideUnreadable``.
    """
    width, height = size
    fine = [i for i, each in enumerate(slide.downsamples) if each <= l0_per_px * 1.001]
    level = max(fine, key=lambda i: slide.downsamples[i], default=0)
    per_px = l0_per_px / slide.downsamples[level]
    left, top = (each / slide.downsamples[level] for each in l0_at)
    x0, x1 = round(left), max(round(left + width * per_px), round(left) + 1)
    if (x1 - x0) * height * per_px > MOST_READ_PX:
        raise InvalidSetting(
            "So large a region of this slide cannot be shown: it has no small levels.",
            remedy="Ask for a smaller region, or convert the slide to a pyramid.",
        )
    if (x1 - x0) * max(per_px, 1.0) > BAND_PX and width > 1:  # not even a row of it: by halves
        left_half, right_at = width // 2, l0_at[0] + width // 2 * l0_per_px
        return np.hstack(
            (
                read_scaled(slide, l0_at, l0_per_px, (left_half, height)),
                read_scaled(slide, (right_at, l0_at[1]), l0_per_px, (width - left_half, height)),
            )
        )
    out = np.empty((height, width, 3), np.uint8)
    rows = max(1, int(BAND_PX / max(1.0, (x1 - x0) * per_px))) if per_px > 1 else height
    for first in range(0, height, rows):
        last = min(first + rows, height)
        y0 = round(top + first * per_px)
        y1 = max(round(top + last * per_px), y0 + 1)
        pixels = slide.read_level(level, x0, y0, x1 - x0, y1 - y0)
        out[first:last] = _resized(pixels, width, last - first)
    return out


def _resized(pixels: Rgb, width: int, height: int) -> Rgb:
    if pixels.shape[:2] == (height, width):
        return pixels
    box = pixels.shape[1] // width
    if box > 1 and pixels.shape[:2] == (height * box, width * box):
        return box_mean(pixels, box)
    how = cv2.INTER_AREA if pixels.shape[1] >= width else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(pixels, (width, height), interpolation=how), np.uint8)
