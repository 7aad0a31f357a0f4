"""Opening a slide and reading its pixels: the only file that calls OpenSlide.

Levels that are nothing but JPEG tiles are read by ``jpeg_tiles`` instead, once it has shown that it
gives the same pixels; OpenSlide reads everything else, and whatever is doubtful.

A ``Slide`` hides three habits of OpenSlide. Its ``read_region`` takes level-0 coordinates, which
cannot name every pixel of a level whose downsample is not a whole number; it returns
premultiplied, possibly transparent pixels; and after its first error a handle is dead.
"""

from __future__ import annotations

import hashlib
import struct
from contextlib import suppress
from os import SEEK_CUR
from pathlib import Path
from types import TracebackType
from typing import Self

import cv2
import numpy as np
import numpy.typing as npt
import openslide
from PIL import Image, UnidentifiedImageError

from raysched.errors import NotASlide, SlideForbidden, SlideMissing, SlideUnreadable
from raysched.imaging.geometry import Rect
from raysched.imaging.jpeg_stream import OddTile
from raysched.imaging.jpeg_tiles import VENDORS, JpegTiff, TiledPage

Rgb = npt.NDArray[np.uint8]

JPEG_TILES, OPENSLIDE = "jpeg tiles", "openslide"
HASH_CHUNK_BYTES = 4 * 1024 * 1024
MOST_DIRECTORIES = 10_000
"""A chain of directories longer than this is a loop."""
LATTICE_PX = 512
"""Block edge by which levels with a fractional downsample are read."""
COPY_AGAIN = "Copy the file again from its source and compare sizes or checksums."
FORMATS = "Give a whole-slide image that OpenSlide reads (SVS, NDPI, MRXS, tiled TIFF, DICOM...)."
CONVERT = (
    "Convert it to a tiled pyramid first, for example: "
    "vips tiffsave IMAGE slide.tif --tile --pyramid --compression jpeg"
)


class Slide:
    """An open slide. Use as a context manager, from any thread but by one at a time.

    ``width``/``height`` are level-0 px; ``level_sizes`` are (w, h) in each level's own px;
    ``downsamples[i]`` is the geometric size of a level-``i`` pixel in level-0 px: the whole
    number that the pyramid was made with when the sizes agree with one (OpenSlide reports the
    mean of the two ratios, 4.016 for 250 -> 62), else OpenSlide's. ``bounds`` is OpenSlide's
    non-empty region in level-0 px, the whole slide when the file does not say.
    """

    def __init__(
        self, path: Path, handle: openslide.OpenSlide, cache: openslide.OpenSlideCache | None = None
    ) -> None:
        self.path = path
        self._handle = handle
        self._cache = cache
        self._use_cache()
        self.properties: dict[str, str] = dict(handle.properties)
        self.vendor = self.properties.get("openslide.vendor", "unknown")
        self.width, self.height = handle.dimensions
        self.level_sizes: tuple[tuple[int, int], ...] = handle.level_dimensions
        self._addressing: tuple[float, ...] = handle.level_downsamples
        self.downsamples = tuple(
            _geometric(reported, size, (self.width, self.height))
            for reported, size in zip(self._addressing, self.level_sizes, strict=True)
        )
        self.bounds = self._read_bounds()
        self.size_bytes = path.stat().st_size
        self._jpeg: JpegTiff | None = None
        self._pages: dict[int, TiledPage | str] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file. Closing twice is harmless."""
        self._handle.close()
        if self._jpeg is not None:
            self._jpeg.close()

    def reader(self, level: int) -> tuple[str, str]:
        """Who reads a level, "jpeg tiles" or "openslide", and in words why not the former.

        The pixels are the same. Decided when a level is first read or asked about.
        """
        if level not in self._pages:
            self._pages[level] = self._tiled_page(level)
        found = self._pages[level]
        return (OPENSLIDE, found) if isinstance(found, str) else (JPEG_TILES, "")

    def read_level(self, level: int, l_x0: int, l_y0: int, w: int, h: int) -> Rgb:
        """Pixels of a rectangle of one level, in that level's own px: (h, w, 3) uint8.

        Transparent pixels and pixels outside the level are white. Where the downsample is a whole
        number the address is exact. Where it is not, the level is read in blocks of a fixed
        lattice, each at the nearest level-0 address, so that what a pixel holds does not depend
        on the rectangle asked for; the misplacement is at most half a level-0 px.
        Raises ``SlideUnreadable`` when the file is damaged there.
        """
        level_w, level_h = self.level_sizes[level]
        x0, y0, x1, y1 = max(l_x0, 0), max(l_y0, 0), min(l_x0 + w, level_w), min(l_y0 + h, level_h)
        if x0 >= x1 or y0 >= y1:
            return np.full((h, w, 3), 255, np.uint8)
        pixels = self._inside(level, Rect(x0, y0, x1, y1))
        if pixels.shape[:2] == (h, w):
            return pixels
        out = np.full((h, w, 3), 255, np.uint8)
        out[y0 - l_y0 : y1 - l_y0, x0 - l_x0 : x1 - l_x0] = pixels
        return out

    def _inside(self, level: int, rect: Rect) -> Rgb:
        """Pixels of a rectangle that lies inside a level, by whoever reads it."""
        self.reader(level)
        page = self._pages[level]
        if self._jpeg is not None and not isinstance(page, str):
            with suppress(OddTile):  # a damaged tile, most likely: OpenSlide is to say so
                return self._jpeg.read(page, rect)
        return self._composited(level, rect)

    def _tiled_page(self, level: int) -> TiledPage | str:
        """The page that is to be read tile by tile, or why it is not."""
        if self.vendor not in VENDORS:
            return f"{self.vendor} is no format of plain JPEG tiles"
        size = self.level_sizes[level]
        if not self._addressing[level].is_integer() and max(size) > LATTICE_PX:
            return f"level {level} has a fractional downsample, where OpenSlide interpolates"
        try:
            if self._jpeg is None:
                self._jpeg = JpegTiff(self.path)
            page = self._jpeg.page(size)
            if level and not page.byte_counts.all():
                return f"level {level} lacks tiles, which OpenSlide fills from other levels"
            self._jpeg.check(page, lambda rect: self._composited(level, rect))
        except OddTile as odd:
            return f"level {level}: {odd}"
        except OSError as error:
            return f"the file cannot be opened again ({error.strerror})"
        except SlideUnreadable as error:
            return error.message
        return page

    def _composited(self, level: int, rect: Rect) -> Rgb:
        """Pixels of a rectangle that lies inside a level, by OpenSlide."""
        if self._addressing[level].is_integer():
            return self._read(level, rect)
        out = np.empty((rect.height, rect.width, 3), np.uint8)
        for block in _lattice(rect, Rect(0, 0, *self.level_sizes[level])):
            a, b = max(block.x0, rect.x0), max(block.y0, rect.y0)
            c, d = min(block.x1, rect.x1), min(block.y1, rect.y1)
            pixels = self._read(level, block)
            part = pixels[b - block.y0 : d - block.y0, a - block.x0 : c - block.x0]
            out[b - rect.y0 : d - rect.y0, a - rect.x0 : c - rect.x0] = part
        return out

    def _read(self, level: int, rect: Rect) -> Rgb:
        per_px = self._addressing[level]
        at = (round(rect.x0 * per_px), round(rect.y0 * per_px))
        try:
            image = self._handle.read_region(at, level, (rect.width, rect.height))
        except openslide.OpenSlideError as error:
            self._renew()
            raise SlideUnreadable(
                f"{self.path} cannot be read at level {level}, x {rect.x0}, y {rect.y0}: {error}.",
                remedy=COPY_AGAIN,
                path=str(self.path),
            ) from None
        return on_white(np.asarray(image))

    def _renew(self) -> None:
        """Replace the handle: OpenSlide's is dead after an error, and other places are sound."""
        with suppress(openslide.OpenSlideError):
            fresh = openslide.OpenSlide(str(self.path))
            self._handle.close()
            self._handle = fresh
            self._use_cache()

    def _use_cache(self) -> None:
        if self._cache is not None:
            self._handle.set_cache(self._cache)

    def _read_bounds(self) -> Rect:
        def number(name: str, otherwise: int) -> int:
            return int(self.properties.get(f"openslide.bounds-{name}", otherwise))

        x0, y0 = number("x", 0), number("y", 0)
        return Rect(
            x0,
            y0,
            x0 + number("width", self.width - x0),
            y0 + number("height", self.height - y0),
        )


def shared_cache(size_bytes: int) -> openslide.OpenSlideCache:
    """Room for decoded tiles that several slides share; else each has 32 MB of its own."""
    return openslide.OpenSlideCache(size_bytes)


def open_slide(path: str | Path, cache: openslide.OpenSlideCache | None = None) -> Slide:
    """Open a slide file. ``cache``: of ``shared_cache``.

    Raises ``SlideMissing`` (no such file), ``SlideForbidden`` (no permission, or not a regular
    file), ``NotASlide`` (OpenSlide does not know it) or ``SlideUnreadable`` (damaged).
    """
    path = Path(path)
    head = _first_bytes(path)
    try:
        handle = openslide.OpenSlide(str(path))
    except openslide.OpenSlideUnsupportedFormatError:
        raise _not_recognised(path, head) from None
    except openslide.OpenSlideError as error:
        raise SlideUnreadable(
            f"{path} looks like a slide but cannot be opened: {error}.",
            remedy=f"{COPY_AGAIN} If it is intact, convert it to a tiled JPEG TIFF.",
            path=str(path),
        ) from None
    return Slide(path, handle, cache)


def file_state(path: Path) -> str:
    """Names the content of a file as far as the system tells without reading it: its size, and when
    its bytes and anything about it changed last. The latter no program can set."""
    state = path.stat()
    return f"{state.st_size} {state.st_mtime_ns} {state.st_ctime_ns}"


def is_one_file(vendor: str, path: Path) -> bool:
    """Whether all of a slide is in the file that names it: then that file's digest is its own."""
    if vendor == "hamamatsu":
        return path.suffix.lower() == ".ndpi"
    return vendor not in {"dicom", "mirax", "trestle"}


def slide_sha256(path: str | Path) -> str:
    """SHA-256 of the file as hex, read in pieces of a few MB. Errors as ``open_slide``."""
    path = Path(path)
    _first_bytes(path)
    digest = hashlib.sha256()
    try:
        with path.open("rb") as file:
            while piece := file.read(HASH_CHUNK_BYTES):
                digest.update(piece)
    except OSError as error:
        raise SlideUnreadable(
            f"{path} cannot be read to its end: {error.strerror or error}.",
            remedy="Check the disk or share that holds it, then retry.",
            path=str(path),
        ) from error
    return digest.hexdigest()


def on_white(rgba: npt.NDArray[np.uint8]) -> Rgb:
    """Composite (h, w, 4) straight-alpha pixels on white, rounded to nearest: (h, w, 3) uint8."""
    alpha = rgba[..., 3]
    rgb = np.asarray(cv2.cvtColor(rgba, cv2.COLOR_RGBA2RGB), np.uint8)
    if alpha.min(initial=255) == 255:
        return rgb
    a = alpha[..., None].astype(np.uint32)
    return ((rgb * a + 255 * (255 - a) + 127) // 255).astype(np.uint8)


def _first_bytes(path: Path) -> bytes:
    try:
        if path.exists() and not path.is_file():
            raise SlideForbidden(
                f"{path} is not a regular file.",
                remedy="Give the path of a slide file, not of a folder or device.",
                path=str(path),
            )
        with path.open("rb") as file:
            return file.read(16)
    except (FileNotFoundError, NotADirectoryError):
        raise SlideMissing(
            f"There is no file {path}.",
            remedy="Check the path; it must be visible from every node.",
            path=str(path),
        ) from None
    except OSError as error:
        raise SlideForbidden(
            f"{path} may not be read: {error.strerror}.",
            remedy=f"Give the user that runs raysched read permission: chmod a+r {path}",
            path=str(path),
        ) from None


def _not_recognised(path: Path, head: bytes) -> NotASlide | SlideUnreadable:
    size = path.stat().st_size
    if size == 0:
        return NotASlide(f"{path} is empty (0 bytes).", remedy=COPY_AGAIN, path=str(path))
    directory = _missing_directory(path, head)
    if directory is not None:
        return SlideUnreadable(
            f"{path} is cut short: it has {size} bytes, and a TIFF directory lies at {directory}.",
            remedy=COPY_AGAIN,
            path=str(path),
        )
    try:
        with Image.open(path) as image:
            kind, (width, height) = image.format, image.size
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError, Image.DecompressionBombError):
        return NotASlide(f"{path} is not a slide file.", remedy=FORMATS, path=str(path))
    return NotASlide(
        f"{path} is a plain {kind} image of {width} x {height} px, not a slide.",
        remedy=CONVERT,
        path=str(path),
    )


def _missing_directory(path: Path, head: bytes) -> int | None:
    """Where the first TIFF directory that the file is too short for lies; None if all are there."""
    layout = _tiff_layout(head)
    if layout is None:
        return None
    offset, count_format, entry_bytes, offset_format = layout
    with path.open("rb") as file:
        for _ in range(MOST_DIRECTORIES):
            try:
                file.seek(offset)
                (entries,) = struct.unpack(count_format, file.read(struct.calcsize(count_format)))
                file.seek(entries * entry_bytes, SEEK_CUR)
                (following,) = struct.unpack(
                    offset_format, file.read(struct.calcsize(offset_format))
                )
            except (struct.error, OSError):  # a read at or beyond the end gives too few bytes
                return offset
            if following == 0:
                break
            offset = following
    return None


def _tiff_layout(head: bytes) -> tuple[int, str, int, str] | None:
    """Of a classic or big TIFF: first directory, count format, bytes per entry, offset format."""
    order = {b"II": "<", b"MM": ">"}.get(head[:2])
    if order is None or len(head) < 16:
        return None
    (magic,) = struct.unpack(order + "H", head[2:4])
    if magic == 42:
        return struct.unpack(order + "I", head[4:8])[0], order + "H", 12, order + "I"
    if magic == 43:
        return struct.unpack(order + "Q", head[8:16])[0], order + "Q", 20, order + "Q"
    return None


def _geometric(reported: float, size: tuple[int, int], full: tuple[int, int]) -> float:
    """The whole number a level was reduced by, when both of its sides agree with one."""
    whole = round(reported)
    agrees = all(abs(side * whole - total) < whole for side, total in zip(size, full, strict=True))
    return float(whole) if agrees else reported


def _lattice(wanted: Rect, extent: Rect) -> list[Rect]:
    """Lattice blocks, cut at the extent, that meet the wanted rectangle."""
    step = LATTICE_PX
    return [
        Rect(x, y, min(x + step, extent.x1), min(y + step, extent.y1))
        for y in range(wanted.y0 // step * step, wanted.y1, step)
        for x in range(wanted.x0 // step * step, wanted.x1, step)
    ]
