"""What is shown of a job's chunks, tissue and measurements, while it runs and afterwards."""

from __future__ import annotations

import asyncio
import io
import threading
from base64 import b64decode
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from raysched.core.model import JobId, Stage
from raysched.imaging.request import read_request
from raysched.results.bounded import Bounded
from raysched.results.chunk_map import ChunkMap
from raysched.results.folders import staging_folder
from raysched.results.schema import MEASURES
from serve_app.chunk_models import Chunks
from serve_app.places import Places
from tests.http.by_hand import JOB, MPP, Units, cut_slide
from tests.http.here import Here, run

Work = Callable[[Here, Units], Any]


@pytest.fixture
def served(
    tmp_path: Path, sample_slide: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[[Work], None]:
    """Does a test's work with a service that has a small slide and no lane yet."""
    cut_slide(sample_slide, tmp_path / "slides")

    def served(work: Work) -> None:
        async def with_units(here: Here) -> None:
            await work(here, Units(here, monkeypatch))

        run(tmp_path, monkeypatch, with_units)

    return served


async def submitted(here: Here, **job: Any) -> str:
    answer = await here.http.post("/workflows", json={"jobs": [{**JOB, **job}]})
    assert answer.status_code == 201, answer.text
    return str(answer.json()["jobs"][0]["id"])


async def finished(here: Here, units: Units, **job: Any) -> str:
    name = await submitted(here, **job)
    await units.open(1)
    await units.do_all()
    assert (await got(here, f"/jobs/{name}"))["state"] == "succeeded"
    return name


async def begun(here: Here, units: Units) -> tuple[str, Path]:
    """A job with two finished chunks, and the folder that they are in."""
    name = await submitted(here)
    await units.open(1)
    for stage in (Stage.PLAN, Stage.SEGMENT, Stage.SEGMENT):
        await units.do(stage)
    view = await here.gateway.job(here.job(name).user, JobId(name))
    return name, staging_folder(Path(read_request(view.kind, view.request).out), name)


async def got(here: Here, path: str) -> Any:
    answer = await here.http.get(path)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def refused(here: Here, path: str) -> tuple[int, str]:
    answer = await here.http.get(path)
    assert str(here.config.state) not in answer.text
    return answer.status_code, answer.json()["code"]


def by_state(chunks: Any) -> dict[str, list[int]]:
    found: dict[str, list[int]] = {}
    for chunk in chunks["chunks"]:
        found.setdefault(chunk["state"], []).append(chunk["chunk"])
    return found


def test_the_chunks_follow_a_running_job(served: Callable[[Work], None]) -> None:
    async def work(here: Here, units: Units) -> None:
        job = await submitted(here)
        for part in ("chunks", "tissue", "measures"):
            assert await refused(here, f"/jobs/{job}/{part}") == (409, "not_ready")
        await units.open(2)
        assert await refused(here, f"/jobs/{job}/chunks") == (409, "not_ready")
        await units.do(Stage.PLAN)
        first = await got(here, f"/jobs/{job}/chunks")
        last = len(first["chunks"]) - 1
        assert last >= 3
        assert by_state(first) == {"running": [0, 1], "waiting": list(range(2, last + 1))}
        done = await units.do(Stage.SEGMENT)
        assert done.unit.chunk == 0
        second = await got(here, f"/jobs/{job}/chunks")
        assert by_state(second) == {
            "done": [0],
            "running": [1, 2],
            "waiting": list(range(3, last + 1)),
        }
        shown = await got(here, f"/jobs/{job}")
        assert sum(chunk["cells"] for chunk in second["chunks"]) == shown["cells"] > 0
        await here.http.post(f"/jobs/{job}/cancel")
        stopped = await got(here, f"/jobs/{job}/chunks")
        assert {chunk["state"] for chunk in stopped["chunks"]} >= {"done", "waiting"}

    served(work)


def test_pictures_that_a_browser_keeps_are_kept_for_one_user(
    served: Callable[[Work], None],
) -> None:
    async def work(here: Here, units: Units) -> None:
        job = await finished(here, units)
        for path in ("tissue", "tiles/0/0/0"):
            headers = (await here.http.get(f"/jobs/{job}/{path}")).headers
            assert headers["cache-control"].startswith("private, max-age")
            assert headers["vary"] == "Cookie, Authorization"
        review = {"what": "cells", "size": 3}
        assert (await here.http.post(f"/jobs/{job}/review", json=review)).status_code == 201
        exported = (await here.http.get(f"/jobs/{job}/review/export")).headers
        assert exported["cache-control"] == "private, no-cache"
        assert exported["x-content-type-options"] == "nosniff"

    served(work)


def test_a_map_of_chunks_keeps_nobody_waiting_and_has_its_bounds(
    served: Callable[[Work], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    made_in: list[threading.Thread] = []
    of = Chunks.of

    def seen(job: str, found: ChunkMap) -> Chunks:
        made_in.append(threading.current_thread())
        return of(job, found)

    monkeypatch.setattr(Chunks, "of", seen)

    async def work(here: Here, units: Units) -> None:
        job = await finished(here, units)
        many = len((await got(here, f"/jobs/{job}/chunks"))["chunks"])
        assert made_in
        assert threading.current_thread() not in made_in
        here.app.state.chunk_maps = Places("maps of chunks", per_user=0, in_all=1)
        assert await refused(here, f"/jobs/{job}/chunks") == (429, "too_many_at_once")
        here.app.state.chunk_maps = Places("maps of chunks", in_all=1)
        monkeypatch.setattr("raysched.results.chunk_map.MOST_CHUNKS", many)
        await got(here, f"/jobs/{job}/chunks")
        monkeypatch.setattr("raysched.results.chunk_map.MOST_CHUNKS", many - 1)
        assert await refused(here, f"/jobs/{job}/chunks") == (409, "conflict")

    served(work)


def test_the_chunks_of_a_finished_job_partition_its_tissue(
    served: Callable[[Work], None],
) -> None:
    async def work(here: Here, units: Units) -> None:
        job = await finished(here, units)
        chunks = await got(here, f"/jobs/{job}/chunks")
        tiles = [tile for chunk in chunks["chunks"] for tile in chunk["tiles"]]
        shown = await got(here, f"/jobs/{job}")
        assert len(tiles) == len(set(tiles)) == shown["tiles_total"]
        assert (chunks["columns"], chunks["rows"], chunks["tile_width"]) == (3, 3, 160.0)
        assert (chunks["width"], chunks["height"], chunks["complete"]) == (480, 480, True)
        with_cells = pq.read_table(here.config.results / job / "cells").column("tile")
        assert set(with_cells.to_pylist()) <= set(tiles) <= set(range(9))

    served(work)


def test_the_tissue_of_a_job_lies_on_its_slide(served: Callable[[Work], None]) -> None:
    async def work(here: Here, units: Units) -> None:
        job = await submitted(here)
        await units.open(1)
        await units.do(Stage.PLAN)
        running = await here.http.get(f"/jobs/{job}/tissue")
        await units.do_all()
        done = await here.http.get(f"/jobs/{job}/tissue")
        assert running.content == done.content
        assert (running.headers["cache-control"], done.headers["cache-control"]) == (
            *("no-store", "private, max-age=3600"),
        )
        picture = Image.open(io.BytesIO(done.content))
        per_px = float(done.headers["x-l0-per-px"])
        assert picture.width * per_px == pytest.approx(480, abs=per_px)
        mask = await finished(here, units, kind="tissue_mask", tile_px=None, chunk_tiles=None)
        assert (await here.http.get(f"/jobs/{mask}/tissue")).content == done.content
        for part in ("chunks", "measures", "measures/area_um2/by/solidity"):
            assert await refused(here, f"/jobs/{mask}/{part}") == (404, "not_found")

    served(work)


def test_measurements_are_those_of_the_table_and_remembered(
    served: Callable[[Work], None],
) -> None:
    async def work(here: Here, units: Units) -> None:
        job = await finished(here, units)
        told = await got(here, f"/jobs/{job}/measures")
        table = pq.read_table(here.config.results / job / "cells")
        assert (told["complete"], told["cells"]) == (True, len(table))
        assert told["density_per_mm2"] > 100
        assert [each["name"] for each in told["measures"]] == list(MEASURES)
        for each in told["measures"]:
            values = table.column(each["name"]).to_numpy().astype(np.float64)
            assert sum(each["counts"]) + each["below"] + each["above"] == each["count"]
            assert each["median"] == pytest.approx(np.median(values))
            assert each["p95"] == pytest.approx(np.percentile(values, 95))
            assert (each["min"], each["max"]) == (values.min(), values.max())
        pair = await got(here, f"/jobs/{job}/measures/area_um2/by/solidity")
        assert (len(pair["counts"]), len(pair["counts"][0]), pair["bins"]) == (48, 48, 48)
        assert np.sum(pair["counts"]) == pair["inside"] <= pair["cells"] == len(table)
        assert -1 <= pair["correlation"] <= 1
        assert await refused(here, f"/jobs/{job}/measures/area_um2/by/id") == (404, "not_found")
        known: Bounded[Any, Any] = here.app.state.measured
        assert len(known) == 1
        for part in (here.config.results / job / "cells").iterdir():
            part.write_bytes(b"not read again")
        assert await got(here, f"/jobs/{job}/measures") == told
        await here.http.delete(f"/jobs/{job}/results")
        assert await refused(here, f"/jobs/{job}/measures") == (404, "not_found")

    served(work)


def test_measurements_of_a_running_job_are_of_the_settled_cells(
    served: Callable[[Work], None],
) -> None:
    async def work(here: Here, units: Units) -> None:
        job = await submitted(here)
        await units.open(1)
        await units.do(Stage.PLAN)
        seen = []
        for _ in range(2):
            await units.do(Stage.SEGMENT)
            told = await got(here, f"/jobs/{job}/measures")
            assert (told["complete"], told["density_per_mm2"]) == (False, None)
            seen.append(told["cells"])
        assert 0 < seen[0] < seen[1]

    served(work)


def test_only_so_many_looks_of_one_user_go_on_at_once(served: Callable[[Work], None]) -> None:
    async def work(here: Here, units: Units) -> None:
        job = await finished(here, units)
        slide = await ready_slide(here)
        both = (
            ("measuring", f"/jobs/{job}/measures"),
            ("previews", f"/slides/{slide}/tissue?mpp={MPP}"),
        )
        for which, path in both:
            places: Places = getattr(here.app.state, which)
            name = (await got(here, "/me"))["acts_for"]
            with places.taken(name), places.taken(name):
                assert await refused(here, path) == (429, "too_many_at_once")
            await got(here, path)

    served(work)


async def ready_slide(here: Here) -> str:
    made = await here.http.post("/slides", json={"folder": 0, "path": "crop.tif"})
    slide = str(made.json()["id"])
    while (await got(here, f"/slides/{slide}"))["state"] == "checking":
        await asyncio.sleep(0.05)
    return slide


def test_the_tissue_of_a_slide_is_seen_before_any_job(served: Callable[[Work], None]) -> None:
    async def work(here: Here, units: Units) -> None:
        slide = await ready_slide(here)
        asks = await got(here, f"/slides/{slide}/tissue")
        assert asks["question"].startswith("What is the pixel size of crop.tif?")
        assert (asks["png"], asks["mpp"], asks["width"]) == (None, None, None)
        usual = await got(here, f"/slides/{slide}/tissue?mpp={MPP}")
        assert (usual["mpp"], usual["mpp_source"], usual["question"]) == (MPP, "user", None)
        assert 0 < usual["tissue_mm2"] <= (480 * MPP / 1000) ** 2
        strict = await got(here, f"/slides/{slide}/tissue?mpp={MPP}&threshold=120")
        assert strict["fraction"] < usual["fraction"]
        png = b64decode(usual["png"].removeprefix("data:image/png;base64,"))
        assert Image.open(io.BytesIO(png)).size == (usual["width"], usual["height"])
        job = await finished(here, units)
        assert (await here.http.get(f"/jobs/{job}/tissue")).content == png
        for query in ("mpp=9", "threshold=0", "close_um=x", "threshold=255", "speck_um2=-1"):
            assert await refused(here, f"/slides/{slide}/tissue?{query}") == (
                *(422, "invalid_request"),
            )
        assert await refused(here, "/slides/sl-000000000000000000000/tissue") == (
            *(404, "not_found"),
        )
        async with await here.user("bob") as bob:
            theirs = await bob.get(f"/slides/{slide}/tissue?mpp={MPP}")
            assert (theirs.status_code, theirs.json()["code"]) == (404, "not_found")
            for part in ("chunks", "tissue", "measures", "measures/area_um2/by/solidity"):
                theirs = await bob.get(f"/jobs/{job}/{part}")
                nobodys = await bob.get(f"/jobs/job-aaaaaaaaaa-1/{part}")
                assert (theirs.status_code, nobodys.status_code) == (404, 404)
                words = [
                    each.json()["detail"].replace(name, "JOB")
                    for each, name in ((theirs, job), (nobodys, "job-aaaaaaaaaa-1"))
                ]
                assert words[0] == words[1]

    served(work)
