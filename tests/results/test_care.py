"""The same work in as little memory as can be: the same result, with nothing held ahead."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from raysched.imaging.geometry import Rect
from raysched.imaging.slide import open_slide
from raysched.results.care import careful, is_careful
from raysched.results.pixels import pixels_ahead
from raysched.results.staging import load_plan
from raysched.results.threads import thread
from tests.results.conftest import Attempt, crop_attempt


def test_care_is_taken_inside_and_nowhere_else() -> None:
    seen = [is_careful()]
    with careful(True):
        seen.append(is_careful())
        with careful(False):
            seen.append(is_careful())
    with pytest.raises(ValueError, match="over"), careful(True):
        raise ValueError("over")
    assert [*seen, is_careful()] == [False, True, False, False]


def test_the_result_is_the_same_bit_for_bit(crop: Path, tmp_path: Path) -> None:
    usual = crop_attempt(crop, tmp_path / "usual").run()
    with careful(True):
        with_care = crop_attempt(crop, tmp_path / "careful").run()
    assert with_care.checksum == usual.checksum
    for name in ("cells/part-00000.parquet", "tissue.png"):
        assert (tmp_path / "usual" / name).read_bytes() == (
            tmp_path / "careful" / name
        ).read_bytes()


@pytest.mark.parametrize(("is_so", "ahead"), [(False, 2), (True, 1)])
def test_no_tile_is_read_ahead(is_so: bool, ahead: int, attempt: Attempt) -> None:
    attempt.plan()
    plan = load_plan(attempt.staging).plan
    asked = []

    def rects() -> Iterator[Rect]:
        for index in range(4):
            asked.append(index)
            yield plan.tile(index).read

    with (
        careful(is_so),
        open_slide(plan.slide.path) as slide,
        closing(pixels_ahead(slide, plan.grid, rects())) as pixels,
    ):
        next(pixels)
        thread("reader").submit(int).result()  # whatever was begun is read
        assert len(asked) == ahead
        assert len(list(pixels)) == 3
