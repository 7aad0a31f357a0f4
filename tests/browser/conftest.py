"""The real service in a real browser. Every page is watched: what it writes to the console, whom
it asks, and how accessible it is."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from tests.http.conftest import Service, real_service

ROOT = Path(__file__).parent.parent.parent
AXE = ROOT / "serve_app" / "ui" / "node_modules" / "axe-core" / "axe.min.js"
PICTURES = ROOT / "out" / "screenshots"
NAMES = ("chromium", "chromium-browser", "google-chrome")
SIZE, TABLET = {"width": 1280, "height": 720}, {"width": 820, "height": 1180}
PATIENCE_MS = 30_000
"""Two cores may be busy with the cells."""


@dataclass
class Watched:
    """A page of a user's, and what it did that it should not."""

    page: Page
    url: str
    faults: list[str] = field(default_factory=list)

    def go(self, view: str) -> Page:
        """To a view by its address."""
        self.page.goto(f"{self.url}/#/{view}")
        return self.page

    def log_in(self, key: str) -> Page:
        """By the form, with a key."""
        self.page.goto(self.url)
        self.page.get_by_label("Your key").fill(key)
        self.page.get_by_role("button", name="Log in").click()
        expect(self.page.get_by_role("navigation", name="Views")).to_be_visible()
        return self.page

    def log_out(self) -> None:
        """By the menu; the page is a new one afterwards."""
        self.page.get_by_title("Account").click()
        with self.page.expect_navigation():
            self.page.get_by_role("button", name="Log out").click()

    def accessible(self) -> list[str]:
        """What axe-core finds serious or critical on the page as it is."""
        self.page.evaluate(AXE.read_text())
        found: dict[str, Any] = self.page.evaluate("() => axe.run(document)")
        return [
            f"{each['id']}: {node['html'][:200]}"
            for each in found["violations"]
            if each["impact"] in {"serious", "critical"}
            for node in each["nodes"]
        ]

    def picture(self, name: str) -> None:
        """As it looks, light and dark, for people to look at; and no worse for anybody."""
        PICTURES.mkdir(parents=True, exist_ok=True)
        below = "() => document.documentElement.scrollHeight - innerHeight"
        assert self.page.evaluate(below) == 0, f"{name}: one can scroll to where nothing is"
        for theme in ("light", "dark"):
            self.page.emulate_media(color_scheme=theme)  # type: ignore[arg-type]
            self.page.wait_for_function(
                "theme => document.documentElement.dataset.theme === theme", arg=theme
            )
            self.page.screenshot(path=PICTURES / f"{name}-{theme}.png")
            assert self.accessible() == [], f"{name}, {theme}"


def a_browser() -> str | None:
    """Where Chromium is."""
    named = os.environ.get("RAYSCHED_CHROMIUM")
    return named or next(filter(None, map(shutil.which, NAMES)), None)


@pytest.fixture(scope="package")
def service(tmp_path_factory: pytest.TempPathFactory, sample_slide: Path) -> Iterator[Service]:
    """A service for all tests of this folder, with the limits that everybody has."""
    folder = tmp_path_factory.mktemp("browser")
    with real_service(folder, sample_slide, reuse={"most_gb_per_user": 0}) as made:
        yield made


@pytest.fixture(scope="package")
def chromium() -> Iterator[Browser]:
    """One browser; each page has a profile of its own."""
    found = a_browser()
    if found is None:
        why = f"no browser: none of {', '.join(NAMES)} is installed (Debian: apt install chromium)"
        if os.environ.get("RAYSCHED_BROWSER") == "required":
            pytest.fail(why)
        pytest.skip(why)
    with sync_playwright() as play:
        launched = play.chromium.launch(executable_path=found)
        yield launched
        launched.close()


Opening = Callable[..., Watched]


@pytest.fixture
def opened(service: Service, chromium: Browser) -> Iterator[Opening]:
    """Opens a page for somebody; at the end none may have done what it should not."""
    with watching(service, chromium) as opening:
        yield opening


@contextmanager
def watching(service: Service, chromium: Browser) -> Iterator[Opening]:
    base = service.bare.base_url
    home = f"{base.scheme}://{base.netloc.decode()}"
    pages: list[Watched] = []

    def opening(**options: Any) -> Watched:
        # Without transitions a picture is of one theme, not of the way from one to the other.
        usual = {"viewport": SIZE, "accept_downloads": True, "reduced_motion": "reduce"}
        context = chromium.new_context(**{**usual, **options})
        context.set_default_timeout(PATIENCE_MS)
        watched = Watched(context.new_page(), home)
        pages.append(watched)
        page, faults = watched.page, watched.faults
        page.on("pageerror", lambda error: faults.append(f"an error: {error}"))
        page.on("console", lambda said: _take_in(said.type, said.text, faults))
        page.on("request", lambda asked: _check_host(asked.url, home, faults))
        return watched

    expect.set_options(timeout=PATIENCE_MS)
    yield opening
    faults = [fault for each in pages for fault in each.faults]
    for each in pages:
        each.page.context.close()
    assert faults == []


def _take_in(kind: str, text: str, faults: list[str]) -> None:
    if kind in {"error", "warning"}:
        faults.append(f"{kind}: {text}")


def _check_host(asked: str, home: str, faults: list[str]) -> None:
    parts = urlsplit(asked)
    if parts.scheme not in {"data", "blob"} and f"{parts.scheme}://{parts.netloc}" != home:
        faults.append(f"asked {asked}")


def new_key(service: Service, name: str) -> str:
    """A key of a new user. Users of all tests of this folder live in one service."""
    service.http.post("/users", json={"id": name, "name": name.title()}).raise_for_status()
    made: dict[str, str] = service.http.post(f"/users/{name}/keys", json={}).json()
    return made["key"]


def admin_key(service: Service) -> str:
    """The key of the user ``local``."""
    return service.http.headers["Authorization"].removeprefix("Bearer ")


def login_token(service: Service) -> str:
    """What the link in the terminal holds. In a thread, since the browser has this one's loop."""
    with ThreadPoolExecutor(1) as one:
        return one.submit(lambda: asyncio.run(service.accounts.login_token())).result().text
