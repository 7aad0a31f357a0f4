"""The working frame: the same pixels however they are cut, at the engine's resolution."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile
from hypothesis import given
from hypothesis import strategies as st

from raysched.imaging.frames import TOLERANCE, box_mean, read_working, working_grid
from raysched.imaging.geometry import Rect
from raysched.imaging.slide import Slide, open_slide

SIZE = (331, 277)
rng = np.random.default_rng(1)
PIXELS = rng.integers(0, 256, (SIZE[1], SIZE[0], 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def slide(tmp_path_factory: pytest.TempPathFactory) -> Slide:
    """Noise, whose every px is told from its neighbours, in a tiled lossless TIFF."""
    path: Path = tmp_path_factory.mktemp("frames") / "noise.tif"
    tifffile.imwrite(path, PIXELS, tile=(64, 64), photometric="rgb")
    return open_slide(path)


@pytest.mark.parametrize("mpp", [0.5, 0.25, 0.23, 0.3, 0.13, 0.7, 0.499])
def test_a_working_pixel_is_the_same_however_the_frame_is_cut(slide: Slide, mpp: float) -> None:
    grid = working_grid(slide, mpp, 0.5)
    whole = read_working(slide, grid, grid.extent)
    assert whole.shape == (grid.height, grid.width, 3)
    step = 37
    for y in range(0, grid.height, step):
        for x in range(0, grid.width, step):
            rect = Rect(x, y, min(x + step, grid.width), min(y + step, grid.height))
            np.testing.assert_array_equal(
                read_working(slide, grid, rect), whole[rect.y0 : rect.y1, rect.x0 : rect.x1]
            )


def test_at_the_engines_own_resolution_nothing_is_changed(slide: Slide) -> None:
    grid = working_grid(slide, 0.499, 0.5)
    assert (grid.box, grid.scale, grid.mpp) == (1, 1.0, 0.499)
    np.testing.assert_array_equal(read_working(slide, grid, grid.extent), PIXELS)


def test_half_of_it_is_the_mean_of_four(slide: Slide) -> None:
    grid = working_grid(slide, 0.25, 0.5)
    assert (grid.box, grid.scale, grid.l0_per_w) == (2, 1.0, 2.0)
    inner = PIXELS[:276, :330].reshape(138, 2, 165, 2, 3).sum(axis=(1, 3), dtype=np.uint32)
    np.testing.assert_array_equal(read_working(slide, grid, Rect(0, 0, 165, 138)), (inner + 2) // 4)


@given(mpp=st.floats(0.08, 2.0), target=st.sampled_from([0.25, 0.5, 1.0]))
def test_the_frame_has_the_engines_resolution_or_says_what_it_has(
    slide: Slide, mpp: float, target: float
) -> None:
    grid = working_grid(slide, mpp, target)
    assert grid.mpp == pytest.approx(mpp * grid.l0_per_w)
    assert abs(target / grid.mpp - 1) <= TOLERANCE + 1e-9
    assert (grid.width - 1) * grid.l0_per_w < SIZE[0] <= grid.width * grid.l0_per_w + 1e-6
    assert (grid.height - 1) * grid.l0_per_w < SIZE[1] <= grid.height * grid.l0_per_w + 1e-6


def test_interpolation_keeps_a_ramp_a_ramp(tmp_path: Path) -> None:
    ramp = np.broadcast_to(np.arange(0, 256, 2, dtype=np.uint8)[None, :, None], (64, 128, 3))
    tifffile.imwrite(tmp_path / "r.tif", ramp.copy(), tile=(64, 64), photometric="rgb")
    with open_slide(tmp_path / "r.tif") as slide:
        grid = working_grid(slide, 0.4, 0.5)
        found = read_working(slide, grid, grid.extent)
    centres = (np.arange(grid.width) + 0.5) * grid.l0_per_w - 0.5
    wanted = np.clip(centres, 0, 127) * 2
    assert np.abs(found[0, :, 0] - wanted).max() <= 0.6
    assert (found == found[0]).all()


def test_a_rectangle_outside_the_frame_is_a_mistake(slide: Slide) -> None:
    grid = working_grid(slide, 0.5, 0.5)
    with pytest.raises(ValueError, match="beyond the working frame"):
        read_working(slide, grid, Rect(0, 0, grid.width + 1, 5))


@given(box=st.integers(1, 5), seed=st.integers(0, 99))
def test_a_box_is_the_rounded_mean_of_its_pixels(box: int, seed: int) -> None:
    pixels = np.random.default_rng(seed).integers(0, 256, (4 * box, 3 * box, 3), dtype=np.uint8)
    total = pixels.reshape(4, box, 3, box, 3).sum(axis=(1, 3), dtype=np.int64)
    np.testing.assert_array_equal(box_mean(pixels, box), (2 * total + box * box) // (2 * box * box))
