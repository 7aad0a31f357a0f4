"""How a slide's file and pieces of uploads are answered, by the service without Ray."""

from __future__ import annotations

import asyncio
import hashlib
from base64 import b64encode
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest

from raysched import Client
from raysched.core.model import UserId
from serve_app.web import MOST_PIECES
from tests.http.here import Here, run

TUS = {"Tus-Resumable": "1.0.0"}
PIECE = {**TUS, "Upload-Offset": "0", "Content-Type": "application/offset+octet-stream"}


async def announced(http: httpx.AsyncClient, size: int) -> str:
    """A new upload; where its pieces go."""
    name = b64encode(b"a.svs").decode()
    told = {"Upload-Length": str(size), "Upload-Metadata": f"filename {name}"}
    made = (await http.post("/uploads", headers={**TUS, **told})).raise_for_status()
    return f"/uploads/{made.json()['id']}"


def test_a_slide_s_file_is_answered_as_results_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sample_slide: Path
) -> None:
    data = sample_slide.read_bytes()

    async def work(here: Here) -> None:
        where = await announced(here.http, len(data))
        (await here.http.patch(where, headers=PIECE, content=data)).raise_for_status()
        slide = where.replace("/uploads/", "/slides/")
        while (await here.http.get(slide)).json()["state"] == "checking":
            await asyncio.sleep(0)
        whole = await here.http.get(f"{slide}/file")
        digest = f'"{hashlib.sha256(data).hexdigest()}"'
        assert (whole.status_code, whole.headers["etag"]) == (200, digest)
        assert whole.content == data
        assert whole.headers["cache-control"] == "private, no-cache"
        known = await here.http.get(f"{slide}/file", headers={"If-None-Match": digest})
        assert (known.status_code, known.content) == (304, b"")
        odd = await here.http.get(f"{slide}/file", headers={"Range": "bytes=9-1"})
        assert (odd.status_code, odd.content) == (200, data)

    run(tmp_path, monkeypatch, work)


def test_a_piece_beyond_those_that_arrive_is_told_to_come_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def work(here: Here) -> None:
        where = await announced(here.http, 100)
        with ExitStack() as arriving:
            for number in range(MOST_PIECES):
                others = here.app.state.pieces.taken(UserId(f"user-{number}"))
                arriving.enter_context(others)
            more = await here.http.patch(where, headers=PIECE, content=b"II*\0")
        assert (more.status_code, more.json()["code"]) == (503, "busy")
        assert int(more.headers["retry-after"]) > 0
        again = await here.http.patch(where, headers=PIECE, content=b"II*\0")
        assert again.status_code == 204

    run(tmp_path, monkeypatch, work)


def test_an_upload_that_is_given_up_is_gone_and_its_room_free(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def work(here: Here) -> None:
        where = await announced(here.http, 100)
        (await here.http.patch(where, headers=PIECE, content=b"II*\0")).raise_for_status()
        assert (await here.http.get("/me")).json()["used_bytes"] == 100
        key = here.http.headers["Authorization"].removeprefix("Bearer ")
        with Client(here.url, key) as client:
            await asyncio.to_thread(client.give_up_upload, where.rpartition("/")[2])
            assert await asyncio.to_thread(client.uploads) == ()
        assert (await here.http.get("/me")).json()["used_bytes"] == 0

    run(tmp_path, monkeypatch, work)
