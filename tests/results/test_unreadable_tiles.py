"""Tiles that could not be read: how many may fail, and that they alone are read again."""

from __future__ import annotations

import math
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from raysched.errors import SlideChanged, SlideError, SlideMissing, TooManyFailedTiles
from raysched.imaging.geometry import Rect
from raysched.imaging.request import SegmentationRequest
from raysched.results import stages
from raysched.results.chunks import SCHEMA
from raysched.results.manifest import Manifest, read_manifest
from raysched.results.recall import LABELS, PackedLabels, pack_tiles, unpack_tiles
from raysched.results.segmentation import reason_of
from raysched.results.shelf import NO_SHELF, Shelf
from raysched.results.staging import load_plan
from raysched.results.storage import DISK
from raysched.results.viewing.sources import CellSource, region
from raysched.results.viewing.viewer import Viewer
from tests.results.conftest import Attempt, crop_attempt
from tests.rotten import Rotten, pretend_unchanged

ROOM = 10**9
FAILED = [4, 5, 7, 8]
"""The tiles, of nine, that see the spoilt corner. Chunks have four tiles."""


@pytest.fixture
def rotten(crop: Path, tmp_path: Path) -> Rotten:
    return Rotten.of(crop, tmp_path / "slide.tif")


def attempt(rotten: Rotten, out: Path, shelf: Shelf = NO_SHELF, **asked: object) -> Attempt:
    made = crop_attempt(rotten.path, out, job=f"job-{out.name}")
    return replace(made, request=made.request.model_copy(update=asked), shelf=shelf)


def with_holes(rotten: Rotten, made: Attempt) -> list[stages.Receipt]:
    """The chunks of a job during which the slide's corner was away: it is back when this ends, and
    the system says that the file was not touched."""
    planned = made.plan()
    rotten.spoil()
    pretend_unchanged(made.out, made.job, rotten.path)
    receipts = [made.segment(chunk) for chunk in range(len(planned.chunk_tiles))]
    rotten.mend()
    pretend_unchanged(made.out, made.job, rotten.path)
    return receipts


def manifest_of(made: Attempt) -> Manifest:
    found = read_manifest(made.out)
    assert found is not None
    return found


def holes(receipts: list[stages.Receipt]) -> list[int]:
    return [tile for receipt in receipts for tile, _ in receipt.tiles_failed]


@pytest.mark.parametrize(
    ("share", "tiles", "may_fail"),
    [(0.1, 240, 24), (0.1, 9, 0), (0.29, 100, 29), (0.0, 50, 0), (1.0, 50, 49), (1.0, 1, 0),
     (0.5, 0, 0)],
)  # fmt: skip
def test_a_share_allows_so_many_whole_tiles_and_never_all(
    share: float, tiles: int, may_fail: int
) -> None:
    asked = SegmentationRequest(slide="/s", out="/o", max_failed_share=share)
    assert asked.may_fail(tiles) == may_fail


def test_a_request_of_an_older_version_lets_all_tiles_but_one_fail() -> None:
    old = SegmentationRequest.model_validate_json('{"slide": "/s", "out": "/o"}')
    assert old.may_fail(10) == 9


def test_the_plan_says_how_many_tiles_may_fail_and_is_the_same_plan_with_any_number(
    rotten: Rotten, tmp_path: Path
) -> None:
    strict = attempt(rotten, tmp_path / "a", max_failed_share=0.0).plan()
    lenient = attempt(rotten, tmp_path / "b", max_failed_share=0.5).plan()
    assert (strict.may_fail, lenient.may_fail) == (0, 4)
    assert strict.fingerprint == lenient.fingerprint


def test_assembling_checks_for_itself_how_many_tiles_failed(rotten: Rotten, tmp_path: Path) -> None:
    enough = attempt(rotten, tmp_path / "enough", max_failed_share=0.45)
    with_holes(rotten, enough)
    assert enough.assemble().tiles_failed == 4
    strict = attempt(rotten, tmp_path / "strict", max_failed_share=0.4)
    with_holes(rotten, strict)
    with pytest.raises(TooManyFailedTiles) as caught:
        strict.assemble()
    assert caught.value.message.startswith(
        "4 of 9 tiles could not be read, and at most 3 may fail. The first: "
    )
    assert [path.name for path in strict.out.parent.iterdir() if path == strict.out] == []


@pytest.mark.parametrize("shelved", [True, False])
def test_a_chunk_with_holes_is_done_again_and_the_result_is_as_if_nothing_had_been(
    rotten: Rotten, tmp_path: Path, shelved: bool
) -> None:
    whole = attempt(rotten, tmp_path / "whole").run()
    shelf = Shelf(tmp_path / "shelf", ROOM) if shelved else NO_SHELF
    again = attempt(rotten, tmp_path / "again", shelf)
    receipts = with_holes(rotten, again)
    assert holes(receipts) == FAILED
    mended = [again.segment(chunk) for chunk in range(3)]
    assert holes(mended) == []
    assert [*again.staging.glob("chunks-*/*.holes.json")] == []
    assert not any(receipt.reused for receipt in mended)
    again.assemble()
    assert again.publish().checksum == whole.checksum
    assert manifest_of(again).counts == manifest_of(attempt(rotten, tmp_path / "whole")).counts


def test_who_looks_at_a_running_job_sees_the_good_tiles_of_such_a_chunk_and_then_the_others(
    rotten: Rotten, tmp_path: Path
) -> None:
    made, viewer = attempt(rotten, tmp_path / "out"), Viewer()
    receipts = with_holes(rotten, made)
    source: Any = viewer.source(made.staging)
    assert source.cells == sum(receipt.cells for receipt in receipts) > 0
    looks_as_new(source, made)
    with_fewer = source.version
    mended = [made.segment(chunk) for chunk in range(3)]
    source._looked_at = -math.inf  # as if some time had passed
    assert viewer.source(made.staging) is source
    assert source.version != with_fewer
    assert (
        source.cells
        == sum(receipt.cells for receipt in mended)
        > sum(receipt.cells for receipt in receipts)
    )
    looks_as_new(source, made)


def test_a_receipt_that_is_half_written_hides_none_of_the_good_tiles_and_counts_once_it_is_whole(
    rotten: Rotten, tmp_path: Path
) -> None:
    made, viewer = attempt(rotten, tmp_path / "out"), Viewer()
    with_some = next(each for each in with_holes(rotten, made) if each.tiles_failed and each.cells)
    (spoilt,) = made.staging.glob(f"chunks-*/{with_some.chunk:06d}.holes.json")
    before = spoilt.read_bytes()
    made.segment(with_some.chunk)
    (receipt,) = made.staging.glob(f"chunks-*/{with_some.chunk:06d}.json")
    whole = receipt.read_bytes()
    spoilt.write_bytes(before)
    receipt.write_bytes(whole[: len(whole) // 2])
    source: Any = viewer.source(made.staging)
    fewer = source.cells
    looks_as_new(source, made)
    receipt.write_bytes(whole)
    source._looked_at = -math.inf  # as if some time had passed
    assert viewer.source(made.staging) is source
    assert source.cells > fewer > 0
    looks_as_new(source, made)


def looks_as_new(source: CellSource, made: Attempt) -> None:
    """As to one who has not looked before."""
    new: Any = Viewer().source(made.staging)
    assert source.version == new.version
    assert np.array_equal(source.density().places, new.density().places)
    height, width = source.frame.sizes()[0]
    everywhere = Rect(0, 0, width, height)
    seen = region(source, 0, everywhere)
    assert np.array_equal(seen, region(new, 0, everywhere))
    shown = len(np.unique(seen)) - 1
    assert 0.9 * source.cells < shown <= source.cells  # those at seams are counted twice


def blank(shelf: Shelf, folder: Path) -> None:
    """Make all labels on a shelf empty: what is taken from there has no cells."""
    root = next(folder.glob("*/labels/*"))
    for path in sorted(root.iterdir()):
        key = f"{root.name}/{path.name}"
        content = shelf.take(LABELS, key)
        assert content is not None
        empty = {
            tile: PackedLabels.of(np.zeros_like(packed.labels()))
            for tile, packed in unpack_tiles(content).items()
        }
        shelf.put(LABELS, key, pack_tiles(empty))


def test_only_the_failed_tiles_of_a_chunk_are_computed_again(
    rotten: Rotten, tmp_path: Path
) -> None:
    shelf = Shelf(tmp_path / "shelf", ROOM)
    again = attempt(rotten, tmp_path / "again", shelf)
    before = with_holes(rotten, again)
    blank(shelf, tmp_path / "shelf")  # were a tile asked for again, it would have no cells
    after = [again.segment(chunk) for chunk in range(3)]
    for chunk, tiles in enumerate(((0, 1, 2, 3), (4, 5, 6, 7), (8,))):
        for place, tile in enumerate(tiles):
            was, now = before[chunk].tile_cells[place], after[chunk].tile_cells[place]
            assert now > 0 if tile in FAILED else now == was > 0, tile


def test_the_next_job_asks_the_engine_for_the_failed_tiles_alone(
    rotten: Rotten, tmp_path: Path
) -> None:
    whole = attempt(rotten, tmp_path / "whole").run()
    shelf = Shelf(tmp_path / "shelf", ROOM)
    first = attempt(rotten, tmp_path / "first", shelf)
    with_holes(rotten, first)
    first.assemble()
    first.publish()
    assert len(manifest_of(first).counts.tiles_failed) == 4
    shutil.copytree(tmp_path / "shelf", tmp_path / "blank")
    blanked = Shelf(tmp_path / "blank", ROOM)
    blank(blanked, tmp_path / "blank")
    asked = attempt(rotten, tmp_path / "asked", blanked)
    planned = asked.plan()
    assert not planned.reused, "a result with holes is nobody's to be used again"
    found = [cells for chunk in range(3) for cells in asked.segment(chunk).tile_cells]
    assert [tile for tile, cells in enumerate(found) if cells] == FAILED
    second = attempt(rotten, tmp_path / "second", shelf)
    assert second.run().checksum == whole.checksum
    assert manifest_of(second).counts.tiles_failed == ()
    assert manifest_of(second).reused == ("tissue", "labels of 1 of 3 chunks")


def test_a_result_without_holes_is_used_again_also_where_none_may_fail(
    rotten: Rotten, tmp_path: Path
) -> None:
    shelf = Shelf(tmp_path / "shelf", ROOM)
    attempt(rotten, tmp_path / "first", shelf).run()
    strict = attempt(rotten, tmp_path / "strict", shelf, max_failed_share=0.0)
    assert strict.plan().reused
    assert strict.assemble().tiles_failed == 0


def test_a_share_that_is_away_for_a_moment_leaves_holes_and_nothing_wrong(
    rotten: Rotten, tmp_path: Path
) -> None:
    whole = [each.tile_cells for each in _chunks(attempt(rotten, tmp_path / "whole"))]
    moment = attempt(rotten, tmp_path / "moment")
    moment.plan()
    rotten.spoil()
    asked = iter(range(99))

    def back_at_the_second_tile() -> bool:
        if next(asked) == 1:
            rotten.mend()
        return False

    receipt = stages.segment_chunk(moment.request, moment.job, 1, back_at_the_second_tile)
    failed = holes([receipt])
    assert 4 in failed and set(failed) <= {4, 5}
    for place, tile in enumerate((4, 5, 6, 7)):
        assert receipt.tile_cells[place] == (0 if tile in failed else whole[1][place])


def _chunks(made: Attempt) -> list[stages.Receipt]:
    return [made.segment(chunk) for chunk in range(len(made.plan().chunk_tiles))]


def _cut(rotten: Rotten) -> None:
    os.truncate(rotten.path, rotten.at)


def _remove(rotten: Rotten) -> None:
    rotten.path.unlink()


def _replace(rotten: Rotten) -> None:
    rotten.path.write_bytes(b"another file")


def _to_a_folder(rotten: Rotten) -> None:
    rotten.path.unlink()
    rotten.path.mkdir()


GONE: dict[str, tuple[Callable[[Rotten], None], type[SlideError]]] = {
    "cut short": (_cut, SlideChanged),
    "removed": (_remove, SlideMissing),
    "overwritten": (_replace, SlideChanged),
    "a folder": (_to_a_folder, SlideError),
}


@pytest.mark.parametrize("how", GONE)
def test_a_slide_that_goes_while_a_chunk_is_computed_is_a_clear_failure_and_nothing_is_kept(
    rotten: Rotten, tmp_path: Path, how: str
) -> None:
    away, error = GONE[how]
    shelf = Shelf(tmp_path / "shelf", ROOM)
    made = attempt(rotten, tmp_path / "out", shelf)
    content = rotten.path.read_bytes()
    planned = made.plan()
    first = made.segment(0)
    asked = iter(range(99))

    def gone_at_the_second_tile() -> bool:
        if next(asked) == 1:
            away(rotten)
        return False

    with pytest.raises(error) as caught:
        stages.segment_chunk(made.request, made.job, 1, gone_at_the_second_tile, shelf=shelf)
    assert str(rotten.path) in caught.value.message
    with pytest.raises(SlideError):  # and so is every chunk after it
        made.segment(2)
    assert made.segment(0) == first
    if rotten.path.is_dir():
        rotten.path.rmdir()
    rotten.path.write_bytes(content)
    assert holes([made.segment(chunk) for chunk in range(len(planned.chunk_tiles))]) == []
    made.assemble()
    assert made.publish().checksum == attempt(rotten, tmp_path / "whole").run().checksum


def test_a_result_made_with_holes_is_not_that_of_the_chunks_once_they_have_been_done_again(
    rotten: Rotten, tmp_path: Path
) -> None:
    """As when publishing fails, and the next attempt reads what the first could not."""
    whole = attempt(rotten, tmp_path / "whole").run()
    again = attempt(rotten, tmp_path / "again")
    with_holes(rotten, again)
    assert again.assemble().tiles_failed == 4
    planned = again.plan()
    assert holes([again.segment(chunk) for chunk in range(len(planned.chunk_tiles))]) == []
    assert again.assemble().tiles_failed == 0
    assert again.publish().checksum == whole.checksum
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_a_late_twin_that_could_not_read_tiles_undoes_nothing(
    rotten: Rotten, tmp_path: Path
) -> None:
    whole = attempt(rotten, tmp_path / "whole").run()
    again = attempt(rotten, tmp_path / "again")
    receipts = with_holes(rotten, again)
    mended = [again.segment(chunk) for chunk in range(len(receipts))]
    store = load_plan(again.staging).chunks(DISK)
    late = store.writer(receipts[1].chunk)
    tables = [store.read(receipts[1], place, SCHEMA.names) for place in range(4)]
    late.write(iter(tables))
    late.tiles_failed = [*receipts[1].tiles_failed]
    assert store.keep(1, late, 1.0).tiles_failed == receipts[1].tiles_failed
    assert again.segment(1) == mended[1]
    assert again.assemble().tiles_failed == 0
    assert again.publish().checksum == whole.checksum


def test_a_reason_does_not_say_where_the_server_keeps_a_slide_of_many_files() -> None:
    kept = Path("/srv/state/slides/ab/a.mrxs")
    said = f"{kept} cannot be read at level 0: Can't open {kept.parent}/a/Data0003.dat."
    assert reason_of(said, kept) == "a.mrxs cannot be read at level 0: Can't open a/Data0003.dat."
