"""Jobs with tiles that could not be read, over HTTP: how they end, and what is run again of them.

The real scheduler and the real stages, without Ray; the slide really cannot be read in one corner.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from raysched import Client
from raysched.cli.main import app
from raysched.core.model import Stage
from raysched.results.manifest import read_manifest
from tests.http.by_hand import JOB, Units, cut_slide
from tests.http.here import Here, run
from tests.rotten import Rotten, pretend_unchanged

Work = Callable[[Here, Units, Rotten], Any]
FAILED = [4, 5, 7, 8]
"""The tiles, of nine, that see the spoilt corner."""
ROTTEN = {**JOB, "slide": "rotten.tif", "chunk_tiles": 1, "branch": "lung"}


@pytest.fixture
def served(
    tmp_path: Path, sample_slide: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., None]:
    """Does a test's work with a service that has such a slide, sound at first, and one lane."""
    cut_slide(sample_slide, tmp_path / "slides")
    rotten = Rotten.of(tmp_path / "slides" / "crop.tif", tmp_path / "slides" / "rotten.tif")

    def served(work: Work, **settings: Any) -> None:
        async def with_units(here: Here) -> None:
            units = Units(here, monkeypatch, shelves=True)
            await units.open(1)
            await work(here, units, rotten)

        run(tmp_path, monkeypatch, with_units, **settings)

    return served


async def submitted(here: Here, **job: Any) -> str:
    answer = await here.http.post("/workflows", json={"jobs": [{**ROTTEN, **job}]})
    assert answer.status_code == 201, answer.text
    return str(answer.json()["jobs"][0]["id"])


async def got(here: Here, job: str) -> Any:
    answer = await here.http.get(f"/jobs/{job}")
    assert answer.status_code == 200, answer.text
    return answer.json()


def out_of(here: Here, job: str) -> Path:
    return Path(json.loads(here.job(job).spec.request)["out"])


def chunks_of(units: Units, job: str) -> list[int]:
    """The chunks of a job that were done, in order; forgets what was done."""
    done = [each.unit.chunk for each in units.done if each.unit.stage is Stage.SEGMENT]
    assert {each.unit.job for each in units.done} <= {job}
    units.done.clear()
    return done


async def with_holes(here: Here, units: Units, rotten: Rotten, **job: Any) -> str:
    """A job whose slide went bad in one corner after it was planned, and is sound again now."""
    name = await submitted(here, **job)
    await units.do(Stage.PLAN)
    out = out_of(here, name)
    rotten.spoil()
    pretend_unchanged(out, name, rotten.path)
    while units.sent and units.sent[0].unit.stage is Stage.SEGMENT:
        await units.do(Stage.SEGMENT)
    rotten.mend()
    if units.sent:
        pretend_unchanged(out, name, rotten.path)
    return name


async def refused(here: Here, job: str) -> tuple[int, str, str]:
    answer = await here.http.post(f"/jobs/{job}/failed-tiles")
    problem = answer.json()
    return answer.status_code, problem["detail"], problem["remedy"]


def test_a_job_below_its_threshold_succeeds_and_says_with_how_many_failed_tiles(
    served: Callable[..., None],
) -> None:
    async def work(here: Here, units: Units, rotten: Rotten) -> None:
        rotten.spoil()  # for ever
        name = await submitted(here, max_failed_share=0.5)
        await units.do_all()
        job = await got(here, name)
        assert (job["state"], job["tiles_failed"], job["tiles_total"]) == ("succeeded", 4, 9)
        assert job["max_failed_share"] == 0.5
        sentence = f"succeeded with 4 failed tiles: {job['cells']} cells"
        assert job["why"]["sentence"] == sentence
        manifest = read_manifest(out_of(here, name))
        assert manifest is not None
        assert [hole.tile for hole in manifest.counts.tiles_failed] == FAILED
        reasons = {hole.reason.split(" at ")[0] for hole in manifest.counts.tiles_failed}
        assert reasons == {"rotten.tif cannot be read"}, "where it lies is the server's"
        log = (await here.http.get(f"/jobs/{name}/log", params={"limit": 500})).json()
        *_, last = log["lines"]
        assert (last["level"], last["message"]) == ("warning", f"{sentence.capitalize()}.")

    served(work)


def test_a_job_above_the_usual_threshold_fails_before_the_rest_is_computed(
    served: Callable[..., None],
) -> None:
    async def work(here: Here, units: Units, rotten: Rotten) -> None:
        rotten.spoil()
        name = await submitted(here)
        await units.do_all()
        assert chunks_of(units, name) == [0, 1, 2, 3, 4]
        job = await got(here, name)
        assert (job["state"], job["max_failed_share"]) == ("failed", 0.1)
        failure = job["failure"]
        assert failure["code"] == "too_many_failed_tiles"
        assert failure["message"] == "1 of 9 tiles could not be read, and at most 0 may fail."
        assert failure["remedy"].startswith("See why with `raysched logs`")
        assert not out_of(here, name).exists()
        parts = (await here.http.get(f"/jobs/{name}/export", params={"format": "csv"})).text
        assert len(parts.splitlines()) - 1 > 0  # what is finished can be had

    served(work, scheduling={"max_retries": 0})


def test_the_operator_s_threshold_holds_unless_a_request_names_its_own(
    served: Callable[..., None],
) -> None:
    async def work(here: Here, units: Units, rotten: Rotten) -> None:
        rotten.spoil()
        usual = await submitted(here)
        own = await submitted(here, max_failed_share=0, branch="strict")
        await units.do_all()
        assert [(await got(here, name))["state"] for name in (usual, own)] == [
            "succeeded",
            "failed",
        ]

    served(work, segmentation={"max_failed_share": 0.45}, scheduling={"max_retries": 0})


def test_the_retry_of_a_job_that_failed_by_its_threshold_does_only_those_chunks_again(
    served: Callable[..., None],
) -> None:
    async def work(here: Here, units: Units, rotten: Rotten) -> None:
        name = await with_holes(here, units, rotten)
        assert chunks_of(units, name) == [0, 1, 2, 3, 4]
        assert (await got(here, name))["state"] == "failed"
        assert (await here.http.post(f"/jobs/{name}/retry")).status_code == 200
        await units.do_all()
        assert chunks_of(units, name) == [4, 5, 6, 7, 8]
        job = await got(here, name)
        assert (job["state"], job["tiles_failed"], job["tiles_done"]) == ("succeeded", 0, 9)
        whole = await submitted(here, slide="crop.tif")
        await units.do_all()
        assert (await got(here, whole))["cells"] == job["cells"]

    served(work, scheduling={"max_retries": 0})


def test_failed_tiles_are_run_again_by_a_new_job_of_the_same_request(
    served: Callable[..., None],
) -> None:
    async def work(here: Here, units: Units, rotten: Rotten) -> None:
        asked = {"max_failed_share": 0.5, "params": {"min_area_um2": 15}}
        old = await with_holes(here, units, rotten, **asked)
        await units.do_all()
        before = await got(here, old)
        assert before["tiles_failed"] == 4
        files = (out_of(here, old) / "manifest.json").read_bytes()
        units.done.clear()

        path, key = f"/jobs/{old}/failed-tiles", {"Idempotency-Key": "mend it"}
        answer = await here.http.post(path, headers=key)
        assert answer.status_code == 201, answer.text
        made = answer.json()
        assert made["name"] == f"failed tiles of {old}, rotten.tif"
        assert answer.headers["location"] == f"/api/v1/workflows/{made['id']}"
        (new,) = (job["id"] for job in made["jobs"])
        again = await here.http.post(path, headers=key)
        assert (again.status_code, again.json()["id"]) == (200, made["id"])
        await units.do_all()

        job = await got(here, new)
        assert (job["state"], job["tiles_failed"]) == ("succeeded", 0)
        same = ("branch", "kind", "slide", "engine", "params", "tile_px", "mpp", "tissue",
                "max_failed_share")  # fmt: skip
        assert {name: job[name] for name in same} == {name: before[name] for name in same}
        assert out_of(here, new) == here.config.results.absolute() / new
        manifest = read_manifest(out_of(here, new))
        assert manifest is not None
        assert manifest.reused == ("tissue", "labels of 5 of 9 chunks")
        assert job["cells"] > before["cells"]
        assert (out_of(here, old) / "manifest.json").read_bytes() == files
        used = await here.http.post("/workflows", headers=key, json={"jobs": [ROTTEN]})
        assert (used.status_code, used.json()["code"]) == (409, "conflict")

    served(work)


def test_the_command_line_says_how_many_tiles_failed_and_runs_them_again(
    served: Callable[..., None],
) -> None:
    async def work(here: Here, units: Units, rotten: Rotten) -> None:
        rotten.spoil()
        old = await submitted(here, max_failed_share=0.5)
        await units.do_all()
        cells = (await got(here, old))["cells"]
        key = here.http.headers["Authorization"].removeprefix("Bearer ")

        async def say(*words: str) -> str:
            env = {"RAYSCHED_SERVER": here.url, "RAYSCHED_KEY": key}
            done = await asyncio.to_thread(CliRunner().invoke, app, list(words), env=env)
            assert done.exit_code == 0, done.output
            return done.stdout

        row = f"{old}  succeeded          9/9 tiles  {cells:>9,} cells  lung  rotten.tif"
        assert await say("status") == f"{row}  4 failed tiles\n"
        sentence = f"succeeded with 4 failed tiles: {cells} cells"
        assert await say("status", old) == await say("watch", old)
        assert (await say("watch", old)).splitlines()[:3] == [
            f"{row}  4 failed tiles",
            f"  {sentence}",
            f"  read these tiles again with: raysched retry {old} --failed-tiles",
        ]
        assert await say("explain", old) == f"{sentence}\n"
        made, job = (await say("retry", old, "--failed-tiles")).splitlines()
        assert made.endswith(f" failed tiles of {old}, rotten.tif")
        assert job.split() == [job.split()[0], "lung", "rotten.tif"]
        with Client(here.url, key) as client:
            more = await asyncio.to_thread(client.retry_failed_tiles, old, key="once")
            assert await asyncio.to_thread(client.retry_failed_tiles, old, key="once") == more
        assert more.name == f"failed tiles of {old}, rotten.tif"

    served(work)


def test_the_answer_for_the_pixel_size_goes_along(served: Callable[..., None]) -> None:
    async def work(here: Here, units: Units, rotten: Rotten) -> None:
        rotten.spoil()
        old = await submitted(here, mpp=None, max_failed_share=0.5)
        await units.do(Stage.PLAN)
        assert (await got(here, old))["state"] == "needs_mpp"
        answer = await here.http.post(f"/jobs/{old}/answer", json={"mpp": 0.5})
        assert answer.status_code == 200
        await units.do_all()
        made = (await here.http.post(f"/jobs/{old}/failed-tiles")).json()
        await units.do_all()
        new = await got(here, made["jobs"][0]["id"])
        assert (new["state"], new["mpp"], new["tiles_failed"]) == ("succeeded", 0.5, 4)

    served(work)


def test_what_has_no_failed_tiles_to_run_again_is_refused_with_words(
    served: Callable[..., None],
) -> None:
    async def work(here: Here, units: Units, rotten: Rotten) -> None:
        sound = await submitted(here)
        assert await refused(here, sound) == (
            409,
            f"Job {sound} is planning: its failed tiles are run again once it has succeeded.",
            f"Wait for it: `raysched watch {sound}`.",
        )
        await units.do_all()
        assert await refused(here, sound) == (
            409, f"Job {sound} has no failed tiles.", "Nothing is left to be run again."
        )  # fmt: skip
        failed = await with_holes(here, units, rotten, params={"min_area_um2": 15})
        assert await refused(here, failed) == (
            409,
            f"Job {failed} has failed: more than its failed tiles is left to be done.",
            f"`raysched retry {failed}` computes only what failed and what is left.",
        )
        cancelled = await submitted(here)
        await here.http.post(f"/jobs/{cancelled}/cancel")
        await units.do_all()
        status, said, _ = await refused(here, cancelled)
        assert (status, said.split(":")[0]) == (409, f"Job {cancelled} was cancelled")

    served(work, scheduling={"max_retries": 0})


def test_another_user_s_failed_tiles_are_not_there(served: Callable[..., None]) -> None:
    async def work(here: Here, units: Units, rotten: Rotten) -> None:
        rotten.spoil()
        old = await submitted(here, max_failed_share=0.5)
        await units.do_all()
        async with await here.user("eve") as eve:
            answers = [await eve.post(f"/jobs/{name}/failed-tiles") for name in (old, "job-no-1")]
        one, other = ((each.status_code, each.text.replace(old, "job-no-1")) for each in answers)
        assert one == other
        assert one[0] == 404

    served(work)


@pytest.mark.parametrize("how", ["removed", "cut short"])
def test_a_slide_that_goes_in_the_middle_of_a_job_fails_it_clearly_and_comes_back_with_a_retry(
    served: Callable[..., None], how: str
) -> None:
    async def work(here: Here, units: Units, rotten: Rotten) -> None:
        name = await submitted(here)
        for stage in (Stage.PLAN, Stage.SEGMENT, Stage.SEGMENT):
            await units.do(stage)
        content = rotten.path.read_bytes()
        if how == "removed":
            rotten.path.unlink()
        else:
            rotten.path.write_bytes(content[: rotten.at])
        await units.do_all()
        job = await got(here, name)
        assert job["state"] == "failed"
        code = "slide_missing" if how == "removed" else "slide_unreadable"
        assert (job["failure"]["code"], job["tiles_done"]) == (code, 2)
        assert not out_of(here, name).exists()
        rotten.path.write_bytes(content)
        units.done.clear()
        await here.http.post(f"/jobs/{name}/retry")
        await units.do_all()
        assert chunks_of(units, name) == [2, 3, 4, 5, 6, 7, 8]
        job = await got(here, name)
        assert (job["state"], job["tiles_failed"]) == ("succeeded", 0)

    served(work, scheduling={"max_retries": 0})


def test_the_same_key_gives_the_same_answer_also_when_the_old_job_is_deleted(
    served: Callable[..., None],
) -> None:
    async def work(here: Here, units: Units, rotten: Rotten) -> None:
        old = await with_holes(here, units, rotten, max_failed_share=0.5)
        await units.do_all()
        path, key = f"/jobs/{old}/failed-tiles", {"Idempotency-Key": "mend it"}
        made = await here.http.post(path, headers=key)
        assert made.status_code == 201
        workflow = (await got(here, old))["workflow"]
        assert (await here.http.delete(f"/workflows/{workflow}")).is_success
        again = await here.http.post(path, headers=key)
        assert (again.status_code, again.json()["id"]) == (200, made.json()["id"])
        other = await here.http.post(path, headers={"Idempotency-Key": "once more"})
        assert other.status_code == 404

    served(work)
