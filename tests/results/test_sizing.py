"""A look at a slide for a dry run says what planning then finds, and leaves nothing behind."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from raysched.errors import InvalidSetting, NotASlide
from raysched.imaging.request import TissueRequest
from raysched.results.shelf import Shelf
from raysched.results.sizing import size_up
from tests.results.conftest import MPP, Attempt, crop_attempt

ROOM = 10**9


@pytest.fixture
def first(crop: Path, tmp_path: Path) -> Attempt:
    """A job that has its results, with a shelf."""
    shelf = Shelf(tmp_path / "shelf", ROOM)
    made = replace(crop_attempt(crop, tmp_path / "first"), shelf=shelf)
    made.run()
    return made


def test_the_look_finds_the_chunks_that_the_plan_has(first: Attempt) -> None:
    planned = replace(first, job="job-2").request
    sized = size_up(planned)
    assert (sized.mpp, sized.working_mpp) == (pytest.approx(MPP), pytest.approx(MPP, rel=0.05))
    assert (sized.equal, sized.question) == (False, None)
    again = replace(first, request=planned.model_copy(update={"out": f"{first.out}-2"}))
    chunks = again.plan().chunk_tiles
    assert (sized.tiles, sized.chunks) == (sum(chunks), len(chunks))
    assert 0 < sized.tissue_mm2 < 1


def test_an_equal_result_is_seen_and_only_an_equal_one(first: Attempt) -> None:
    assert size_up(first.request, first.shelf).equal is True
    changed = first.request.model_copy(update={"tile_px": first.request.tile_px * 2})
    assert size_up(changed, first.shelf).equal is False
    assert size_up(first.request).equal is False


def test_nothing_is_left_behind(crop: Path, tmp_path: Path) -> None:
    shelf = Shelf(tmp_path / "shelf", ROOM)
    request = crop_attempt(crop, tmp_path / "out").request
    size_up(request, shelf)
    size_up(TissueRequest(slide=request.slide, out=request.out, mpp=request.mpp), shelf)
    assert list(tmp_path.rglob("*")) == []


def test_a_missing_pixel_size_is_a_question_and_what_else_is_wrong_is_an_error(
    samples: Path, crop: Path, tmp_path: Path
) -> None:
    request = crop_attempt(crop, tmp_path / "out").request
    boxes = samples / "slides" / "openslide-python__boxes.tiff"
    asked = size_up(request.model_copy(update={"slide": str(boxes), "mpp": None}))
    assert asked.question is not None
    assert (asked.tiles, asked.mpp) == (0, None)
    with pytest.raises(NotASlide):
        size_up(request.model_copy(update={"slide": __file__}))
    with pytest.raises(InvalidSetting):
        size_up(request.model_copy(update={"mpp": 9.0}))
