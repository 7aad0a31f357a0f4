"""The queue as its users see it: lanes of jobs, why they wait, slots, logs and history."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Opening, admin_key, new_key
from tests.http.conftest import Service

pytestmark = [
    pytest.mark.http,
    pytest.mark.browser,
    pytest.mark.filterwarnings("ignore:Using extra keyword arguments on `Field`"),
]


def submitted(http: httpx.Client, name: str, *branches: str) -> dict[str, Any]:
    """A workflow with one job of the sample per name of a branch; no two compute the same."""
    usual = {"slide": "sample.svs", "tile_px": 512, "chunk_tiles": 1}
    jobs = [
        {**usual, "branch": branch, "params": {"likeness": 0.4 + number / 100}}
        for number, branch in enumerate(branches)
    ]
    made = http.post("/workflows", json={"name": name, "jobs": jobs}).raise_for_status()
    workflow: dict[str, Any] = made.json()
    return workflow


def lane(page: Page, branch: str) -> Any:
    """The lane of a branch."""
    return page.get_by_role("group", name=f"Branch {branch}")


def test_a_branch_is_a_lane_in_which_jobs_go_on_and_say_why_they_wait(
    opened: Opening, service: Service
) -> None:
    key = new_key(service, "ines")
    watched = opened()
    page = watched.log_in(key)
    watched.go("queue")
    expect(page.get_by_role("heading", name="Nothing of yours is queued")).to_be_visible()
    with service.client(key) as http:
        submitted(http, "Two settings", "usual", "usual", "strict")
    expect(lane(page, "usual").get_by_role("listitem").first).to_be_visible()
    expect(lane(page, "usual").get_by_text("2nd in line")).to_be_visible()
    expect(lane(page, "strict").get_by_text("segmenting", exact=True)).to_be_visible()
    expect(page.locator(".q-seat.mine")).to_contain_text("You")
    watched.picture("queue-running")
    expect(page.get_by_role("region", name="Two settings")).to_contain_text("3 done")
    watched.picture("queue-done")


def test_a_log_follows_its_job_and_is_kept_as_text(opened: Opening, service: Service) -> None:
    key = new_key(service, "lotte")
    with service.client(key) as http:
        job = submitted(http, "One", "main")["jobs"][0]["id"]
    watched = opened()
    page = watched.log_in(key)
    watched.go(f"queue/{job}?tab=log")
    lines = page.get_by_role("region", name="Log")
    expect(lines).to_contain_text("Submitted on branch main")
    expect(lines).to_contain_text("Published")
    watched.picture("queue-log")
    with page.expect_download() as told:
        page.get_by_role("button", name="Download as text").click()
    assert "Published" in told.value.path().read_text()
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)


def test_what_is_cleared_stays_in_the_history_and_what_is_deleted_does_not(
    opened: Opening, service: Service
) -> None:
    key = new_key(service, "clara")
    with service.client(key) as http:
        workflow = submitted(http, "Soon gone", "main", "main")["id"]
        http.post(f"/workflows/{workflow}/cancel").raise_for_status()
    watched = opened()
    page = watched.log_in(key)
    watched.go("queue")
    expect(page.get_by_role("region", name="Soon gone")).to_be_visible()
    page.get_by_role("button", name="Clear finished").click()
    expect(page.get_by_role("heading", name="All clear")).to_be_visible()
    page.get_by_role("radio", name="History").check(force=True)
    expect(page.get_by_role("row").filter(has_text="Soon gone")).to_have_count(2)
    watched.picture("queue-history")
    page.get_by_role("radio", name="Now").check(force=True)
    page.get_by_role("button", name="Bring back").click()
    page.get_by_role("button", name="Delete workflow and its results").click()
    page.get_by_role("button", name="Delete for good").click()
    expect(page.get_by_role("heading", name="Nothing of yours is queued")).to_be_visible()


def test_others_in_the_queue_are_named_to_the_administrator_alone(
    opened: Opening, service: Service
) -> None:
    key = new_key(service, "wanda")
    admin, other = opened(), opened()
    admin.log_in(admin_key(service))
    other.log_in(new_key(service, "oskar"))
    admin.go("queue")
    other.go("queue")
    with service.client(key) as http:
        workflow = submitted(http, "Mine", "main", "main", "main")["id"]
        seats = [watched.page.locator(".q-seats") for watched in (admin, other)]
        expect(seats[0]).to_contain_text("wanda")
        expect(seats[1]).to_contain_text("Somebody")
        expect(other.page.locator("main")).not_to_contain_text("wanda")
        http.post(f"/workflows/{workflow}/cancel").raise_for_status()


@pytest.fixture
def resumed(service: Service) -> Iterator[None]:
    """Whatever comes of a pause, it ends with its test."""
    yield
    service.http.post("/cluster/resume").raise_for_status()


@pytest.mark.usefixtures("resumed")
def test_a_pause_is_asked_for_twice_and_said_to_everybody(
    opened: Opening, service: Service
) -> None:
    admin, other = opened(), opened()
    page = admin.log_in(admin_key(service))
    other.log_in(new_key(service, "paula"))
    admin.go("queue")
    other.go("queue")
    page.get_by_role("button", name="Pause").click()
    page.get_by_role("dialog").get_by_role("button", name="Pause").click()
    told = other.page.get_by_text("Paused by the operator")
    expect(told).to_be_visible()
    expect(other.page.get_by_role("button", name="Resume")).to_have_count(0)
    page.get_by_role("button", name="Resume").click()
    page.get_by_role("dialog").get_by_role("button", name="Resume").click()
    expect(told).to_have_count(0)
