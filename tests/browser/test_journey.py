"""A whole day's work with one slide: from a file on one's disk to cells that were judged and
downloaded. Each test goes on where the one before it ended; another user sees nothing of it."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image
from playwright.sync_api import Browser, Page, expect

from tests.browser.conftest import Opening, Watched, admin_key, new_key, watching
from tests.http.conftest import Service

pytestmark = [
    pytest.mark.http,
    pytest.mark.browser,
    pytest.mark.filterwarnings("ignore:Using extra keyword arguments on `Field`"),
]

SMALL_TILES = {"tile_px": 64, "chunk_tiles": 1}
"""So that the small sample takes long enough to be watched: some 800 chunks."""
SAMPLED = 12


@dataclass
class Day:
    """One user's day. ``jobs``: by branch."""

    watched: Watched
    opening: Opening
    http: httpx.Client
    slide: str = ""
    jobs: tuple[str, ...] = ()

    @property
    def page(self) -> Page:
        """The user's page."""
        return self.watched.page

    def job(self, number: int) -> dict[str, Any]:
        """A job as the service has it."""
        found: dict[str, Any] = (
            self.http.get(f"/jobs/{self.jobs[number]}").raise_for_status().json()
        )
        return found


@pytest.fixture(scope="module")
def day(service: Service, chromium: Browser) -> Iterator[Day]:
    with watching(service, chromium) as opening:
        watched = opening()
        key = new_key(service, "pat")
        watched.log_in(key)
        with service.client(key) as http:
            yield Day(watched, opening, http)


def test_a_file_is_uploaded_and_becomes_a_slide(day: Day, sample_slide: Path) -> None:
    day.watched.go("slides")
    day.page.locator("input[type=file]").first.set_input_files(sample_slide)
    card = day.page.get_by_role("link", name=sample_slide.name).first
    expect(card).to_be_visible()
    expect(day.page.locator("main img").first).to_be_visible()
    (slide,) = day.http.get("/slides").json()["slides"]
    assert (slide["name"], slide["state"]) == (sample_slide.name, "ready")
    assert slide["size_bytes"] == sample_slide.stat().st_size
    day.slide = slide["id"]
    day.watched.picture("slides")
    day.watched.go(f"slides/{day.slide}")
    expect(day.page.get_by_text(re.compile(r"2,220 . 2,967")).first).to_be_visible()
    day.watched.picture("slide")


def test_jobs_are_laid_out_on_two_branches_and_submitted(day: Day) -> None:
    page = day.watched.go("new")
    page.get_by_role("button", name="Paste JSON").click()
    wanted = {
        "name": "a day's work",
        "jobs": [
            {"name": "cells", "branch": "a", "slide": day.slide, **SMALL_TILES},
            {"name": "again", "branch": "b", "slide": day.slide, **SMALL_TILES, "mpp": 0.4},
        ],
    }
    page.get_by_role("textbox", name="The draft as JSON").fill(json.dumps(wanted))
    expect(page.get_by_text("The service would take this as it is.")).to_be_visible()
    page.get_by_role("radio", name="Board").check()
    expect(page.get_by_role("textbox", name="Name of branch b")).to_be_visible()
    expect(page.locator(".estimate dd").first).to_be_visible()
    day.watched.picture("new-workflow")
    page.get_by_role("button", name="Submit workflow").click()
    page.wait_for_url("**/#/queue**")
    (workflow,) = day.http.get("/workflows").json()["workflows"]
    assert workflow["name"] == "a day's work"
    jobs = day.http.get(f"/workflows/{workflow['id']}").json()["jobs"]
    assert [job["branch"] for job in jobs] == ["a", "b"]
    day.jobs = tuple(job["id"] for job in jobs)
    expect(page.get_by_text("a day's work").first).to_be_visible()


def canvas(page: Page) -> Any:
    """What is on the stage, as numbers."""
    shot = page.locator(".viewer-stage").first.screenshot()
    return np.asarray(Image.open(io.BytesIO(shot)).convert("RGB"), np.int16)


def green(pixels: Any) -> int:
    """Pixels in the colour of cells, which no stain has."""
    red, most, blue = pixels[..., 0], pixels[..., 1], pixels[..., 2]
    return int(((most - red > 90) & (most - blue > 60)).sum())


def test_cells_are_seen_on_the_slide_before_the_job_has_ended(day: Day) -> None:
    page = day.watched.go(f"view/{day.jobs[0]}?x=1100&y=1500&zoom=0.5&style=fill")
    expect(page.get_by_role("progressbar", name="Progress of the job")).to_be_visible()
    seen, states = 0, set()
    for _ in range(600):
        seen = green(canvas(page))
        states.add(day.job(0)["state"])
        if seen > 500 or states & {"succeeded", "failed"}:
            break
    assert seen > 500
    assert states <= {"waiting", "planning", "segmenting"}, "they came only at the end"
    page.get_by_label("Chunk map").click()
    expect(page.get_by_text("waiting").first).to_be_visible()
    day.watched.picture("viewer-running")
    page.get_by_label("Chunk map").click()


def test_the_other_branch_is_cancelled_and_stops(day: Day) -> None:
    page = day.watched.go(f"queue/{day.jobs[1]}")
    panel = page.get_by_role("dialog")
    panel.get_by_role("button", name="Cancel the job").click()
    confirm = page.get_by_role("dialog", name="Cancel this job?")
    confirm.get_by_role("button", name="Cancel the job").click()
    expect(panel.get_by_text("cancelled").first).to_be_visible()
    assert day.job(1)["state"] == "cancelled"


def test_the_queue_shows_branches_as_lanes_and_ends_without_a_reload(day: Day) -> None:
    page = day.watched.go("queue")
    expect(page.get_by_text("succeeded").first).to_be_visible(timeout=120_000)
    assert day.job(0)["state"] == "succeeded"
    day.watched.picture("queue")


def test_cells_are_toggled_and_a_click_tells_a_cell_s_own_numbers(day: Day) -> None:
    table = cells_of(day)
    row = table.slice(len(table) // 2, 1).to_pylist()[0]
    x, y = row["centroid_x_px"], row["centroid_y_px"]
    page = day.watched.go(f"view/{day.jobs[0]}?x={x:.1f}&y={y:.1f}&zoom=2")
    stage = page.locator(".viewer-stage").first
    until(page, lambda: green(canvas(page)) > 200)
    stage.focus()
    page.keyboard.press("c")
    until(page, lambda: green(canvas(page)) == 0)
    page.keyboard.press("c")
    until(page, lambda: green(canvas(page)) > 200)
    day.watched.picture("viewer")
    box = stage.bounding_box()
    assert box is not None
    page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    card = page.locator(".viewer-cell").first
    expect(card).to_contain_text(f"Cell {row['id']}")
    area = card.locator("dt", has_text="Area").locator("xpath=../dd").inner_text()
    assert float(area.split()[0].replace(",", "")) == pytest.approx(row["area_um2"], rel=1e-3)
    page.keyboard.press("Escape")
    expect(card).to_have_count(0)


def test_a_link_shows_the_same_view_again(day: Day) -> None:
    address = f"view/{day.jobs[0]}?x=900&y=1700&zoom=1&style=fill&by=area_um2"
    page = day.watched.go(address)
    until(page, lambda: "area" in page.locator(".viewer-panel").inner_text().lower())
    page.reload()
    expect(page.locator(".viewer-stage").first).to_be_visible()
    until(page, lambda: "x=900" in page.url and "by=area_um2" in page.url)


def test_a_sample_is_judged_by_keys_and_kept(day: Day) -> None:
    page = day.watched.go(f"review/{day.jobs[0]}")
    page.get_by_label("How many").fill(str(SAMPLED))
    page.get_by_role("button", name="Begin").click()
    for number in range(SAMPLED):
        expect(page.get_by_role("button", name="Yes", exact=True)).to_be_enabled()
        if number == 2:
            expect(page.locator("main .bone")).to_have_count(0)
            day.watched.picture("quality-check")
        page.keyboard.press("n" if number in {0, 5, 7} else "y")
    until(page, lambda: day.http.get(f"/jobs/{day.jobs[0]}/review").json()["answered"] == SAMPLED)
    review = day.http.get(f"/jobs/{day.jobs[0]}/review").json()
    assert (review["yes"], review["accuracy"]) == (9, 0.75)
    page.reload()
    expect(page.get_by_text("75.0 %").first).to_be_visible()
    day.watched.picture("quality-summary")
    with page.expect_download() as waiting:
        page.get_by_role("link", name="CSV").first.click()
    rows = list(csv.DictReader(io.StringIO(Path(waiting.value.path()).read_text())))
    assert sum(row["verdict"] == "no" for row in rows) == 3


def test_results_are_shown_and_downloaded(day: Day) -> None:
    page = day.watched.go(f"results/{day.jobs[0]}")
    cells = len(cells_of(day))
    expect(page.get_by_text(f"{cells:,}").first).to_be_visible()
    expect(page.locator("main svg").first).to_be_visible()
    day.watched.picture("results")
    with page.expect_download() as waiting:
        page.locator("a[download][href*='format=csv']").first.click()
    text = Path(waiting.value.path()).read_text()
    assert len(text.splitlines()) == cells + 1


def test_an_administrator_sees_the_last_hour_and_others_do_not(day: Day, service: Service) -> None:
    page = day.watched.go("metrics")
    expect(page.get_by_text("For administrators")).to_be_visible()
    watched = day.opening()
    page = watched.log_in(admin_key(service))
    watched.go("metrics")
    expect(page.get_by_role("heading", name="The last hour")).to_be_visible()
    expect(page.locator("main .chart svg").first).to_be_visible()
    watched.picture("metrics")


def test_another_user_sees_nothing_of_it(day: Day, service: Service) -> None:
    other = day.opening()
    page = other.log_in(new_key(service, "quinn"))
    expect(page.get_by_text("Drop a slide to begin")).to_be_visible()
    for view in ("queue", "results", "review", "view"):
        other.go(view)
        expect(page.get_by_role("heading").first).to_be_visible()
        assert day.jobs[0] not in page.content()
        assert "a day's work" not in page.content()
    for view in ("view", "results", "review", "queue"):
        other.go(f"{view}/{day.jobs[0]}")
        expect(page.get_by_text("There is no job").first).to_be_visible()
    other.faults[:] = [each for each in other.faults if "404" not in each]  # as it should


def cells_of(day: Day) -> Any:
    """The cells of the first job, from its Parquet files."""
    listed = day.http.get(f"/jobs/{day.jobs[0]}/results").json()["files"]
    parts = [each["href"] for each in listed if each["path"].startswith("cells/")]
    (href,) = parts
    return pq.read_table(io.BytesIO(day.http.get(href.removeprefix("/api/v1")).content))


def until(page: Page, is_so: Any, patience: int = 300) -> None:
    """Looks again until it is so, and lets the page go on between: also who asks the service here
    is given so many requests and no more."""
    for _ in range(patience):
        if is_so():
            return
        page.wait_for_timeout(100)
    raise AssertionError("it did not come to be so")
