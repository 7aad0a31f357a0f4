"""Workflows and jobs over HTTP: listed page by page, cancelled whole, deleted with their files."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from itertools import product
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.http.conftest import Service
from tests.http.here import Here, cancelled, run, submit

FEW = {"max_ended_jobs_per_user": 3, "max_jobs_per_user": 1000}


async def pages(http: httpx.AsyncClient, what: str, **wanted: Any) -> list[list[Any]]:
    """All pages of a listing."""
    found, cursor = [], {}
    while True:
        answer = await http.get(f"/{what}", params={**wanted, **cursor})
        assert answer.status_code == 200, answer.text
        found.append([each["id"] for each in answer.json()[what]])
        if answer.json()["next"] is None:
            return found
        cursor = {"cursor": answer.json()["next"]}


def flat(found: list[list[Any]]) -> list[Any]:
    return [each for page in found for each in page]


# --- lists ----------------------------------------------------------------------------------------


def test_one_listing_holds_what_is_in_memory_and_what_is_in_the_archive_newest_first(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def work(here: Here) -> None:
        made = [await submit(here.http, "open", "later")]
        made += [await cancelled(here.http, *"abc"[: 1 + number % 3]) for number in range(7)]
        jobs = [job["id"] for each in made for job in each["jobs"]][::-1]
        workflows = [each["id"] for each in made][::-1]
        life = here.gateway.actor._life  # type: ignore[union-attr]
        assert len(life.core.state.jobs) < len(jobs)  # type: ignore[union-attr]
        for limit in (1, 2, 5, 500):
            found = await pages(here.http, "jobs", limit=limit)
            assert flat(found) == jobs
            assert {len(page) for page in found[:-1]} <= {limit}
            assert flat(await pages(here.http, "workflows", limit=limit)) == workflows
        await here.restart()
        assert flat(await pages(here.http, "jobs", limit=3)) == jobs

    run(folder, monkeypatch, work, scheduling=FEW)


def test_lists_show_what_was_asked_for(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def work(here: Here) -> None:
        old = [await cancelled(here.http, "x", name=f"Old {n}") for n in range(5)]
        liver = await cancelled(here.http, "y", slide="Liver.svs", name="Liver")
        new = await submit(here.http, "x", "y", name="new")
        first, second = (job["id"] for job in new["jobs"])
        (of_liver,) = (job["id"] for job in liver["jobs"])
        gone = [job["id"] for each in old for job in each["jobs"]][::-1]

        async def jobs(**wanted: Any) -> list[str]:
            return flat(await pages(here.http, "jobs", **wanted))

        assert await jobs(open=True) == [second, first]
        assert await jobs(open=False) == [of_liver, *gone]
        assert await jobs(state="waiting", branch="x") == [first]
        assert await jobs(state="cancelled", branch="x") == gone
        assert await jobs(state="succeeded") == []
        assert await jobs(slide="lIV") == [of_liver]
        assert await jobs(kind="cell_segmentation") == []
        assert await jobs(workflow=old[0]["id"]) == gone[-1:]
        assert await jobs(workflow=new["id"], branch="y") == [second]
        assert await jobs(workflow="wf-none") == []

        async def workflows(**wanted: Any) -> list[str]:
            return flat(await pages(here.http, "workflows", **wanted))

        assert await workflows(open=True) == [new["id"]]
        assert await workflows(name="old", open=False) == [each["id"] for each in old][::-1]
        assert await workflows(name="old", open=True) == []

    run(folder, monkeypatch, work, scheduling=FEW)


def test_a_list_is_of_the_callers_own_and_a_cursor_opens_nothing_else(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def work(here: Here) -> None:
        async with await here.user("ann") as ann, await here.user("bob") as bob:
            for _ in range(3):
                await cancelled(ann, "x")
            mine = await submit(bob, "x")
            page = (await ann.get("/jobs", params={"limit": 1})).json()
            seen = await bob.get("/jobs", params={"cursor": page["next"]})
            assert seen.json()["jobs"] == []
            whole = (await bob.get("/jobs")).json()
            assert [job["id"] for job in whole["jobs"]] == [mine["jobs"][0]["id"]]

    run(folder, monkeypatch, work, scheduling=FEW)


def test_a_cursor_that_was_never_given_is_refused(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def work(here: Here) -> None:
        made_up = ["", "x", "W10", "bnVsbA", "WyJhIiwiYiIsMV0", "ü", "A" * 501]
        for path, cursor in product(("/jobs", "/workflows", "/workflows/wf-none"), made_up):
            answer = await here.http.get(path, params={"cursor": cursor})
            assert answer.status_code == 422, answer.text
        for limit in (0, 501):
            assert (await here.http.get("/jobs", params={"limit": limit})).status_code == 422

    run(folder, monkeypatch, work)


def test_a_large_workflow_is_shown_and_listed_page_by_page(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def work(here: Here) -> None:
        made = await submit(here.http, *["x"] * 730)
        assert (len(made["jobs"]), made["states"], made["open"]) == (100, {"waiting": 730}, True)
        names, cursor = [job["id"] for job in made["jobs"]], made["next"]
        while cursor is not None:
            path = f"/workflows/{made['id']}"
            page = (await here.http.get(path, params={"limit": 300, "cursor": cursor})).json()
            names, cursor = names + [job["id"] for job in page["jobs"]], page["next"]
        assert names == [f"{made['jobs'][0]['id'][:-2]}-{n}" for n in range(1, 731)]
        assert flat(await pages(here.http, "jobs", limit=500)) == names[::-1]
        (shown,) = (await here.http.get("/workflows")).json()["workflows"]
        assert (shown["id"], shown["states"]) == (made["id"], {"waiting": 730})

    run(folder, monkeypatch, work, scheduling=FEW)


# --- cancel and delete ----------------------------------------------------------------------------


def test_all_of_mine_is_cancelled_and_nobody_elses(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def work(here: Here) -> None:
        async with await here.user("ann") as ann, await here.user("bob") as bob:
            await submit(ann, "x", "y")
            await submit(ann, "z")
            await submit(bob, "x")
            for _ in range(2):
                answer = await ann.post("/me/cancel")
                assert (answer.status_code, answer.json()) == (200, {"jobs": 0})
            assert flat(await pages(ann, "jobs", open=True)) == []
            assert len(flat(await pages(bob, "jobs", open=True))) == 1

    run(folder, monkeypatch, work)


@pytest.mark.parametrize("is_old", [False, True])
def test_a_deleted_workflow_is_gone_from_every_view_and_its_key_starts_nothing(
    is_old: bool, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def work(here: Here) -> None:
        body = {"jobs": [{"slide": "lung-7.svs", "kind": "tissue_mask"}]}
        key = {"Idempotency-Key": "once"}
        made = (await here.http.post("/workflows", json=body, headers=key)).json()
        path, job = f"/workflows/{made['id']}", made["jobs"][0]["id"]
        refused = await here.http.delete(path)
        assert (refused.status_code, refused.json()["code"]) == (409, "conflict")
        assert "ancel it first" in refused.json()["remedy"]
        await here.http.post(f"{path}/cancel")
        if is_old:
            for _ in range(4):
                await cancelled(here.http, "x")
        async with await here.user("eve") as eve:
            assert (await eve.delete(path)).status_code == 404
        for _ in range(2):  # deleting twice is harmless
            assert (await here.http.delete(path)).status_code == 204
        for _ in range(2):
            for gone in (path, f"/jobs/{job}", f"/jobs/{job}/explain", f"/jobs/{job}/results"):
                answer = await here.http.get(gone)
                assert (answer.status_code, answer.json()["code"]) == (404, "not_found"), gone
            assert (await here.http.post(f"/jobs/{job}/cancel")).status_code == 404
            assert (await here.http.post(f"{path}/cancel")).status_code == 404
            assert job not in flat(await pages(here.http, "jobs"))
            assert made["id"] not in flat(await pages(here.http, "workflows"))
            again = await here.http.post("/workflows", json=body, headers=key)
            assert (again.status_code, again.json()["code"]) == (409, "conflict")
            assert "was deleted" in again.json()["detail"]
            await here.restart()

    run(folder, monkeypatch, work, scheduling=FEW)


def files_of(config: Any, job: str) -> tuple[Path, Path]:
    """A results folder and a staging folder, as a job leaves them."""
    results, staging = config.results / job, config.results / f".{job}.{job}.partial"
    for folder in (results / "cells", staging / "chunks"):
        folder.mkdir(parents=True)
        (folder / "some.parquet").write_bytes(b"cells")
    return results, staging


async def gone(*places: Path) -> None:
    """A folder goes in two steps: it is renamed, then emptied."""
    async with asyncio.timeout(30):
        while any(place.exists() or [*place.parent.glob(".*removed")] for place in places):
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("is_old", [False, True])
def test_deleted_results_are_removed_and_the_job_stays_and_says_so(
    is_old: bool, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def work(here: Here) -> None:
        made = await submit(here.http, "x")
        job = made["jobs"][0]["id"]
        refused = await here.http.delete(f"/jobs/{job}/results")
        assert (refused.status_code, refused.json()["code"]) == (409, "conflict")
        await here.http.post(f"/jobs/{job}/cancel")
        places = files_of(here.config, job)
        other = files_of(here.config, "job-other-1")
        if is_old:
            for _ in range(4):
                await cancelled(here.http, "x")
        for _ in range(2):
            answer = await here.http.delete(f"/jobs/{job}/results")
            assert answer.status_code == 200, answer.text
        await gone(*places)
        assert all(place.exists() for place in other)
        for _ in range(2):
            shown = (await here.http.get(f"/jobs/{job}")).json()
            assert shown["results_deleted_at"] == answer.json()["results_deleted_at"] > "2"
            assert shown["why"]["sentence"] == "cancelled; what was finished before was deleted"
            assert job in flat(await pages(here.http, "jobs"))
            for what in ("results", "results.zip", "export", "report", "results/manifest.json"):
                told = await here.http.get(f"/jobs/{job}/{what}")
                assert (told.status_code, told.json()["code"]) == (404, "not_found"), what
                assert "were deleted on" in told.json()["detail"]
            await here.restart()

    run(folder, monkeypatch, work, scheduling=FEW)


def test_files_of_a_deleted_workflow_go_also_when_the_removal_was_cut_off(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def work(here: Here) -> None:
        from raysched.cluster.removals import Removals

        made = await cancelled(here.http, "x", "y")
        places = [place for job in made["jobs"] for place in files_of(here.config, job["id"])]
        with monkeypatch.context() as broken:
            broken.setattr(Removals, "start", lambda *_: None)  # as if it died before it began
            assert (await here.http.delete(f"/workflows/{made['id']}")).status_code == 204
        assert all(place.exists() for place in places)
        await here.restart()
        await gone(*places)

    run(folder, monkeypatch, work)


# --- the operator ---------------------------------------------------------------------------------


def test_the_operator_pauses_and_drains_and_everybody_is_told(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def work(here: Here) -> None:
        async with await here.user("ann") as ann:
            job = (await submit(ann, "x"))["jobs"][0]["id"]
            paused = (await here.http.post("/cluster/pause")).json()
            assert paused["paused_at"] is not None
            assert (await here.http.post("/cluster/pause")).json() == paused
            why = (await ann.get(f"/jobs/{job}/explain")).json()
            assert why["reason"] == "waiting_for_operator"
            assert why["sentence"].startswith("paused by the operator")
            assert (await ann.post("/cluster/resume")).status_code == 403
            drained = (await here.http.post("/cluster/drain")).json()
            await here.restart()
            async with httpx.AsyncClient() as bare:
                told = await bare.get(f"{here.url}/readyz")
            assert (told.status_code, told.json()["ready"]) == (200, True)
            assert {**told.json(), **drained} == told.json()
            body = {"jobs": [{"slide": "lung-7.svs", "kind": "tissue_mask"}]}
            refused = await ann.post("/workflows", json=body)
            assert (refused.status_code, refused.json()["code"]) == (503, "draining")
            assert int(refused.headers["retry-after"]) > 0
            gates = (await here.http.post("/cluster/resume")).json()
            assert gates == {"paused_at": None, "draining_at": None}
            why = (await ann.get(f"/jobs/{job}/explain")).json()
            assert why["reason"] == "waiting_for_lane"
            await submit(ann, "x")

    run(folder, monkeypatch, work)


VERBS = """
import sys
from raysched.cli.main import app
for verb in sys.argv[1:]:
    app([verb, "--json"], standalone_mode=False)
"""


@pytest.mark.http
@pytest.mark.filterwarnings("ignore:Using extra keyword arguments on `Field`")
def test_the_command_line_pauses_drains_resumes_and_lists(service: Service) -> None:
    done = subprocess.run(
        [sys.executable, "-c", VERBS, "pause", "drain", "resume", "status"],
        env={**os.environ, "RAYSCHED_STATE": str(service.config.state)},
        capture_output=True,
        text=True,
        check=True,
    )
    paused, drained, resumed, listed = map(json.loads, done.stdout.splitlines())
    assert (paused["paused_at"] is None, paused["draining_at"]) == (False, None)
    assert drained["paused_at"] == paused["paused_at"]
    assert drained["draining_at"] is not None
    assert (resumed["paused_at"], resumed["draining_at"]) == (None, None)
    known = service.http.get("/jobs").json()["jobs"]
    assert [job["id"] for job in listed["jobs"]] == [job["id"] for job in known]
