"""Fixtures for every layer, and the fence around the pure ones."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from raysched.cli.ending import Ending

# How long an example takes says nothing about the code: other tests run beside it.
settings.register_profile("raysched", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("raysched")

ROOT = Path(__file__).parent.parent
SAMPLE = "CMU-1-Small-Region.svs"
PURE = ("core", "journal", "imaging", "results")
ENDING = Ending()
"""This process holds what is left of many clusters."""


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Whatever the C library meets when all tests have ended says nothing about them."""
    ENDING.code = int(session.exitstatus)


@pytest.hookimpl(trylast=True)  # once -m and -k have chosen
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The browser, and the service that it asks, live until the process ends."""
    with_ray = [
        item for item in items if {"ray", "http"} & {mark.name for mark in item.iter_markers()}
    ]
    in_browser = [item for item in with_ray if item.get_closest_marker("browser")]
    if in_browser and len(in_browser) < len(with_ray):
        raise pytest.UsageError(
            "Tests in a browser need a process of their own: "
            "run pytest -m browser, and the others with -m 'not browser'."
        )


@pytest.fixture(scope="session")
def samples() -> Path:
    """The folder of real slides and annotated images."""
    folder = Path(os.environ.get("RAYSCHED_SAMPLES", ROOT / ".." / "shared" / "data")).resolve()
    if not folder.is_dir():
        pytest.skip(f"no sample data: RAYSCHED_SAMPLES names {folder}, which is not a folder")
    return folder


@pytest.fixture(scope="session")
def sample_slide(samples: Path) -> Path:
    """The real Aperio sample, 2220 x 2967 px."""
    slide = samples / SAMPLE
    if not slide.is_file():
        pytest.skip(f"no sample slide: {slide} is missing")
    return slide


@pytest.fixture(autouse=True)
def no_log_goes_on() -> Iterator[None]:
    """Whoever writes logs in a test's process does so to that test's stderr, and no longer."""
    yield
    for handler in logging.getLogger().handlers[:]:
        if type(handler).__module__ == "raysched.logs":
            logging.getLogger().removeHandler(handler)


@pytest.fixture(autouse=True)
def no_ray_where_it_is_not_expected(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> Iterator[None]:
    """Below the cluster nothing may start Ray, not even by accident; nor may a test that is not
    marked: such tests run beside each other."""
    folder = request.path.relative_to(ROOT / "tests").parts[0]
    marked = any(request.node.get_closest_marker(name) for name in ("ray", "http", "chaos"))
    if folder in PURE or not marked:
        import ray

        def refuse(*_: object, **__: object) -> None:
            raise AssertionError(
                "this layer knows nothing of Ray: move the test to tests/cluster"
                if folder in PURE
                else "mark the test: pytest.mark.ray, or pytest.mark.http"
            )

        monkeypatch.setattr(ray, "init", refuse)
    yield
