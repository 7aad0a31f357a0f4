"""A job that is looked at while it runs: the service has no lanes, its chunks are made here."""

from __future__ import annotations

import asyncio
import io
import shutil
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image

from raysched.core.model import JobId, JobState
from raysched.errors import NotReady
from raysched.imaging.request import SlideRequest, read_request
from raysched.results import stages
from raysched.results.folders import staging_folder
from serve_app.results import cells_of
from serve_app.view_access import RUNNING_S
from tests.http import here as service
from tests.http.here import Here, submit

# Ray Serve's own models, on import
pytestmark = pytest.mark.filterwarnings("ignore:Using extra keyword arguments on `Field`")

ROUTES = (
    *("view", "tiles/0/0/0", "overlay/0/0/0", "cells/at?x=1&y=1", "cells/1"),
    "picture?x=0&y=0&width=9&height=9",
)
FINE = 3
"""A level that shows single cells."""


@dataclass
class Live:
    """A job of the administrator's, and the work that its lanes would do."""

    here: Here
    job: str
    request: SlideRequest
    chunks: int

    async def segment(self, chunk: int) -> None:
        await asyncio.to_thread(stages.segment_chunk, self.request, self.job, chunk, lambda: False)
        self.later()

    def later(self) -> None:
        """As if so much time had passed that everything is looked at anew."""
        looking = self.here.app.state.looking
        before = looking._clock
        looking._clock = lambda: before() + RUNNING_S
        for source in looking.viewer._sources._held.values():
            source._looked_at = -1e9

    async def get(self, path: str, **query: Any) -> httpx.Response:
        return await self.here.http.get(f"/jobs/{self.job}/{path}", params=query)

    async def view(self) -> Any:
        return (await self.get("view")).raise_for_status().json()

    async def fills(self) -> dict[tuple[int, int], Any]:
        """Which pixels of which tiles of a level show cells."""
        found = {}
        for x, y in np.ndindex(5, 6):
            answer = await self.get(f"overlay/{FINE}/{x}/{y}", style="fill")
            if answer.status_code == 404:
                continue
            assert answer.headers["content-type"] == "image/png"
            assert answer.headers["cache-control"] == "no-store"
            found[x, y] = np.asarray(Image.open(io.BytesIO(answer.content)).convert("RGBA"))
        return found


Work = Callable[[Live], Coroutine[Any, Any, None]]


@pytest.fixture
def live(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[Work], None]:
    """Does something with a job that is planned and has no chunk yet."""

    def run(work: Work) -> None:
        async def do(here: Here) -> None:
            options = {"kind": "cell_segmentation", "tile_px": 512, "chunk_tiles": 4}
            job = (await submit(here.http, "main", **options))["jobs"][0]["id"]
            view = await here.gateway.job(here.job(job).user, JobId(job))
            request = read_request(view.kind, view.request)
            planned = await asyncio.to_thread(stages.plan_slide, request, job)
            await work(Live(here, job, request, len(planned.chunk_tiles)))

        service.run(folder, monkeypatch, do)

    return run


def test_a_job_is_looked_at_before_it_is_planned(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def look(here: Here) -> None:
        job = (await submit(here.http, "main", kind="cell_segmentation"))["jobs"][0]["id"]
        view = (await here.http.get(f"/jobs/{job}/view")).raise_for_status().json()
        assert {name: view[name] for name in ("complete", "cells", "version", "overlay")} == {
            "complete": False,
            "cells": 0,
            "version": "0",
            "overlay": None,
        }
        assert (view["measures"], view["tissue"]) == ([], None)
        tiles = f"/api/v1/jobs/{job}/tiles/{{z}}/{{x}}/{{y}}"
        wanted = {"name": "lung-7.svs", "width": 2220, "height": 2967, "mpp": 0.499}
        more = {"mpp_source": "vendor", "tile_px": 256, "overlap": 1, "levels": 5, "href": tiles}
        assert view["slide"] == {**wanted, **more}
        for path in ("overlay/0/0/0", "cells/at?x=1&y=1", "cells/1"):
            answer = await here.http.get(f"/jobs/{job}/{path}")
            assert (answer.status_code, answer.json()["code"]) == (409, "not_ready")

    service.run(folder, monkeypatch, look)


def test_cells_appear_chunk_by_chunk_and_can_be_clicked(live: Callable[[Work], None]) -> None:
    async def watch(job: Live) -> None:
        planned = await job.view()
        assert (planned["cells"], planned["measures"], planned["complete"]) == (0, [], False)
        overlay = planned["overlay"]
        assert (overlay["width"], overlay["height"]) == (4 * 2220, 4 * 2967)
        assert (overlay["l0_per_px"], overlay["tile_px"], overlay["levels"]) == (0.25, 512, 6)
        assert planned["tissue"]["href"] == f"/api/v1/jobs/{job.job}/tissue"
        versions, shown = {planned["version"]}, [0]
        for chunk in range(job.chunks):
            await job.segment(chunk)
            view = await job.view()
            versions.add(view["version"])
            tiles = await job.fills()
            shown.append(sum(int((tile[..., 3] > 0).sum()) for tile in tiles.values()))
        assert len(versions) == job.chunks + 1
        assert shown == sorted(set(shown))
        assert [each["name"] for each in view["measures"]][:2] == ["area_um2", "perimeter_um"]
        (x, y), tile = max(tiles.items(), key=lambda each: (each[1][..., 3] > 0).sum())
        row, column = (int(each[0]) for each in np.nonzero(tile[..., 3]))
        at = {"x": x * 512 + column + 0.5, "y": y * 512 + row + 0.5}
        cell = (await job.get("cells/at", **at)).raise_for_status().json()["cell"]
        assert cell["provisional"] is True
        assert (await job.get(f"cells/{cell['id']}")).json() == cell
        assert (await job.get("cells/at", x=1, y=1)).json() == {"cell": None}

    live(watch)


def test_nobody_else_sees_anything_of_it(live: Callable[[Work], None]) -> None:
    async def look(job: Live) -> None:
        await job.segment(0)
        unknown = "job-aaaaaaaaaa-1"
        other = await job.here.user("other")
        for path in ROUTES:
            assert (await job.here.http.get(f"/jobs/{job.job}/{path}")).status_code in (200, 404)
            answers = [await other.get(f"/jobs/{each}/{path}") for each in (job.job, unknown)]
            assert [each.status_code for each in answers] == [404, 404]
            texts = [each.text.replace(job.job, unknown) for each in answers]
            assert texts[0] == texts[1]
        await other.aclose()

    live(look)


def test_what_is_no_tile_measure_or_region_is_refused_in_words(
    live: Callable[[Work], None],
) -> None:
    async def ask(job: Live) -> None:
        await job.segment(0)
        wrong = {
            "overlay/6/0/0": 404,
            "overlay/0/1/0": 404,
            "overlay/-1/0/0": 422,
            "overlay/0/x/0": 422,
            "overlay/0/0/99999999999999999999": 422,
            "overlay/0/0/0?by=weight": 422,
            "overlay/0/0/0?by=area_um2&low=9&high=1": 422,
            "overlay/0/0/0?low=nan": 422,
            "overlay/0/0/0?palette=jet": 422,
            "overlay/0/0/0?style=dots": 422,
            "overlay/0/0/0?colour=red": 422,
            "tiles/9/0/0": 404,
            "cells/at": 422,
            "cells/at?x=inf&y=0": 422,
            "cells/4294967296": 422,
            "cells/4294967295": 404,
            "cells/0": 404,
            "picture?x=0&y=0&width=0&height=9": 422,
            "picture?x=0&y=0&width=9&height=9&most_px=100000": 422,
            "picture?x=0&y=0&width=9000000&height=9000000": 422,
        }
        for path, status in wrong.items():
            answer = await job.here.http.get(f"/jobs/{job.job}/{path}")
            assert (path, answer.status_code) == (path, status)
            assert answer.json()["remedy"]

    live(ask)


def test_chunks_that_have_just_become_results_are_asked_for_anew(
    live: Callable[[Work], None],
) -> None:
    async def end(job: Live) -> None:
        await job.segment(0)
        assert (await job.get("overlay/0/0/0")).status_code == 200
        shutil.rmtree(staging_folder(Path(job.request.out), job.job))
        answer = await job.get("overlay/0/0/0")
        assert (answer.status_code, answer.json()["code"]) == (409, "not_ready")
        assert (await job.view())["overlay"] is None

    live(end)


def test_results_are_seen_before_the_scheduler_has_heard_of_them(
    live: Callable[[Work], None],
) -> None:
    async def publish(job: Live) -> None:
        for chunk in range(job.chunks):
            await job.segment(chunk)
        for stage in (
            lambda: stages.assemble(job.request, job.job, lambda: False),
            lambda: stages.publish(job.request, job.job),
        ):
            await asyncio.to_thread(stage)
        view = await job.here.gateway.job(job.here.job(job.job).user, JobId(job.job))
        out = Path(job.request.out)
        assert not staging_folder(out, job.job).exists()
        assert cells_of(replace(view, state=JobState.PUBLISHING)) == out
        other = replace(view, state=JobState.PUBLISHING, job=JobId("job-other"))
        for none in (other, replace(view, state=JobState.CANCELLED)):
            with pytest.raises(NotReady):
                cells_of(none)

    live(publish)


def test_tiles_and_clicks_are_counted_apart_from_other_requests(
    live: Callable[[Work], None],
) -> None:
    async def ask(job: Live) -> None:
        await job.segment(0)
        for path in ROUTES[1:]:
            answer = await job.here.http.get(f"/jobs/{job.job}/{path}")
            assert answer.headers["ratelimit"].startswith('"tiles"')
        assert (await job.get("view")).headers["ratelimit"].startswith('"default"')

    live(ask)
