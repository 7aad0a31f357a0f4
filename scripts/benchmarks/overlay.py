"""Tiles of 2,000,000 cells from the real service: every style and zoom, clicks, a half-done job.

A job of the sample is run, and its results are replaced by made-up ones of as many cells on a slide
of about 97,000 x 48,000 px; a second one is cancelled, and what it has is replaced by a half-done
one of 1,500,000 cells. The baseline of each figure is GET /me in the same run: a request that is
let in and asks the scheduler, and does nothing else.
"""

from __future__ import annotations

import asyncio
import os
import random
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import looked_at
import numpy as np
import psutil
from figures import Figure

from raysched.cluster.accounts import Accounts
from raysched.cluster.session import connect
from raysched.config import load_config
from raysched.imaging.samples import sample_slide
from raysched.results.folders import staging_folder

COUNT = int(os.environ.get("RAYSCHED_BENCH_CELLS", "2000000"))
ACROSS = 2000
GATE_MS, GATE_MB = 100.0, 400.0
TILES = 120
ENDS = {"succeeded", "failed", "cancelled"}
BUDGETS = ("default", "create", "tiles")
STYLES = {
    "outline": "style=outline",
    "fill": "style=fill&colour=ff8800",
    "by area": "style=fill&by=area_um2",
    "density": "style=density",
}


def measure() -> Iterator[Figure]:
    """About two minutes."""
    from serve_app.service import serving

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "slides").mkdir()
        config = load_config()
        sample = sample_slide(config.samples, config.cache).path
        shutil.copy(sample, folder / "slides" / "sample.svs")
        config = load_config(
            state=folder / "state",
            cluster={"lanes": 1, "address": None},
            serve={"port": 0, "slide_folders": [folder / "slides"]},
            limits={f"{each}_{rest}": 100_000 for each in BUDGETS for rest in ("burst", "per_s")},
        )
        with connect(config) as session, serving(config, owned=True) as url:
            key = asyncio.run(Accounts(session.gateway).first_key())
            assert key is not None
            headers = {"Authorization": f"Bearer {key.text}"}
            with httpx.Client(base_url=f"{url}/api/v1", headers=headers, timeout=120) as http:
                yield from _figures(http, config.results)


def _figures(http: httpx.Client, results: Path) -> Iterator[Figure]:
    done, stopped = _submit(http, "done"), _submit(http, "stopped", tile_px=64, chunk_tiles=1)
    _until(http, done)
    http.post(f"/jobs/{stopped}/cancel").raise_for_status()
    _until(http, stopped)
    shutil.rmtree(results / done)
    looked_at.result(results / done, done, ACROSS, COUNT // ACROSS)
    staging = staging_folder(results / stopped, stopped)
    shutil.rmtree(staging, ignore_errors=True)
    staging.mkdir()
    looked_at.half_done(staging, stopped, round((COUNT / looked_at.PER_TILE**2) ** 0.5))
    replica = _replica()
    before = replica.memory_info().rss / 1e6
    bare = _p95(_timed(lambda: http.get("/me")) for _ in range(TILES))
    yield Figure("GET /me, p95", bare, "ms")
    for name, job in (("finished", done), ("half done", stopped)):
        yield from _overlay(http, name, job, bare)
        yield from _clicks(http, name, job, bare)
    levels = http.get(f"/jobs/{done}/view").json()["slide"]
    tiles = [_any_tile(levels, levels["levels"] - 1 - n % 3) for n in range(TILES)]
    first = _p95(_get(http, f"/jobs/{done}/tiles/{tile}") for tile in tiles)
    yield Figure("slide tile, p95", first, "ms", bare, GATE_MS)
    after = replica.memory_info().rss / 1e6
    yield Figure("RSS of the replica before", before, "MB")
    yield Figure("RSS of the replica after all of it", after, "MB", before, GATE_MB)


def _overlay(http: httpx.Client, name: str, job: str, bare: float) -> Iterator[Figure]:
    yield Figure(f"{name}: view, first", _get(http, f"/jobs/{job}/view"), "ms", bare)
    view = http.get(f"/jobs/{job}/view").json()
    yield Figure(f"{name}: view, again", _get(http, f"/jobs/{job}/view"), "ms", bare, GATE_MS)
    overlay, rng = view["overlay"], random.Random(1)
    for style, asked in STYLES.items():
        first: list[float] = []
        again: list[float] = []
        for z in range(overlay["levels"]):
            tiles = {_any_tile(overlay, z, rng) for _ in range(TILES // overlay["levels"] + 4)}
            paths = [f"/jobs/{job}/overlay/{tile}?{asked}&v={view['version']}" for tile in tiles]
            first += [_get(http, path) for path in paths]
            again += [_get(http, path) for path in paths]
        yield Figure(f"{name}: {style}, first touch p50", float(np.median(first)), "ms", bare)
        yield Figure(f"{name}: {style}, first touch p95", _p95(first), "ms", bare)
        yield Figure(f"{name}: {style}, first touch, longest", max(first), "ms", bare)
        yield Figure(f"{name}: {style}, warm p50", float(np.median(again)), "ms", bare)
        yield Figure(f"{name}: {style}, warm p95", _p95(again), "ms", bare, GATE_MS)


def _clicks(http: httpx.Client, name: str, job: str, bare: float) -> Iterator[Figure]:
    overlay, rng = http.get(f"/jobs/{job}/view").json()["overlay"], random.Random(2)
    width = overlay["width"] * overlay["l0_per_px"]
    height = overlay["height"] * overlay["l0_per_px"]
    hits, times = 0, []
    for _ in range(TILES):
        x, y = rng.random() * width, rng.random() * height
        begun = time.perf_counter()
        found = http.get(f"/jobs/{job}/cells/at", params={"x": x, "y": y}).raise_for_status()
        times.append((time.perf_counter() - begun) * 1000)
        hits += found.json()["cell"] is not None
    yield Figure(f"{name}: click anywhere, p95 ({hits} of {TILES} hit)", _p95(times), "ms", bare,
                 GATE_MS)  # fmt: skip


def _any_tile(pyramid: dict[str, Any], z: int, rng: random.Random | None = None) -> str:
    rng = rng or random.Random(z)
    by = 1 << (pyramid["levels"] - 1 - z)
    across, down = (
        -(-pyramid[side] // by // pyramid["tile_px"]) or 1 for side in ("width", "height")
    )
    return f"{z}/{rng.randrange(across)}/{rng.randrange(down)}"


def _get(http: httpx.Client, path: str) -> float:
    return _timed(lambda: http.get(path))


def _timed(ask: Callable[[], httpx.Response]) -> float:
    begun = time.perf_counter()
    ask().raise_for_status()
    return (time.perf_counter() - begun) * 1000


def _p95(times: Any) -> float:
    return float(np.percentile(list(times), 95))


def _submit(http: httpx.Client, key: str, **options: Any) -> str:
    body = {"jobs": [{"slide": "sample.svs", **options}]}
    made = http.post("/workflows", json=body, headers={"Idempotency-Key": key}).raise_for_status()
    return str(made.json()["jobs"][0]["id"])


def _until(http: httpx.Client, job: str) -> None:
    while http.get(f"/jobs/{job}").raise_for_status().json()["state"] not in ENDS:
        time.sleep(0.2)


def _replica() -> psutil.Process:
    return next(
        each
        for each in psutil.Process().children(recursive=True)
        if "ServeReplica" in " ".join(each.cmdline())
    )
