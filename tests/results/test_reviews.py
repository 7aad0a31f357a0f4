"""Reviews: a fair sample, an honest interval, and no verdict that is lost."""

from __future__ import annotations

import json
import shutil
import statistics
import subprocess
import sys
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import geopandas
import pytest
from scipy.stats import binomtest

from raysched.errors import Conflict, NotFound, NotReady, StorageFailed
from raysched.results.chunk_map import Scheduled, chunk_map
from raysched.results.manifest import MANIFEST, read_manifest
from raysched.results.reviews import (
    MARGIN_UM,
    Judgement,
    Review,
    ReviewStore,
    What,
    Wish,
    delete_reviews,
    draw,
    wilson,
)
from raysched.results.storage import Disk
from tests.results.conftest import MPP, Attempt, Died, DyingDisk

NOW = datetime(2026, 3, 14, 9, 26, 53, tzinfo=UTC)
LATER = datetime(2026, 3, 14, 10, 0, 0, tzinfo=UTC)
YES, NO = Judgement.YES, Judgement.NO


def drawn(folder: Path, what: What = What.CELLS, size: int = 12, seed: int = 7) -> Review:
    return draw(folder, "job-1", "ann", Wish(what, size, seed), NOW)


# --- the interval ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("yes", "answered", "low", "high"),
    [  # R. G. Newcombe, Stat. Med. 17 (1998) 857-872, table I, method 3
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0000, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_the_interval_is_the_published_one(
    yes: int, answered: int, low: float, high: float
) -> None:
    assert wilson(yes, answered) == pytest.approx((low, high), abs=5e-5)


def test_the_interval_is_that_of_scipy() -> None:
    for answered in (1, 2, 3, 10, 57, 2000):
        for yes in {0, 1, answered // 3, answered - 1, answered}:
            other = binomtest(yes, answered).proportion_ci(method="wilson")
            assert wilson(yes, answered) == pytest.approx((other.low, other.high), abs=1e-12)
    assert wilson(0, 0) is None


# --- the sample -----------------------------------------------------------------------------------


def test_cells_are_drawn_once_each_and_shown_with_what_is_around_them(done: Attempt) -> None:
    review = drawn(done.out)
    manifest = read_manifest(done.out)
    assert manifest is not None
    cells = geopandas.read_parquet(done.out / "cells").set_index("id")
    chosen = [item.cell for item in review.items]
    assert len(set(chosen)) == review.size == 12
    assert chosen != sorted(chosen, key=str)  # those that are answered first are a sample too
    assert review.population == manifest.counts.cells == len(cells)
    assert (review.checksum, review.engine) == (manifest.checksum, manifest.engine)
    assert [item.number for item in review.items] == list(range(1, 13))
    for item in review.items:
        x0, y0, x1, y1 = cells.geometry[item.cell].bounds
        margin = MARGIN_UM / MPP
        assert item.x == pytest.approx(max(0, x0 - margin), abs=1)
        assert item.y == pytest.approx(max(0, y0 - margin), abs=1)
        assert item.x + item.width == pytest.approx(min(480, x1 + margin), abs=1)
        assert item.y + item.height == pytest.approx(min(480, y1 + margin), abs=1)
    assert drawn(done.out) == review
    assert [item.cell for item in drawn(done.out, seed=8).items] != chosen
    assert (review.answered, review.yes) == (0, 0)


def test_tiles_are_drawn_from_those_with_tissue(done: Attempt) -> None:
    tiles = [tile for chunk in chunk_map(done.out, Scheduled()).chunks for tile in chunk.tiles]
    review = drawn(done.out, What.TILES, 2000)
    assert sorted(item.tile or 0 for item in review.items) == tiles
    assert review.size == review.population == len(tiles)
    for item in review.items:
        row, column = divmod(item.tile or 0, 3)
        assert (item.x, item.y) == (column * 160, row * 160)
        assert (item.width, item.height, item.cell) == (160, 160, None)


def test_tiles_that_could_not_be_read_are_not_judged(done: Attempt, tmp_path: Path) -> None:
    folder = shutil.copytree(done.out, tmp_path / "out")
    manifest = json.loads((folder / MANIFEST).read_text())
    hole = drawn(done.out, What.TILES, 1).items[0].tile
    manifest["counts"]["tiles_failed"] = [{"tile": hole, "reason": "gone"}]
    (folder / MANIFEST).write_text(json.dumps(manifest))
    assert hole not in {item.tile for item in drawn(folder, What.TILES, 2000).items}


def test_every_cell_is_as_likely_as_any_other(done: Attempt) -> None:
    seen = Counter(
        item.cell for seed in range(400) for item in drawn(done.out, size=10, seed=seed).items
    )
    cells = drawn(done.out).population
    mean = 4000 / cells
    assert len(seen) == cells
    assert statistics.pvariance(seen.values()) < 3 * mean  # near the binomial's, no cell left out


def test_there_is_nothing_to_review_without_cells_or_results(
    found: dict[str, Path], tmp_path: Path
) -> None:
    with pytest.raises(Conflict, match="nothing to review"):
        drawn(found["none"])
    with pytest.raises(NotReady):
        drawn(tmp_path)


# --- kept -----------------------------------------------------------------------------------------


def test_verdicts_are_kept_changed_and_taken_back(done: Attempt, tmp_path: Path) -> None:
    store = ReviewStore(tmp_path / "reviews", "job-1", "ann")
    with pytest.raises(NotFound, match="no review"):
        store.judge(1, YES, NOW)
    store.begin(drawn(done.out), replace=False)
    store.judge(1, YES, NOW)
    store.judge(2, NO, NOW)
    store.judge(3, YES, NOW)
    store.judge(3, None, LATER)
    review = ReviewStore(tmp_path / "reviews", "job-1", "ann").read()
    assert (review.answered, review.yes) == (2, 1)
    assert [(item.verdict, item.at) for item in review.items[:4]] == [
        *((YES, NOW), (NO, NOW)),
        *((None, None), (None, None)),
    ]
    for number in (0, 13, -1):
        with pytest.raises(NotFound, match="no item"):
            store.judge(number, YES, NOW)
    assert ReviewStore(tmp_path / "reviews", "job-1", "bob").delete() is None
    assert store.read() == review
    with pytest.raises(NotFound):
        ReviewStore(tmp_path / "reviews", "job-1", "bob").read()
    store.delete()
    store.delete()
    with pytest.raises(NotFound):
        store.read()


def test_a_review_with_verdicts_is_only_replaced_on_purpose(done: Attempt, tmp_path: Path) -> None:
    store = ReviewStore(tmp_path / "reviews", "job-1", "ann")
    store.begin(drawn(done.out, seed=1), replace=False)
    second = store.begin(drawn(done.out, seed=2), replace=False)  # nothing was answered
    store.judge(4, NO, NOW)
    with pytest.raises(Conflict, match="judged 1 items"):
        store.begin(drawn(done.out, seed=3), replace=False)
    assert store.read().seed == second.seed == 2
    store.begin(drawn(done.out, seed=3), replace=True)
    assert (store.read().seed, store.read().answered) == (3, 0)


def test_a_crash_at_any_moment_loses_no_verdict(done: Attempt, tmp_path: Path) -> None:
    top = tmp_path / "reviews"
    store = ReviewStore(top, "job-1", "ann")
    store.begin(drawn(done.out), replace=False)
    before, deaths = store.judge(1, YES, NOW), 0
    while True:
        dying = ReviewStore(top, "job-1", "ann", DyingDisk(deaths))
        try:
            after = dying.judge(2, NO, NOW)
        except Died:
            deaths += 1
            assert store.read() in (before, before.model_copy(update={"items": _judged(before)}))
            assert store.read().items[0].verdict is YES
        else:
            break
    assert deaths >= 3  # the new file made, synced, put in the old one's place
    assert store.read() == after


def _judged(review: Review) -> tuple[object, ...]:
    first, second, *rest = review.items
    return (first, second.model_copy(update={"verdict": NO, "at": NOW}), *rest)


def test_two_replicas_that_judge_at_once_lose_no_verdict(done: Attempt, tmp_path: Path) -> None:
    top = tmp_path / "reviews"
    review = ReviewStore(top, "job-1", "ann").begin(drawn(done.out, size=60), replace=False)
    together = threading.Barrier(2)

    def judge(first: int) -> None:
        store = ReviewStore(top, "job-1", "ann")
        together.wait()
        for number in range(first, review.size + 1, 2):
            store.judge(number, YES if number % 3 else NO, NOW)

    with ThreadPoolExecutor(2) as both:
        list(both.map(judge, (1, 2)))
    told = ReviewStore(top, "job-1", "ann").read()
    assert (told.answered, told.yes) == (60, 40)


def test_a_review_is_changed_under_a_lock_of_the_file_system(done: Attempt, tmp_path: Path) -> None:
    seen = []

    class Looks(Disk):
        def step(self, what: str, path: Path) -> None:
            code = (
                "import fcntl, sys; file = open(sys.argv[1], 'ab')\n"
                "try: fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)\n"
                "except BlockingIOError: print('held')"
            )
            lock = str(path if path.is_dir() else path.parent) + "/.lock"
            asked = [sys.executable, "-c", code, lock]
            other = subprocess.run(asked, check=True, capture_output=True)
            seen.append((what, other.stdout.decode().strip()))

    ReviewStore(tmp_path, "job-1", "ann").begin(drawn(done.out), replace=False)
    ReviewStore(tmp_path, "job-1", "ann", Looks()).judge(1, YES, NOW)
    assert len(seen) >= 3
    assert {held for _, held in seen} == {"held"}


def test_all_reviews_of_a_job_go_together_and_no_others(done: Attempt, tmp_path: Path) -> None:
    top = tmp_path / "reviews"
    for job, user in (("job-1", "ann"), ("job-1", "bob"), ("job-11", "ann")):
        ReviewStore(top, job, user).begin(drawn(done.out), replace=False)
    for _ in range(2):
        delete_reviews(top, "job-1")
    assert [path.name for path in top.iterdir()] == ["job-11"]
    for name in ("..", ".", "", "../outside", "a/b"):
        delete_reviews(top, name)
        with pytest.raises(NotFound, match="no job"):
            ReviewStore(top, name, "ann")
    assert [path.name for path in top.iterdir()] == ["job-11"]

    class Nothing(Disk):
        def remove_tree(self, top: Path) -> None:
            self.step("remove", top)

    with pytest.raises(StorageFailed, match="could not be removed"):
        delete_reviews(top, "job-11", Nothing())


def test_a_review_that_was_damaged_is_said_to_be(done: Attempt, tmp_path: Path) -> None:
    store = ReviewStore(tmp_path / "reviews", "job-1", "ann")
    store.begin(drawn(done.out), replace=False)
    (file,) = (tmp_path / "reviews" / "job-1").glob("*.json")
    file.write_text("{}")
    with pytest.raises(StorageFailed, match="no review"):
        store.read()
    with pytest.raises(StorageFailed, match="no review"):
        store.begin(drawn(done.out), replace=True)
