"""A workflow is laid out, looked at before it runs, and submitted once."""

from __future__ import annotations

import json
import re

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.conftest import TABLET, Opening, admin_key, new_key
from tests.http.conftest import Service

pytestmark = [
    pytest.mark.http,
    pytest.mark.browser,
    pytest.mark.filterwarnings("ignore:Using extra keyword arguments on `Field`"),
]


def with_example(page: Page) -> Page:
    """The example, laid out."""
    page.get_by_role("button", name="Try the example").click()
    expect(cards(page)).to_have_text(["cells", "tissue", "cells-sweep"])
    return page


def cards(page: Page) -> Locator:
    return page.locator(".jobcard-face strong")


def dragged(page: Page, source: str, number: int, to: tuple[float, float]) -> None:
    """From the middle of a thing to a point of the board."""
    box, board = page.locator(source).nth(number).bounding_box(), page.locator(".board")
    at = board.bounding_box()
    assert box is not None and at is not None
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.mouse.down()
    page.mouse.move(at["x"] + to[0], at["y"] + to[1], steps=8)
    page.mouse.up()


def test_the_example_is_laid_out_estimated_and_submitted_once(
    opened: Opening, service: Service
) -> None:
    watched = opened()
    page = watched.log_in(new_key(service, "nora"))
    watched.go("new")
    watched.picture("new-empty")
    with_example(page)
    expect(page.get_by_text("until all is done")).to_be_visible()
    expect(page.get_by_alt_text("Its tissue, coloured")).to_be_visible()
    watched.picture("new-board")
    page.reload()
    expect(cards(page)).to_have_text(["cells", "tissue", "cells-sweep"])
    page.get_by_role("button", name="Submit workflow").dblclick()
    expect(page).to_have_url(re.compile(r"#/queue\?workflow=wf-"))
    workflows = page.evaluate("() => fetch('/api/v1/workflows').then(answer => answer.json())")
    assert [each["name"] for each in workflows["workflows"]] == ["Example: two branches"]
    watched.go("new")
    expect(page.get_by_role("button", name="Segment cells")).to_be_visible()


def test_cards_are_dragged_and_moved_by_keys_and_a_circle_is_refused(
    opened: Opening, service: Service
) -> None:
    watched = opened()
    page = watched.log_in(new_key(service, "otto"))
    with_example(watched.go("new"))
    branches = page.locator(".lane-head input")
    dragged(page, ".jobcard-face", 1, (300, 245))
    expect(branches).to_have_count(3)
    page.keyboard.press("Control+z")
    expect(branches).to_have_count(2)
    dragged(page, ".jobcard-handle", 2, (260, 54))
    expect(page.get_by_role("alert")).to_contain_text("cells depends on cells-sweep")
    dragged(page, ".jobcard-handle", 1, (260, 54))
    expect(page.get_by_role("button", name="cells waits for tissue")).to_have_count(1)
    page.locator("[data-job]").nth(2).focus()
    page.keyboard.press("Alt+ArrowDown")
    expect(branches).to_have_count(3)
    expect(page.locator("[data-job]").nth(2)).to_be_focused()
    page.keyboard.press("Shift+F10")
    page.get_by_role("menuitem", name="Duplicate").click()
    expect(cards(page)).to_have_text(["cells", "tissue", "cells-sweep", "cells-sweep-2"])
    assert watched.accessible() == []


def test_what_was_pasted_is_checked_and_shown_where_it_is_wrong(
    opened: Opening, service: Service
) -> None:
    watched = opened(viewport=TABLET)
    page = watched.log_in(new_key(service, "pia"))
    watched.go("new")
    page.get_by_role("button", name="Paste JSON").click()
    job = {"name": "one", "slide": "sample.svs", "kind": "tissue_mask", "branch": "!"}
    area = page.get_by_role("textbox", name="The draft as JSON")
    area.fill(json.dumps({"name": "w", "jobs": [job]}, indent=2))
    page.get_by_role("button", name="Line 8, column 17, jobs.0.branch").click()
    chosen = "area => area.value.slice(area.selectionStart, area.selectionEnd)"
    assert area.evaluate(chosen) == '"!"'
    watched.faults.clear()  # the browser reports what was refused
    area.fill(json.dumps({"name": "w", "jobs": [job | {"branch": "b"}]}))
    expect(page.get_by_text("The service would take this as it is.")).to_be_visible()
    watched.picture("new-json-tablet")


def test_an_administrator_sees_two_users_at_work_by_one_click(
    opened: Opening, service: Service
) -> None:
    watched = opened()
    page = watched.log_in(admin_key(service))
    watched.go("new")
    page.get_by_role("button", name="Two users, two branches").click()
    expect(page).to_have_url(re.compile(r"#/queue$"))
    for user in ("example-ann", "example-bob"):
        as_user = {"X-User-ID": user}
        jobs = service.http.get("/jobs", headers=as_user).json()["jobs"]
        assert {job["branch"].split("/")[0] for job in jobs} == {"usual", "careful"}
        keys = service.http.get(f"/users/{user}/keys").json()["keys"]
        assert [key["revoked_at"] is None for key in keys] == [False]
