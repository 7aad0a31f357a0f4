"""What one job leaves for the next of the same user: used when it is equal, and only then."""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tifffile

from raysched.errors import ChunksMissing, SlideChanged, StorageFailed
from raysched.imaging.request import MeasureParams, TissueParams, TissueRequest
from raysched.imaging.slide import open_slide
from raysched.results import shelf as shelf_module
from raysched.results.manifest import Manifest, TissueManifest, read_manifest, read_provenance
from raysched.results.recall import (
    LABELS,
    PackedLabels,
    Recalled,
    pack_tiles,
    shelf_for,
    unpack_tiles,
)
from raysched.results.removal import remove_job_files
from raysched.results.shelf import Shelf
from tests.results.conftest import MPP, Attempt, Died, DyingDisk, crop_attempt, killed_anywhere

ROOM = 10**9
WIDE = MeasureParams(ring_um=4.0)


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    return Shelf(tmp_path / "shelf", ROOM)


@pytest.fixture(scope="module")
def anns(crop: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with Ann's shelf and the first of her jobs, for tests to copy."""
    folder = tmp_path_factory.mktemp("ann")
    attempt(crop, folder / "first", Shelf(folder / "shelf", ROOM)).run()
    return folder


@pytest.fixture(scope="module")
def wide(crop: Path, tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    """What comes out with another ring where nothing can be used again."""
    again = attempt(crop, tmp_path_factory.mktemp("wide") / "out", shelf_module.NO_SHELF)
    again = measured(again, WIDE)
    again.run()
    return manifest_of(again)


def attempt(crop: Path, out: Path, shelf: Shelf) -> Attempt:
    return replace(crop_attempt(crop, out, job=f"job-{out.name}"), shelf=shelf)


def measured(attempt: Attempt, measure: MeasureParams) -> Attempt:
    return replace(attempt, request=attempt.request.model_copy(update={"measure": measure}))


def manifest_of(attempt: Attempt) -> Manifest:
    manifest = read_manifest(attempt.out)
    assert manifest is not None
    return manifest


def entries(folder: Path, kind: str) -> list[Path]:
    return sorted(path for path in folder.glob(f"*/{kind}/**/*") if path.is_file())


@pytest.fixture
def first(anns: Path, crop: Path, tmp_path: Path) -> Attempt:
    """Ann's first job, with her shelf, in a folder of this test's own."""
    shutil.copytree(anns / "shelf", tmp_path / "shelf")
    shelf = Shelf(tmp_path / "shelf", ROOM)
    # Its results are found where they were published, so they are made once more in here.
    for path in entries(tmp_path / "shelf", "results"):
        path.unlink()
    made = attempt(crop, tmp_path / "first", shelf)
    made.run()
    return made


def test_the_second_of_two_equal_jobs_is_a_copy_with_its_own_name(
    first: Attempt, crop: Path, tmp_path: Path
) -> None:
    second = attempt(crop, tmp_path / "second", first.shelf)
    planned = second.plan()
    assert planned.reused
    second.assemble()
    second.publish()
    one, two = manifest_of(first), manifest_of(second)
    assert two.job == "job-second"
    assert two.reused == ("result of job-first",)
    assert two.timings.segment_s == 0
    assert (two.checksum, two.counts, two.files) == (one.checksum, one.counts, one.files)
    for note in one.files:
        if note.files is None:
            assert (second.out / note.path).read_bytes() == (first.out / note.path).read_bytes()
            assert (second.out / note.path).stat().st_ino != (first.out / note.path).stat().st_ino
    labels = "labels.zarr/0/c/0/0"
    assert (second.out / labels).read_bytes() == (first.out / labels).read_bytes()


def test_another_ring_asks_the_engine_nothing_and_gives_what_a_job_alone_would(
    first: Attempt, crop: Path, tmp_path: Path, wide: Manifest
) -> None:
    second = measured(attempt(crop, tmp_path / "second", first.shelf), WIDE)
    planned = second.plan()
    assert not planned.reused
    assert planned.work == attempt(crop, tmp_path / "third", first.shelf).plan().work
    receipts = [second.segment(chunk) for chunk in range(len(planned.chunk_tiles))]
    assert all(receipt.reused for receipt in receipts)
    second.assemble()
    assert second.publish().checksum == wide.checksum != manifest_of(first).checksum
    chunks = len(receipts)
    assert manifest_of(second).reused == ("tissue", f"labels of {chunks} of {chunks} chunks")


def test_what_is_measured_again_are_the_labels_on_the_shelf(
    first: Attempt, crop: Path, tmp_path: Path
) -> None:
    """That the test above can fail: were the engine asked, it would find cells."""
    root = next((tmp_path / "shelf").glob("*/labels/*"))
    for path in sorted(root.iterdir()):
        key = f"{root.name}/{path.name}"
        content = first.shelf.take(LABELS, key)
        assert content is not None
        blank = {
            tile: PackedLabels.of(np.zeros_like(packed.labels()))
            for tile, packed in unpack_tiles(content).items()
        }
        first.shelf.put(LABELS, key, pack_tiles(blank))
    second = measured(attempt(crop, tmp_path / "second", first.shelf), WIDE)
    assert second.run().cells == 0


def test_nothing_is_used_across_users(first: Attempt, crop: Path, tmp_path: Path) -> None:
    second = attempt(crop, tmp_path / "second", Shelf(tmp_path / "bobs-shelf", ROOM))
    second.run()
    manifest = manifest_of(second)
    assert (manifest.reused, manifest.checksum) == ((), manifest_of(first).checksum)


def test_without_a_shelf_nothing_is_kept(crop: Path, tmp_path: Path) -> None:
    alone = attempt(crop, tmp_path / "out", Shelf(tmp_path / "shelf", 0))
    alone.run()
    assert alone.plan().work == ""
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def other_engine_params(attempt: Attempt) -> Attempt:
    update = {"params": {"min_area_um2": 30.0}}
    return replace(attempt, request=attempt.request.model_copy(update=update))


def other_tiles(attempt: Attempt) -> Attempt:
    return replace(attempt, request=attempt.request.model_copy(update={"tile_px": 170}))


def other_tissue(attempt: Attempt) -> Attempt:
    update = {"tissue": TissueParams(threshold=60)}
    return replace(attempt, request=attempt.request.model_copy(update=update))


@pytest.mark.parametrize(
    ("change", "reused"),
    [(other_engine_params, ("tissue",)), (other_tiles, ("tissue",)), (other_tissue, ())],
)
def test_what_differs_is_computed(
    first: Attempt,
    crop: Path,
    tmp_path: Path,
    change: Callable[[Attempt], Attempt],
    reused: tuple[str, ...],
) -> None:
    second = change(attempt(crop, tmp_path / "second", first.shelf))
    second.run()
    assert manifest_of(second).reused == reused


def test_a_slide_that_changed_under_its_name_is_another_slide(
    crop: Path, tmp_path: Path, shelf: Shelf
) -> None:
    slide = tmp_path / "slide.tif"
    shutil.copyfile(crop, slide)
    before = slide.stat()
    one = attempt(slide, tmp_path / "one", shelf)
    one.run()
    pixels = tifffile.imread(slide)
    at = slide.read_bytes().index(pixels[0, :8].tobytes())
    with slide.open("r+b") as file:
        file.seek(at)
        file.write(bytes(24))
    os.utime(slide, ns=(before.st_atime_ns, before.st_mtime_ns))  # as a careful forger would
    two = attempt(slide, tmp_path / "two", shelf)
    two.run()
    assert manifest_of(two).reused == ()
    assert manifest_of(two).slide.sha256 != manifest_of(one).slide.sha256


def test_the_same_slide_under_another_name_gets_pictures_with_its_own(
    crop: Path, tmp_path: Path, shelf: Shelf
) -> None:
    for name in ("ann.tif", "bea.tif"):
        shutil.copyfile(crop, tmp_path / name)
    attempt(tmp_path / "ann.tif", tmp_path / "one", shelf).run()
    two = attempt(tmp_path / "bea.tif", tmp_path / "two", shelf)
    two.run()
    alone = attempt(tmp_path / "bea.tif", tmp_path / "alone", shelf_module.NO_SHELF)
    alone.run()
    for name in ("tissue.png", "preview.png"):
        assert (two.out / name).read_bytes() == (alone.out / name).read_bytes()


def test_what_was_found_on_a_slide_that_was_replaced_meanwhile_is_not_kept(
    crop: Path, tmp_path: Path, shelf: Shelf, done: Attempt
) -> None:
    slide = tmp_path / "slide.tif"
    shutil.copyfile(crop, slide)
    one = attempt(slide, tmp_path / "one", shelf)
    one.plan()
    flipped = tifffile.imread(crop)[::-1, ::-1]
    tifffile.imwrite(slide, flipped, tile=(256, 256), photometric="rgb", metadata=None)
    with pytest.raises(SlideChanged):
        one.segment(0)
    shutil.copyfile(crop, slide)
    assert attempt(slide, tmp_path / "two", shelf).run().checksum == manifest_of(done).checksum


@pytest.mark.parametrize(
    ("vendor", "name", "is_one"),
    [
        ("aperio", "a.svs", True),
        ("hamamatsu", "a.ndpi", True),
        ("hamamatsu", "a.vms", False),
        ("mirax", "a.mrxs", False),
        ("dicom", "a.dcm", False),
    ],
)
def test_a_slide_of_several_files_has_no_digest_to_be_known_by(
    shelf: Shelf, vendor: str, name: str, is_one: bool
) -> None:
    assert shelf_for(vendor, Path(name), shelf).is_there == is_one


@pytest.mark.parametrize("kind", ["files", "tissue", "labels", "results"])
def test_a_damaged_entry_is_computed_again(
    first: Attempt, crop: Path, tmp_path: Path, wide: Manifest, kind: str
) -> None:
    found = entries(tmp_path / "shelf", kind)
    assert found
    for path in found:
        content = bytearray(path.read_bytes())
        content[-1] ^= 1
        path.write_bytes(content)
    second = measured(attempt(crop, tmp_path / "second", first.shelf), WIDE)
    assert second.run().checksum == wide.checksum
    third = attempt(crop, tmp_path / "third", first.shelf)
    assert third.run().checksum == manifest_of(first).checksum


def truncate(out: Path) -> None:
    part = out / "cells" / "part-00000.parquet"
    os.truncate(part, part.stat().st_size // 2)


def edit(out: Path) -> None:
    with (out / "tissue.png").open("ab") as file:
        file.write(b"painted over")


def lose_a_shard(out: Path) -> None:
    next(path for path in (out / "labels.zarr").rglob("*") if path.parent.name == "0").unlink()


def turn_a_bit_of_the_labels(out: Path) -> None:
    path = out / "labels.zarr" / "0" / "c" / "0" / "0"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def put_a_folder_in_place(out: Path) -> None:
    (out / "preview.png").unlink()
    (out / "preview.png").mkdir()


def link_to_equal_files_elsewhere(out: Path) -> None:
    (out / "labels.zarr").rename(out.with_name("elsewhere"))
    (out / "labels.zarr").symlink_to(out.with_name("elsewhere"))


def add_a_file(out: Path) -> None:
    (out / "notes.txt").write_text("mine")


def name_a_file_outside(out: Path) -> None:
    text = (out / "manifest.json").read_text()
    (out / "manifest.json").write_text(text.replace('"preview.png"', '"../first/preview.png"'))


def replace_by_another(out: Path) -> None:
    text = (out / "manifest.json").read_text()
    (out / "manifest.json").write_text(text.replace("job-first", "job-fourth"))


def delete(out: Path) -> None:
    """As the service does when the owner of the result asks for it."""
    remove_job_files(out.parent, out.name)


SPOILED = (
    delete,
    *(truncate, edit, lose_a_shard, turn_a_bit_of_the_labels, put_a_folder_in_place),
    *(link_to_equal_files_elsewhere, add_a_file, name_a_file_outside, replace_by_another),
    shutil.rmtree,
)


@pytest.mark.parametrize("spoil", SPOILED)
def test_a_result_that_its_owner_has_changed_is_not_copied(
    first: Attempt, crop: Path, tmp_path: Path, spoil: Callable[[Path], None]
) -> None:
    wanted = manifest_of(first)
    second = attempt(crop, tmp_path / "second", first.shelf)
    assert second.plan().reused  # as far as can be seen at a glance
    spoil(first.out)
    with pytest.raises(ChunksMissing) as missing:
        second.assemble()
    for chunk in missing.value.chunks:
        assert second.segment(chunk).reused
    second.assemble()
    assert second.publish().checksum == wanted.checksum
    assert "result of job-first" not in manifest_of(second).reused


def test_copying_can_be_killed_anywhere(first: Attempt, crop: Path, tmp_path: Path) -> None:
    second = attempt(crop, tmp_path / "second", first.shelf)
    assert killed_anywhere(second.plan, second.assemble, second.publish) > 10
    assert manifest_of(second).reused == ("result of job-first",)
    assert {path.name for path in tmp_path.iterdir()} == {"shelf", "first", "second"}


def test_keeping_can_be_killed_anywhere(crop: Path, tmp_path: Path, done: Attempt) -> None:
    for alive_for in range(12):
        shelf = Shelf(tmp_path / f"shelf{alive_for}", ROOM, DyingDisk(alive_for))
        one = attempt(crop, tmp_path / f"one{alive_for}", shelf)
        try:
            one.run()
            break
        except Died:
            shelf = Shelf(tmp_path / f"shelf{alive_for}", ROOM)
            again = replace(one, shelf=shelf)
            assert again.run().checksum == manifest_of(done).checksum
    else:
        pytest.fail("a job changes its shelf fewer times than that")


@pytest.mark.parametrize("place", ["a-file", "/proc/shelf"])
def test_a_shelf_that_cannot_be_used_fails_no_job(
    crop: Path, tmp_path: Path, done: Attempt, place: str, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "a-file").write_bytes(b"")
    one = attempt(crop, tmp_path / "out", Shelf(tmp_path / place, ROOM))
    assert one.run().checksum == manifest_of(done).checksum
    assert "cannot be kept for later jobs" in caplog.text


def test_other_versions_compute_anew(
    first: Attempt, crop: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    newer = {**shelf_module.versions(), "numpy": "99"}
    monkeypatch.setattr(shelf_module, "versions", lambda: newer)
    second = attempt(crop, tmp_path / "second", Shelf(tmp_path / "shelf", ROOM))
    assert not second.plan().reused
    assert not second.segment(0).reused


def test_a_shelf_keeps_within_its_limit_and_drops_what_was_not_used_for_longest(
    tmp_path: Path,
) -> None:
    roomy, shelf = Shelf(tmp_path, ROOM), Shelf(tmp_path, 10_000)
    for number in range(10):
        roomy.put("kind", f"{number}", bytes(1_000))
        path = entries(tmp_path, "kind")[number]
        os.utime(path, (number, number))
    abandoned = path.with_name(".left-behind")
    abandoned.write_bytes(bytes(500))
    os.utime(abandoned, (1, 1))
    assert shelf.take("kind", "0") is not None  # now used last
    shelf.trim()
    left = [path.name for path in entries(tmp_path, "kind")]
    assert left == ["0", "3", "4", "5", "6", "7", "8", "9"]


def test_jobs_that_never_publish_keep_the_limit_too(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path, 40_000)
    for number in range(50):
        shelf.put("labels", f"work{number}/000000", bytes(5_000))
    held = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert 5 <= len(held) <= 8
    assert sum(path.stat().st_size for path in held) <= 40_000
    assert len(list(tmp_path.rglob("work*"))) == len(held)  # no empty folders


def test_nothing_is_kept_on_a_disk_that_is_nearly_full(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    shelf = Shelf(tmp_path, ROOM)
    monkeypatch.setattr(shelf_module, "LEAST_FREE_BYTES", 10**18)
    shelf.put("kind", "key", b"content")
    assert shelf.take("kind", "key") is None
    assert "nearly full" in caplog.text


def test_a_lock_is_waited_for_and_then_done_without(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(shelf_module, "LOCK_WAIT_S", 0.2)
    shelf = Shelf(tmp_path, ROOM)
    with shelf.one_at_a_time("tissue", "key"):
        shelf.trim()
        with shelf.one_at_a_time("tissue", "key"):
            assert "is not locked" in caplog.text


def test_of_two_that_look_at_once_one_uses_what_the_other_sees(crop: Path, tmp_path: Path) -> None:
    known = []
    ready = threading.Barrier(2)

    def look() -> None:
        sight = Recalled(Shelf(tmp_path / "shelf", ROOM))
        with open_slide(crop) as slide:
            ready.wait()
            sight.survey(slide, MPP, TissueParams())
        known.append(sight.tissue_was_known)

    threads = [threading.Thread(target=look) for _ in range(2)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert sorted(known) == [False, True]


def test_a_segmentation_uses_the_tissue_of_a_mask_with_the_same_parameters(
    crop: Path, tmp_path: Path, shelf: Shelf
) -> None:
    params = TissueParams(threshold=30)
    request = TissueRequest(slide=str(crop), out=str(tmp_path / "mask"), mpp=MPP, tissue=params)
    Attempt(request, "job-mask", shelf).run()
    found = read_provenance(tmp_path / "mask")
    assert isinstance(found, TissueManifest)
    assert found.reused == ()
    for name, tissue, reused in (("same", params, ("tissue",)), ("other", TissueParams(), ())):
        cells = attempt(crop, tmp_path / name, shelf)
        update = {"tissue": tissue}
        replace(cells, request=cells.request.model_copy(update=update)).run()
        assert manifest_of(cells).reused == reused


def test_a_plan_of_another_kind_in_the_staging_folder_is_refused(
    crop: Path, tmp_path: Path
) -> None:
    cells = crop_attempt(crop, tmp_path / "out")
    request = TissueRequest(slide=str(crop), out=str(tmp_path / "out"), mpp=MPP)
    Attempt(request, cells.job).plan()
    with pytest.raises(StorageFailed, match="missing or incomplete"):
        cells.segment(0)
