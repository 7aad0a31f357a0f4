"""The viewer: cells on their slide."""

from __future__ import annotations

import re
from typing import Any

import httpx
import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import TABLET, Opening, Watched, new_key
from tests.http.conftest import Service

pytestmark = [
    pytest.mark.http,
    pytest.mark.browser,
    pytest.mark.filterwarnings("ignore:Using extra keyword arguments on `Field`"),
]
SCALE = ".viewer-scale"
GREEN = """() => {
  const canvas = document.querySelector(".viewer-osd canvas");
  const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
  let found = 0;
  for (let at = 0; at < data.length; at += 4) {
    found += data[at] < 60 && data[at + 1] > 200 && data[at + 2] < 140;
  }
  return found;
}"""
"""How many pixels of the picture have the colour of the cells."""
WATCH = """() => {
  const SIDE = 32, MANY = 100;
  const canvas = document.querySelector(".viewer-osd canvas");
  const own = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const shown = new Set();
  Object.assign(window, { lost: [], grown: 0 });
  const look = () => {
    const { width, height } = canvas;
    Object.assign(own.canvas, { width, height });
    own.drawImage(canvas, 0, 0);
    const { data } = own.getImageData(0, 0, width, height);
    const across = Math.ceil(width / SIDE);
    const green = new Array(across * Math.ceil(height / SIDE)).fill(0);
    for (let at = 0; at < data.length; at += 4) {
      if (data[at] < 60 && data[at + 1] > 200 && data[at + 2] < 140) {
        const x = (at / 4) % width, y = Math.floor(at / 4 / width);
        green[Math.floor(y / SIDE) * across + Math.floor(x / SIDE)]++;
      }
    }
    const before = shown.size;
    green.forEach((many, square) => {
      if (many > MANY) shown.add(square);
      else if (!many && shown.has(square)) lost.push(square);
    });
    if (shown.size > before) grown++;
    setTimeout(look, 100);
  };
  look();
}"""
"""Look ten times a second which squares of the picture have had many pixels of the cells' colour,
a tenth of them, and have none any more (``lost``); ``grown``: in how many pictures there were more.
A number of pixels would not do: while tiles come, a coarser level stands for them, and its cells
are a half larger."""


@pytest.fixture(scope="module")
def job(service: Service) -> dict[str, Any]:
    """One of a user of its own, with the key."""
    key = new_key(service, "vera")
    with service.client(key) as vera:
        return {"key": key, **submit(vera)}


def submit(user: httpx.Client, **options: Any) -> dict[str, Any]:
    body = {"jobs": [{"slide": "sample.svs", **options}]}
    made: dict[str, Any] = user.post("/workflows", json=body).raise_for_status().json()["jobs"][0]
    return made


def looking_at(opened: Opening, job: dict[str, Any], query: str = "", **how: Any) -> Watched:
    watched = opened(**how)
    watched.log_in(job["key"])
    watched.go(f"view/{job['id']}{query}")
    expect(watched.page.locator(SCALE)).to_be_visible()
    return watched


def when_it_has_ended(page: Page) -> None:
    expect(page.locator(".viewer-course")).to_contain_text("succeeded", timeout=120_000)


def until_green(page: Page) -> None:
    page.wait_for_function(f"() => ({GREEN})() > 200")


def until_there(page: Page, cell: dict[str, Any]) -> None:
    expect(page.locator(SCALE)).to_contain_text(f"{cell['x']:,.0f}, {cell['y']:,.0f} px")


def a_cell(service: Service, job: dict[str, Any]) -> dict[str, Any]:
    with service.client(job["key"]) as user:
        found: dict[str, Any] = user.get(f"/jobs/{job['id']}/cells/408").raise_for_status().json()
    return found


def test_a_cell_that_is_clicked_tells_its_own_numbers(
    opened: Opening, service: Service, job: dict[str, Any]
) -> None:
    watched = looking_at(opened, job)
    page = watched.page
    when_it_has_ended(page)
    cell = a_cell(service, job)
    watched.go(f"view/{job['id']}?x={cell['x']:.1f}&y={cell['y']:.1f}&zoom=4")
    until_there(page, cell)
    until_green(page)
    page.get_by_role("application").click()  # in the middle
    expect(page.get_by_role("heading", name=f"Cell {cell['id']}")).to_be_visible()
    area = next(each["value"] for each in cell["measures"] if each["name"] == "area_um2")
    expect(page.locator(".viewer-numbers")).to_contain_text(f"{area:.4g}")
    watched.picture("viewer")
    page.keyboard.press("Escape")
    expect(page.locator(".viewer-cell")).to_have_count(0)


def test_a_link_to_a_cell_of_the_job_that_is_looked_at_goes_to_that_cell(
    opened: Opening, service: Service, job: dict[str, Any]
) -> None:
    watched = looking_at(opened, job)
    when_it_has_ended(watched.page)
    cell = a_cell(service, job)
    watched.go(f"view/{job['id']}?cell={cell['id']}")
    until_there(watched.page, cell)
    watched.go(f"view/{job['id']}?x=100&y=100&zoom=1")
    expect(watched.page.locator(".viewer-cell")).to_have_count(0)


def test_on_a_tablet_a_cell_that_is_clicked_tells_its_numbers_without_another_click(
    opened: Opening, service: Service, job: dict[str, Any]
) -> None:
    watched = looking_at(opened, job, viewport=TABLET)
    page = watched.page
    when_it_has_ended(page)
    cell = a_cell(service, job)
    watched.go(f"view/{job['id']}?x={cell['x']:.1f}&y={cell['y']:.1f}&zoom=4")
    until_there(page, cell)
    expect(page.locator(".viewer-panel")).to_be_hidden()
    page.get_by_role("application").click()
    expect(page.get_by_role("heading", name=f"Cell {cell['id']}")).to_be_visible()


def test_an_address_shows_exactly_what_was_seen(opened: Opening, job: dict[str, Any]) -> None:
    page = looking_at(opened, job).page
    when_it_has_ended(page)
    for key in "4rot":  # 40x, turned, filled, the tissue mask
        page.keyboard.press(key)
    expect(page.locator(SCALE)).to_contain_text("40\u00d7")
    page.wait_for_function("() => location.hash.includes('rotation=90')")
    address, seen = page.url, page.locator(SCALE).inner_text()
    page.goto("about:blank")
    page.goto(address)
    expect(page.locator(SCALE)).to_have_text(re.compile("40\u00d7"))
    assert page.locator(SCALE).inner_text() == seen
    expect(page.get_by_role("radio", name="Fill")).to_be_checked()
    expect(page.get_by_role("switch", name="Tissue mask")).to_be_checked()


@pytest.mark.slow
def test_no_cell_that_was_shown_is_missing_in_a_later_picture_of_a_running_job(
    opened: Opening, service: Service, job: dict[str, Any]
) -> None:
    with service.client(job["key"]) as user:
        running = submit(user, tile_px=256, chunk_tiles=1, branch="live")
    watched = looking_at(opened, job | running, "?x=1110&y=1480&zoom=0.45&style=fill")
    page = watched.page
    page.evaluate(WATCH)
    page.wait_for_function("() => grown > 1", timeout=120_000)
    when_it_has_ended(page)
    until_green(page)
    assert page.evaluate("() => lost") == []


@pytest.mark.slow
def test_two_jobs_of_one_slide_are_compared_in_one_picture(
    opened: Opening, service: Service, job: dict[str, Any]
) -> None:
    with service.client(job["key"]) as user:
        fewer = submit(user, params={"likeness": 0.7}, branch="fewer")
    watched = looking_at(opened, job | fewer)
    page = watched.page
    when_it_has_ended(page)
    watched.go(f"view/{job['id']}")
    when_it_has_ended(page)
    page.get_by_label("With another job of this slide").select_option(fewer["id"])
    page.wait_for_url(f"**/view/{job['id']}/{fewer['id']}*")
    expect(page.locator(".viewer-figures")).to_contain_text("matched")
    page.get_by_role("radio", name="Side by side").check(force=True)
    expect(page.get_by_role("application")).to_have_count(2)
