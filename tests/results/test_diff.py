"""Two results compared: what is reckoned by hand, an oracle that tries every pair, real stages."""

from __future__ import annotations

import gzip
import json
import re
import shutil
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import shapely

from raysched.errors import DifferentSlides, NotReady, StorageFailed
from raysched.results.difference.difference import Difference
from raysched.results.difference.facts import WINDOW_UM, Change, gather
from raysched.results.difference.matching import MATCHING_IOU, Pairs, Partners, one_to_one
from raysched.results.difference.status import Status
from raysched.results.difference.tables import tables
from raysched.results.difference.windows import windows
from raysched.results.manifest import MANIFEST
from raysched.results.schema import CELLS, COVERING, SIDES
from tests.results.conftest import Attempt
from tests.results.test_report import Page

SIDE_PX = 2048
"""Of the slide that made-up results are of: four windows across at a um per px."""


# --- results, from the real stages and made up ----------------------------------------------------


def made(result: Path, to: Path, polygons: list[Any], group: int = 7, **measured: Any) -> Path:
    """A result of these outlines in small row groups, in the order given, on a larger slide."""
    shutil.copytree(result, to)
    shapes = np.array(polygons, object)
    count = len(shapes)
    centres = shapely.get_coordinates(shapely.centroid(shapes)).reshape(-1, 2)
    corners = shapely.bounds(shapes).reshape(-1, 4).T
    columns: dict[str, Any] = {
        **{name: np.zeros(count) for name in CELLS.names[4:13]},
        "id": np.arange(1, count + 1),
        "geometry": shapely.to_wkb(shapes, byte_order=1),
        "centroid_x_px": centres[:, 0],
        "centroid_y_px": centres[:, 1],
        **measured,
    }
    sides = [pa.array(np.ascontiguousarray(corner), pa.float64()) for corner in corners]
    cast = {name: pa.array(value, CELLS.field(name).type) for name, value in columns.items()}
    cast[COVERING] = pa.StructArray.from_arrays(sides, names=list(SIDES))
    table = pa.table({name: cast[name] for name in CELLS.names}, schema=CELLS)
    pq.write_table(table, to / "cells" / "part-00000.parquet", row_group_size=group)
    manifest = json.loads((to / MANIFEST).read_text())
    manifest["counts"]["cells"] = count
    manifest["slide"] |= {"width": SIDE_PX, "height": SIDE_PX, "mpp": 1.0}
    (to / MANIFEST).write_text(json.dumps(manifest))
    return to


def statuses(first: Path, second: Path) -> list[tuple[str, int | None, int | None]]:
    """Every row of the difference without its geometry."""
    rows = pa.concat_tables(tables(gather(first, second))).to_pylist()
    return [(row["status"], row["id_first"], row["id_second"]) for row in rows]


# --- by hand --------------------------------------------------------------------------------------


def test_squares_are_matched_above_one_half_and_never_at_it(
    found: dict[str, Path], tmp_path: Path
) -> None:
    box = shapely.box
    one = [box(at, 0, at + 10, 10) for at in (0, 100, 200, 300, 400)]
    two = [
        box(305, 0, 315, 10), box(200, 0, 210, 5), box(102, 0, 112, 10), box(0, 0, 10, 10),
        box(400, 0, 410, 5.1),
    ]  # fmt: skip
    first = made(found["all"], tmp_path / "a", one, area_um2=[100] * 5)
    second = made(found["all"], tmp_path / "b", two, area_um2=[100, 50, 104, 100, 100])
    assert statuses(first, second) == [
        ("matched", 1, 4), ("matched", 2, 3), ("lost", 3, None), ("lost", 4, None),
        ("matched", 5, 5), ("gained", None, 1), ("gained", None, 2),
    ]  # fmt: skip
    told = Difference(first, second).numbers()
    assert (told["matched"], told["lost"], told["gained"]) == (3, 2, 2)
    assert told["f1"] == {"0.5": 0.6, "0.6": 0.4, "0.7": 0.2, "0.8": 0.2, "0.9": 0.2}
    assert told["jaccard"] == pytest.approx(3 / 7, abs=1e-6)
    assert told["mean_iou"] == pytest.approx((1 + 8 / 12 + 0.51) / 3, abs=1e-6)
    area = told["changes"]["area_um2"]
    assert (area["cells"], area["median"], area["p95"]) == (3, 0.0, pytest.approx(4, abs=0.01))


def test_of_rivals_the_better_match_wins_wherever_their_windows_are(
    found: dict[str, Path], tmp_path: Path
) -> None:
    edge = WINDOW_UM
    one = [
        shapely.box(edge - 11, 0, edge + 9, 10),  # the middles of these two lie on either side
        shapely.box(edge - 9, 0, edge + 11, 10),
    ]
    two = [shapely.box(edge - 8.5, 0, edge + 11.5, 10), shapely.box(edge - 4, 0, edge + 16, 10)]
    first, second = made(found["all"], tmp_path / "a", one), made(found["all"], tmp_path / "b", two)
    # 1-1 and 2-1 are above one half, 2-2 too; 2-1 is best, and 2 has no more to give.
    assert statuses(first, second) == [
        ("lost", 1, None), ("matched", 2, 1), ("gained", None, 2),
    ]  # fmt: skip


def test_rivals_are_told_apart_in_the_order_of_iou_then_of_ids() -> None:
    u32 = np.uint32
    pairs = Pairs(
        np.array([1, 1, 2, 2, 3], u32), np.array([1, 2, 1, 3, 3], u32),
        np.array([0.8, 0.7, 0.9, 0.6, 0.6]),
    )  # fmt: skip
    kept = one_to_one(pairs)
    assert sorted(zip(kept.first.tolist(), kept.second.tolist(), strict=True)) == [
        (1, 2), (2, 1), (3, 3),
    ]  # fmt: skip
    partners = Partners(3, 3)
    for cell in (3, 1, 2):
        partners.add(pairs.take(pairs.first == cell))
    settled = partners.settled()
    assert settled.second.tolist() == [0, 2, 1, 3]
    assert settled.first.tolist() == [0, 2, 1, 3]
    assert settled.iou.tolist() == [0, 0.7, 0.9, 0.6]


def test_quantiles_of_changes_are_exact_to_half_a_step_and_none_is_zero() -> None:
    change = Change((0.0, 10.0), (0.0, 30.0))
    assert np.isnan(change.quantile(0.5))
    change.add(np.array([-1.0, 0.0, 0.0, 2.5, np.nan, 30.0]))
    assert change.count == 5
    assert change.quantile(0.5) == 0.0
    quantiles = [change.quantile(share) for share in (0.05, 0.75, 1.0)]
    assert quantiles == pytest.approx([-1.0, 2.5, 30.0], abs=30 / (1 << 16))


# --- every pair -----------------------------------------------------------------------------------


def crowd(rng: np.random.Generator) -> list[Any]:
    """Random outlines, some of them over window borders and over each other."""
    centres = rng.uniform(200, SIDE_PX - 200, (50, 2))
    centres[:25] = np.round(centres[:25] / WINDOW_UM) * WINDOW_UM + rng.normal(0, 6, (25, 2))
    turns = np.linspace(0, 2 * np.pi, 12, endpoint=False)
    around = np.stack([np.cos(turns), np.sin(turns)], axis=1)
    radii = rng.uniform(15, 30, (50, 12, 1))
    return [shapely.Polygon(c + r * around) for c, r in zip(centres, radii, strict=True)]


def moved(shapes: list[Any], rng: np.random.Generator) -> list[Any]:
    """Most of them in another order and a little elsewhere, some as they were."""
    shifts = rng.normal(0, 4, (len(shapes), 2)) * (rng.random((len(shapes), 1)) < 0.8)
    each = [
        shapely.Polygon(shapely.get_coordinates(shape) + shift)
        for shape, shift in zip(shapes, shifts, strict=True)
    ]
    return [each[place] for place in rng.permutation(len(each))[:40]] + crowd(rng)[:10]


def every_pair(one: list[Any], two: list[Any]) -> dict[int, tuple[int, float]]:
    """Partner and IoU of each id that has one, by trying all."""
    tried = [
        (shapely.intersection(a, b).area / shapely.union(a, b).area, i, j)
        for i, a in enumerate(one, start=1)
        for j, b in enumerate(two, start=1)
    ]
    found: dict[int, tuple[int, float]] = {}
    for iou, i, j in sorted(tried, key=lambda pair: (-pair[0], *pair[1:])):
        if iou > MATCHING_IOU and i not in found and all(j != other for other, _ in found.values()):
            found[i] = j, iou
    return found


@pytest.mark.parametrize("seed", range(8))
def test_windows_and_row_groups_change_no_match(
    seed: int, found: dict[str, Path], tmp_path: Path
) -> None:
    rng = np.random.default_rng(seed)
    one = crowd(rng)
    two = moved(one, rng)
    first = made(found["all"], tmp_path / "a", one, group=int(rng.integers(1, 60)))
    second = made(found["all"], tmp_path / "b", two, group=int(rng.integers(1, 60)))
    partners = gather(first, second).partners
    want = every_pair(one, two)
    assert len(want) > 15
    assert {i: int(j) for i, j in enumerate(partners.second) if j} == {
        i: j for i, (j, _) in want.items()
    }
    for i, (_, iou) in want.items():
        assert partners.iou[i] == pytest.approx(iou, abs=1e-9)
    back = gather(second, first).partners
    assert back.second.tolist() == partners.first.tolist()


# --- the real stages ------------------------------------------------------------------------------


def test_a_result_is_no_different_from_itself_or_from_the_same_work_done_again(
    found: dict[str, Path], tmp_path: Path
) -> None:
    again = shutil.copytree(found["all"], tmp_path / "again")
    manifest = json.loads((again / MANIFEST).read_text())
    manifest |= {"job": "job-again", "reused": ["plan"], "created_at": "2026-01-01T00:00:00Z"}
    manifest["timings"]["plan_s"] += 1
    (again / MANIFEST).write_text(json.dumps(manifest))
    told = Difference(found["all"], again).numbers()
    assert (told["matched"], told["lost"], told["gained"]) == (25, 0, 0)
    assert (told["f1"]["0.9"], told["jaccard"], told["mean_iou"]) == (1.0, 1.0, 1.0)
    assert told["differing"] == []
    for change in told["changes"].values():
        assert (change["cells"], change["median"], change["p05"], change["p95"]) == (25, 0, 0, 0)


def test_exactly_the_small_ones_are_lost_when_only_large_ones_are_looked_for(
    found: dict[str, Path],
) -> None:
    areas = pq.read_table(found["all"] / "cells").column("area_um2").to_numpy()
    small = np.flatnonzero(areas < 50) + 1
    rows = statuses(found["all"], found["large"])
    assert [first for status, first, _ in rows if status == "lost"] == small.tolist()
    told = Difference(found["all"], found["large"]).numbers()
    assert (told["matched"], told["lost"], told["gained"]) == (12, 13, 0)
    assert told["mean_iou"] == 1.0
    assert told["differing"] == [
        {"setting": "params.min_area_um2", "first": 5.0, "second": 50.0},
        {"setting": "grid.tile_px", "first": 160, "second": 200},
    ]


def test_results_on_other_working_grids_are_compared_in_level_0(found: dict[str, Path]) -> None:
    told = Difference(found["all"], found["scaled"]).numbers()
    assert (told["matched"], told["lost"], told["gained"]) == (25, 0, 0)
    assert 0.7 < told["mean_iou"] < 1
    assert {"slide.mpp", "grid.l0_per_w"} <= {each["setting"] for each in told["differing"]}


def test_without_cells_everything_is_lost_or_nothing_differs(
    found: dict[str, Path], tmp_path: Path
) -> None:
    told = Difference(found["all"], found["none"]).numbers()
    assert (told["matched"], told["lost"], told["gained"]) == (0, 25, 0)
    assert (told["f1"]["0.5"], told["mean_iou"], told["jaccard"]) == (0, 0, 0)
    assert told["changes"]["area_um2"]["median"] is None
    nothing = Difference(found["none"], found["none"])
    assert (nothing.numbers()["jaccard"], nothing.numbers()["matched"]) == (1.0, 0)
    nothing.folder(tmp_path / "diff")
    page = Page((tmp_path / "diff" / "diff.html").read_text())
    assert "No cell was matched" in page.text
    assert "no cell was lost or gained" in page.text
    assert re.search(r"\bnan\b", page.text) is None
    assert (
        json.loads(gzip.decompress((tmp_path / "diff" / "diff.geojson.gz").read_bytes()))[
            "features"
        ]
        == []
    )
    assert len(geopandas.read_parquet(tmp_path / "diff" / "diff.parquet")) == 0


def test_other_slides_unfinished_jobs_and_damage_are_refused(
    found: dict[str, Path], done: Attempt, attempt: Attempt, tmp_path: Path
) -> None:
    with pytest.raises(DifferentSlides) as refused:
        Difference(found["all"], done.out)
    assert "discs.tif" in refused.value.message
    assert "crop.tif" in refused.value.message
    attempt.plan()
    with pytest.raises(NotReady) as early:
        Difference(done.out, attempt.staging)
    assert "raysched watch" in early.value.remedy
    shutil.copytree(done.out, tmp_path / "cut")
    part = tmp_path / "cut" / "cells" / "part-00000.parquet"
    part.write_bytes(part.read_bytes()[:-9])
    shutil.copytree(done.out, tmp_path / "short")
    pq.write_table(CELLS.empty_table(), tmp_path / "short" / "cells" / "part-00000.parquet")
    (shutil.copytree(done.out, tmp_path / "blind") / "tissue.png").write_text("no picture")
    cells = pq.read_table(done.out / "cells" / "part-00000.parquet")
    junk = pa.array([b"no polygon"] * cells.num_rows, pa.binary())
    place = cells.schema.get_field_index("geometry")
    shutil.copytree(done.out, tmp_path / "junk")
    spoilt = cells.set_column(place, cells.schema.field(place), junk)
    pq.write_table(spoilt, tmp_path / "junk" / "cells" / "part-00000.parquet")
    for name in ("cut", "short", "junk"):
        with pytest.raises(StorageFailed):
            Difference(tmp_path / name, done.out)
    with pytest.raises(StorageFailed):
        Difference(tmp_path / "blind", done.out).folder(tmp_path / "diff")
    assert not (tmp_path / "diff").exists()


def test_the_first_window_is_where_most_cells_were_lost(
    found: dict[str, Path], tmp_path: Path
) -> None:
    many = [shapely.box(x, 900, x + 8, 908) for x in range(1500, 1560, 12)]
    one = [shapely.box(100, 100, 108, 108), *many, shapely.box(1000, 1500, 1008, 1508)]
    first = made(found["all"], tmp_path / "a", one)
    second = made(found["all"], tmp_path / "b", one[-1:])
    shown = windows(gather(first, second))
    assert [window.count(Status.LOST) for window in shown] == [len(many), 1]
    assert {window.count(Status.MATCHED) for window in shown} == {0}


def test_windows_hold_the_cells_that_were_lost(found: dict[str, Path]) -> None:
    shown = windows(gather(found["all"], found["large"]))
    assert 1 <= len(shown) <= 4
    lost = [window.count(Status.LOST) for window in shown]
    assert lost[0] == 5  # of three by three nuclei, with small ones in the corners
    squares = [shapely.box(w.x, w.y, w.x + w.side_px, w.y + w.side_px) for w in shown]
    assert shapely.area(shapely.union_all(squares)) == pytest.approx(
        sum(square.area for square in squares)
    )
    for window, square in zip(shown, squares, strict=True):
        assert all(outline.intersects(square) for outline in window.first[Status.LOST])
