"""Reading tiles with their halo: JPEG tiles directly, beside the same through OpenSlide."""

from __future__ import annotations

import tempfile
import time
import zlib
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt
import openslide
from figures import Figure

from raysched.config import load_config
from raysched.imaging.frames import box_mean, read_working, working_grid
from raysched.imaging.geometry import Rect
from raysched.imaging.plan import WorkingGrid
from raysched.imaging.samples import sample_slide
from raysched.imaging.slide import on_white, open_slide
from raysched.imaging.synthetic import write_synthetic_slide

TILE_PX, HALO_PX = 1024, 32
ROUNDS = 5
"""Of each, the fastest counts: the machine may have other work."""


def measure() -> Iterator[Figure]:
    """The real sample, a synthetic pyramid, and what opening and checking cost."""
    config = load_config()
    with tempfile.TemporaryDirectory() as folder:
        made = write_synthetic_slide(
            Path(folder) / "synthetic.tif",
            width_px=4096,
            height_px=4096,
            nuclei=2000,
            jpeg_quality=80,
        )
        for name, path in (
            ("sample", sample_slide(config.samples, config.cache).path),
            ("synthetic pyramid", made.path),
        ):
            yield from reads(name, path)
            yield first_use(name, path)


def reads(name: str, path: Path) -> Iterator[Figure]:
    """Tiles as they are and averaged 2 x 2; the pixels must agree. Level pixels are counted."""
    for what, mpp in (("1:1", 0.5), ("2 x 2", 0.25)):
        fast = plain = 0.0
        for _ in range(ROUNDS):
            with open_slide(path) as slide, openslide.OpenSlide(str(path)) as handle:
                grid = working_grid(slide, mpp, 0.5)
                if slide.reader(grid.level) != ("jpeg tiles", ""):
                    raise SystemExit(f"{path} is not read by tiles: {slide.reader(grid.level)[1]}")
                per_s, digest = _read(grid, partial(read_working, slide, grid))
                other_per_s, other_digest = _read(grid, partial(_through_openslide, handle, grid))
                if digest != other_digest:
                    raise SystemExit(f"the pixels of {path} differ")
                fast, plain = max(fast, per_s), max(plain, other_per_s)
        yield Figure(f"{name}, {TILE_PX} px tiles {what}", fast, "Mpx/s", plain, 100.0, "more")


def _read(grid: WorkingGrid, read: Callable[[Rect], npt.NDArray[np.uint8]]) -> tuple[float, int]:
    """Every tile with its halo, in the order of the grid: Mpx of the level a second, and a CRC."""
    seconds, px, digest = 0.0, 0, 0
    for y in range(0, grid.height, TILE_PX):
        for x in range(0, grid.width, TILE_PX):
            right, bottom = min(x + TILE_PX, grid.width), min(y + TILE_PX, grid.height)
            rect = Rect(x, y, right, bottom).grow(HALO_PX, grid.extent)
            begun = time.perf_counter()
            pixels = read(rect)
            seconds += time.perf_counter() - begun
            px += rect.width * rect.height * grid.box**2
            digest = zlib.crc32(pixels, digest)
    return px / seconds / 1e6, digest


def _through_openslide(
    handle: openslide.OpenSlide, grid: WorkingGrid, rect: Rect
) -> npt.NDArray[np.uint8]:
    """The same of level 0: composited, converted and averaged."""
    width, height = handle.dimensions
    x0, y0 = rect.x0 * grid.box, rect.y0 * grid.box
    x1, y1 = min(rect.x1 * grid.box, width), min(rect.y1 * grid.box, height)
    pixels = on_white(np.asarray(handle.read_region((x0, y0), 0, (x1 - x0, y1 - y0))))
    pad = ((0, -(y1 - y0) % grid.box), (0, -(x1 - x0) % grid.box), (0, 0))
    return box_mean(np.pad(pixels, pad, mode="edge"), grid.box) if grid.box > 1 else pixels


def first_use(name: str, path: Path) -> Figure:
    """Opening and comparing with OpenSlide, once for each chunk; the baseline opens alone."""
    seconds: dict[bool, float] = {}
    for checked in (False, True) * ROUNDS:
        begun = time.perf_counter()
        with open_slide(path) as slide:
            if checked:
                slide.reader(0)
            took = time.perf_counter() - begun
        seconds[checked] = min(took, seconds.get(checked, took))
    return Figure(f"{name}, opened and checked", 1e3 * seconds[True], "ms", 1e3 * seconds[False])
