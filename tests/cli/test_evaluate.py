"""``raysched evaluate`` on annotated images drawn here: its numbers, pictures and refusals."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner, Result

from raysched.cli.evaluate import Extremes, table_of
from raysched.cli.main import app
from raysched.imaging.accuracy import Tally
from raysched.imaging.annotated import Pair
from raysched.imaging.evaluation import Judged
from raysched.results.comparison import FALSE, MATCHED, MISSED, Compared, comparison_png

SIDE, STEP = 240, 48


@pytest.fixture(autouse=True)
def ray_must_not_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_ADDRESS", "nowhere:1")


def draw(folder: Path, name: str, *, unannotated: int = 0) -> None:
    """An image with 16 dark nuclei on pink, and labels of all but the first few of them."""
    rgb = np.full((SIDE, SIDE, 3), (228, 190, 215), np.uint8)
    labels = np.zeros((SIDE, SIDE), np.uint16)
    places = [(x, y) for y in range(STEP, SIDE, STEP) for x in range(STEP, SIDE, STEP)]
    for number, place in enumerate(places):
        cv2.ellipse(rgb, place, (14, 11), 30, 0, 360, (90, 60, 150), -1)
        if number >= unannotated:
            cv2.ellipse(labels, place, (14, 11), 30, 0, 360, number + 1, -1)
    rgb = cv2.GaussianBlur(rgb, (5, 5), 1.0)
    for part, pixels in (("images", rgb), ("labels", labels)):
        (folder / part).mkdir(exist_ok=True)
        Image.fromarray(pixels).save(folder / part / f"{name}.png")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    draw(tmp_path, "all")
    draw(tmp_path, "half", unannotated=8)
    return tmp_path


def evaluate(folder: Path, *arguments: object, mpp: object = 0.25) -> Result:
    given: list[object] = ["--images", folder / "images", "--labels", folder / "labels"]
    given += [] if mpp is None else ["--mpp", mpp]
    return CliRunner().invoke(app, ["evaluate", *map(str, [*given, *arguments])])


def lines_of(result: Result) -> list[dict[str, Any]]:
    assert result.exit_code == 0, result.output
    return [json.loads(line) for line in result.stdout.splitlines()]


def test_each_image_and_the_total_are_a_json_line(folder: Path) -> None:
    whole, half, total = lines_of(evaluate(folder, "--json"))
    assert (whole["image"]["name"], half["image"]["name"]) == ("all", "half")
    counts = ("annotated", "found", "matched")
    assert [whole["image"][each] for each in counts] == [16, 16, 16]
    assert [half["image"][each] for each in counts] == [8, 16, 8]
    assert (whole["image"]["f1"]["0.5"], half["image"]["f1"]["0.5"]) == (1.0, 0.666667)
    assert (half["image"]["precision"], half["image"]["recall"]) == (0.5, 1.0)
    said = total["total"]
    assert [said[each] for each in ("images", *counts)] == [2, 24, 32, 24]
    assert said["f1"]["0.5"] == pytest.approx(2 * 24 / 56, abs=1e-6)
    assert said["mean_over_images"]["f1"]["0.5"] == pytest.approx((1 + 2 / 3) / 2, abs=1e-6)
    assert said["pq"] == pytest.approx(said["sq"] * said["rq"], abs=1e-5)
    assert (said["engine"], said["mpp"], said["params"]["threshold"]) == ("classical", 0.25, 0.6)


def test_people_get_a_table_that_fits_a_terminal(folder: Path) -> None:
    result = evaluate(folder)
    heading, _, whole, half, _, pooled, mean, *rest = result.stdout.splitlines()
    words = " ".join(heading.split())
    assert words == "image cells found F1 .5 .6 .7 .8 .9 prec rec PQ SQ AJI Dice"
    assert whole.split()[:4] == ["all", "16", "16", "1.00"]
    assert half.split()[:4] == ["half", "8", "16", ".667"]
    assert pooled.split()[:4] == ["pooled", "24", "32", ".857"]
    assert mean.split()[:2] == ["mean", ".833"]
    assert "pooled: cells and pixels of all images together" in rest[-1]


def test_a_long_name_is_cut_to_the_terminal_and_nowhere_else() -> None:
    tallies = {"n" * 64: Tally(found=9999, annotated=9999)}
    assert max(map(len, table_of(tallies, 80).splitlines())) <= 80
    assert f"{'n' * 11}\N{HORIZONTAL ELLIPSIS} 9,999 9,999" in table_of(tallies, 80)
    assert "n" * 64 in table_of(tallies)


def test_parameters_are_pairs_or_a_json_object(folder: Path) -> None:
    nothing = '{"min_area_um2": 100, "max_area_um2": 101}'
    for given in (("--params", nothing), ("-p", "min_area_um2=100", "-p", "max_area_um2=101")):
        *_, total = lines_of(evaluate(folder, *given, "--json"))
        assert total["total"]["found"] == 0
        assert total["total"]["params"]["min_area_um2"] == 100


# --- pictures -------------------------------------------------------------------------------------


def test_the_best_and_the_worst_are_drawn(folder: Path) -> None:
    pictures = folder / "new" / "pictures"
    *_, last = lines_of(evaluate(folder, "--pictures", pictures, "--json"))
    names = ["best-1-all.png", "worst-1-half.png"]
    assert last == {"pictures": {"folder": str(pictures), "files": names}}
    assert sorted(path.name for path in pictures.iterdir()) == names
    assert f"picture  {pictures / names[0]}" not in evaluate(folder).stdout


def test_a_picture_shows_what_is_matched_missed_and_false() -> None:
    found, annotated = np.zeros((2, 60, 60), np.int64)
    found[5:15, 5:15] = annotated[5:15, 5:15] = 1
    annotated[30:40, 5:15] = 2
    found[30:40, 40:50] = 70_000
    rgb = np.full((60, 60, 3), 200, np.uint8)
    base = {MATCHED, MISSED, FALSE}  # the legend shows all three

    def drawn(found: Any, annotated: Any) -> dict[tuple[int, ...], int]:
        png = comparison_png(Compared("x", "e", rgb, found, annotated, Tally()))
        with Image.open(io.BytesIO(png)) as image:
            counted = image.convert("RGB").getcolors(maxcolors=1 << 24) or []
        return {colour: count for count, colour in counted if colour in base}  # type: ignore[misc]

    nothing = np.zeros_like(found)
    legend = drawn(nothing, nothing)
    assert set(legend) == base
    more = drawn(found, annotated)
    assert all(more[colour] > legend[colour] + 500 for colour in base)
    assert drawn(nothing, annotated)[MATCHED] == drawn(found, nothing)[MATCHED] == legend[MATCHED]


@pytest.mark.parametrize("number", [1, 2, 5, 6, 30])
def test_no_image_is_both_best_and_worst(number: int) -> None:
    shown = Extremes(most=3)
    order = np.random.default_rng(number).permutation(number)
    for i in order:
        tally = Tally(found=number, annotated=number, matched=(int(i), 0, 0, 0, 0))
        labels = np.zeros((1, 1), np.int32)
        shown.add(Judged(Pair(f"{i:02}", Path("i"), Path("l")), labels, tally))
    named = {rank: int(one.pair.name) for rank, one in shown.named().items()}
    worst = min(3, number // 2)
    best = min(3, number - worst)
    wanted = {f"best-{i + 1}": number - 1 - i for i in range(best)}
    assert named == {**wanted, **{f"worst-{i + 1}": i for i in range(worst)}}


# --- refusals -------------------------------------------------------------------------------------


def refused(result: Result, code: str, message: str, exit_code: int = 2) -> None:
    """One JSON line that says what, and in another member what to do."""
    (line,) = result.stdout.splitlines()
    error = json.loads(line)["error"]
    assert (result.exit_code, error["code"]) == (exit_code, code)
    assert message in error["message"]
    assert len(error["remedy"]) > 10 and "\n" not in error["message"] + error["remedy"]


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("--engine", "magic"), "unknown_engine", "no engine named 'magic'"),
        (("--param", "colour=3"), "invalid_setting", "colour"),
        (("--param", "threshold=99"), "invalid_setting", "threshold"),
        (("--params", '{"threshold": '), "invalid_setting", "are no JSON object"),
        (("--params", "threshold"), "invalid_setting", "not of the form KEY=VALUE"),
    ],
)
def test_what_no_engine_can_do_is_refused(
    arguments: tuple[str, ...], code: str, message: str, folder: Path
) -> None:
    refused(evaluate(folder, *arguments, "--json"), code, message)


def test_a_pixel_size_must_be_said_and_plausible(folder: Path) -> None:
    refused(evaluate(folder, "--json", mpp=None), "needs_mpp", "What is the pixel size")
    for mpp in (0, 25, "nan", -0.25):
        refused(evaluate(folder, "--json", mpp=mpp), "invalid_setting", "is outside 0.08..2 um")


def test_folders_that_are_missing_empty_or_the_same_are_refused(tmp_path: Path) -> None:
    refused(evaluate(tmp_path, "--json"), "not_found", f"no folder {tmp_path / 'images'}")
    (tmp_path / "images").mkdir()
    refused(evaluate(tmp_path, "--json"), "not_found", f"no folder {tmp_path / 'labels'}")
    (tmp_path / "labels").mkdir()
    refused(evaluate(tmp_path, "--json"), "not_found", "no PNG or TIFF file")
    same = ("--labels", tmp_path / "images", "--json")
    refused(evaluate(tmp_path, *same), "invalid_setting", "both said to be in")


def test_an_image_or_labels_without_a_partner_are_named(folder: Path) -> None:
    (folder / "labels" / "half.png").rename(folder / "labels" / "other.png")
    refused(evaluate(folder, "--json"), "bad_annotation", "half.png has no labels in")
    (folder / "images" / "half.png").unlink()
    refused(evaluate(folder, "--json"), "bad_annotation", "other.png has no image in")
    (folder / "images" / "all.tif").touch()
    refused(evaluate(folder, "--json"), "invalid_setting", "have the same name before the suffix")


def test_labels_of_another_size_or_kind_are_refused_before_the_work(folder: Path) -> None:
    path = folder / "labels" / "half.png"
    Image.fromarray(np.zeros((SIDE, SIDE - 1), np.uint16)).save(path)
    refused(evaluate(folder, "--json"), "bad_annotation", f"but its labels {path} 239 x 240")
    Image.fromarray(np.zeros((SIDE, SIDE, 3), np.uint8)).save(path)
    refused(evaluate(folder, "--json"), "bad_annotation", f"{path} is no label image")


def test_a_folder_for_pictures_that_is_in_use_is_left_alone(folder: Path) -> None:
    result = evaluate(folder, "--pictures", folder / "images", "--json")
    refused(result, "output_not_empty", "exists already")
    below = folder / "images" / "all.png" / "below"
    error = evaluate(folder, "--pictures", below, "--json")
    refused(error, "storage_failed", "for pictures cannot be written: Not a directory", 4)


def test_people_are_told_in_two_lines(folder: Path) -> None:
    result = evaluate(folder, "--engine", "magic")
    assert (result.exit_code, result.stdout) == (2, "")
    said, todo = result.stderr.splitlines()
    assert said == "error: There is no engine named 'magic'."
    assert todo.startswith("  do: Choose one of: classical")
