"""The same work in as little memory as can be: the same result, with nothing held ahead."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from raysched.imaging.geometry import Rect
from raysched.imaging.slide import open_slide
from raysched.results.pixels import pixels_ahead
from raysched.results.sparing import is_sparing, sparing
from raysched.results.staging import load_plan
from raysched.results.threads import thread
from tests.results.conftest import Attempt, crop_attempt


def test_memory_is_spared_inside_and_nowhere_else() -> None:
    seen = [is_sparing()]
    with sparing(True):
        seen.append(is_sparing())
        with sparing(False):
            seen.append(is_sparing())
    with pytest.raises(ValueError, match="over"), sparing(True):
        raise ValueError("over")
    assert [*seen, is_sparing()] == [False, True, False, False]


def test_the_result_is_the_same_bit_for_bit(crop: Path, tmp_path: Path) -> None:
    usual = crop_attempt(crop, tmp_path / "usual").run()
    with sparing(True):
        spared = crop_attempt(crop, tmp_path / "spared").run()
    assert spared.checksum == usual.checksum
    for name in ("cells/part-00000.parquet", "tissue.png"):
        assert (tmp_path / "usual" / name).read_bytes() == (tmp_path / "spared" / name).read_bytes()


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
        sparing(is_so),
        open_slide(plan.slide.path) as slide,
        closing(pixels_ahead(slide, plan.grid, rects())) as pixels,
    ):
        next(pixels)
        thread("reader").submit(int).result()  # whatever was begun is read
        assert len(asked) == ahead
        assert len(list(pixels)) == 3
