"""The four stages on real folders: killed anywhere, twinned, damaged, out of room."""

from __future__ import annotations

import errno
import json
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import geopandas
import numpy as np
import pytest
import tifffile
import zarr

from raysched.errors import (
    MppMissing,
    NotASlide,
    OutputNotEmpty,
    SlideChanged,
    SlideMissing,
    SlideUnreadable,
    StorageFailed,
    StorageFull,
)
from raysched.imaging.request import SegmentationRequest
from raysched.imaging.slide import file_state
from raysched.results import stages
from raysched.results.manifest import read_manifest
from raysched.results.staging import FreshPlan, load_plan, save_plan
from raysched.results.storage import Disk
from raysched.results.threads import thread
from tests.results.conftest import Attempt, Died, DyingDisk, crop_attempt


def checksum(attempt: Attempt) -> str:
    manifest = read_manifest(attempt.out)
    assert manifest is not None
    return manifest.checksum


def contents(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def of_25_tiles(crop: Path, out: Path, chunk_tiles: int) -> Attempt:
    request = crop_attempt(crop, out, chunk_tiles).request
    return Attempt(request.model_copy(update={"tile_px": 96}))


@pytest.fixture(scope="module")
def in_peace(crop: Path, tmp_path_factory: pytest.TempPathFactory) -> Attempt:
    """Published from seven chunks, one after the other."""
    attempt = of_25_tiles(crop, tmp_path_factory.mktemp("in-peace") / "out", 4)
    attempt.run()
    return attempt


def run_in_disorder(attempt: Attempt, rng: np.random.Generator, alive_for: float) -> int:
    """Chunks come in any order; each process is killed after about so many changes, and what it
    had to do is given to the next. Returns how many were killed."""
    killed = 0

    def lives(stage: Callable[..., object], *chunk: int) -> bool:
        nonlocal killed
        try:
            stage(*chunk, DyingDisk(int(rng.exponential(alive_for))))
        except Died:
            killed += 1
            assert killed < 200, "nothing that was done is ever kept"
            return False
        return True

    while not lives(attempt.plan):
        pass
    left = list(range(len(attempt.plan().chunk_tiles)))
    while left:
        rng.shuffle(left)
        left = [chunk for chunk in left if not lives(attempt.segment, chunk)]
    for stage in (attempt.assemble, attempt.publish):
        while not lives(stage):
            pass
    return killed


@pytest.mark.parametrize(("chunk_tiles", "chunks"), [(1, 25), (4, 7), (16, 2)])
def test_the_result_does_not_depend_on_chunks_their_order_or_kills(
    crop: Path, in_peace: Attempt, tmp_path: Path, chunk_tiles: int, chunks: int
) -> None:
    rng = np.random.default_rng(chunk_tiles)
    for number, alive_for in enumerate((1e9, 1e9, 12.0, 12.0)):
        attempt = of_25_tiles(crop, tmp_path / f"out{number}", chunk_tiles)
        killed = run_in_disorder(attempt, rng, alive_for)
        assert (killed > 0) == (alive_for < 1e9)
        manifest = read_manifest(attempt.out)
        assert manifest is not None
        assert len(manifest.chunk_tiles) == chunks
        assert manifest.checksum == checksum(in_peace)
        for file in ("cells/part-00000.parquet", "labels.zarr/0/c/0/0", "preview.png"):
            assert (attempt.out / file).read_bytes() == (in_peace.out / file).read_bytes()
    assert contents(tmp_path) == {f"out{number}" for number in range(4)}


def test_a_published_folder_is_complete_and_nothing_else_is_left(attempt: Attempt) -> None:
    published = attempt.run()
    assert contents(attempt.out.parent) == {"out"}
    assert contents(attempt.out) == {
        "cells",
        "labels.zarr",
        "manifest.json",
        "preview.png",
        "receipts.json",
        "tissue.npz",
        "tissue.png",
    }
    manifest = read_manifest(attempt.out)
    assert manifest is not None
    assert published == stages.Published(manifest.counts.cells, manifest.checksum, str(attempt.out))
    assert published.cells > 50


def test_every_stage_answers_the_same_after_publication_and_does_nothing(
    attempt: Attempt,
) -> None:
    planned = attempt.plan()
    receipts = [attempt.segment(chunk) for chunk in range(len(planned.chunk_tiles))]
    assembled, published = attempt.assemble(), attempt.publish()
    still = DyingDisk()
    assert attempt.plan(still) == planned
    assert [attempt.segment(chunk, still) for chunk in range(len(receipts))] == receipts
    assert attempt.assemble(still) == assembled
    assert attempt.publish() == published
    assert still.steps == 0
    assert contents(attempt.out.parent) == {"out"}


def test_a_kill_between_any_two_changes_while_planning_loses_nothing(attempt: Attempt) -> None:
    planned = attempt.plan()
    staged = load_plan(attempt.staging)
    fresh = FreshPlan(attempt.job, staged.plan, staged.tissue, b"picture", 1.0, "state")
    counter = DyingDisk()
    save_plan(attempt.staging, fresh, counter)
    assert counter.steps > 15
    for alive_for in range(counter.steps):
        shutil.rmtree(attempt.staging)
        with pytest.raises(Died):
            save_plan(attempt.staging, fresh, DyingDisk(alive_for))
        save_plan(attempt.staging, fresh, Disk())
        again = load_plan(attempt.staging)
        assert (again.receipt.fingerprint, again.plan) == (planned.fingerprint, staged.plan)
        assert np.array_equal(again.tissue.mask, staged.tissue.mask)


def test_a_plan_is_understood_once_and_what_an_engine_does_to_its_context_is_forgotten(
    attempt: Attempt,
) -> None:
    attempt.plan()
    first = load_plan(attempt.staging)
    context = {**first.plan.context}
    first.plan.context["spoilt"] = True
    again = load_plan(attempt.staging)
    assert again.plan.chunks is first.plan.chunks
    assert again.plan.context == context
    other = first.plan.model_copy(update={"chunks": first.plan.chunks[:1], "context": context})
    save_plan(attempt.staging, FreshPlan(attempt.job, other, first.tissue, None, 1.0, ""), Disk())
    assert load_plan(attempt.staging).plan == other


def test_a_plan_that_is_not_whole_is_refused(attempt: Attempt) -> None:
    attempt.plan()
    (attempt.staging / "tissue.npz").write_bytes(b"")
    with pytest.raises(StorageFailed, match="another tissue mask"):
        attempt.segment(0)
    (attempt.staging / "planned.json").unlink()
    with pytest.raises(StorageFailed, match="missing or incomplete"):
        attempt.segment(0)


def test_a_kill_between_any_two_changes_of_a_chunk_loses_nothing(
    attempt: Attempt, done: Attempt
) -> None:
    attempt.plan()
    counter = DyingDisk()
    receipt = attempt.segment(0, counter)
    folder = (attempt.staging / receipt.file).parent
    for alive_for in range(counter.steps):
        shutil.rmtree(folder)
        with pytest.raises(Died):
            attempt.segment(0, DyingDisk(alive_for))
        assert attempt.segment(0).checksum == receipt.checksum
    assert attempt.run().checksum == checksum(done)


def test_a_kill_between_any_two_changes_while_assembling_loses_nothing(
    attempt: Attempt, done: Attempt
) -> None:
    for chunk in range(len(attempt.plan().chunk_tiles)):
        attempt.segment(chunk)
    counter = DyingDisk()
    assembled = attempt.assemble(counter)
    result = attempt.staging / "result"
    for alive_for in range(counter.steps):
        shutil.rmtree(result, ignore_errors=True)
        with pytest.raises(Died):
            attempt.assemble(DyingDisk(alive_for))
        assert not attempt.out.exists()
    assert attempt.assemble() == assembled
    assert attempt.publish().checksum == checksum(done)
    assert contents(attempt.out.parent) == {"out"}


def test_a_kill_between_any_two_changes_while_publishing_loses_nothing(
    attempt: Attempt, done: Attempt, tmp_path: Path
) -> None:
    for chunk in range(len(attempt.plan().chunk_tiles)):
        attempt.segment(chunk)
    attempt.assemble()
    ready = tmp_path / "ready"
    shutil.copytree(attempt.staging, ready)
    counter = DyingDisk()
    published = attempt.publish(counter)
    for alive_for in range(counter.steps):
        shutil.rmtree(attempt.out)
        shutil.copytree(ready, attempt.staging, dirs_exist_ok=True)
        with pytest.raises(Died):
            attempt.publish(DyingDisk(alive_for))
        assert attempt.publish() == published
        assert not attempt.staging.exists()
    assert published.checksum == checksum(done)


def test_a_twin_may_finish_while_a_chunk_is_being_written(attempt: Attempt) -> None:
    attempt.plan()

    class Twin(Disk):
        def step(self, what: str, path: Path) -> None:
            if what == "rename":
                receipts.append(attempt.segment(0))

    receipts: list[stages.Receipt] = []
    mine = attempt.segment(0, Twin())
    assert [receipt.checksum for receipt in receipts] == [mine.checksum]
    assert attempt.segment(0) == mine


def test_a_twin_may_publish_while_a_chunk_is_being_written(attempt: Attempt) -> None:
    chunks = len(attempt.plan().chunk_tiles)

    class Twin(Disk):
        def step(self, what: str, path: Path) -> None:
            if what == "rename":
                for chunk in range(chunks):
                    attempt.segment(chunk)
                attempt.assemble()
                attempt.publish()

    mine = attempt.segment(0, Twin())
    assert mine == attempt.segment(0)
    assert contents(attempt.out.parent) == {"out"}


def test_a_twin_may_publish_while_the_result_is_being_assembled(attempt: Attempt) -> None:
    for chunk in range(len(attempt.plan().chunk_tiles)):
        attempt.segment(chunk)

    class Twin(Disk):
        def step(self, what: str, path: Path) -> None:
            if what == "copy":
                attempt.assemble()
                attempt.publish()

    assert attempt.assemble(Twin()).checksum == attempt.publish().checksum
    assert contents(attempt.out.parent) == {"out"}


@pytest.mark.parametrize("damage", ["file", "receipt", "missing"])
def test_a_chunk_whose_receipt_is_not_true_is_computed_again(attempt: Attempt, damage: str) -> None:
    attempt.plan()
    receipt = attempt.segment(0)
    path = attempt.staging / receipt.file
    note = path.with_name("000000.json")
    whole = path.read_bytes()
    if damage == "file":
        path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    elif damage == "receipt":
        note.write_bytes(note.read_bytes()[:-20])
    else:
        path.unlink()
    assert attempt.segment(0).checksum == receipt.checksum
    assert path.read_bytes() == whole


def test_chunks_of_another_plan_are_ignored(attempt: Attempt) -> None:
    first = attempt.plan()
    old = attempt.segment(0)
    request = attempt.request.model_copy(update={"tile_px": 256})
    changed = Attempt(request, attempt.job)
    assert changed.plan().fingerprint != first.fingerprint
    new = changed.segment(0)
    assert (new.fingerprint, new.checksum) != (old.fingerprint, old.checksum)
    finer = Attempt(request.model_copy(update={"chunk_tiles": 1}), attempt.job)
    finer.plan()
    with pytest.raises(StorageFailed, match="4 of 4 chunks are missing"):
        finer.assemble()


def test_a_stop_is_obeyed_before_the_next_tile_and_leaves_no_half_chunk(
    attempt: Attempt,
) -> None:
    attempt.plan()
    answers = iter([False, False, True])
    with pytest.raises(stages.Stopped):
        stages.segment_chunk(attempt.request, attempt.job, 0, lambda: next(answers))
    assert [path for path in attempt.staging.rglob("*") if "0000" in path.name] == []
    with pytest.raises(stages.Stopped):
        stages.segment_chunk(attempt.request, attempt.job, 0, lambda: True)


def test_assembling_before_all_chunks_are_there_names_what_is_missing(attempt: Attempt) -> None:
    attempt.plan()
    attempt.segment(1)
    with pytest.raises(StorageFailed) as caught:
        attempt.assemble()
    assert caught.value.facts["chunks"] == (0, 2)


def pretend_unchanged(attempt: Attempt) -> None:
    """A disk that rots tells nobody: the system says of the slide's file what it said before."""
    path = attempt.staging / "planned.json"
    receipt = json.loads(path.read_text())
    receipt["slide_state"] = file_state(Path(attempt.request.slide))
    path.write_text(json.dumps(receipt))


def test_an_unreadable_place_becomes_a_hole_with_its_reason(crop: Path, tmp_path: Path) -> None:
    slide = tmp_path / "damaged.tif"
    with tifffile.TiffFile(crop) as whole:
        tifffile.imwrite(slide, whole.asarray(), tile=(256, 256), compression="zlib")
    with tifffile.TiffFile(slide) as file:
        at, size = file.pages[0].dataoffsets[-1], file.pages[0].databytecounts[-1]
    attempt = crop_attempt(slide, tmp_path / "out")
    planned = attempt.plan()
    with slide.open("r+b") as damaged:
        damaged.seek(at)
        damaged.write(bytes(size))
    pretend_unchanged(attempt)
    for chunk in range(len(planned.chunk_tiles)):
        attempt.segment(chunk)
    assembled = attempt.assemble()
    attempt.publish()
    manifest = read_manifest(attempt.out)
    assert manifest is not None
    holes = manifest.counts.tiles_failed
    assert [hole.tile for hole in holes] == [4, 5, 7, 8]
    assert all("cannot be read" in hole.reason for hole in holes)
    assert assembled.tiles_failed == 4
    assert assembled.cells > 0


def test_a_slide_that_is_replaced_while_its_job_runs_is_no_hole_and_no_result(
    crop: Path, tmp_path: Path
) -> None:
    slide = tmp_path / "slide.tif"
    shutil.copyfile(crop, slide)
    attempt = crop_attempt(slide, tmp_path / "out")
    attempt.plan()
    first = attempt.segment(0)
    tifffile.imwrite(
        slide, tifffile.imread(crop)[::-1], tile=(256, 256), photometric="rgb", metadata=None
    )
    with pytest.raises(SlideChanged):
        attempt.segment(1)
    shutil.copyfile(crop, slide)  # later, but the same bytes
    assert attempt.segment(1).cells > 0
    assert attempt.segment(0) == first


def test_a_slide_of_which_no_tile_can_be_read_is_no_result(crop: Path, tmp_path: Path) -> None:
    slide = tmp_path / "cut.tif"
    shutil.copyfile(crop, slide)
    attempt = crop_attempt(slide, tmp_path / "out")
    planned = attempt.plan()
    os.truncate(slide, 10_000)
    pretend_unchanged(attempt)
    with pytest.raises(SlideUnreadable):
        for chunk in range(len(planned.chunk_tiles)):
            attempt.segment(chunk)
        attempt.assemble()


def test_a_refused_slide_leaves_nothing_behind(crop: Path, tmp_path: Path) -> None:
    text = tmp_path / "notes.svs"
    text.write_text("not a slide")
    out = tmp_path / "out"
    with pytest.raises(NotASlide):
        crop_attempt(text, out).plan()
    with pytest.raises(MppMissing):
        stages.plan_slide(SegmentationRequest(slide=str(crop), out=str(out)), "job-1")
    assert contents(tmp_path) == {"notes.svs"}


def test_an_empty_out_folder_is_filled_and_a_full_one_is_refused(
    attempt: Attempt, crop: Path
) -> None:
    attempt.out.mkdir()
    attempt.run()
    other = crop_attempt(crop, attempt.out, job="job-2")
    before = json.loads((attempt.out / "manifest.json").read_text())
    with pytest.raises(OutputNotEmpty):
        other.plan()
    assert json.loads((attempt.out / "manifest.json").read_text()) == before


def test_what_appears_in_out_meanwhile_is_never_overwritten(attempt: Attempt) -> None:
    for chunk in range(len(attempt.plan().chunk_tiles)):
        attempt.segment(chunk)
    attempt.assemble()
    attempt.out.mkdir()
    (attempt.out / "precious.txt").write_text("mine")
    with pytest.raises(OutputNotEmpty):
        attempt.publish()
    assert contents(attempt.out) == {"precious.txt"}
    assert attempt.staging.exists()


def test_a_full_disk_is_named_and_the_job_goes_on_when_there_is_room(
    crop: Path, done: Attempt, tmp_path: Path
) -> None:
    room = tmp_path / "small"
    room.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1500k", "tmpfs", str(room)]
    if os.geteuid() != 0 or subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("a small file system can only be mounted by root")
    try:
        attempt = crop_attempt(crop, room / "out")
        with pytest.raises(StorageFull) as caught:
            attempt.run()
        assert "is full" in caught.value.message
        assert not attempt.out.exists()
        grow = ["mount", "-o", "remount,size=100m", str(room)]
        subprocess.run(grow, check=True)
        assert attempt.run().checksum == checksum(done)
    finally:
        subprocess.run(["umount", "--lazy", str(room)], check=True)


def test_a_slide_that_is_gone_when_the_result_is_assembled_leaves_nobody_at_work(
    sample_slide: Path, tmp_path: Path
) -> None:
    slide = tmp_path / "slide.svs"
    shutil.copy(sample_slide, slide)
    attempt = Attempt(SegmentationRequest(slide=str(slide), out=str(tmp_path / "out")))
    for chunk in range(len(attempt.plan().chunk_tiles)):
        attempt.segment(chunk)
    slide.rename(tmp_path / "elsewhere.svs")
    with pytest.raises(SlideMissing):
        attempt.assemble()
    thread("labels").submit(lambda: None).result()
    assert list(attempt.staging.glob("result*")) == []


class FullForLabels(Disk):
    """Has room for everything but the label image."""

    def step(self, what: str, path: Path) -> None:
        if what == "shard":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_what_ends_the_label_image_ends_the_assembly(attempt: Attempt) -> None:
    for chunk in range(len(attempt.plan().chunk_tiles)):
        attempt.segment(chunk)
    with pytest.raises(StorageFull, match="full"):
        attempt.assemble(FullForLabels())
    assert attempt.assemble().cells > 0


def test_a_long_thin_slide_can_be_planned(tmp_path: Path) -> None:
    slide = tmp_path / "thin.tif"
    tifffile.imwrite(
        slide, np.full((16, 48_000, 3), 240, np.uint8), tile=(256, 256), photometric="rgb"
    )
    request = SegmentationRequest(slide=str(slide), out=str(tmp_path / "out"), mpp=0.5)
    assert Attempt(request).plan().chunk_tiles == ()


@pytest.mark.parametrize("chunk_tiles", [1, 16])
def test_a_slide_without_tissue_gives_an_empty_result_that_opens(
    tmp_path: Path, chunk_tiles: int
) -> None:
    blank = tmp_path / "blank.tif"
    tifffile.imwrite(blank, np.full((600, 700, 3), 242, np.uint8), tile=(256, 256))
    attempt = crop_attempt(blank, tmp_path / "out", chunk_tiles)
    assert attempt.run().cells == 0
    assert len(geopandas.read_parquet(attempt.out / "cells")) == 0
    assert zarr.open_group(attempt.out / "labels.zarr", mode="r")["0"][:].max() == 0
