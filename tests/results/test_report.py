"""The report of a result: its numbers are the cells', its page stands alone and runs nothing."""

from __future__ import annotations

import json
import re
import shutil
from base64 import b64decode
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner, Result

from raysched.cli.main import app
from raysched.errors import NotReady, StorageFailed
from raysched.results.manifest import MANIFEST, read_manifest
from raysched.results.report.facts import Density, Histogram, gather
from raysched.results.report.markup import VOID, tag
from raysched.results.report.page import MOST_FAILED
from raysched.results.report.report import Report
from raysched.results.report.units import number, seconds, tick_names, ticks
from raysched.results.schema import CELLS, MEASURES
from tests.results.conftest import Attempt, Died, DyingDisk

HOSTILE = "</title><script>alert(1)</script>\"'><img src=//evil.test/x onerror=alert(2)>&.svs"


class Page(HTMLParser):
    """A page's elements with their attributes, and its text; refuses what is not nested."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.words: list[str] = []
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open[-1:] != ["style"]:
            self.words.append(data)

    @property
    def text(self) -> str:
        """All text, with plain spaces."""
        return re.sub(r"\s+", " ", " ".join(self.words))

    def named(self, tag: str, kind: str | None = None) -> list[dict[str, str | None]]:
        """The attributes of the elements of a name and class."""
        return [a for t, a in self.elements if t == tag and (not kind or a.get("class") == kind)]


def html(folder: Path) -> str:
    return b"".join(Report(folder).pieces()).decode()


def stands_alone(page: Page) -> None:
    names = {name for name, _ in page.elements}
    assert names.isdisjoint({"script", "link", "iframe", "object", "embed", "form", "base", "a"})
    for _, attributes in page.elements:
        assert [name for name in attributes if name.startswith("on")] == []
        for name in ("src", "href", "xlink:href", "srcset", "data", "action", "style"):
            value = attributes.get(name) or ""
            assert "//" not in value.partition("base64,")[0]
            if name in {"src", "href"} and value:
                assert value.startswith("data:image/png;base64,")


def changed(done: Attempt, to: Path, change: Callable[[Any], object]) -> Path:
    """A copy of the result whose manifest is another."""
    shutil.copytree(done.out, to)
    manifest = json.loads((to / MANIFEST).read_text())
    change(manifest)
    (to / MANIFEST).write_text(json.dumps(manifest))
    return to


def test_the_page_says_what_the_cells_and_the_manifest_say(done: Attempt) -> None:
    manifest = read_manifest(done.out)
    assert manifest is not None
    cells = geopandas.read_parquet(done.out / "cells")
    page = Page(html(done.out))
    stands_alone(page)
    slide, area = manifest.slide, cells.area_um2
    slide_mm2 = slide.width * slide.height * slide.mpp**2 / 1e6
    per_mm2 = len(cells) / (slide_mm2 * manifest.counts.tissue_fraction)
    for said in (
        f"Cells {len(cells):,} ", f"{number(per_mm2)} / mm²", f"mean {number(area.mean())}",
        f"from {number(area.min())} to {number(area.max())}",
        slide.name, slide.sha256, manifest.checksum, manifest.fingerprint,
        "0.499 µm per px, source: user", f"classical {manifest.engine_version}",
        f"assembling {number(manifest.timings.assemble_s)} s", "None: every tile",
        *manifest.versions, *manifest.versions.values(), *manifest.params,
        "Parameter tissue.threshold null", "Parameter measure.ring_um 2.0",
        "Used of earlier jobs nothing",
    ):  # fmt: skip
        assert said in page.text
    assert len(page.named("svg")) == 1 + len(MEASURES) + 2
    assert (
        f"{len(manifest.chunk_tiles)} chunks of {manifest.counts.tissue_tiles} tiles" in page.text
    )
    (preview,) = page.named("img")
    body = (preview["src"] or "").partition("base64,")[2]
    assert b64decode(body) == (done.out / "preview.png").read_bytes()


def test_the_page_says_what_was_used_of_earlier_jobs(done: Attempt, tmp_path: Path) -> None:
    used = ["tissue", "labels of 2 of 3 chunks"]
    folder = changed(done, tmp_path / "out", lambda manifest: manifest.update(reused=used))
    assert "Used of earlier jobs tissue, labels of 2 of 3 chunks" in Page(html(folder)).text


def test_histograms_and_density_count_every_cell_in_its_place(done: Attempt) -> None:
    cells = pq.read_table(done.out / "cells")
    facts = gather(done.out)
    for name, histogram in facts.measures.items():
        values = cells.column(name).to_numpy().astype(np.float64)
        fine = (values.max() - values.min()) / len(histogram.bins)
        assert histogram.count == len(values)
        assert histogram.mean == pytest.approx(values.mean())
        assert (histogram.low, histogram.high) == (values.min(), values.max())
        for share in (0.25, 0.5, 0.75):
            want = np.quantile(values, share, method="inverted_cdf")
            assert histogram.quantile(share) == pytest.approx(want, abs=1.01 * fine)
        low, high, counts = histogram.shown(40)
        inside = int(((values >= low) & (values < high)).sum())
        assert len(counts) <= 40
        assert sum(counts) == pytest.approx(inside, abs=len(values) * 0.01 + 2)
        assert sum(counts) >= 0.98 * len(values)
    density, mpp = facts.density, facts.manifest.slide.mpp
    want, _, _ = np.histogram2d(
        cells.column("centroid_y_px").to_numpy() * mpp,
        cells.column("centroid_x_px").to_numpy() * mpp,
        bins=[np.arange(side + 1) * density.side_um for side in density.counts.shape],
    )
    assert density.counts.tolist() == want.astype(int).tolist()


def test_density_is_per_area_of_slide_also_where_a_square_reaches_beyond() -> None:
    density = Density(np.array([[4, 1], [2, 0]]), 100.0, 150.0, 200.0)
    assert density.per_mm2().tolist() == [[400.0, 200.0], [200.0, 0.0]]
    assert density.top() == 400.0


def test_no_name_reason_or_parameter_becomes_markup(done: Attempt, tmp_path: Path) -> None:
    def spoil(manifest: Any) -> None:
        manifest["slide"]["name"] = manifest["engine"] = manifest["job"] = HOSTILE
        manifest["slide"]["reader_note"] = manifest["slide"]["mpp_source"] = HOSTILE
        manifest["params"] = {HOSTILE: HOSTILE, "b": [HOSTILE]}
        manifest["versions"][HOSTILE] = HOSTILE
        manifest["counts"]["tiles_failed"] = [{"tile": 1, "reason": HOSTILE}]

    page = Page(html(changed(done, tmp_path / "out", spoil)))
    stands_alone(page)
    assert len(page.named("img")) == len(page.named("title")) == 1
    assert page.text.count("<script>alert(1)</script>") >= 9


def test_text_that_utf_8_or_html_cannot_hold_is_replaced() -> None:
    assert tag("p", "a\udcff\0b", title='"') == '<p title="&quot;">a?\ufffdb</p>'
    assert "p" not in VOID


def test_failed_tiles_are_listed_up_to_a_number_and_the_rest_is_counted(
    done: Attempt, tmp_path: Path
) -> None:
    holes = [{"tile": i % 9, "reason": f"damaged in place {i}"} for i in range(MOST_FAILED + 7)]
    folder = changed(done, tmp_path / "out", lambda m: m["counts"].update(tiles_failed=holes))
    page = Page(html(folder))
    assert f"Failed tiles {len(holes)} " in page.text
    assert "damaged in place 49" in page.text
    assert "damaged in place 50" not in page.text
    assert "And 7 more" in page.text
    assert len(page.named("rect", "hole")) == len(holes)


def test_a_chunk_that_took_many_times_as_long_is_said_and_not_drawn(
    done: Attempt, tmp_path: Path
) -> None:
    shutil.copytree(done.out, tmp_path / "out")
    path = tmp_path / "out" / "receipts.json"
    receipts = json.loads(path.read_text())
    for receipt, per_tile_s in zip(receipts, (2.0, 3.0, 300.0), strict=True):
        receipt["seconds"] = per_tile_s * receipt["tiles"]
    path.write_text(json.dumps(receipts))
    page = Page(html(tmp_path / "out"))
    assert "a tile took 3.00 s in the median chunk and 5 min 00 s in the slowest" in page.text
    assert "without 1 that took over 10 times the median" in page.text
    assert len(page.named("circle", "point")) == 2


def test_a_result_without_cells_has_a_report_that_says_so(done: Attempt, tmp_path: Path) -> None:
    folder = changed(done, tmp_path / "out", lambda m: m["counts"].update(cells=0))
    pq.write_table(CELLS.empty_table(), folder / "cells" / "part-00000.parquet")
    (folder / "receipts.json").write_text("[]")
    page = Page(html(folder))
    stands_alone(page)
    assert page.text.count("No cells were found") == 2
    assert "No tile was segmented" in page.text
    assert re.search(r"\bnan\b", page.text) is None
    assert page.named("svg") == []


def test_one_cell_and_equal_or_missing_values_are_no_trouble(done: Attempt, tmp_path: Path) -> None:
    folder = changed(done, tmp_path / "out", lambda m: m["counts"].update(cells=1))
    part = folder / "cells" / "part-00000.parquet"
    one = pq.read_table(part).slice(0, 1)
    place = CELLS.get_field_index("confidence")
    lost = np.array([np.nan], np.float32)
    pq.write_table(one.set_column(place, CELLS.field(place), [lost]), part)
    page = Page(html(folder))
    assert "No finite value" in page.text
    assert len(page.named("svg")) == 1 + len(MEASURES) - 1 + 2


def test_there_is_no_report_before_the_job_has_finished(attempt: Attempt) -> None:
    attempt.plan()
    attempt.segment(0)
    with pytest.raises(NotReady) as refused:
        Report(attempt.staging)
    assert "raysched watch" in refused.value.remedy


def test_damage_is_named_and_not_reported_on(done: Attempt, tmp_path: Path) -> None:
    def copy(name: str) -> Path:
        shutil.copytree(done.out, tmp_path / name)
        return tmp_path / name

    (cut := copy("a") / "cells" / "part-00000.parquet").write_bytes(cut.read_bytes()[:-9])
    (copy("b") / "receipts.json").write_text("{")
    (copy("c") / MANIFEST).write_text("{")
    (copy("d") / "preview.png").unlink()
    (copy("e") / "cells" / "part-00000.parquet").unlink()
    for name in "abcde":
        with pytest.raises(StorageFailed):
            Report(tmp_path / name)


def test_a_report_is_written_whole_or_not_at_all(done: Attempt, tmp_path: Path) -> None:
    report, out = Report(done.out), tmp_path / "r.html"
    counting = DyingDisk()
    assert report.file(out, counting) == out.stat().st_size
    out.unlink()
    for alive_for in range(counting.steps - 1):
        with pytest.raises(Died):
            report.file(out, DyingDisk(alive_for))
        assert not out.exists() or out.read_bytes() == b"".join(report.pieces())
        out.unlink(missing_ok=True)


def test_numbers_read_well() -> None:
    assert [number(x) for x in (0, 0.01234, 1.5, 43.21, 12345.6, float("nan"))] == [
        *("0", "0.0123", "1.50", "43.2", "12,346", "\N{EN DASH}"),
    ]
    spoken = [seconds(x).replace("\N{NARROW NO-BREAK SPACE}", " ") for x in (0.41, 245, 7384)]
    assert spoken == ["0.410 s", "4 min 05 s", "2 h 03 min"]
    assert tick_names(ticks(0.911, 0.9999999, 4)) == ["0.95", "1.00"]
    assert tick_names(ticks(0, 1480, 4)) == ["0", "500", "1,000"]
    assert Histogram(2.0, 2.0).shown(4) == (2.0, 2.0, [0])


def raysched(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(each) for each in arguments])


def test_the_verb_names_what_it_wrote_and_overwrites_nothing(
    done: Attempt, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RAYSCHED_STATE", str(tmp_path / "state"))
    told = json.loads(raysched("report", done.out, "--json").stdout)["report"]
    out = tmp_path / "out.report.html"
    assert (told["path"], told["size_bytes"]) == (str(out), out.stat().st_size)
    assert [path.name for path in tmp_path.iterdir()] == [out.name]
    again = raysched("report", done.out)
    assert again.exit_code == 2
    assert "out.report.html exists already" in again.stderr
    assert raysched("report", done.out, "--out", "-").stdout_bytes == out.read_bytes()
    refused = raysched("report", tmp_path)
    assert (refused.exit_code, "no finished result" in refused.stderr) == (2, True)
