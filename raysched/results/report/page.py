"""The sections of a report's page, made of its facts. All text goes through ``markup``."""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterable
from importlib.resources import files

from raysched import __version__
from raysched.results.manifest import Hole, Manifest
from raysched.results.outcomes import Receipt
from raysched.results.report import charts
from raysched.results.report.facts import Facts, Histogram
from raysched.results.report.markup import Html, join, tag
from raysched.results.report.units import NONE, TIMES, UNITS, measured, number, seconds, size
from raysched.results.schema import description_of, unit_of

BARS = 40
MANY_TIMES = 10
MOST_FAILED = 50
MOST_HOLES = 500
"""Most failed tiles that are listed, and that are drawn on the map."""
NAMES = {
    "area_um2": "Area",
    "perimeter_um": "Perimeter",
    "circularity": "Circularity",
    "eccentricity": "Eccentricity",
    "solidity": "Solidity",
    "haematoxylin_od_mean": "Haematoxylin, mean",
    "eosin_od_mean": "Eosin, mean",
    "confidence": "Confidence",
}
POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
"""What a browser may load for the page: nothing from elsewhere, and no script at all."""


END = Html("</body></html>\n")


def beginning(title: str) -> Html:
    """A page up to its first element that is seen; ``END`` is what ends it."""
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", http_equiv="Content-Security-Policy", content=POLICY),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("title", title),
        tag("style", Html(files(__package__).joinpath("page.css").read_text("utf-8"))),
    )
    return join(Html('<!DOCTYPE html>\n<html lang="en">'), head, Html("<body>"))


def key_numbers(entries: Iterable[tuple[str, str, str, str | None]]) -> Html:
    """Numbers in large print: (name, value, note, class or None) each."""
    return tag(
        "dl",
        *(
            tag("div", tag("dt", name), tag("dd", value, tag("small", note)), class_=kind)
            for name, value, note, kind in entries
        ),
        class_="numbers",
    )


def before_preview(facts: Facts) -> Html:
    """The page up to where the data of ``preview.png`` belong, inside of an attribute."""
    manifest = facts.manifest
    return join(
        beginning(f"{manifest.slide.name}: {manifest.counts.cells:,} cells"), _header(manifest),
        _numbers(facts), tag("h2", "The slide and its cells"),
        Html('<figure class="preview"><img alt="The slide with the outlines of the cells" src="'),
    )  # fmt: skip


def after_preview(facts: Facts) -> Html:
    """The rest of the page."""
    return join(
        Html('"/>'),
        tag("figcaption", "preview.png: what was found, drawn on the slide; beside it the densest "
            "regions in detail."),
        Html("</figure>"),
        *_density(facts), *_measures(facts), *_work(facts), *_failed(facts.manifest),
        *_provenance(facts.manifest), END,
    )  # fmt: skip


def _header(manifest: Manifest) -> Html:
    made = f"{manifest.created_at:%Y-%m-%d %H:%M} UTC"
    return tag(
        "header",
        tag("h1", tag("bdi", manifest.slide.name)),
        tag("p", "Cells found by ", tag("bdi", f"{manifest.engine} {manifest.engine_version}"),
            f", planned {made}, job ", tag("bdi", manifest.job)),
    )  # fmt: skip


def _numbers(facts: Facts) -> Html:
    counts, area = facts.manifest.counts, facts.measures["area_um2"]
    failed = len(counts.tiles_failed)
    tissue = facts.tissue_mm2
    per_mm2 = measured(counts.cells / tissue, "/ mm²") if tissue > 0 else NONE
    typical = measured(area.quantile(0.5), "µm²") if area.count else NONE
    entries = (
        ("Cells", f"{counts.cells:,}", "after seams were reconciled", None),
        ("Density in tissue", per_mm2, f"{measured(tissue, 'mm²')} of tissue", None),
        ("Median area", typical, "of a cell", None),
        ("Tissue", f"{counts.tissue_fraction:.0%}", "of the slide's area", None),
        ("Tiles with tissue", f"{counts.tissue_tiles:,}", f"of {counts.tiles:,} tiles", None),
        ("Failed tiles", f"{failed:,}", "holes in the result", "bad" if failed else None),
    )
    return key_numbers(entries)


def _density(facts: Facts) -> Iterable[Html]:
    yield tag("h2", "Density of cells")
    if not facts.manifest.counts.cells:
        yield tag("p", "No cells were found.")
        return
    density, holes = facts.density, facts.manifest.counts.tiles_failed
    wide, high = _mm(density.width_um), _mm(density.height_um)
    drawn = [_place_um(facts.manifest, hole) for hole in holes[:MOST_HOLES]]
    note = " Failed tiles are framed in red." if drawn else ""
    yield tag(
        "p",
        f"Centroids counted in squares of {density.side_um:,.6g} µm, per mm² of slide; empty "
        f"squares are left blank. The slide is {wide} wide and {high} high.{note}",
    )
    yield tag("figure", charts.density_map(density, drawn), class_="card map")


def _measures(facts: Facts) -> Iterable[Html]:
    yield tag("h2", "What was measured")
    if not facts.manifest.counts.cells:
        yield tag("p", "No cells were found, so nothing was measured.")
        return
    yield tag("p", "Each bar counts cells; the line is the median. The utmost 0.5 % at either end "
              "are outside of a plot, but not of its numbers.")  # fmt: skip
    cards = (_card(name, histogram) for name, histogram in facts.measures.items())
    yield tag("div", *cards, class_="grid-of")


def _card(column: str, histogram: Histogram) -> Html:
    meaning, unit = description_of(column), UNITS.get(unit_of(column), unit_of(column))
    name = NAMES.get(column, column)
    if not histogram.count:
        return tag("figure", tag("h3", name), tag("p", "No finite value."), class_="card")
    low, high, counts = histogram.shown(BARS)
    median, first, third = (histogram.quantile(share) for share in (0.5, 0.25, 0.75))
    axis = f"{name.lower()}, {unit}" if unit else name.lower()
    frame = charts.Frame(f"Histogram: {axis}", axis, "cells")
    return tag(
        "figure",
        tag("h3", name, title=meaning),
        tag("p", "median ", tag("b", measured(median, unit)),
            f" · middle half {number(first)} to {number(third)} · mean {number(histogram.mean)}"
            f" · from {number(histogram.low)} to {number(histogram.high)}"),
        charts.bars(frame, low, high, counts, median),
        tag("figcaption", meaning),
        class_="card",
    )  # fmt: skip


def _work(facts: Facts) -> Iterable[Html]:
    receipts, timings = facts.receipts, facts.manifest.timings
    yield tag("h2", "Time")
    yield tag(
        "p", f"Work, summed over lanes: planning {seconds(timings.plan_s)}, segmenting "
        f"{seconds(timings.segment_s)}, assembling {seconds(timings.assemble_s)}.",
    )  # fmt: skip
    worked = [receipt for receipt in receipts if receipt.tiles]
    if not worked:
        yield tag("p", "No tile was segmented: no tissue was found.")
        return
    per_tile = [receipt.seconds / receipt.tiles for receipt in worked]
    median = statistics.median(per_tile)
    slowest = max(worked, key=lambda receipt: receipt.seconds)
    yield tag(
        "p", f"{len(worked):,} chunks of {sum(r.tiles for r in worked):,} tiles; a tile took "
        f"{seconds(median)} in the median chunk and {seconds(max(per_tile))} in the slowest. "
        f"Chunk {slowest.chunk} took longest: {seconds(slowest.seconds)}.",
    )  # fmt: skip
    yield _plots_of_time(worked, median)


def _plots_of_time(worked: list[Receipt], median: float) -> Html:
    """Of the chunks; one that took many times as long as others would flatten all of them."""
    drawn = [r for r in worked if r.seconds / r.tiles <= MANY_TIMES * median] or worked
    per_tile = [r.seconds / r.tiles for r in drawn]
    took = Histogram(min(per_tile), max(per_tile))
    took.add_all(per_tile)
    left = len(worked) - len(drawn)
    but = f"; without {left:,} that took over {MANY_TIMES} times the median" if left else ""
    low, high, counts = took.shown(BARS // 2)
    tiles = charts.Frame("Histogram: seconds per tile", "seconds per tile, s", "chunks")
    cells = charts.Frame("Seconds and cells of each chunk", "cells reported by the chunk",
                         "seconds of the chunk, s")  # fmt: skip
    return tag(
        "div",
        tag("figure", tag("h3", "Seconds per tile"),
            tag("p", f"of each chunk{but}; the line is the median"),
            charts.bars(tiles, low, high, counts, median), class_="card"),
        tag("figure", tag("h3", "Seconds and cells"), tag("p", f"a point is a chunk{but}"),
            charts.points(cells, [r.cells for r in drawn], [r.seconds for r in drawn]),
            class_="card"),
        class_="grid-of",
    )  # fmt: skip


def _failed(manifest: Manifest) -> Iterable[Html]:
    holes, columns = manifest.counts.tiles_failed, manifest.grid.columns
    yield tag("h2", "Failed tiles")
    if not holes:
        yield tag("p", "None: every tile with tissue was read and segmented.")
        return
    yield tag("p", f"{len(holes):,} of {manifest.counts.tissue_tiles:,} tiles failed; the result "
              "has no cells there.")  # fmt: skip
    heads = ("Tile", "Row", "Column", "From the left", "From the top", "Reason")
    rows = []
    for hole in holes[:MOST_FAILED]:
        row, column = divmod(hole.tile, columns)
        x, y, _, _ = _place_um(manifest, hole)
        cells = (hole.tile, row, column, _mm(x), _mm(y), tag("bdi", hole.reason))
        rows.append(tag("tr", *(tag("td", cell) for cell in cells)))
    table = tag("table", tag("thead", tag("tr", *(tag("th", head) for head in heads))),
                tag("tbody", *rows), class_="failed")  # fmt: skip
    yield tag("div", table, class_="scroll")
    if len(holes) > MOST_FAILED:
        yield tag("p", f"And {len(holes) - MOST_FAILED:,} more; manifest.json lists all.")


def _provenance(manifest: Manifest) -> Iterable[Html]:
    slide, grid = manifest.slide, manifest.grid
    reader = f"{slide.reader} ({slide.reader_note})" if slide.reader_note else slide.reader
    pixels = f"{slide.width:,} {TIMES} {slide.height:,} px"
    extent = f"{_mm(slide.width * slide.mpp)} {TIMES} {_mm(slide.height * slide.mpp)}"
    halo = f"halo {grid.halo_px:,} px"
    yield tag("h2", "Provenance")
    yield from _table("Slide", [
        ("Name", slide.name),
        ("SHA-256", tag("code", slide.sha256)),
        ("Size", size(slide.size_bytes)),
        ("Format", slide.vendor),
        ("Full resolution", f"{pixels}, {extent}"),
        ("Pixel size", f"{slide.mpp:.6g} µm per px, source: {slide.mpp_source}"),
        ("Bounds begin at", f"({slide.bounds_x:,}, {slide.bounds_y:,}) px"),
        ("Read by", reader),
    ])  # fmt: skip
    yield from _table("Engine", [
        ("Name and version", f"{manifest.engine} {manifest.engine_version}"),
        *((f"Parameter {key}", json.dumps(value, ensure_ascii=False))
          for key, value in _parameters(manifest)),
        ("Worked at", f"{grid.mpp:.6g} µm per px, level {grid.level}"),
        ("Tiles", f"{grid.columns:,} {TIMES} {grid.rows:,} of {grid.tile_px:,} px, {halo}"),
    ])  # fmt: skip
    yield from _table("Result", [
        ("Job", manifest.job),
        ("Planned", f"{manifest.created_at.isoformat()}"),
        ("Used of earlier jobs", ", ".join(manifest.reused) or "nothing"),
        ("Checksum of the cells", tag("code", manifest.checksum)),
        ("Fingerprint of the plan", tag("code", manifest.fingerprint)),
        ("Files", f"{len(manifest.files):,}, {size(sum(f.size_bytes for f in manifest.files))}"),
        ("Report made by", f"raysched {__version__}"),
    ])  # fmt: skip
    yield from _table("Versions", list(manifest.versions.items()))


def _parameters(manifest: Manifest) -> Iterable[tuple[str, object]]:
    """The engine's, and those of all engines as a person gives them: ``tissue.threshold``."""
    yield from sorted(manifest.params.items())
    for group, values in (("tissue", manifest.tissue), ("measure", manifest.measure)):
        for name, value in values.model_dump(mode="json").items():
            yield f"{group}.{name}", value


def _table(name: str, rows: list[tuple[str, str]]) -> Iterable[Html]:
    yield tag("h3", name)
    lines = (
        tag("tr", tag("th", tag("bdi", key)), tag("td", tag("bdi", value))) for key, value in rows
    )
    yield tag("table", tag("tbody", *lines), class_="facts")


def _place_um(manifest: Manifest, hole: Hole) -> tuple[float, float, float, float]:
    """Left, top, width and height of a tile in um."""
    grid = manifest.grid
    row, column = divmod(hole.tile, grid.columns)
    x, y = column * grid.tile_px, row * grid.tile_px
    width, height = min(grid.tile_px, grid.width - x), min(grid.tile_px, grid.height - y)
    left, top, across, down = (each * grid.mpp for each in (x, y, width, height))
    return left, top, across, down


def _mm(um: float) -> str:
    return measured(um / 1000, "mm")
