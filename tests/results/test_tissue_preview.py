"""Tissue before and after a job: the same mask, as a picture that lies on the slide."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image

from raysched.errors import InvalidSetting, NotReady
from raysched.imaging.request import TissueParams, TissueRequest
from raysched.imaging.slide import open_slide
from raysched.imaging.tissue import find_tissue, survey
from raysched.results import tissue_preview
from raysched.results.mask_picture import MaskPicture, job_mask, mask_picture
from raysched.results.staging import load_plan
from raysched.results.tissue_preview import (
    TissuePreview,
    overview_of,
    preview_tissue,
    remembered_overviews,
)
from raysched.testing.engines import PAPER
from tests.results.conftest import MPP, Attempt

USUAL = TissueParams()


def shown(picture: MaskPicture | None) -> np.ndarray:
    """Where a picture is not clear: (h, w) bool."""
    assert picture is not None
    image = Image.open(io.BytesIO(picture.png))
    assert (image.format, image.mode, image.size) == ("PNG", "P", (picture.width, picture.height))
    alpha = np.asarray(image.convert("RGBA"))[..., 3]
    assert set(np.unique(alpha)) <= {0, 110}
    return alpha > 0


def look(path: Path, mpp: float | None = MPP, params: TissueParams = USUAL) -> TissuePreview:
    return preview_tissue(path, mpp, params, remembered_overviews())


def test_the_preview_is_the_mask_that_a_job_uses(attempt: Attempt, crop: Path) -> None:
    seen = look(crop)
    attempt.plan()
    planned = load_plan(attempt.staging)
    assert (seen.mpp, seen.mpp_source, seen.question) == (MPP, "user", None)
    assert np.array_equal(shown(seen.picture), planned.tissue.mask)
    assert seen.fraction == planned.plan.tissue_fraction
    assert seen.tissue_mm2 == pytest.approx(seen.fraction * (480 * MPP / 1000) ** 2)
    running, is_complete = mask_picture(attempt.staging)
    assert (running, is_complete) == (seen.picture, False)
    attempt.run()
    assert mask_picture(attempt.out) == (seen.picture, True)


@pytest.mark.parametrize("is_large", [True, False])
def test_a_large_slide_is_looked_at_alone(
    is_large: bool, crop: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    alone = []

    def seen(*args: Any) -> Any:
        alone.append(tissue_preview._ALONE.locked())
        return find_tissue(*args)

    monkeypatch.setattr(tissue_preview, "find_tissue", seen)
    monkeypatch.setattr(tissue_preview, "LARGE_PX", 100 if is_large else 10_000)
    look(crop)
    assert alone == [is_large]
    assert not tissue_preview._ALONE.locked()


def test_a_tissue_masks_job_shows_its_mask(crop: Path, tmp_path: Path) -> None:
    params = TissueParams(threshold=60, speck_um2=500)
    request = TissueRequest(slide=str(crop), out=str(tmp_path / "out"), mpp=MPP, tissue=params)
    attempt = Attempt(request, "job-mask")
    attempt.plan()
    wanted = look(crop, params=params).picture
    assert wanted is not None
    for folder, is_done in ((attempt.staging, False), (attempt.out, True)):
        if is_done:
            attempt.run()
        picture, complete = mask_picture(folder)
        assert (picture.png, complete) == (wanted.png, is_done)
        assert picture.l0_per_px == pytest.approx(wanted.l0_per_px)
    with open_slide(crop) as slide:
        assert np.array_equal(job_mask(attempt.out)[0], survey(slide, MPP, params).mask)


def test_without_a_plan_there_is_no_mask_yet(tmp_path: Path) -> None:
    with pytest.raises(NotReady, match="no tissue mask"):
        mask_picture(tmp_path)


def test_parameters_change_the_preview(crop: Path) -> None:
    usual, strict = look(crop), look(crop, params=TissueParams(threshold=120))
    assert strict.fraction < usual.fraction


def test_a_slide_that_says_no_pixel_size_is_a_question(crop: Path) -> None:
    seen = look(crop, mpp=None)
    assert seen == TissuePreview(question=seen.question)
    assert seen.question is not None
    assert seen.question.startswith("What is the pixel size of crop.tif?")
    with pytest.raises(InvalidSetting):
        look(crop, mpp=9.0)


def painted(folder: Path, rgb: np.ndarray) -> Path:
    path = folder / "painted.tif"
    tifffile.imwrite(path, rgb, tile=(256, 256), photometric="rgb", metadata=None)
    return path


def test_what_cannot_be_right_is_said(tmp_path: Path, sample_slide: Path) -> None:
    rgb = np.full((2048, 2048, 3), PAPER, np.uint8)
    blank = look(painted(tmp_path, rgb))
    assert (blank.pieces, blank.fraction) == (0, 0.0)
    assert len(blank.warnings) == 1
    assert "No tissue was found" in blank.warnings[0]
    rgb[:] = 170, 90, 150
    full = look(painted(tmp_path, rgb))
    assert full.fraction > 0.95
    assert len(full.warnings) == 1
    assert "100% of the slide is tissue" in full.warnings[0]
    rgb[:] = PAPER
    for y in range(64, 1984, 128):
        for x in range(64, 1984, 128):
            rgb[y : y + 48, x : x + 48] = 170, 90, 150
    dust = look(painted(tmp_path, rgb), params=TissueParams(speck_um2=10, close_um=0))
    assert dust.pieces == 225
    assert len(dust.warnings) == 1
    assert "in 225 pieces" in dust.warnings[0]
    assert look(sample_slide, mpp=None).warnings == ()
    assert look(sample_slide, mpp=None).mpp_source == "vendor"


def test_a_large_mask_becomes_coarser_by_a_whole_factor() -> None:
    mask = np.zeros((5001, 4100), np.bool_)
    mask[:2999, :1500] = True
    picture = MaskPicture.of(mask, 16.0)
    assert (picture.width, picture.height, picture.l0_per_px) == (1367, 1667, 48.0)
    small = shown(picture)
    assert small[:999, :500].all()
    assert small[999, 0]  # two of its three rows are tissue
    assert small.sum() == 1000 * 500
    mask[2998] = False
    assert shown(MaskPicture.of(mask, 16.0)).sum() == 999 * 500  # one of three is not
    whole = MaskPicture.of(mask[:2048, :2048], 16.0)
    assert (whole.width, whole.l0_per_px) == (2048, 16.0)


def test_a_slide_is_read_once_for_many_thresholds_and_again_when_it_changes(
    crop: Path, tmp_path: Path
) -> None:
    path = tmp_path / "slide.tif"
    path.write_bytes(crop.read_bytes())
    overviews = remembered_overviews()
    with open_slide(path) as slide:
        first = overview_of(slide, MPP, overviews)
        assert overview_of(slide, MPP, overviews)[0] is first[0]
        assert overview_of(slide, 0.25, overviews)[0] is not first[0]
    path.write_bytes(crop.read_bytes())
    with open_slide(path) as slide:
        again = overview_of(slide, MPP, overviews)
    assert again[0] is not first[0]
    assert np.array_equal(again[0], first[0])
