"""The synthetic slide shows what its truth says, in a file like a scanner's."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import openslide
import pytest

from raysched.errors import InvalidSetting
from raysched.imaging.mpp import resolve_mpp
from raysched.imaging.slide import open_slide
from raysched.imaging.stain import unmix
from raysched.imaging.synthetic import SyntheticTruth, write_synthetic_slide

DARK = 0.20
"""Haematoxylin in OD: between what stroma and what the palest nucleus shows."""


def pixels_of(path: Path) -> np.ndarray:
    with open_slide(path) as slide:
        return slide.read_level(0, 0, 0, slide.width, slide.height)


def is_at(truth: SyntheticTruth, shape: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Row and column of the px that holds each nucleus' centre."""
    x, y = np.floor(truth.centres_l0_px).astype(int).T
    return np.clip(y, 0, shape[0] - 1), np.clip(x, 0, shape[1] - 1)


def test_openslide_sees_a_tiled_pyramid_with_its_pixel_size(tmp_path: Path) -> None:
    write_synthetic_slide(tmp_path / "s.tif", width_px=2100, height_px=1300, mpp=0.25)
    with openslide.OpenSlide(tmp_path / "s.tif") as slide:
        assert slide.properties["openslide.vendor"] == "generic-tiff"
        assert slide.level_dimensions == ((2100, 1300), (525, 325), (131, 81))
        assert float(slide.properties["openslide.mpp-x"]) == pytest.approx(0.25)
        assert slide.properties["openslide.level[0].tile-width"] == "256"


def test_a_slide_without_mpp_states_no_pixel_size(tmp_path: Path) -> None:
    write_synthetic_slide(tmp_path / "s.tif", width_px=300, height_px=200, mpp=None, nuclei=5)
    with openslide.OpenSlide(tmp_path / "s.tif") as slide:
        assert "openslide.mpp-x" not in slide.properties


def test_the_stated_pixel_size_is_the_one_raysched_works_with(tmp_path: Path) -> None:
    write_synthetic_slide(tmp_path / "s.tif", width_px=300, height_px=200, mpp=0.4, nuclei=5)
    with open_slide(tmp_path / "s.tif") as slide:
        mpp, source = resolve_mpp(slide, None)
    assert (round(mpp, 6), source) == (0.4, "tiff")


def test_without_levels_there_is_only_the_full_image(tmp_path: Path) -> None:
    path = tmp_path / "s.tif"
    write_synthetic_slide(path, width_px=1400, height_px=700, levels=False, nuclei=5)
    with openslide.OpenSlide(path) as slide:
        assert slide.level_dimensions == ((1400, 700),)


def test_the_same_seed_gives_the_same_bytes_and_another_seed_others(tmp_path: Path) -> None:
    for name, seed in (("a", 3), ("b", 3), ("c", 4)):
        write_synthetic_slide(tmp_path / name, width_px=700, height_px=600, seed=seed)
    a, b, c = ((tmp_path / name).read_bytes() for name in "abc")
    assert a == b
    assert a != c


def test_every_nucleus_is_dark_and_the_glass_is_bright(tmp_path: Path) -> None:
    truth = write_synthetic_slide(tmp_path / "s.tif", width_px=1500, height_px=1100, nuclei=200)
    rgb = pixels_of(truth.path)
    haematoxylin, _ = unmix(rgb)
    assert truth.nuclei == 200
    assert (haematoxylin[is_at(truth, rgb.shape)] > DARK).all()
    assert np.median(rgb[:20, :20]) > 235


@pytest.mark.parametrize("mpp", [0.25, 0.5])
def test_the_dark_area_is_the_area_of_the_nuclei(tmp_path: Path, mpp: float) -> None:
    truth = write_synthetic_slide(
        tmp_path / "s.tif", width_px=1000, height_px=800, mpp=mpp, nuclei=60, tissue="full"
    )
    haematoxylin, _ = unmix(pixels_of(truth.path))
    # The border is at half of each nucleus' own depth; one threshold for all is only near it.
    dark_um2 = float((haematoxylin > DARK).sum()) * mpp**2
    assert dark_um2 == pytest.approx(truth.area_um2.sum(), rel=0.12)


def test_nuclei_do_not_overlap_and_lie_inside(tmp_path: Path) -> None:
    truth = write_synthetic_slide(tmp_path / "s.tif", width_px=1200, height_px=900)
    centres, long = truth.centres_l0_px, truth.axes_l0_px[:, 0]
    apart = np.hypot(*(centres[:, None] - centres[None]).transpose(2, 0, 1))
    np.fill_diagonal(apart, np.inf)
    assert (apart > long[:, None] + long[None]).all()
    assert (centres - long[:, None] > 0).all()
    assert (centres + long[:, None] < (1200, 900)).all()
    np.testing.assert_allclose(truth.area_um2, np.pi * truth.axes_l0_px.prod(axis=1) * 0.25)


def test_with_a_gap_below_zero_nuclei_overlap_and_more_of_them_fit(tmp_path: Path) -> None:
    truth = write_synthetic_slide(
        tmp_path / "s.tif", width_px=260, height_px=200, tissue="full", nuclei=130, gap_um=-2.0
    )
    centres, long = truth.centres_l0_px, truth.axes_l0_px[:, 0]
    apart = np.hypot(*(centres[:, None] - centres[None]).transpose(2, 0, 1))
    np.fill_diagonal(apart, np.inf)
    assert (apart - long[:, None] - long[None]).min() * 0.5 == pytest.approx(-2.0, abs=0.2)
    with pytest.raises(InvalidSetting, match="of 130 nuclei fit"):
        write_synthetic_slide(
            tmp_path / "s.tif", width_px=260, height_px=200, tissue="full", nuclei=130
        )


def test_edge_nuclei_lie_at_all_four_borders_and_only_their_visible_part_counts(
    tmp_path: Path,
) -> None:
    truth = write_synthetic_slide(
        tmp_path / "s.tif", width_px=500, height_px=400, nuclei=0, tissue="full", edge_nuclei=True
    )
    x, y = truth.centres_l0_px.T
    assert {"left": (x == 0).sum() > 0, "right": (x == 500).sum() > 0} == {
        "left": True,
        "right": True,
    }
    assert {"top": (y == 0).sum() > 0, "bottom": (y == 400).sum() > 0} == {
        "top": True,
        "bottom": True,
    }
    whole = np.pi * truth.axes_l0_px.prod(axis=1) * 0.25
    halved = (x == 0) | (x == 500) | (y == 0) | (y == 400)
    np.testing.assert_allclose(truth.area_um2[halved] / whole[halved], 0.5, atol=0.01)
    np.testing.assert_allclose(truth.area_um2[~halved], whole[~halved], rtol=1e-3)
    rgb = pixels_of(truth.path)
    assert (unmix(rgb)[0][is_at(truth, rgb.shape)] > DARK).all()


def test_jpeg_shows_the_same_picture_in_a_smaller_file(tmp_path: Path) -> None:
    lossless, jpeg = tmp_path / "lossless.tif", tmp_path / "jpeg.tif"
    write_synthetic_slide(lossless, width_px=900, height_px=700)
    write_synthetic_slide(jpeg, width_px=900, height_px=700, jpeg_quality=85)
    difference = pixels_of(lossless).astype(int) - pixels_of(jpeg)
    assert np.abs(difference).mean() < 3
    assert jpeg.stat().st_size < lossless.stat().st_size / 3


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"width_px": 20, "height_px": 200}, "too small"),
        ({"width_px": 200, "height_px": 200, "mpp": 9.0}, "out of range"),
        ({"width_px": 200, "height_px": 200, "edge_nuclei": True}, "need tissue"),
        ({"width_px": 200, "height_px": 200, "nuclei": 5000}, "of 5000 nuclei fit"),
        ({"width_px": 200, "height_px": 200, "gap_um": -3.5}, "-3.5 um apart"),
    ],
)
def test_what_cannot_be_made_is_refused_and_leaves_no_file(
    tmp_path: Path, options: dict[str, object], said: str
) -> None:
    with pytest.raises(InvalidSetting, match=said):
        write_synthetic_slide(tmp_path / "s.tif", **options)  # type: ignore[arg-type]
    assert list(tmp_path.iterdir()) == []


def test_a_failed_write_leaves_what_was_there(tmp_path: Path) -> None:
    (tmp_path / "s.tif").mkdir()
    with pytest.raises(OSError):
        write_synthetic_slide(tmp_path / "s.tif", width_px=200, height_px=200, nuclei=1)
    assert list(tmp_path.iterdir()) == [tmp_path / "s.tif"]
