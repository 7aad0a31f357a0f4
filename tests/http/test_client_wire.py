"""The client on a bad day: a server that is busy, cuts connections or is no raysched at all."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from raysched import Client
from raysched.client.files import download
from raysched.client.wire import Call, Wire
from raysched.errors import (
    ChunksMissing,
    ClusterUnreachable,
    InternalError,
    InvalidSetting,
    LimitReached,
    NotFound,
    OutputNotEmpty,
    RequestError,
    StorageFailed,
    StorageFull,
    error_of,
)
from tests.http.playing import KEY, Answer, Answering, client_of, playing

ME = {
    "id": "ann",
    "name": "Ann",
    "role": "user",
    "key": "a",
    "acts_for": "ann",
    "max_jobs": 50,
    "used_bytes": 0,
    "max_bytes": 0,
    "csrf": None,
    "of_a_newer_service": {"more": 1},
}


def says_me(request: Answering) -> None:
    request.reply(200, json.dumps(ME).encode())


def busy(request: Answering) -> None:
    request.problem(503, "cluster_unreachable")


def hang_up(request: Answering) -> None:
    request.close_connection = True


# --- trouble --------------------------------------------------------------------------------------


def test_trouble_that_passes_is_waited_out_with_one_idempotency_key() -> None:
    with client_of(busy, hang_up, says_me) as (client, seen):
        client._wire.send(Call(method="POST", path="/anything"))
    keys = {request.headers["Idempotency-Key"] for request in seen}
    assert (len(seen), len(keys)) == (3, 1)
    assert {request.headers["Authorization"] for request in seen} == {f"Bearer {KEY}"}


def test_two_calls_have_two_idempotency_keys_and_a_question_has_none() -> None:
    with client_of(says_me, act_for="bob") as (client, seen):
        client._wire.send(Call(method="POST", path="/anything"))
        client._wire.send(Call(method="POST", path="/anything"))
        client.me()
    first, second, third = (request.headers.get("Idempotency-Key") for request in seen)
    assert first and second and first != second
    assert third is None
    assert seen[0].headers["X-User-ID"] == "bob"


def test_the_making_of_a_key_is_not_repeated_once_it_may_have_arrived() -> None:
    with client_of(hang_up) as (client, seen), pytest.raises(ClusterUnreachable):
        client.make_key()
    assert len(seen) == 1


def test_trouble_that_lasts_is_said_in_the_end() -> None:
    with (
        client_of(busy, patience_s=0.3) as (client, seen),
        pytest.raises(ClusterUnreachable, match=r"It is so\."),
    ):
        client.me()
    assert len(seen) > 1
    url = client.url
    with Client(url, KEY, patience_s=0) as client, pytest.raises(ClusterUnreachable) as raised:
        client.me()  # nobody listens there any more
    assert url in raised.value.message


def test_a_limit_on_what_a_user_has_is_not_waited_for() -> None:
    with (
        client_of(lambda r: r.problem(429, "limit_reached", limit=3)) as (client, seen),
        pytest.raises(LimitReached) as raised,
    ):
        client.submit("a.svs")
    assert (len(seen), raised.value.facts) == (1, {"limit": 3})


def test_a_request_too_many_is_sent_again_when_the_service_said() -> None:
    def too_many(request: Answering) -> None:
        request.problem(429, "too_many_requests", retry_after_s=0)

    with client_of(too_many, says_me) as (client, seen):
        assert client.me().id == "ann"
    assert len(seen) == 2


# --- errors ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (404, "not_found", NotFound),
        (507, "storage_full", StorageFull),
        (422, "of_a_newer_service", RequestError),
        (500, "of_a_newer_service", InternalError),
    ],
)
def test_a_problem_is_the_error_that_was_raised(
    status: int, code: str, kind: type[RequestError]
) -> None:
    with (
        client_of(lambda r: r.problem(status, code, job="job-1")) as (client, _),
        pytest.raises(kind) as raised,
    ):
        client.me()
    error = raised.value
    assert (type(error), error.message, error.remedy) == (kind, "It is so.", "Do this.")
    assert error.facts["job"] == "job-1"
    assert error.facts.get("code", kind.code) == code


def test_an_error_whose_facts_did_not_come_along_is_of_the_kind_above() -> None:
    assert type(error_of("chunks_missing", "Gone.", "Wait.")) is StorageFailed
    facts = {"chunks": (1,), "cells": 2, "tiles_failed": 3}
    assert type(error_of("chunks_missing", "Gone.", "Wait.", **facts)) is ChunksMissing
    assert error_of("of_a_newer_service", "Gone.", "Wait.") is None


def test_what_is_no_raysched_is_said_to_be_none() -> None:
    page = client_of(lambda r: r.reply(200, b"<html>"))
    with page as (client, _), pytest.raises(InternalError, match="no Me"):
        client.me()
    page = client_of(lambda r: r.reply(404, b"<html>"))
    with page as (client, _), pytest.raises(RequestError, match="answered 404"):
        client.me()


@pytest.mark.parametrize(
    "url", ["", "host:8000", "ftp://host", "http://", "http://[", "http://a?b"]
)
def test_an_address_that_is_none_is_refused_at_once(url: str) -> None:
    with pytest.raises(InvalidSetting):
        Client(url, KEY)


def test_the_address_may_be_that_of_the_api() -> None:
    with Client("http://host:1/api/v1/", KEY) as client:
        assert client.url == "http://host:1"


def test_importing_the_client_imports_nothing_heavy() -> None:
    heavy = ("ray", "duckdb", "numba", "numpy", "openslide", "fastapi", "pyarrow")
    for line, light in (
        ("import raysched", ("httpx", "pydantic")),
        ("from raysched import Client", ()),
    ):
        seen = f"import sys; {line}; print([m for m in {(*heavy, *light)!r} if m in sys.modules])"
        run = [sys.executable, "-c", seen]
        assert subprocess.run(run, capture_output=True, text=True, check=True).stdout == "[]\n"


# --- downloads ------------------------------------------------------------------------------------

CONTENT = bytes(range(256)) * 40


def part_of(request: Answering, version: str, content: bytes, most: int) -> None:
    """Serve a version from where the request asks, ``most`` bytes of it."""
    asked = request.headers.get("Range")
    first = int(asked.removeprefix("bytes=").removesuffix("-")) if asked else 0
    rest = content[first:]
    headers = {"ETag": f'"{version}"'}
    if asked:
        headers["Content-Range"] = f"bytes {first}-{len(content) - 1}/{len(content)}"
    request.cut(206 if asked else 200, rest[:most], len(rest), **headers)


def test_a_download_goes_on_where_it_was_cut(tmp_path: Path) -> None:
    to = tmp_path / "cells[1].bin"
    told: list[tuple[int, int | None]] = []
    with client_of(lambda r: part_of(r, "one", CONTENT, 4000)) as (client, seen):
        call = Call(method="GET", path="/file")
        download(client._wire, call, to, lambda *at: told.append(at))
    assert to.read_bytes() == CONTENT
    assert [request.headers.get("Range") for request in seen] == [
        None,
        "bytes=4000-",
        "bytes=8000-",
    ]
    assert told[-1] == (len(CONTENT), len(CONTENT))
    assert list(tmp_path.iterdir()) == [to]


def test_a_download_of_a_later_process_goes_on_too(tmp_path: Path) -> None:
    to, call = tmp_path / "cells", Call(method="GET", path="/file")

    def once(request: Answering) -> None:
        part_of(request, "one", CONTENT, 4000)

    with playing(once, hang_up) as (url, _), pytest.raises(ClusterUnreachable):
        download(Wire(url, KEY, act_for=None, patience_s=0), call, to)
    assert not to.exists()
    with playing(lambda r: part_of(r, "one", CONTENT, 10**6)) as (url, seen):
        download(Wire(url, KEY, act_for=None, patience_s=0), call, to)
    assert to.read_bytes() == CONTENT
    assert seen[0].headers["Range"] == "bytes=4000-"


def test_two_versions_never_become_one_file(tmp_path: Path) -> None:
    to, later = tmp_path / "cells", CONTENT[::-1]
    answers = (
        lambda r: part_of(r, "one", CONTENT, 4000),
        lambda r: part_of(r, "two", later, 10**6),
    )
    with client_of(*answers) as (client, seen):
        download(client._wire, Call(method="GET", path="/file"), to)
    assert to.read_bytes() == later
    assert len(seen) == 3
    assert list(tmp_path.iterdir()) == [to]


def test_a_stream_that_was_cut_begins_anew(tmp_path: Path) -> None:
    def stream(request: Answering) -> None:
        request.protocol_version = "HTTP/1.1"
        request.send_response(200)
        request.send_header("Transfer-Encoding", "chunked")
        request.end_headers()
        request.wfile.write(b"5\r\nhello\r\n")
        request.close_connection = True

    def whole(request: Answering) -> None:
        stream(request)
        request.wfile.write(b"0\r\n\r\n")

    to = tmp_path / "all.zip"
    with client_of(stream, whole) as (client, seen):
        client.download_zip("job-1", to)
    assert to.read_bytes() == b"hello"
    assert [request.headers.get("Range") for request in seen] == [None, None]


def test_no_file_is_replaced_and_none_is_left_by_an_error(tmp_path: Path) -> None:
    to = tmp_path / "all.zip"
    with client_of(lambda r: r.problem(404, "not_found")) as (client, _):
        with pytest.raises(NotFound):
            client.download_zip("job-1", to)
        assert list(tmp_path.iterdir()) == []
        to.write_text("mine")
        with pytest.raises(OutputNotEmpty):
            client.download_zip("job-1", to)
    assert to.read_text() == "mine"
    with (
        client_of(lambda r: r.reply(200, b"all")) as (client, _),
        pytest.raises(StorageFailed),
    ):
        client.download_zip("job-1", tmp_path / "none" / "all.zip")


# --- events ---------------------------------------------------------------------------------------


def stream_of(text: str) -> Answer:
    def answer(request: Answering) -> None:
        request.send_response(200)
        request.send_header("Content-Type", "text/event-stream")
        request.end_headers()
        request.wfile.write(text.encode())
        request.close_connection = True

    return answer


def test_events_are_gone_on_with_from_the_last_whatever_ends_a_stream() -> None:
    answers = (
        stream_of("retry: 10\n\nid: 1-1\nevent: reset\ndata: {}\n\nid: 1-2\nevent: workflow_del"),
        busy,
        stream_of(': beat\n\nid: 1-2\nevent: workflow_deleted\ndata: {"id":"wf-1"}\n\n'),
        stream_of("id: 1-7\n: still here\n\n"),
        stream_of("id: 1-9\nevent: news\ndata: {}\n\nid: 2-1\nevent: reset\ndata: {}\n\n"),
    )
    with client_of(*answers) as (client, seen):
        changes = client.changes()
        told = [next(changes) for _ in range(3)]
        changes.close()
    assert [change.deleted for change in told] == [None, "wf-1", None]
    asked = [request.headers.get("Last-Event-ID") for request in seen]
    assert asked == [None, "1-1", "1-1", "1-2", "1-7"]


def test_a_stream_that_is_refused_is_not_asked_for_again() -> None:
    refused = client_of(lambda r: r.problem(429, "limit_reached"))
    with refused as (client, seen), pytest.raises(LimitReached):
        next(client.changes())
    assert len(seen) == 1
