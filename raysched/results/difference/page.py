"""The page of a difference: the sections around its picture. All text goes through ``markup``."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

import numpy as np
import shapely

from raysched import __version__
from raysched.results.difference.facts import Facts, differing
from raysched.results.difference.matching import Polygons
from raysched.results.difference.status import COLOURS, Status
from raysched.results.difference.windows import DETAIL_UM, Window, windows
from raysched.results.manifest import Manifest
from raysched.results.report import charts
from raysched.results.report.markup import Html, join, tag
from raysched.results.report.page import END, NAMES, beginning, key_numbers
from raysched.results.report.units import NONE, UNITS, number
from raysched.results.schema import unit_of

BARS = 25
WINDOW_PX = 520
THICK, THIN = 3, 1.5
MOST_SETTINGS = 200
"""Most settings that are listed as differing."""


def before_picture(facts: Facts) -> Html:
    """The page up to where the data of the picture belong, inside of an attribute."""
    return join(
        beginning(f"{facts.first.manifest.slide.name}: what differs"),
        _header(facts), _numbers(facts), tag("h2", "Where they differ"),
        Html('<figure class="preview"><img alt="The slide with matched, lost and gained cells" '
             'src="'),
    )  # fmt: skip


def after_picture(facts: Facts) -> Html:
    """The rest of the page."""
    return join(
        Html('"/>'),
        tag("figcaption", "diff.png: where the matched, the lost and the gained cells lie, each "
            "panel with a scale of its own; the frames are the windows below."),
        Html("</figure>"),
        *_windows(facts), *_changes(facts), *_settings(facts), *_results(facts), END,
    )  # fmt: skip


def _header(facts: Facts) -> Html:
    first, second = facts.first.manifest, facts.second.manifest
    return tag(
        "header",
        tag("h1", tag("bdi", first.slide.name)),
        tag("p", "First: ", tag("bdi", _named(first)), ". Second: ", tag("bdi", _named(second)),
            ". Two cells are the same one when the IoU of their outlines is above 0.5."),
    )  # fmt: skip


def _named(manifest: Manifest) -> str:
    made = f"{manifest.created_at:%Y-%m-%d %H:%M} UTC"
    return f"job {manifest.job}, {manifest.engine} {manifest.engine_version}, planned {made}"


def _numbers(facts: Facts) -> Html:
    counts, tally = facts.counts, facts.tally
    mean_iou = f"{tally.sq:.3f}" if counts[Status.MATCHED] else NONE
    return key_numbers([
        ("Matched", f"{counts[Status.MATCHED]:,}", "cells of both results", None),
        ("Lost", f"{counts[Status.LOST]:,}", f"of {tally.annotated:,} in the first", None),
        ("Gained", f"{counts[Status.GAINED]:,}", f"of {tally.found:,} in the second", None),
        ("F1", f"{tally.f1():.3f}", "2 matched / cells of both", None),
        ("Jaccard", f"{facts.jaccard:.3f}", "matched / cells of either", None),
        ("Mean IoU", mean_iou, "of the matched", None),
    ])  # fmt: skip


def _windows(facts: Facts) -> Iterable[Html]:
    made = windows(facts)
    yield tag("h2", "The windows where most cells differ")
    if not made:
        yield tag("p", "None: no cell was lost or gained.")
        return
    yield tag(
        "p", f"Outlines in squares of at most {DETAIL_UM:g} µm. Thick: lost or gained. Thin: "
        "matched, whole lines as in the first result, dashed ones as in the second.",
    )  # fmt: skip
    yield tag("p", *(_key(status) for status in Status))
    yield tag("div", *map(_drawn, made), class_="grid-of windows")


def _key(status: Status) -> Html:
    swatch = tag("rect", width=12, height=12, rx=2, fill=_rgb(status))
    picture = tag("svg", swatch, viewBox="0 0 12 12", class_="key", aria_hidden="true")
    return join(picture, f" {status} ")


def _drawn(window: Window) -> Html:
    counts = ", ".join(f"{window.count(status):,} {status}" for status in Status)
    drawn = [
        _outlines(window, window.first[Status.MATCHED], Status.MATCHED),
        _outlines(window, window.second[Status.MATCHED], Status.MATCHED, dashed=True),
        _outlines(window, window.first[Status.LOST], Status.LOST),
        _outlines(window, window.second[Status.GAINED], Status.GAINED),
    ]
    paper = tag("rect", width=WINDOW_PX, height=WINDOW_PX, fill="#ffffff")
    picture = tag(
        "svg", paper, *drawn, viewBox=f"0 0 {WINDOW_PX} {WINDOW_PX}", role="img",
        aria_label=f"Window {window.name}: {counts}",
    )  # fmt: skip
    at = f"from x {window.x:,.0f}, y {window.y:,.0f}; {window.side_px:,.0f} level-0 px wide"
    return tag(
        "figure", tag("h3", f"{window.name}: {counts}"), picture, tag("figcaption", at),
        class_="card",
    )  # fmt: skip


def _outlines(
    window: Window, polygons: Polygons, status: Status, *, dashed: bool = False
) -> Html | None:
    if not len(polygons):
        return None
    scale = WINDOW_PX / window.side_px
    corner = np.array([window.x, window.y])
    rings = (
        np.round((shapely.get_coordinates(polygon) - corner) * scale, 1) for polygon in polygons
    )
    paths = " ".join("M" + " ".join(f"{x:g},{y:g}" for x, y in ring[:-1]) + "Z" for ring in rings)
    return tag(
        "path", d=paths, fill="none", stroke=_rgb(status),
        stroke_width=THIN if status is Status.MATCHED else THICK,
        stroke_dasharray="4 3" if dashed else None,
    )  # fmt: skip


def _rgb(status: Status) -> str:
    return "#" + "".join(f"{part:02x}" for part in COLOURS[status])


def _changes(facts: Facts) -> Iterable[Html]:
    yield tag("h2", "What changed of the matched cells")
    if not facts.counts[Status.MATCHED]:
        yield tag("p", "No cell was matched.")
        return
    first, second = facts.first.manifest.slide.mpp, facts.second.manifest.slide.mpp
    note = ""
    if first != second:
        note = f" A pixel is {first:.6g} µm in one and {second:.6g} µm in the other."
    yield tag("p", f"The second result's measurement minus the first's, cell by cell.{note}")
    heads = ("Measurement", "Median change", "5 % of cells below", "5 % of cells above", "Cells")
    rows = []
    for name, change in facts.changes.items():
        unit = unit_of(name)
        unit = UNITS.get(unit, unit)
        quantiles = (_signed(change.quantile(share)) for share in (0.5, 0.05, 0.95))
        label = f"{NAMES.get(name, name)}, {unit}" if unit else NAMES.get(name, name)
        rows.append([label, *quantiles, f"{change.count:,}"])
    yield tag("div", _table(heads, rows), class_="scroll")
    low, high, bars = facts.ious.shown(BARS)
    frame = charts.Frame("Histogram: IoU of the matched cells", "IoU of the matched cells", "cells")
    yield tag("h3", "How well their outlines agree")
    plot = charts.bars(frame, low, high, bars, facts.ious.quantile(0.5))
    said = tag("p", "each bar counts cells; the line is the median")
    yield tag("div", tag("figure", said, plot, class_="card"), class_="grid-of")


def _signed(value: float) -> str:
    return f"+{number(value)}" if value > 0 else number(value).replace("-", "\N{MINUS SIGN}")


def _settings(facts: Facts) -> Iterable[Html]:
    yield tag("h2", "What was different")
    rows = differing(facts.first.manifest, facts.second.manifest)
    if not rows:
        yield tag("p", "Nothing: same engine, parameters, pixel size, tiles and versions.")
        return
    shown = [[name, _said(one), _said(other)] for name, one, other in rows[:MOST_SETTINGS]]
    yield tag("div", _table(("Setting", "First", "Second"), shown), class_="scroll")
    if len(rows) > MOST_SETTINGS:
        yield tag("p", f"And {len(rows) - MOST_SETTINGS:,} more; the manifests have all.")


def _said(value: Any) -> str:
    if value is None:
        return NONE
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _results(facts: Facts) -> Iterable[Html]:
    first, second = facts.first.manifest, facts.second.manifest
    yield tag("h2", "The two results")
    rows = [
        ["Job", first.job, second.job],
        ["Cells", f"{first.counts.cells:,}", f"{second.counts.cells:,}"],
        ["Failed tiles", *(f"{len(each.counts.tiles_failed):,}" for each in (first, second))],
        ["Planned", first.created_at.isoformat(), second.created_at.isoformat()],
        ["Checksum of the cells", first.checksum, second.checksum],
    ]
    yield _table(("", "First", "Second"), rows)
    yield tag("p", f"Slide SHA-256 {first.slide.sha256}. Page made by raysched {__version__}.")


def _table(heads: Iterable[str], rows: Iterable[Iterable[str]]) -> Html:
    head = tag("thead", tag("tr", *(tag("th", each) for each in heads)))
    lines = (
        tag("tr", *(tag("td" if at else "th", tag("bdi", cell)) for at, cell in enumerate(row)))
        for row in rows
    )
    return tag("table", head, tag("tbody", *lines))
