"""The real service, started as ``raysched up`` starts it, once for all tests of this folder."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from raysched.cluster.accounts import Accounts
from raysched.cluster.session import Session, connect
from raysched.config import Config, load_config

BUDGETS = ("default", "create", "upload", "export", "tiles", "strangers")
GENEROUS = {f"{each}_{rest}": 100_000 for each in BUDGETS for rest in ("burst", "per_s")}
"""Tests ask faster than people do."""
FINAL = {"succeeded", "failed", "cancelled", "skipped"}


@dataclass(frozen=True)
class Service:
    """A running service and what tests do with it again and again."""

    config: Config
    session: Session
    slides: Path
    http: httpx.Client
    """Asks with the admin key, for the user ``local``."""
    bare: httpx.Client
    """Asks without any key."""

    @property
    def accounts(self) -> Accounts:
        """Users and keys, as the command line reaches them."""
        return Accounts(self.session.gateway)

    def client(self, key: str) -> httpx.Client:
        """Asks with that key; to be closed."""
        headers = {"Authorization": f"Bearer {key}"}
        return httpx.Client(base_url=self.bare.base_url, headers=headers, timeout=60)

    def submit(self, slide: str, *, key: str | None = None, **options: Any) -> dict[str, Any]:
        """Submit one job and return it."""
        response = self.post(slide, key=key, **options)
        assert response.status_code == 201, response.text
        job: dict[str, Any] = response.json()["jobs"][0]
        return job

    def post(self, slide: str, *, key: str | None = None, **options: Any) -> httpx.Response:
        """Ask to submit one job."""
        headers = {"Idempotency-Key": key} if key else {}
        body = {"jobs": [{"slide": slide, **options}]}
        return self.http.post("/workflows", json=body, headers=headers)

    def until(self, job: str, *states: str, wait_s: float = 120.0) -> dict[str, Any]:
        """Ask for a job until it is in one of these states."""
        deadline = time.monotonic() + wait_s
        while True:
            view: dict[str, Any] = self.http.get(f"/jobs/{job}").raise_for_status().json()
            if view["state"] in states:
                return view
            assert view["state"] not in FINAL, f"the job ended: {view}"
            assert time.monotonic() < deadline, f"still {view['state']}: {view}"


@contextmanager
def real_service(folder: Path, sample_slide: Path, **settings: Any) -> Iterator[Service]:
    """Ray, the scheduler and HTTP on a free port, with a slide folder and a state of their own."""
    from serve_app.service import serving

    slides = folder / "slides"
    slides.mkdir()
    (slides / "sample.svs").write_bytes(sample_slide.read_bytes())
    config = load_config(
        state=folder / "state",
        cluster={"lanes": 2, "address": None},
        serve={"port": 0, "slide_folders": [slides]},
        **settings,
    )
    with (
        connect(config) as session,
        serving(config, owned=True) as url,
        httpx.Client(base_url=f"{url}/api/v1", timeout=60) as http,
        httpx.Client(base_url=f"{url}/api/v1", timeout=60) as bare,
    ):
        key = asyncio.run(Accounts(session.gateway).first_key())
        assert key is not None
        http.headers["Authorization"] = f"Bearer {key.text}"
        yield Service(config, session, slides, http, bare)


@pytest.fixture(scope="package")
def service(tmp_path_factory: pytest.TempPathFactory, sample_slide: Path) -> Iterator[Service]:
    """A service for all tests of this folder."""
    reuse = {"most_gb_per_user": 0}  # tests submit the same slide again and again
    folder = tmp_path_factory.mktemp("service")
    with real_service(folder, sample_slide, reuse=reuse, limits=GENEROUS) as made:
        yield made


@pytest.fixture
def folder(tmp_path: Path, sample_slide: Path) -> Path:
    """A folder for a service of one test, with two slides."""
    (tmp_path / "slides").mkdir()
    for name in ("lung-7.svs", "Liver.svs"):
        (tmp_path / "slides" / name).write_bytes(sample_slide.read_bytes())
    return tmp_path
