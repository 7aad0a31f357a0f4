"""``raysched sim --plot``: a real picture of a real simulation, and what is refused before it."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from PIL import Image
from typer.testing import CliRunner, Result

from raysched.cli.main import app
from raysched.cli.plots import (
    BAR,
    BROKEN,
    COLOURS,
    CURVE,
    DPI,
    HEIGHT_IN,
    WIDTH_IN,
    draw,
    save_plot,
)
from raysched.errors import StorageFailed
from raysched.simulation import Outcome, Scenario

ENDLESS = 1_000_000
"""Jobs that nobody can simulate within a test: what is refused with them was refused before."""


def sim(*arguments: object, jobs: int = 200) -> Result:
    return CliRunner().invoke(app, ["sim", f"--jobs={jobs}", *map(str, arguments)])


def colours(picture: Path) -> set[str]:
    """The colours of a picture as #rrggbb."""
    with Image.open(picture) as image:
        assert image.format == "PNG"
        assert image.size == (round(WIDTH_IN * DPI), round(HEIGHT_IN * DPI))
        found = image.convert("RGB").getcolors(maxcolors=1 << 24) or []
    return {"#{:02x}{:02x}{:02x}".format(*colour) for _, colour in found}  # type: ignore[misc]


def test_the_picture_shows_the_waits_the_shares_and_the_ends(tmp_path: Path) -> None:
    picture = tmp_path / "sim.png"
    result = sim("--users", 4, "--faults", 0.2, "--plot", picture)
    assert result.exit_code == 0, result.output
    assert f"plot        {picture}\n" in result.stdout
    shown = colours(picture)
    assert {CURVE, BAR, *COLOURS.values()} <= shown
    assert len(shown) > 100
    assert list(tmp_path.iterdir()) == [picture]


def test_the_title_names_the_simulation_and_every_axis_its_unit() -> None:
    outcome = Outcome(
        events=7000,
        jobs=1000,
        ended={"succeeded": 990, "failed": 10},
        virtual_s=2566.0,
        waits_s=[0.0, 0.5, 3.0, 200.0],
        lane_s={"user-0": 90.0, "user-1": 110.0},
        share_error=0.1,
    )
    figure = draw(outcome, Scenario(seed=7, jobs=1000, users=2, lanes=1, faults=0.025, crashes=2))
    assert figure.get_suptitle() == (
        "Simulation with seed 7: 1,000 jobs of 2 users on 1 lane, 2.5% of runs fail or are lost, "
        "2 crashes"
    )
    assert figure.get_supxlabel() == (
        "7,000 events in 2,566 s of virtual time; every promise was kept"
    )
    assert [(axes.get_xlabel(), axes.get_ylabel()) for axes in figure.axes] == [
        ("from submission to first dispatch [s of virtual time]", "share of the jobs that began"),
        ("user", "lane time got while all had work [s]"),
        ("jobs", ""),
    ]
    waits, lanes, ends = ([text.get_text() for text in axes.texts] for axes in figure.axes)
    assert waits == ["50% within 3 s", "90% within 200 s", "99% within 200 s"]
    assert lanes == ["mean 100 s, everybody within 10.0% of it"]
    assert ends == ["990 (99.0%)", "10 (1.0%)", "0 (0.0%)", "0 (0.0%)"]


def test_the_curve_is_the_share_of_jobs_that_had_begun() -> None:
    outcome = Outcome(jobs=4, waits_s=[0.0, 0.0, 1.0, 2.0])
    (curve, *_) = draw(outcome, Scenario()).axes[0].lines
    heights = dict(zip(curve.get_xdata(), curve.get_ydata(), strict=True))
    assert heights == {0.0: 0.5, 1.0: 0.75, 2.0: 1.0}


def test_a_broken_promise_is_written_on_the_picture_in_its_own_colour(tmp_path: Path) -> None:
    broken = Outcome(violations=["I4 serial within a branch: a b"])
    figure = draw(broken, Scenario())
    assert figure.get_supxlabel().endswith("BROKEN: I4 serial within a branch: a b")
    save_plot(broken, Scenario(), tmp_path / "broken.png")
    assert BROKEN in colours(tmp_path / "broken.png")


@pytest.mark.parametrize("scenario", [("--users", 1), ("--users", 40, "--lanes", 3)])
def test_few_and_many_users_are_drawn(scenario: tuple[object, ...], tmp_path: Path) -> None:
    assert sim(*scenario, "--plot", tmp_path / "sim.png").exit_code == 0
    assert BAR in colours(tmp_path / "sim.png")


def test_a_simulation_too_short_to_measure_is_drawn(tmp_path: Path) -> None:
    assert sim("--faults", 0, "--plot", tmp_path / "sim.png", jobs=1).exit_code == 0
    assert COLOURS["succeeded"] in colours(tmp_path / "sim.png")


def test_the_same_seed_is_the_same_picture(tmp_path: Path) -> None:
    for name in ("one", "two"):
        sim("--seed", 3, "--plot", tmp_path / f"{name}.png")
    assert (tmp_path / "one.png").read_bytes() == (tmp_path / "two.png").read_bytes()


def test_a_program_is_told_where_the_picture_is(tmp_path: Path) -> None:
    picture = tmp_path / "sim.png"
    lines = sim("--plot", picture, "--json").stdout.splitlines()
    assert [set(json.loads(line)) for line in lines] == [{"simulation"}, {"plot"}]
    assert json.loads(lines[1]) == {"plot": {"path": str(picture)}}


# --- refusals -------------------------------------------------------------------------------------


@pytest.mark.timeout(30)
@pytest.mark.parametrize(
    ("name", "code", "message", "remedy"),
    [
        ("sim.pdf", 2, "would be a PNG but is not named so", "Name a file that ends in .png"),
        ("there.png", 2, "exists already", "Choose another file with --plot"),
        ("folder.png", 2, "exists already", "Choose another file with --plot"),
        ("no/sim.png", 4, "cannot be written: No such file or dir", "Name a file in a folder that"),
        ("there.png/sim.png", 4, "cannot be written: Not a directory", "Name a file in a folder"),
    ],
)
def test_a_plot_that_could_not_be_written_is_refused_before_the_work(
    name: str, code: int, message: str, remedy: str, tmp_path: Path
) -> None:
    (tmp_path / "there.png").write_bytes(b"mine")
    (tmp_path / "folder.png").mkdir()
    result = sim("--plot", tmp_path / name, jobs=ENDLESS)
    said, todo = result.stderr.splitlines()
    assert (result.exit_code, result.stdout) == (code, "")
    assert said.startswith("error: ") and str(tmp_path / name) in said and message in said
    assert todo.startswith(f"  do: {remedy}")
    assert (tmp_path / "there.png").read_bytes() == b"mine"
    assert {path.name for path in tmp_path.iterdir()} == {"there.png", "folder.png"}


@pytest.mark.timeout(30)
def test_without_matplotlib_a_plot_is_refused_before_the_work_and_all_else_goes(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in [name for name in sys.modules if name.split(".")[0] == "matplotlib"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "matplotlib", None)  # as Python itself marks what is not there
    result = sim("--plot", tmp_path / "sim.png", jobs=ENDLESS)
    said, todo = result.stderr.splitlines()
    assert (result.exit_code, result.stdout) == (2, "")
    assert said.startswith("error: --plot needs matplotlib, which cannot be imported: ")
    assert todo == ("  do: Install it with `pip install 'raysched[plots]'`, or leave --plot out.")
    assert sim(jobs=20).exit_code == 0


def test_a_folder_that_goes_away_meanwhile_is_said_in_the_same_words(tmp_path: Path) -> None:
    with pytest.raises(StorageFailed, match="cannot be written: No such file or directory"):
        save_plot(Outcome(), Scenario(), tmp_path / "gone" / "sim.png")
