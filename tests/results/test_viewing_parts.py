"""What a viewer is made of: tiles of slides, slides that are kept open, what is kept in memory."""

from __future__ import annotations

import ctypes
import io
import shutil
import threading
from pathlib import Path
from typing import Any

import numpy as np
import openslide
import pytest
from PIL import Image

from raysched.errors import InvalidSetting, NotFound, SlideMissing
from raysched.imaging.slide import Slide, open_slide
from raysched.results.bounded import Bounded
from raysched.results.viewing.pyramid import Pyramid
from raysched.results.viewing.slides import (
    MOST_SHRINK,
    OpenSlides,
    read_scaled,
    slide_pyramid,
    slide_tile,
)

# --- slides ---------------------------------------------------------------------------------------


def decoded(data: bytes) -> Any:
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"), np.int16)


def test_tiles_of_every_level_are_the_slide(sample_slide: Path) -> None:
    with openslide.OpenSlide(str(sample_slide)) as plain, open_slide(sample_slide) as slide:
        pyramid = slide_pyramid(slide)
        assert (pyramid.width, pyramid.height, pyramid.tile_px) == (*plain.dimensions, 256)
        whole = np.asarray(plain.read_region((0, 0), 0, plain.dimensions).convert("RGB"), float)
        for z in range(pyramid.levels):
            by = pyramid.shrink(z)
            width, height = pyramid.size(z)
            padded = np.full((height * by, width * by, 3), 255.0)
            padded[: whole.shape[0], : whole.shape[1]] = whole
            small = padded.reshape(height, by, width, by, 3).mean(axis=(1, 3))
            for x in range(-(-width // 256)):
                for y in range(-(-height // 256)):
                    x0, y0 = max(x * 256 - 1, 0), max(y * 256 - 1, 0)
                    wanted = small[y0 : y * 256 + 257, x0 : x * 256 + 257]
                    at, size = (x0 * by, y0 * by), wanted.shape[1::-1]
                    exact = read_scaled(slide, at, by, size)
                    assert np.abs(exact - wanted).max() <= 0.5
                    tile = decoded(slide_tile(slide, z, x, y))
                    assert tile.shape == wanted.shape
                    plain_jpeg = io.BytesIO()
                    Image.fromarray(exact).save(plain_jpeg, "JPEG", quality=85, subsampling=2)
                    assert np.abs(tile - decoded(plain_jpeg.getvalue())).mean() < 2


def test_a_coarser_level_is_read_where_the_slide_has_one(synthetic: Path) -> None:
    with open_slide(synthetic) as slide:
        assert len(slide.downsamples) > 1
        level = slide.downsamples[1]
        size = slide.level_sizes[1]
        found = read_scaled(slide, (0, 0), level, size)
        assert (found == slide.read_level(1, 0, 0, *size)).all()


@pytest.fixture(scope="session")
def synthetic(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A pyramid of three levels."""
    import tifffile

    path = tmp_path_factory.mktemp("pyramid") / "pyramid.tif"
    rng = np.random.default_rng(0)
    rgb = rng.integers(0, 255, (96, 128, 3), np.uint8).repeat(8, axis=0).repeat(8, axis=1)
    with tifffile.TiffWriter(path) as writer:
        options: dict[str, Any] = {"tile": (256, 256), "photometric": "rgb", "metadata": None}
        writer.write(rgb, **options)
        writer.write(rgb[::4, ::4] // 2, subfiletype=1, **options)
    return path


def test_a_slide_without_small_levels_is_not_shrunk_without_end(sample_slide: Path) -> None:
    pyramid = Pyramid.of(100_000, 80_000, 256, MOST_SHRINK)
    assert pyramid.shrink(0) == MOST_SHRINK
    assert pyramid.size(0) == (6250, 5000)
    with open_slide(sample_slide) as slide, pytest.raises(InvalidSetting, match="So large"):
        read_scaled(slide, (0, 0), 64.0, (1000, 1000))


def test_the_geometry_of_a_pyramid() -> None:
    pyramid = Pyramid.of(1000, 513, 256)
    assert [pyramid.size(z) for z in range(pyramid.levels)] == [(250, 129), (500, 257), (1000, 513)]
    corner = pyramid.tile(2, 3, 2)
    assert (corner.x0, corner.y0, corner.width, corner.height) == (768, 512, 232, 1)
    for at in ((3, 0, 0), (2, 4, 0), (2, 0, 3), (0, 1, 0)):
        with pytest.raises(NotFound):
            pyramid.tile(*at)


def test_slides_stay_open_within_a_bound_and_are_closed_after(
    sample_slide: Path, tmp_path: Path
) -> None:
    paths = [tmp_path / f"{number}.svs" for number in range(4)]
    for path in paths:
        shutil.copy(sample_slide, path)
    slides = OpenSlides(idle=2)
    opened: list[Slide] = []
    for path in paths:
        with slides.borrowed(path) as slide:
            opened.append(slide)
        assert len(slides) <= 2
    with slides.borrowed(paths[3]) as again:
        assert again is opened[3]
        with slides.borrowed(paths[3]) as other:  # nobody else has a handle that is being read
            assert other is not again
    with pytest.raises(ctypes.ArgumentError, match="closed slide"):
        opened[0]._handle.read_region((0, 0), 0, (8, 8))
    opened[3]._handle.read_region((0, 0), 0, (8, 8))
    slides.close()
    assert len(slides) == 0


def test_a_file_that_was_replaced_is_opened_anew_and_one_that_is_gone_is_missing(
    sample_slide: Path, tmp_path: Path
) -> None:
    path = tmp_path / "slide.svs"
    shutil.copy(sample_slide, path)
    slides = OpenSlides()
    with slides.borrowed(path) as first:
        pass
    path.unlink()
    with pytest.raises(SlideMissing), slides.borrowed(path):
        pass
    shutil.copy(sample_slide, path)
    with slides.borrowed(path) as second:
        assert second is not first
    slides.close()


def test_a_slide_that_failed_is_not_given_to_the_next(sample_slide: Path) -> None:
    slides = OpenSlides()
    with pytest.raises(NotFound), slides.borrowed(sample_slide) as slide:
        slide_tile(slide, 99, 0, 0)
    assert len(slides) == 0


# --- what is kept ---------------------------------------------------------------------------------


def test_what_is_kept_stays_within_its_bound_and_the_newest_is_kept() -> None:
    kept: Bounded[int, bytes] = Bounded(100, len)
    made: list[int] = []

    def of(number: int, size: int) -> bytes:
        def make() -> bytes:
            made.append(number)
            return bytes(size)

        return kept.get(number, make)

    for number in range(10):
        of(number, 30)
    assert (len(kept), kept.total) == (3, 90)
    of(7, 30)
    of(10, 30)  # 8 was used longest ago
    of(7, 30)
    assert made == [*range(10), 10]
    of(11, 500)  # larger than all: kept alone
    assert (len(kept), kept.total) == (1, 500)


def test_what_fails_is_not_kept_and_is_tried_again() -> None:
    kept: Bounded[str, int] = Bounded(10)
    with pytest.raises(ZeroDivisionError):
        kept.get("a", lambda: 1 // 0)
    assert kept.get("a", lambda: 5) == 5
    assert kept.get("a", lambda: 6) == 5


def test_many_who_ask_at_once_wait_for_one_that_makes_it() -> None:
    kept: Bounded[str, int] = Bounded(10)
    go, made, found = threading.Event(), [], []

    def make() -> int:
        go.wait()
        made.append(1)
        return len(made)

    threads = [threading.Thread(target=lambda: found.append(kept.get("a", make))) for _ in range(8)]
    for each in threads:
        each.start()
    go.set()
    for each in threads:
        each.join()
    assert (made, found) == ([1], [1] * 8)
