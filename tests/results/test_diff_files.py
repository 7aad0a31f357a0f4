"""The files of a difference and its verb: the tables, the map, the page, what is refused."""

from __future__ import annotations

import gzip
import json
import shutil
from pathlib import Path

import cv2
import geopandas
import numpy as np
import pytest
import shapely
from typer.testing import CliRunner, Result

from raysched.cli.main import app
from raysched.results.difference.difference import IN_A_FOLDER, Difference
from raysched.results.difference.status import COLOURS, Status
from raysched.results.manifest import MANIFEST
from raysched.results.schema import MEASURES
from tests.results.conftest import DISC_PITCH, Attempt
from tests.results.test_report import HOSTILE, Page, stands_alone


def test_the_files_say_of_every_cell_what_became_of_it(
    found: dict[str, Path], tmp_path: Path
) -> None:
    written = Difference(found["all"], found["large"]).folder(tmp_path / "diff")
    assert {path.name for path in written} == {f"diff{suffix}" for suffix in IN_A_FOLDER}
    assert set((tmp_path / "diff").iterdir()) == set(written)
    table = geopandas.read_parquet(tmp_path / "diff" / "diff.parquet")
    assert table.status.value_counts().to_dict() == {"lost": 13, "matched": 12}
    assert table.geometry.is_valid.all()
    cells = geopandas.read_parquet(found["all"] / "cells")
    assert table.geometry.to_list() == cells.geometry.to_list()
    assert table.iou.isna().tolist() == (table.status == "lost").tolist()
    whole = json.loads(gzip.decompress((tmp_path / "diff" / "diff.geojson.gz").read_bytes()))
    assert whole["raysched"]["matched"] == 12
    features = whole["features"]
    assert len({feature["id"] for feature in features}) == len(table)
    for feature, status in zip(features, table.status, strict=True):
        told = feature["properties"]
        colour = list(COLOURS[Status(status)])
        assert told["objectType"] == "detection"
        assert told["classification"] == {"name": status.capitalize(), "color": colour}
        names = {"matched": ["First ID", "Second ID", "IoU"], "lost": ["First ID"]}[status]
        assert list(told["measurements"]) == names
    outlines = shapely.from_geojson(json.dumps(whole))
    assert shapely.get_num_geometries(outlines) == len(table)
    (tmp_path / "swapped").mkdir()
    Difference(found["large"], found["all"]).file(tmp_path / "swapped" / "d.geojson")
    gained = json.loads((tmp_path / "swapped" / "d.geojson").read_text())["features"][12:]
    assert {each["properties"]["classification"]["name"] for each in gained} == {"Gained"}
    assert [list(each["properties"]["measurements"]) for each in gained] == [["Second ID"]] * 13


def test_the_map_shows_each_status_in_its_colour_where_its_cells_are(
    found: dict[str, Path], tmp_path: Path
) -> None:
    difference = Difference(found["all"], found["large"])
    difference.file(tmp_path / "d.png")
    picture = cv2.imread(str(tmp_path / "d.png"))[:, :, ::-1].astype(int)
    panel = (picture.shape[1] - 2 * 16) // 3
    assert panel == picture.shape[0] - 48
    scale = panel / 480
    for place in range(25):
        row, column = divmod(place, 5)
        x, y = (round((70 + DISC_PITCH * at) * scale) for at in (column, row))
        for i, status in enumerate(Status):
            left = i * (panel + 16) + x
            patch = picture[y + 45 : y + 52, left - 3 : left + 4].reshape(-1, 3)
            seen = np.median(patch, axis=0)  # a frame may pass
            want = Status.MATCHED if (row + column) % 2 else Status.LOST
            assert (np.ptp(seen) > 60) == (status is want), (place, status, seen)
            if status is want:
                nearest = min(Status, key=lambda each: np.abs(seen - COLOURS[each]).sum())
                assert nearest is status


def test_the_legend_of_the_picture_below_is_no_part_of_the_map(
    found: dict[str, Path], tmp_path: Path
) -> None:
    shutil.copytree(found["all"], tmp_path / "all")
    sheet = np.zeros((520, 480), np.uint8)
    sheet[:480] = 255
    cv2.imwrite(str(tmp_path / "all" / "tissue.png"), sheet)
    Difference(tmp_path / "all", found["all"]).file(tmp_path / "d.png")
    picture = cv2.imread(str(tmp_path / "d.png"))
    assert picture[48:, :900].shape == (900, 900, 3)
    assert picture[-20:, :900].min() > 240


def test_the_page_stands_alone_and_no_name_becomes_markup(
    found: dict[str, Path], tmp_path: Path
) -> None:
    for name in ("all", "large"):
        shutil.copytree(found[name], tmp_path / name)
        path = tmp_path / name / MANIFEST
        manifest = json.loads(path.read_text())
        manifest["slide"]["name"] = manifest["engine"] = manifest["job"] = HOSTILE + name
        manifest["params"][HOSTILE] = f"{HOSTILE}{name}"
        path.write_text(json.dumps(manifest))
    difference = Difference(tmp_path / "all", tmp_path / "large")
    page = Page(b"".join(difference.pieces()).decode())
    stands_alone(page)
    assert len(page.named("img")) == len(page.named("title")) == 1
    assert page.text.count("<script>alert(1)</script>") >= 6
    for said in ("Matched 12 ", "Lost 13 ", "Gained 0 ", "F1 0.649", "Mean IoU 1.000"):
        assert said in page.text
    assert "params.min_area_um2 5.0 50" in page.text
    assert len(page.named("table")) == 3
    assert len(MEASURES) == page.text.count(" 0 0 0 12 ")


# --- the verb -------------------------------------------------------------------------------------


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RAYSCHED_STATE", str(tmp_path / "state"))
    return tmp_path


def raysched(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(each) for each in arguments])


def test_the_verb_says_the_numbers_and_writes_what_the_name_asks_for(
    found: dict[str, Path], here: Path
) -> None:
    said = raysched("diff", found["all"], found["large"])
    assert said.exit_code == 0
    assert "12 matched, 13 lost, 0 gained of 25 and 12 cells of discs.tif" in said.stdout
    assert "params.min_area_um2: 5.0 -> 50.0" in said.stdout
    assert len(list((here / "all-large.diff").iterdir())) == len(IN_A_FOLDER)
    told = raysched("diff", found["all"], found["large"], "-o", "d.json", "--json")
    (line,) = told.stdout.splitlines()
    numbers = json.loads(line)["diff"]
    assert (numbers.pop("out"), numbers.pop("files")) == (
        str(here / "d.json"),
        [str(here / "d.json")],
    )
    assert json.loads((here / "d.json").read_text()) == numbers
    assert numbers == Difference(found["all"], found["large"]).numbers()
    page = raysched("diff", found["all"], found["large"], "-o", "-").stdout_bytes
    assert page == (here / "all-large.diff" / "diff.html").read_bytes()


def test_the_verb_overwrites_nothing_and_refuses_in_two_lines(
    found: dict[str, Path], done: Attempt, here: Path
) -> None:
    (here / "mine.html").write_text("mine")
    again = raysched("diff", found["all"], found["large"], "--out", "mine.html")
    assert (again.exit_code, "mine.html exists already" in again.stderr) == (2, True)
    assert (here / "mine.html").read_text() == "mine"
    other = raysched("diff", found["all"], done.out)
    assert other.exit_code == 2
    assert len(other.stderr.splitlines()) == 2
    assert "their SHA-256 differ" in other.stderr
    told = json.loads(raysched("diff", found["all"], done.out, "--json").stdout)
    assert told["error"]["code"] == "different_slides"
    unknown = raysched("diff", found["all"], "nothing")
    assert (unknown.exit_code, "There is no folder nothing" in unknown.stderr) == (2, True)
    assert [path.name for path in here.iterdir()] == ["mine.html"]
