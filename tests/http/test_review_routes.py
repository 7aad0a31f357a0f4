"""Reviews over HTTP: begun on a finished job, judged, exported, gone with its results."""

from __future__ import annotations

import asyncio
import csv
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from raysched.core.model import Stage
from raysched.results.manifest import read_manifest
from raysched.results.reviews import wilson
from tests.http.by_hand import JOB, Units, cut_slide
from tests.http.here import Here, run

Work = Callable[[Here, Units, str], Any]
CELLS = {"what": "cells", "size": 20, "seed": 7}


@pytest.fixture
def with_job(
    tmp_path: Path, sample_slide: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[[Work], None]:
    """Does a test's work with a service and a job that has succeeded."""
    cut_slide(sample_slide, tmp_path / "slides")

    def with_job(work: Work) -> None:
        async def all_of_it(here: Here) -> None:
            units = Units(here, monkeypatch)
            made = (await here.http.post("/workflows", json={"jobs": [JOB]})).json()
            await units.open(1)
            await units.do_all()
            await work(here, units, made["jobs"][0]["id"])

        run(tmp_path, monkeypatch, all_of_it)

    return with_job


async def begun(http: httpx.AsyncClient, job: str, **asked: Any) -> Any:
    answer = await http.post(f"/jobs/{job}/review", json={**CELLS, **asked})
    assert answer.status_code == 201, answer.text
    assert answer.headers["location"] == f"/api/v1/jobs/{job}/review"
    return answer.json()


async def judged(http: httpx.AsyncClient, job: str, number: int, verdict: str | None) -> Any:
    answer = await http.put(f"/jobs/{job}/review/items/{number}", json={"verdict": verdict})
    assert answer.status_code == 200, answer.text
    return answer.json()


def said(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["code"]


def test_a_review_says_how_right_a_result_is(with_job: Callable[[Work], None]) -> None:
    async def work(here: Here, _: Units, job: str) -> None:
        path = f"/jobs/{job}/review"
        assert (await here.http.get(path)).json() is None
        first = await begun(here.http, job)
        assert (first["answered"], first["accuracy"], first["low"], first["note"]) == (
            *(0, None, None, None),
        )
        for number in range(1, 11):
            told = await judged(here.http, job, number, "no" if number == 4 else "yes")
        assert (told["answered"], told["yes"], told["accuracy"]) == (10, 9, 0.9)
        assert (told["low"], told["high"]) == wilson(9, 10)
        assert told["method"] == "Wilson 95 %"
        assert told["note"] is None  # 10 of some hundred
        told = await judged(here.http, job, 4, None)
        assert (told["answered"], told["yes"], told["items"][3]["at"]) == (9, 9, None)
        assert (await here.http.get(path)).json() == told
        for number in (21, 2000):
            answer = await here.http.put(f"{path}/items/{number}", json={"verdict": "yes"})
            assert said(answer) == (404, "not_found")
        assert said(await here.http.post(path, json=CELLS)) == (409, "conflict")
        assert (await begun(here.http, job, replace=True)) == {
            **first,
            "begun_at": (await here.http.get(path)).json()["begun_at"],
        }
        everything = await begun(here.http, job, what="tiles", size=2000, seed=None)
        assert everything["size"] == everything["population"] <= 9
        told = await judged(here.http, job, 1, "yes")
        assert "drawn without replacement" in told["note"]
        for number in range(2, everything["size"] + 1):
            told = await judged(here.http, job, number, "yes")
        assert (told["accuracy"], told["high"]) == (1.0, 1.0)
        assert told["note"] == "All there is was judged: the accuracy is exact."
        assert (await here.http.delete(path)).status_code == 204
        assert (await here.http.delete(path)).status_code == 204
        assert (await here.http.get(path)).json() is None

    with_job(work)


def test_what_is_asked_wrongly_is_refused(with_job: Callable[[Work], None]) -> None:
    async def work(here: Here, units: Units, job: str) -> None:
        path = f"/jobs/{job}/review"
        for bad in (
            *({"size": 0}, {"size": 2001}, {"what": "slides"}, {"seed": -1}, {"seed": 2**31}),
            *({"size": "all"}, {"more": 1}),
        ):
            answer = await here.http.post(path, json={**CELLS, **bad})
            assert said(answer) == (422, "invalid_request"), bad
        await begun(here.http, job)
        for number, verdict in ((0, "yes"), (1, "perhaps"), (1, 1), ("x", "yes")):
            answer = await here.http.put(f"{path}/items/{number}", json={"verdict": verdict})
            assert said(answer) == (422, "invalid_request")
        assert said(await here.http.put(f"{path}/items/1", json={})) == (422, "invalid_request")
        made = await here.http.post("/workflows", json={"jobs": [{**JOB, "branch": "x"}]})
        running = made.json()["jobs"][0]["id"]
        await units.do(Stage.PLAN)
        await units.do(Stage.SEGMENT)
        answer = await here.http.post(f"/jobs/{running}/review", json=CELLS)
        assert said(answer) == (409, "not_ready")

    with_job(work)


def test_another_user_sees_no_review_and_none_of_the_job(with_job: Callable[[Work], None]) -> None:
    async def work(here: Here, _: Units, job: str) -> None:
        path = f"/jobs/{job}/review"
        await begun(here.http, job)
        await judged(here.http, job, 1, "yes")
        async with await here.user("bob") as bob:
            asked = (
                bob.get(path), bob.post(path, json=CELLS), bob.delete(path),
                bob.put(f"{path}/items/1", json={"verdict": "no"}), bob.get(f"{path}/export"),
            )  # fmt: skip
            nobodys = (await bob.get("/jobs/job-aaaaaaaaaa-1/review")).json()["detail"]
            for answer in await asyncio.gather(*asked):
                assert said(answer) == (404, "not_found")
                assert answer.json()["detail"].replace(job, "job-aaaaaaaaaa-1") == nobodys
        assert (await here.http.get(path)).json()["yes"] == 1

    with_job(work)


def test_an_export_says_what_it_is_of_and_is_harmless_to_spreadsheets(
    with_job: Callable[[Work], None],
) -> None:
    async def work(here: Here, _: Units, job: str) -> None:
        await begun(here.http, job)
        review = await judged(here.http, job, 2, "no")
        path = f"/jobs/{job}/review/export"
        answer = await here.http.get(path)
        assert answer.headers["content-type"] == "text/csv; charset=utf-8"
        assert answer.headers["content-disposition"].endswith(f'"review-{job}.csv"')
        rows = list(csv.DictReader(io.StringIO(answer.text)))
        manifest = read_manifest(here.config.results / job)
        assert manifest is not None
        assert [row["verdict"] for row in rows] == ["", "no", *([""] * 18)]
        assert [int(row["cell"]) for row in rows] == [item["cell"] for item in review["items"]]
        assert {(row["job"], row["checksum"], row["seed"], row["engine"]) for row in rows} == {
            (job, manifest.checksum, "7", "classical")
        }
        assert {row["user"] for row in rows} == {review["user"]}
        as_json = await here.http.get(path, params={"format": "json"})
        assert as_json.headers["content-type"] == "application/json"
        assert json.loads(as_json.text) == review
        assert said(await here.http.get(path, params={"format": "xls"})) == (
            *(422, "invalid_request"),
        )

    with_job(work)


def test_formulas_in_names_are_text_in_the_table(with_job: Callable[[Work], None]) -> None:
    async def work(here: Here, _: Units, job: str) -> None:
        await begun(here.http, job)
        (file,) = (here.config.reviews / job).glob("*.json")
        kept = json.loads(file.read_text())
        kept["slide"] = '=HYPERLINK("//evil.test")'
        file.write_text(json.dumps(kept))
        table = (await here.http.get(f"/jobs/{job}/review/export")).text
        rows = list(csv.DictReader(io.StringIO(table)))
        assert {row["slide"] for row in rows} == {'\'=HYPERLINK("//evil.test")'}

    with_job(work)


def test_many_verdicts_at_once_are_all_kept(with_job: Callable[[Work], None]) -> None:
    async def work(here: Here, _: Units, job: str) -> None:
        await begun(here.http, job)
        await asyncio.gather(*(judged(here.http, job, number, "yes") for number in range(1, 21)))
        told = (await here.http.get(f"/jobs/{job}/review")).json()
        assert (told["answered"], told["yes"]) == (20, 20)
        await here.restart()
        assert (await here.http.get(f"/jobs/{job}/review")).json() == told

    with_job(work)


@pytest.mark.parametrize("how", ["results", "workflow"])
def test_a_review_goes_with_the_results(how: str, with_job: Callable[[Work], None]) -> None:
    async def work(here: Here, _: Units, job: str) -> None:
        await begun(here.http, job)
        await judged(here.http, job, 1, "yes")
        folder = here.config.reviews / job
        assert folder.is_dir()
        workflow = (await here.http.get(f"/jobs/{job}")).json()["workflow"]
        path = f"/jobs/{job}/results" if how == "results" else f"/workflows/{workflow}"
        assert (await here.http.delete(path)).status_code in (200, 204)
        while folder.exists():
            await asyncio.sleep(0.02)
        for answer in (
            await here.http.get(f"/jobs/{job}/review"),
            await here.http.put(f"/jobs/{job}/review/items/1", json={"verdict": "no"}),
            await here.http.post(f"/jobs/{job}/review", json=CELLS),
        ):
            assert said(answer) == (404, "not_found")
            assert how == "workflow" or "were deleted on" in answer.json()["detail"]
        assert not folder.exists()

    with_job(work)
