"""How soon each view of the web UI shows something meaningful, in real Chromium over loopback.

Real Serve with the sample slide and a finished job. Every visit has a fresh profile: nothing is in
the browser's cache, but for the session. A view counts as there when its own content is on the
screen: for the viewer, when pixels of the slide and of the cells are. The baseline, in the same run
and measured in the same way, is the page of ``/healthz``, a line of JSON.
"""

from __future__ import annotations

import asyncio
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from figures import Figure
from playwright.sync_api import Browser, Page, sync_playwright

from raysched.cluster.accounts import Accounts
from raysched.cluster.session import connect
from raysched.config import load_config
from raysched.imaging.samples import sample_slide

VISITS = 15
GATE_MS = 1000.0
SIZE = {"width": 1280, "height": 720}
CHROMIUM = ("chromium", "chromium-browser", "google-chrome")
DRAWN = """() => {
  const canvas = document.querySelector(".viewer-osd canvas");
  if (!canvas || !canvas.width) return false;
  const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
  let cells = 0;
  for (let at = 0; at < data.length; at += 16) {
    cells += data[at + 1] - data[at] > 90 && data[at + 1] - data[at + 2] > 60;
  }
  return cells > 50;
}"""
"""Pixels in the colour of cells, which no stain has."""


@dataclass(frozen=True)
class Visit:
    """A view by its address, and what is on the screen once it is there."""

    name: str
    address: str
    is_there: Callable[[Page], Any]


def measure() -> Iterator[Figure]:
    """Five views, fifteen visits each: about three minutes."""
    from serve_app.service import serving

    found = next(filter(None, map(shutil.which, CHROMIUM)), None)
    if found is None:
        raise SystemExit("error: no browser was found\n  do: install chromium")
    with tempfile.TemporaryDirectory() as folder:
        config = load_config(
            state=Path(folder) / "state",
            cluster={"lanes": 2, "address": None},
            serve={"port": 0},
        )
        with connect(config) as session, serving(config, owned=True) as url:
            key = asyncio.run(Accounts(session.gateway).first_key())
            assert key is not None
            job = _finished_job(url, key.text)
            with sync_playwright() as play:
                browser = play.chromium.launch(executable_path=found)
                yield from _visits(browser, url, key.text, job)
                browser.close()


def _finished_job(url: str, key: str) -> str:
    """A job of the sample slide that has succeeded."""
    headers = {"Authorization": f"Bearer {key}"}
    config = load_config()
    slide = sample_slide(config.samples, config.cache).path.read_bytes()
    with httpx.Client(base_url=f"{url}/api/v1", headers=headers, timeout=60) as http:
        tus = {"Tus-Resumable": "1.0.0", "Upload-Length": str(len(slide))}
        name = {"Upload-Metadata": "filename Y210LTEuc3Zz"}
        made = http.post("/uploads", headers={**tus, **name}).raise_for_status()
        piece = {"Content-Type": "application/offset+octet-stream", "Upload-Offset": "0"}
        name_of = made.headers["Location"].rsplit("/", 1)[1]
        headers = {**tus, **piece}
        http.patch(f"/uploads/{name_of}", content=slide, headers=headers).raise_for_status()
        _until(lambda: http.get(f"/slides/{name_of}").json().get("state") == "ready")
        asked = http.post("/workflows", json={"jobs": [{"slide": name_of}]}).raise_for_status()
        job: str = asked.json()["jobs"][0]["id"]
        _until(lambda: http.get(f"/jobs/{job}").json()["state"] == "succeeded")
        return job


def _until(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 180
    while not is_so():
        if time.monotonic() > deadline:
            raise SystemExit("error: the sample was not segmented within three minutes")
        time.sleep(0.2)


def _visits(browser: Browser, url: str, key: str, job: str) -> Iterator[Figure]:
    state = _session(browser, url, key)
    plain = _times(browser, state, f"{url}/healthz", lambda page: page.wait_for_selector("pre"))
    views = (
        Visit("slides", "slides", lambda page: page.wait_for_selector("main img")),
        Visit("new workflow", "new", lambda page: page.wait_for_selector("main img")),
        Visit("queue", "queue", lambda page: page.get_by_text("Slots").first.wait_for()),
        Visit("results", f"results/{job}", lambda page: page.wait_for_selector("main .chart svg")),
        Visit(
            "viewer with cells",
            f"view/{job}?x=1100&y=1500&zoom=1&style=fill",
            lambda page: page.wait_for_function(DRAWN),
        ),
    )
    for view in views:
        taken = _times(browser, state, f"{url}/#/{view.address}", view.is_there)
        for name, of in (("p50", statistics.median), ("worst", max)):
            gate = GATE_MS if name == "p50" else None
            yield Figure(f"{view.name}: {name} of {VISITS}", of(taken), "ms", of(plain), gate)


def _session(browser: Browser, url: str, key: str) -> Any:
    """The cookies of somebody who has logged in."""
    context = browser.new_context()
    answer = context.request.post(f"{url}/api/v1/login", data={"key": key})
    assert answer.ok, answer.text()
    state = context.storage_state()
    context.close()
    return state


def _times(
    browser: Browser, state: Any, address: str, is_there: Callable[[Page], Any]
) -> list[float]:
    """Milliseconds from asking for the address to what counts, in fresh profiles."""
    taken = []
    for _ in range(VISITS + 1):
        context = browser.new_context(storage_state=state, viewport=SIZE)
        page = context.new_page()
        begun = time.perf_counter()
        page.goto(address, wait_until="commit")
        is_there(page)
        taken.append((time.perf_counter() - begun) * 1000)
        context.close()
    return taken[1:]  # the first also warms the server
