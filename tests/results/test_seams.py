"""Seams: nothing lost, nothing doubled, and the same as a naive recomputation; runs exact."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from raysched.imaging.kernels.runs import paint
from raysched.results.runs import boxes, shared_px
from raysched.results.seams import PLACES, Rim, Twins, all_twins, dropped, unsettled

TILE, COLUMNS, ROWS, SEAM = 32, 3, 3, 4


@dataclass(frozen=True)
class Report:
    """A rectangle that a tile says is a cell; ``what`` is the true object, if known."""

    tile: int
    x0: int
    y0: int
    x1: int
    y1: int
    what: int = -1

    @property
    def pixels(self) -> frozenset[tuple[int, int]]:
        return frozenset((y, x) for y in range(self.y0, self.y1) for x in range(self.x0, self.x1))

    @property
    def centre(self) -> tuple[float, float]:
        return (self.x0 + self.x1) / 2, (self.y0 + self.y1) / 2

    def lies_in(self, grown: int) -> bool:
        row, column = divmod(self.tile, COLUMNS)
        x, y = self.centre
        left, top = column * TILE - grown, row * TILE - grown
        return left <= x < left + TILE + 2 * grown and top <= y < top + TILE + 2 * grown


def by_tile(reports: list[Report]) -> dict[int, list[Report]]:
    """As a tile orders its batch."""
    tiles = defaultdict(list)
    for report in sorted(set(reports), key=lambda r: (r.centre[1], r.centre[0], r.y0, r.x0, r.x1)):
        tiles[report.tile].append(report)
    return dict(sorted(tiles.items()))


def rim(tile: int, reports: list[Report]) -> Rim:
    runs = [(y, r.x0, r.x1) for r in reports for y in range(r.y0, r.y1)]
    return Rim(
        tile=np.full(len(reports), tile, np.int32),
        place=np.arange(len(reports), dtype=np.int32),
        inside=np.array([r.lies_in(0) for r in reports]),
        area_px=np.array([len(r.pixels) for r in reports], np.int32),
        runs=np.array(runs, np.int32).reshape(-1, 3),
        runs_at=np.cumsum([0] + [r.y1 - r.y0 for r in reports]).astype(np.int32),
    )


def pairs_of(tiles: dict[int, list[Report]]) -> Twins:
    return all_twins((rim(tile, reports) for tile, reports in tiles.items()), COLUMNS, ROWS)


def survivors(tiles: dict[int, list[Report]]) -> list[Report]:
    drops = dropped(pairs_of(tiles))
    return [
        report
        for tile, reports in tiles.items()
        for place, report in enumerate(reports)
        if place not in drops.get(tile, ())
    ]


def twins(a: Report, b: Report) -> bool:
    if a.tile == b.tile:
        return False
    return 2 * len(a.pixels & b.pixels) > min(len(a.pixels), len(b.pixels))


def naive(tiles: dict[int, list[Report]]) -> list[Report]:
    """The rule as it is written, one report after the other."""
    ranked = sorted(
        [
            (not report.lies_in(0), tile, place, report)
            for tile, reports in tiles.items()
            for place, report in enumerate(reports)
        ],
        key=lambda entry: entry[:3],
    )
    kept: list[tuple[int, int, Report]] = []
    for _, tile, place, report in ranked:
        if not any(twins(report, other) for _, _, other in kept):
            kept.append((tile, place, report))
    return [report for _, _, report in sorted(kept, key=lambda entry: entry[:2])]


edge = st.integers(0, COLUMNS * TILE - 1)
size = st.integers(1, 14)


@st.composite
def anything(draw: st.DrawFn) -> list[Report]:
    """Reports that overlap at will, crowded around one corner of four tiles."""
    corner = st.integers(TILE - 8, TILE + 8)
    return [
        Report(draw(st.sampled_from([0, 1, 3, 4])), x, y, x + draw(size), y + draw(size))
        for x, y in draw(st.lists(st.tuples(corner, corner), max_size=14))
    ]


@st.composite
def scene(draw: st.DrawFn) -> list[Report]:
    """Disjoint objects, seen by each tile they concern with edges off by up to one pixel."""
    off = st.integers(-1, 1)
    reports = []
    places = st.tuples(st.integers(0, 5), st.integers(0, 5))
    for what, (column, row) in enumerate(draw(st.lists(places, unique=True, max_size=20))):
        x0 = column * 16 + draw(st.integers(1, 6))
        y0 = row * 16 + draw(st.integers(1, 6))
        x1, y1 = x0 + draw(st.integers(6, 8)), y0 + draw(st.integers(6, 8))
        for tile in range(COLUMNS * ROWS):
            seen = [edge + draw(off) for edge in (x0, y0, x1, y1)]
            report = Report(tile, *(max(0, side) for side in seen), what=what)
            if report.lies_in(SEAM):
                reports.append(report)
    return reports


@given(anything())
def test_the_vectorised_choice_is_the_naive_choice(reports: list[Report]) -> None:
    tiles = by_tile(reports)
    assert survivors(tiles) == naive(tiles)


@given(scene())
def test_no_object_is_lost_and_none_is_doubled(reports: list[Report]) -> None:
    kept = survivors(by_tile(reports))
    assert sorted(report.what for report in kept) == sorted({report.what for report in reports})
    assert not any(twins(a, b) for a, b in combinations(kept, 2))
    for report in kept:
        seen = [other for other in reports if other.what == report.what]
        assert report.lies_in(0) == any(other.lies_in(0) for other in seen)


@given(scene(), st.randoms(use_true_random=False))
def test_the_order_in_which_tiles_saw_things_does_not_matter(
    reports: list[Report], random: np.random.Generator
) -> None:
    shuffled = list(reports)
    random.shuffle(shuffled)
    assert survivors(by_tile(shuffled)) == survivors(by_tile(reports))


def test_of_two_equal_claims_the_lower_tile_wins() -> None:
    both_inside = by_tile([Report(0, 26, 8, 37, 16), Report(1, 28, 8, 37, 16)])
    assert [report.tile for report in survivors(both_inside)] == [0]
    none_inside = by_tile([Report(0, 28, 8, 38, 16), Report(1, 26, 8, 36, 16)])
    assert [report.tile for report in survivors(none_inside)] == [0]


def test_the_claim_of_the_owner_wins_over_a_lower_tile() -> None:
    tiles = by_tile([Report(0, 28, 8, 38, 16), Report(1, 28, 8, 39, 16)])
    assert [report.tile for report in survivors(tiles)] == [1]


def test_a_cell_that_its_owner_lost_is_kept() -> None:
    tiles = by_tile([Report(0, 30, 8, 38, 16), Report(1, 50, 8, 58, 16)])
    assert len(survivors(tiles)) == 2


def test_without_any_cells_nothing_is_dropped() -> None:
    assert dropped(all_twins([], COLUMNS, 1)) == {}
    assert dropped(all_twins([rim(0, []), rim(1, [])], COLUMNS, 1)) == {}


def test_a_cell_whose_rival_may_still_fall_is_not_settled() -> None:
    coming, rival, third = (
        Report(0, 20, 8, 30, 16), Report(1, 24, 8, 34, 16), Report(3, 30, 8, 36, 16),
    )  # fmt: skip
    assert survivors(by_tile([rival, third])) == [rival]
    assert survivors(by_tile([coming, rival, third])) == [coming, third]
    exposed = np.array([1 * PLACES], np.int64)
    is_open = unsettled(pairs_of(by_tile([rival, third])), exposed)
    assert is_open.tolist() == [1 * PLACES, 3 * PLACES]


def overlap(a: Report, b: Report) -> bool:
    return a.x0 < b.x1 and b.x0 < a.x1 and a.y0 < b.y1 and b.y0 < a.y1


@given(anything(), st.sets(st.sampled_from([0, 1, 3, 4])))
def test_what_is_settled_before_all_tiles_have_come_stays_as_it_is(
    reports: list[Report], to_come: set[int]
) -> None:
    tiles = by_tile(reports)
    here = {tile: found for tile, found in tiles.items() if tile not in to_come}
    coming = [report for tile in to_come for report in tiles.get(tile, [])]
    keys = {tile * PLACES + at: r for tile, found in here.items() for at, r in enumerate(found)}
    exposed = [key for key, r in keys.items() if any(overlap(r, other) for other in coming)]
    is_open = unsettled(pairs_of(here), np.array(exposed, np.int64)).tolist()
    assert set(exposed) <= set(is_open) <= set(keys)
    now, later = set(survivors(here)), set(survivors(tiles))
    for key, report in keys.items():
        if key not in is_open:
            assert (report in now) == (report in later)


@given(st.lists(st.tuples(edge, edge, size, size), max_size=12))
def test_painting_gives_every_pixel_to_the_lowest_id(
    shapes: list[tuple[int, int, int, int]],
) -> None:
    reports = [Report(0, x, y, x + w, y + h) for x, y, w, h in shapes]
    cells = rim(0, reports)
    x0, y0, height, width = 13, 21, 50, 40
    want = np.zeros((height, width), np.uint32)
    for number, report in reversed(list(enumerate(reports, 1))):
        for y, x in report.pixels:
            if y0 <= y < y0 + height and x0 <= x < x0 + width:
                want[y - y0, x - x0] = number
    got = np.zeros_like(want)
    ids = np.arange(1, len(reports) + 1, dtype=np.uint32)
    paint(got, x0, y0, ids, cells.runs, cells.runs_at)
    assert np.array_equal(got, want)


@given(st.lists(st.tuples(edge, edge, size, size), min_size=2, max_size=8))
def test_shared_pixels_and_boxes_are_exact(shapes: list[tuple[int, int, int, int]]) -> None:
    reports = [Report(0, x, y, x + w, y + h) for x, y, w, h in shapes]
    cells = rim(0, reports)
    pairs = list(combinations(range(len(reports)), 2))
    left, right = (np.array(side) for side in zip(*pairs, strict=True))
    want = [len(reports[a].pixels & reports[b].pixels) for a, b in pairs]
    assert shared_px(cells.runs, cells.runs_at, left, right).tolist() == want
    assert boxes(cells.runs, cells.runs_at).tolist() == [[r.x0, r.y0, r.x1, r.y1] for r in reports]
