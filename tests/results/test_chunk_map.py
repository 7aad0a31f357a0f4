"""The map of a job's chunks: it partitions the tiles with tissue, and follows what is done."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from raysched.errors import NotFound, NotReady, StorageFailed
from raysched.imaging.request import TissueRequest
from raysched.results.chunk_map import (
    ChunkMap,
    ChunkState,
    Scheduled,
    chunk_map,
    published_plan,
)
from raysched.results.manifest import RECEIPTS, read_manifest
from raysched.results.staging import TISSUE, load_plan
from tests.results.conftest import MPP, Attempt

DONE, RUNNING, WAITING = ChunkState.DONE, ChunkState.RUNNING, ChunkState.WAITING
NOBODY = Scheduled()


def states(found: ChunkMap) -> list[ChunkState]:
    return [chunk.state for chunk in found.chunks]


def test_the_map_follows_a_job_from_its_plan_to_its_results(attempt: Attempt) -> None:
    attempt.plan()
    plan = load_plan(attempt.staging).plan
    n = len(plan.chunks)
    assert n > 2
    before = chunk_map(attempt.staging, Scheduled(frozenset({0, 1})))
    assert states(before) == [RUNNING, RUNNING] + [WAITING] * (n - 2)
    receipt = attempt.segment(1)
    during = chunk_map(attempt.staging, Scheduled(frozenset({0, 1})))  # its report is on the way
    assert states(during) == [RUNNING, DONE] + [WAITING] * (n - 2)
    assert during.chunks[1].cells == receipt.cells > 0
    stopped = chunk_map(attempt.staging, NOBODY)
    assert states(stopped) == [WAITING, DONE] + [WAITING] * (n - 2)
    attempt.run()
    after = chunk_map(attempt.out, NOBODY)
    assert states(after) == [DONE] * n
    assert (during.complete, after.complete) == (False, True)
    for found in (before, during, stopped, after):
        assert tuple(chunk.tiles for chunk in found.chunks) == plan.chunks
        assert (found.columns, found.rows) == (plan.columns, plan.rows)
        assert found.l0_tile_px == pytest.approx(160 * plan.grid.l0_per_w)
        assert (found.width, found.height) == (480, 480)


def test_a_published_plan_is_the_one_that_was_made(attempt: Attempt) -> None:
    attempt.plan()
    made = load_plan(attempt.staging).plan
    attempt.run()
    manifest = read_manifest(attempt.out)
    assert manifest is not None
    told = published_plan(attempt.out, manifest)
    path = {"path": Path(made.slide.path).name}
    facts = made.slide.model_copy(update=path)
    assert told == made.model_copy(update={"slide": facts, "context": {}})


def test_chunks_of_an_equal_job_are_done_before_there_is_a_receipt(attempt: Attempt) -> None:
    attempt.plan()
    found = chunk_map(attempt.staging, Scheduled(reused=True))
    assert set(states(found)) == {DONE}


def test_holes_are_told_with_their_reason_and_a_chunk_of_holes_has_failed(
    done: Attempt, tmp_path: Path
) -> None:
    folder = shutil.copytree(done.out, tmp_path / "out")
    receipts = json.loads((folder / RECEIPTS).read_text())
    tiles = [chunk.tiles for chunk in chunk_map(folder, NOBODY).chunks]
    receipts[0]["tiles_failed"] = [[tiles[0][1], "unreadable"]]
    receipts[1]["tiles_failed"] = [[tile, "gone"] for tile in tiles[1]]
    (folder / RECEIPTS).write_text(json.dumps(receipts))
    first, second, *rest = chunk_map(folder, NOBODY).chunks
    assert (first.state, first.failed) == (DONE, ((tiles[0][1], "unreadable"),))
    assert (second.state, second.failed) == (
        ChunkState.FAILED,
        tuple((tile, "gone") for tile in tiles[1]),
    )
    assert {chunk.failed for chunk in rest} == {()}


def test_without_a_plan_there_is_no_map_yet(attempt: Attempt) -> None:
    attempt.staging.mkdir()
    with pytest.raises(NotReady, match="not been looked at yet"):
        chunk_map(attempt.staging, NOBODY)


def test_a_tissue_mask_has_no_chunks(crop: Path, tmp_path: Path) -> None:
    request = TissueRequest(slide=str(crop), out=str(tmp_path / "out"), mpp=MPP)
    attempt = Attempt(request, "job-mask")
    attempt.plan()
    with pytest.raises(NotFound, match="tissue mask"):
        chunk_map(attempt.staging, NOBODY)
    attempt.run()
    with pytest.raises(NotFound, match="tissue mask"):
        chunk_map(attempt.out, NOBODY)


def test_results_without_their_mask_or_with_another_say_so(done: Attempt, tmp_path: Path) -> None:
    folder = shutil.copytree(done.out, tmp_path / "out")
    with np.load(folder / TISSUE) as parts:
        none = {**parts, "bits": np.zeros_like(parts["bits"])}
    np.savez(folder / TISSUE, **none)
    with pytest.raises(StorageFailed, match="not the mask"):
        chunk_map(folder, NOBODY)
    (folder / TISSUE).write_bytes(b"PK no zip")
    with pytest.raises(StorageFailed, match="damaged"):
        chunk_map(folder, NOBODY)
    (folder / TISSUE).unlink()
    with pytest.raises(NotFound, match="mask was not kept"):
        chunk_map(folder, NOBODY)
