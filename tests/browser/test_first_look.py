"""What somebody meets who opens the page for the first time."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import TABLET, Opening, admin_key, login_token, new_key
from tests.http.conftest import Service

pytestmark = [
    pytest.mark.http,
    pytest.mark.browser,
    pytest.mark.filterwarnings("ignore:Using extra keyword arguments on `Field`"),
]

SAMPLE = re.compile(r"^(CMU-1|synthetic).*\.(svs|tif)$")
"""The sample slide, or the one that is made up where it is not there."""


def test_a_stranger_is_asked_for_a_key_and_told_what_is_wrong_with_it(opened: Opening) -> None:
    watched = opened()
    page = watched.page
    page.goto(watched.url)
    watched.picture("login")
    page.get_by_label("Your key").fill("rsk_000000000000_" + "0" * 48)
    page.get_by_role("button", name="Log in").click()
    expect(page.get_by_role("alert")).to_contain_text("key")
    assert [fault for fault in watched.faults if "401" not in fault] == []
    watched.faults.clear()  # the browser reports what was refused


def test_a_user_logs_in_by_keyboard_alone_and_out_again(opened: Opening, service: Service) -> None:
    watched = opened()
    page = watched.page
    page.goto(watched.url)
    page.get_by_label("Your key").focus()
    page.keyboard.type(new_key(service, "tess"))
    page.keyboard.press("Enter")
    expect(page.get_by_role("navigation", name="Views")).to_be_visible()
    expect(page.get_by_role("link", name="Users")).to_have_count(0)
    watched.log_out()
    expect(page.get_by_label("Your key")).to_be_visible()
    page.reload()
    expect(page.get_by_label("Your key")).to_be_visible()


def test_who_logs_in_after_another_is_shown_nothing_of_theirs(
    opened: Opening, service: Service
) -> None:
    watched = opened()
    page = watched.log_in(new_key(service, "petra"))
    watched.go("slides")
    page.get_by_role("button", name="sample").first.click()
    expect(page.get_by_text(SAMPLE).first).to_be_visible()
    watched.go("new")
    expect(page.get_by_text(SAMPLE).first).to_be_visible()
    watched.log_out()
    page.route("**/api/v1/slides?*", lambda route: None)  # what the page remembers, shows without
    page.get_by_label("Your key").fill(new_key(service, "quentin"))
    page.get_by_role("button", name="Log in").click()
    expect(page.get_by_role("navigation", name="Views")).to_be_visible()
    expect(page.get_by_text(SAMPLE)).to_have_count(0)


def test_a_crafted_address_of_the_page_asks_for_nothing_elsewhere(
    opened: Opening, service: Service
) -> None:
    watched = opened()
    page = watched.log_in(new_key(service, "rosa"))
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    for view in ("review", "results", "view", "queue", "slides"):
        for way in ("..%2Fslides%2Fsample", "%252e%252e%2Fme%3F", "100%"):
            watched.go(f"{view}/{way}")
            expect(page.get_by_role("navigation", name="Views")).to_be_visible()
            expect(page.locator("main")).not_to_be_empty()
    assert [url for url in asked if "/sample" in url.replace("%2F", "/") and "%2F" not in url] == []
    assert [url for url in asked if "/api/v1/me?" in url] == []
    watched.faults.clear()  # the browser reports what is not there


def test_the_link_of_the_terminal_leads_an_administrator_to_the_page(
    opened: Opening, service: Service
) -> None:
    watched = opened()
    watched.page.goto(f"{watched.url}/login?token={login_token(service)}")
    expect(watched.page.get_by_role("link", name="Users")).to_be_visible()


def test_every_view_fits_a_tablet(opened: Opening, service: Service) -> None:
    watched = opened(viewport=TABLET)
    page = watched.log_in(admin_key(service))
    for view in ("slides", "new", "queue", "view", "results", "review", "metrics", "users"):
        watched.go(view)
        expect(page.get_by_role("heading").first).to_be_visible()
        wide = page.evaluate("() => document.documentElement.scrollWidth - innerWidth")
        assert wide <= 0, view


def test_a_page_that_is_cut_off_says_so_and_comes_back_by_itself(
    opened: Opening, service: Service
) -> None:
    watched = opened()
    page = watched.log_in(new_key(service, "olga"))
    expect(page.locator(".connection.good")).to_be_visible()
    page.context.set_offline(True)
    watched.go("results")
    expect(page.get_by_text("Offline")).to_be_visible()
    page.context.set_offline(False)
    expect(page.locator(".connection.good")).to_be_visible()
    watched.faults[:] = [each for each in watched.faults if "ERR_INTERNET" not in each]
