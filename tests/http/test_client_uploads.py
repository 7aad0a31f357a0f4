"""Uploads of the client when connections break, pieces come halfway, or a process has died."""

from __future__ import annotations

import hashlib
import json
from base64 import b64decode, b64encode
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import pytest

from raysched.client.uploads import Local, upload
from raysched.client.wire import Wire
from raysched.errors import ClusterUnreachable, QuotaFull, SlideForbidden, SlideMissing
from tests.http.playing import KEY, Answering, playing

CONTENT = bytes(range(256)) * 40
PIECE = 4000


@dataclass
class Store:
    """Takes uploads as the protocol says; ``trouble`` is done instead, for one request each."""

    got: bytearray = field(default_factory=bytearray)
    size: int | None = None
    told: dict[str, str] = field(default_factory=dict)
    began: str = ""
    trouble: dict[tuple[str, int], str] = field(default_factory=dict)
    offsets: list[int] = field(default_factory=list)

    def __call__(self, request: Answering) -> None:
        at = (request.command, len(self.got))
        trouble = self.trouble.pop(at, "")
        if trouble == "hang up":
            request.close_connection = True
        elif trouble == "half":  # some of the piece has come, and nobody is told
            self.got += request.body[: len(request.body) // 2]
            request.close_connection = True
        elif trouble == "lost answer":
            self.answer(request)
        elif trouble:
            request.problem(413, trouble)
        else:
            self.answer(request)

    def answer(self, request: Answering) -> None:
        lost = self.trouble.pop(("answer", len(self.got)), "")
        getattr(self, request.command.lower())(request, lost)

    def get(self, request: Answering, _: str) -> None:
        known = {
            "id": "sl-1",
            "name": self.told.get("filename"),
            "size_bytes": self.size,
            "offset": len(self.got),
            "created_at": self.began,
            "expires_at": None,
        }
        uploads = [known] if self.began else []
        request.reply(200, json.dumps({"uploads": uploads}).encode())

    def post(self, request: Answering, lost: str) -> None:
        pairs = (pair.split(" ") for pair in request.headers["Upload-Metadata"].split(","))
        self.told = {name: b64decode(value).decode() for name, value in pairs}
        self.size = int(request.headers["Upload-Length"])
        self.began = datetime.now(UTC).isoformat()
        if lost:
            request.close_connection = True
        else:
            request.reply(201, b"", Location="/api/v1/uploads/sl-1")

    def head(self, request: Answering, _: str) -> None:
        request.reply(200, b"", Upload_Offset=str(len(self.got)))

    def patch(self, request: Answering, lost: str) -> None:
        offset = int(request.headers["Upload-Offset"])
        self.offsets.append(offset)
        if offset != len(self.got):
            request.problem(409, "conflict")
            return
        digest = b64encode(hashlib.sha256(request.body).digest()).decode()
        assert request.headers["Upload-Checksum"] == f"sha256 {digest}"
        assert request.headers["Content-Type"] == "application/offset+octet-stream"
        self.got += request.body
        if lost:
            request.close_connection = True
        else:
            request.reply(204, b"", Upload_Offset=str(len(self.got)))


@pytest.fixture
def file(tmp_path: Path) -> Path:
    made = tmp_path / "slide.svs"
    made.write_bytes(CONTENT)
    return made


def send(url: str, file: Path, patience_s: float = 60.0) -> list[tuple[int, int | None]]:
    told: list[tuple[int, int | None]] = []
    wire = Wire(url, KEY, act_for=None, patience_s=patience_s)
    try:
        local = Local(file, "slide.svs", PIECE)
        assert upload(wire, local, lambda *at: told.append(at)) == "sl-1"
    finally:
        wire.close()
    return told


def test_a_file_is_sent_piece_by_piece_with_its_digests(file: Path) -> None:
    store = Store()
    with playing(store) as (url, _):
        told = send(url, file)
    assert bytes(store.got) == CONTENT
    assert store.told["sha256"] == hashlib.sha256(CONTENT).hexdigest()
    assert store.offsets == [0, 4000, 8000]
    size = len(CONTENT)
    assert told == [(0, size), (4000, size), (8000, size), (size, size)]


@pytest.mark.parametrize(
    "trouble",
    [
        {("PATCH", 4000): "hang up"},
        {("PATCH", 4000): "half"},
        {("answer", 4000): "lost"},
        {("HEAD", 0): "hang up"},
        {("POST", 0): "hang up"},
        {("GET", 0): "hang up"},
        {("answer", 0): "lost"},
        {("PATCH", 0): "half", ("PATCH", 2000): "half", ("PATCH", 8000): "hang up"},
    ],
)
def test_an_upload_arrives_whole_however_it_was_interrupted(
    trouble: dict[tuple[str, int], str], file: Path
) -> None:
    store = Store(trouble=trouble)
    with playing(store) as (url, _):
        send(url, file)
    assert bytes(store.got) == CONTENT
    assert store.trouble == {}


def test_a_later_process_goes_on_with_an_upload(file: Path) -> None:
    store = Store(trouble={("PATCH", 4000): "hang up"})
    with playing(store) as (url, _):
        with pytest.raises(ClusterUnreachable):
            send(url, file, patience_s=0)
        assert bytes(store.got) == CONTENT[:4000]
        told = send(url, file)
    assert bytes(store.got) == CONTENT
    assert told[0] == (4000, len(CONTENT))


def test_an_upload_of_a_file_that_was_written_since_is_not_gone_on_with(file: Path) -> None:
    store = Store(began="2000-01-01T00:00:00Z", size=len(CONTENT), told={"filename": "slide.svs"})
    with playing(store) as (url, _):
        send(url, file)
    assert store.began > "2001"


def test_what_the_service_refuses_is_not_sent_again(file: Path) -> None:
    store = Store(trouble={("POST", 0): "quota_full"})
    with playing(store) as (url, seen), pytest.raises(QuotaFull):
        send(url, file)
    assert [request.command for request in seen] == ["GET", "POST"]


def test_a_file_that_cannot_be_read_is_said_to_be_none(file: Path) -> None:
    with playing(Store()) as (url, _):
        with pytest.raises(SlideMissing):
            send(url, file.with_name("other.svs"))
        with pytest.raises(SlideForbidden):
            send(url, file.parent)
