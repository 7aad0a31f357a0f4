"""The sample slide as a slide of a user's own, over real HTTP, without Ray."""

from __future__ import annotations

import asyncio
import hashlib
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.http.here import Here, run

pytestmark = [
    pytest.mark.http,
    # Ray Serve's own models, on import
    pytest.mark.filterwarnings("ignore:Using extra keyword arguments on `Field`"),
]


async def looked_at(user: httpx.AsyncClient, slide: str) -> dict[str, Any]:
    """The slide once it is ready or refused."""
    while True:
        told: dict[str, Any] = (await user.get(f"/slides/{slide}")).raise_for_status().json()
        if told["state"] != "checking":
            return told


async def listed(user: httpx.AsyncClient) -> list[str]:
    return [each["id"] for each in (await user.get("/slides")).json()["slides"]]


def test_the_sample_slide_becomes_a_user_s_own_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sample_slide: Path
) -> None:
    async def work(here: Here) -> None:
        async with await here.user("ann") as ann, await here.user("bob") as bob:
            first, twin = await asyncio.gather(*(ann.post("/slides/sample") for _ in range(2)))
            assert sorted((first.status_code, twin.status_code)) == [200, 201], first.text
            slide = first.json()["id"]
            assert first.headers["location"] == f"/api/v1/slides/{slide}"
            told = await looked_at(ann, slide)
            assert (told["name"], told["state"]) == ("CMU-1-Small-Region.svs", "ready")
            assert (await ann.get(f"/slides/{slide}/file")).content == sample_slide.read_bytes()
            assert (await ann.get("/me")).json()["used_bytes"] == sample_slide.stat().st_size
            again = await ann.post("/slides/sample")
            assert (again.status_code, again.json()) == (200, told)
            assert await listed(ann) == [slide] and await listed(bob) == []
            await ann.delete(f"/slides/{slide}")
            anew = await ann.post("/slides/sample")
            assert (anew.status_code, [anew.json()["id"]]) == (201, await listed(ann))

    run(tmp_path, monkeypatch, work, samples=sample_slide.parent)


def test_few_wait_at_once_for_the_sample_to_be_fetched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sample_slide: Path
) -> None:
    async def work(here: Here) -> None:
        samples = here.app.state.samples
        async with await here.user("ann") as ann, await here.user("bob") as bob:
            with samples.taken("ann"), samples.taken("ann"):
                refused = await ann.post("/slides/sample")
                assert (refused.status_code, refused.json()["code"]) == (429, "too_many_at_once")
                assert (await bob.post("/slides/sample")).status_code == 201
            assert (await ann.post("/slides/sample")).status_code == 201
            assert len(samples) == 0

    run(tmp_path, monkeypatch, work, samples=sample_slide.parent)


def test_who_has_uploaded_the_sample_is_answered_that_slide(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sample_slide: Path
) -> None:
    async def work(here: Here) -> None:
        (tmp_path / "slides" / "mine.svs").write_bytes(sample_slide.read_bytes())
        made = await here.http.post("/slides", json={"folder": 0, "path": "mine.svs"})
        mine = await looked_at(here.http, made.json()["id"])
        answer = await here.http.post("/slides/sample")
        assert (answer.status_code, answer.json()) == (200, mine)

    run(tmp_path, monkeypatch, work, samples=sample_slide.parent)


def test_a_sample_that_is_another_file_or_has_no_room_is_refused_in_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sample_slide: Path
) -> None:
    samples = tmp_path / "samples"
    samples.mkdir()

    async def work(here: Here) -> None:
        given = samples / "CMU-1-Small-Region.svs"
        given.write_bytes(b"another")
        answer = (await here.http.post("/slides/sample")).json()
        assert (answer["code"], answer["status"]) == ("slide_unreadable", 422)
        assert str(samples) not in answer["detail"]
        assert hashlib.sha256(b"another").hexdigest() in answer["detail"]
        given.write_bytes(sample_slide.read_bytes())
        answer = (await here.http.post("/slides/sample")).json()
        assert (answer["code"], answer["status"]) == ("quota_full", 413)
        assert await listed(here.http) == []

    serve = {"max_gb_per_user": 0.001}
    run(tmp_path, monkeypatch, work, samples=samples, serve=serve)
