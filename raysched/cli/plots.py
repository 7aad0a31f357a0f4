"""Draws what came of a simulation: who waited how long, who got how much, how the jobs ended.

The only module that knows matplotlib, which is optional (extra ``plots``): ``check_plot`` refuses
what could not be drawn or written before anything is simulated.
"""

from __future__ import annotations

import io
from pathlib import Path
from tempfile import TemporaryFile
from typing import TYPE_CHECKING

from raysched.errors import InvalidSetting, OutputNotEmpty, StorageFailed
from raysched.results.storage import Disk

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from raysched.simulation import Outcome, Scenario

WIDTH_IN, HEIGHT_IN, DPI = 13.0, 5.2, 130
MOST_POINTS = 2000
"""More steps of a curve than there are pixels only cost time."""
MOST_NAMED_USERS = 16
LOG_FROM = 100.0
"""A longest wait so many times the shortest is read on a logarithmic axis."""
MARKED_SHARES = (0.5, 0.9, 0.99)
INK, FAINT, CURVE, BAR, BROKEN = "#24292f", "#d8dee4", "#0b5cad", "#6aa5d8", "#b42318"
COLOURS = {
    "succeeded": "#2e8b57",
    "failed": "#c0392b",
    "cancelled": "#d99a2b",
    "skipped": "#8d99a6",
}


def check_plot(path: Path) -> None:
    """Refuse a plot that could not be made, in one line each what is wrong and what to do."""
    try:
        import matplotlib.figure  # noqa: F401
    except ImportError as missing:
        raise InvalidSetting(
            f"--plot needs matplotlib, which cannot be imported: {missing}.",
            remedy="Install it with `pip install 'raysched[plots]'`, or leave --plot out.",
        ) from missing
    if path.suffix.lower() != ".png":
        raise InvalidSetting(
            f"The plot {path} would be a PNG but is not named so.",
            remedy="Name a file that ends in .png.",
            path=str(path),
        )
    if path.exists() or path.is_symlink():
        raise OutputNotEmpty(
            f"{path} exists already.", remedy="Choose another file with --plot.", path=str(path)
        )
    try:
        with TemporaryFile(dir=path.absolute().parent):
            pass
    except OSError as error:
        raise _unwritable(path, error) from error


def save_plot(outcome: Outcome, scenario: Scenario, path: Path) -> None:
    """Draw an outcome into a PNG file, which appears when it is complete."""
    picture = io.BytesIO()
    draw(outcome, scenario).savefig(picture, format="png")
    try:
        Disk().write(path.absolute(), picture.getvalue())
    except OSError as error:
        raise _unwritable(path, error) from error


def _unwritable(path: Path, error: OSError) -> StorageFailed:
    return StorageFailed(
        f"The plot {path} cannot be written: {error.strerror or error}.",
        remedy="Name a file in a folder that exists, may be written and has room.",
        path=str(path),
    )


def draw(outcome: Outcome, scenario: Scenario) -> Figure:
    """The whole figure. Made without pyplot: no window, no global state."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(WIDTH_IN, HEIGHT_IN), dpi=DPI)
    figure.set_layout_engine("constrained", w_pad=0.15, h_pad=0.12)
    figure.suptitle(
        f"Simulation with seed {scenario.seed}: {_count(outcome.jobs, 'job')} of "
        f"{_count(scenario.users, 'user')} on {_count(scenario.lanes, 'lane')}, "
        f"{scenario.faults * 100:g}% of runs fail or are lost, "
        f"{_count(scenario.crashes, 'crash', 'crashes')}",
        fontsize=13,
        fontweight="bold",
        color=INK,
    )
    kept = not outcome.violations
    figure.supxlabel(
        f"{_count(outcome.events, 'event')} in {outcome.virtual_s:,.0f} s of virtual time; "
        + ("every promise was kept" if kept else f"BROKEN: {outcome.violations[0]:.120}"),
        fontsize=10,
        color=INK if kept else BROKEN,
    )
    waits, lanes, ends = figure.subplots(1, 3, width_ratios=(1.25, 1.25, 1.0))
    for axes in (waits, lanes, ends):
        _dress(axes)
    _draw_waits(waits, outcome)
    _draw_lanes(lanes, outcome)
    _draw_ends(ends, outcome)
    return figure


def _dress(axes: Axes) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(FAINT)
    for label in (axes.xaxis.label, axes.yaxis.label):
        label.set_color(INK)
    axes.tick_params(colors=INK, color=FAINT, labelsize=9)
    axes.set_axisbelow(True)
    axes.grid(visible=True, color=FAINT, linewidth=0.6)


# --- waiting --------------------------------------------------------------------------------------


def _draw_waits(axes: Axes, outcome: Outcome) -> None:
    """The share of jobs that had begun within a time: a step up at each wait."""
    axes.set_title("Waiting", loc="left", color=INK)
    axes.set_xlabel("from submission to first dispatch [s of virtual time]")
    axes.set_ylabel("share of the jobs that began")
    axes.set_ylim(0.0, 1.03)
    axes.yaxis.set_major_formatter(lambda share, _: f"{share:.0%}")
    waits = outcome.waits_s
    if not waits:
        _say_instead(axes, "no job began")
        return
    places = sorted({*range(0, len(waits), max(1, len(waits) // MOST_POINTS)), len(waits) - 1})
    shortest = next((wait for wait in waits if wait > 0.0), 1.0)
    left = 0.0
    if waits[-1] > LOG_FROM * shortest:
        axes.set_xscale("log")
        left = shortest / 2.0  # a logarithmic axis has no zero: who began at once enters from here
        axes.xaxis.set_major_formatter(lambda seconds, _: f"{seconds:,g}")
    at_once = sum(wait == 0.0 for wait in waits) / len(waits)
    seconds = [left, *(max(left, waits[place]) for place in places)]
    shares = [at_once, *((place + 1) / len(waits) for place in places)]
    axes.step(seconds, shares, where="post", color=CURVE, linewidth=1.8)
    axes.fill_between(seconds, shares, step="post", color=CURVE, alpha=0.08, linewidth=0)
    axes.set_xlim(left=left)
    for share in MARKED_SHARES:
        wait = outcome.wait_s(share)
        axes.plot(max(left, wait), share, "o", color=CURVE, markersize=5)
        begins_left = axes.transLimits.transform(axes.transScale.transform((wait, 0)))[0] < 0.4
        axes.annotate(
            f"{share:.0%} within {wait:,.0f} s",
            (max(left, wait), share),
            xytext=(8, -8) if begins_left else (-8, 0),  # where the curve is not
            textcoords="offset points",
            ha="left" if begins_left else "right",
            va="center",
            fontsize=9,
            color=INK,
        )


# --- shares ---------------------------------------------------------------------------------------


def _draw_lanes(axes: Axes, outcome: Outcome) -> None:
    """Every user's lane seconds from zero, so that a difference looks as large as it is."""
    axes.set_title("Fairness", loc="left", color=INK)
    axes.set_xlabel("users" if len(outcome.lane_s) > MOST_NAMED_USERS else "user")
    axes.set_ylabel("lane time got while all had work [s]")
    axes.grid(visible=False, axis="x")
    axes.yaxis.set_major_formatter(lambda seconds, _: f"{seconds:,g}")
    if not any(outcome.lane_s.values()):
        _say_instead(axes, "too short to measure")
        return
    users = list(outcome.lane_s)
    places = range(len(users))
    axes.bar(places, list(outcome.lane_s.values()), color=BAR, width=0.8)
    mean = sum(outcome.lane_s.values()) / len(users)
    axes.axhline(mean, color=INK, linewidth=1.2, linestyle="--")
    error = outcome.share_error
    within = "some had no work yet" if error is None else f"everybody within {error:.1%} of it"
    axes.set_ylim(0.0, 1.18 * max(outcome.lane_s.values()))
    axes.text(
        0.98,
        0.97,
        f"mean {mean:,.0f} s, {within}",
        transform=axes.transAxes,
        ha="right",
        va="top",
        fontsize=9,
        color=INK,
    )
    named = len(users) <= MOST_NAMED_USERS
    axes.set_xticks(places if named else [], [_short(user) for user in users] if named else [])


def _short(user: str) -> str:
    return user.removeprefix("user-")


# --- ends -----------------------------------------------------------------------------------------


def _draw_ends(axes: Axes, outcome: Outcome) -> None:
    axes.set_title("How the jobs ended", loc="left", color=INK)
    axes.set_xlabel("jobs")
    axes.grid(visible=False, axis="y")
    axes.xaxis.set_major_formatter(lambda jobs, _: f"{jobs:,.0f}")
    axes.locator_params(axis="x", nbins=4, integer=True)
    names = [*COLOURS, *sorted(set(outcome.ended) - set(COLOURS))]
    numbers = [outcome.ended.get(name, 0) for name in names]
    bars = axes.barh(
        range(len(names)), numbers, color=[COLOURS.get(name, INK) for name in names], height=0.6
    )
    shares = [f"{number:,} ({number / max(1, outcome.jobs):.1%})" for number in numbers]
    axes.bar_label(bars, shares, padding=4, fontsize=9, color=INK)
    axes.set_yticks(range(len(names)), names)
    axes.invert_yaxis()
    axes.set_xlim(0.0, 1.35 * max(1, *numbers))


# --- words ----------------------------------------------------------------------------------------


def _say_instead(axes: Axes, words: str) -> None:
    axes.text(0.5, 0.5, words, transform=axes.transAxes, ha="center", color=INK)


def _count(number: int, word: str, words: str | None = None) -> str:
    return f"{number:,} {word}" if number == 1 else f"{number:,} {words or word + 's'}"
