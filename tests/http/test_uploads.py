"""Resumable uploads over the real service: cut, gone on with, refused, checked, listed."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import socket
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from raysched.core.events import UserChanged
from raysched.core.model import UserId
from serve_app.body import MAX_PIECE_BYTES
from tests.http.conftest import Service
from tests.http.over_http import (
    PIECE_TYPE,
    a_user,
    announce,
    code_of,
    looked_at,
    offset_of,
    piece,
    send,
)

pytestmark = [
    pytest.mark.http,
    # Ray Serve's own models, on import
    pytest.mark.filterwarnings("ignore:Using extra keyword arguments on `Field`"),
]


@pytest.fixture
def user(service: Service) -> Iterator[httpx.Client]:
    """A user of their own."""
    with a_user(service) as client:
        yield client


def begin_a_piece(user: httpx.Client, upload: str, offset: int, data: bytes) -> socket.socket:
    """Send the head of a request and a part of its body, and leave the connection open."""
    url = user.base_url
    line = (
        f"PATCH {url.path}uploads/{upload} HTTP/1.1\r\nHost: {url.host}\r\n"
        f"Authorization: {user.headers['Authorization']}\r\nTus-Resumable: 1.0.0\r\n"
        f"Upload-Offset: {offset}\r\nContent-Type: {PIECE_TYPE}\r\nContent-Length: 8000000\r\n\r\n"
    )
    connection = socket.create_connection((url.host, url.port or 80))
    connection.sendall(line.encode() + data)
    return connection


def test_a_slide_that_is_cut_again_and_again_arrives_whole_and_becomes_a_job(
    service: Service, user: httpx.Client, sample_slide: Path
) -> None:
    data = sample_slide.read_bytes() + bytes(4_000_000)  # what comes after is no slide's business
    digest = hashlib.sha256(data).hexdigest()
    upload = announce(user, "Fall 1 ä.svs", len(data), sha256=digest).json()["id"]
    for _ in range(3):
        at = offset_of(user, upload)
        with begin_a_piece(user, upload, at, data[at : at + 1_200_000]):
            while offset_of(user, upload) < at + 1_000_000:
                pass
        # the connection is cut; what of its rest arrived is kept or not
    while True:
        at = offset_of(user, upload)
        answer = piece(user, upload, at, data[at:])
        if answer.status_code not in (409, 423):  # the last piece is being ended
            break
    assert at >= 3_000_000
    assert (answer.status_code, answer.headers["upload-offset"]) == (204, str(len(data)))
    told = looked_at(user, upload)
    assert (told["state"], told["name"], told["sha256"]) == ("ready", "Fall 1 ä.svs", digest)
    assert offset_of(user, upload) == len(data)
    body = {"jobs": [{"slide": upload, "kind": "tissue_mask"}]}
    job = user.post("/workflows", json=body).raise_for_status().json()["jobs"][0]
    assert (job["slide"], job["slide_id"]) == ("Fall 1 ä.svs", upload)
    refused = user.delete(f"/slides/{upload}")
    assert code_of(refused) == (409, "conflict")
    assert job["id"] in refused.json()["detail"]
    while (job := user.get(f"/jobs/{job['id']}").json())["state"] not in ("succeeded", "failed"):
        pass
    assert job["state"] == "succeeded", job
    assert user.get(f"/jobs/{job['id']}/results/manifest.json").json()["slide"]["sha256"] == digest
    assert user.delete(f"/slides/{upload}").status_code == 204
    assert code_of(user.get(f"/slides/{upload}")) == (404, "not_found")
    assert user.get("/me").json()["used_bytes"] == 0
    assert user.get(f"/jobs/{job['id']}").json()["slide_id"] == upload


def test_two_pieces_at_once_do_not_mix_and_nobody_else_waits(
    service: Service, user: httpx.Client
) -> None:
    upload = announce(user, "a.svs", 9_000_000).json()["id"]
    with begin_a_piece(user, upload, 0, b"II*\0" + bytes(2_000_000)):
        while offset_of(user, upload) < 1_000_000:
            pass
        busy = piece(user, upload, offset_of(user, upload), b"second")
        assert code_of(busy) == (423, "upload_busy")
        alive = str(user.base_url).replace("/api/v1/", "/healthz")
        assert service.bare.get(alive).status_code == 200
    while offset_of(user, upload) < 2_000_004:
        pass
    assert offset_of(user, upload) == 2_000_004


def test_what_is_spoken_of_tus_is_said(service: Service, user: httpx.Client) -> None:
    told = user.options("/uploads")
    assert told.status_code == 204
    assert (told.headers["tus-version"], told.headers["tus-max-size"]) == ("1.0.0", "200000000000")
    assert told.headers["tus-extension"] == "creation,termination,expiration,checksum"
    made = announce(user, "a.svs", 10)
    assert made.status_code == 201
    assert made.headers["location"] == f"/api/v1/uploads/{made.json()['id']}"
    assert made.headers["upload-expires"].endswith("GMT")
    upload = made.json()["id"]
    head = user.head(f"/uploads/{upload}")
    assert (head.headers["upload-length"], head.headers["cache-control"]) == ("10", "no-store")
    assert head.headers["upload-metadata"] == "filename YS5zdnM="
    other = user.head(f"/uploads/{upload}", headers={"Tus-Resumable": "0.2.0"})
    assert other.status_code == 412
    listed = user.get("/uploads").json()["uploads"]
    assert [(each["id"], each["offset"], each["size_bytes"]) for each in listed] == [
        (upload, 0, 10)
    ]


def test_a_piece_must_fit(service: Service, user: httpx.Client) -> None:
    upload = announce(user, "a.svs", 50_000_000).json()["id"]
    assert code_of(piece(user, upload, 5, b"II*\0")) == (409, "conflict")
    wrong = piece(user, upload, 0, b"II*\0", **{"Content-Type": "text/plain"})
    assert code_of(wrong) == (415, "wrong_media_type")
    large = piece(user, upload, 0, bytes(MAX_PIECE_BYTES + 1))
    assert code_of(large) == (413, "piece_too_large")
    assert "up to 8,388,608 bytes" in large.json()["remedy"]
    bad = piece(user, upload, 0, b"II*\0", **{"Upload-Checksum": "sha1 AAAA"})
    assert code_of(bad) == (460, "checksum_differs")
    assert offset_of(user, upload) == 0
    sound = base64.b64encode(hashlib.sha1(b"II*\0").digest()).decode()
    good = piece(user, upload, 0, b"II*\0", **{"Upload-Checksum": f"sha1 {sound}"})
    assert good.status_code == 204


def test_a_large_piece_without_a_length_is_cut_off_and_what_fits_is_kept(
    service: Service, user: httpx.Client
) -> None:
    upload = announce(user, "a.svs", 50_000_000).json()["id"]

    def pieces() -> Iterator[bytes]:
        yield b"II*\0"
        for _ in range(20):
            yield bytes(1_000_000)

    headers = {"Upload-Offset": "0", "Content-Type": PIECE_TYPE}
    answer = user.patch(f"/uploads/{upload}", headers=headers, content=pieces())
    assert answer.status_code == 413
    while offset_of(user, upload) < 1_000_000:
        pass
    assert offset_of(user, upload) <= MAX_PIECE_BYTES


def test_what_is_no_slide_is_refused_early_with_what_to_do(
    service: Service, user: httpx.Client
) -> None:
    refused = announce(user, "photo.jpg", 10)
    assert code_of(refused) == (422, "upload_refused")
    assert "Upload one of .svs, .tif" in refused.json()["remedy"]
    assert code_of(announce(user, "../a.svs", 10)) == (422, "bad_file_name")
    upload = announce(user, "a.svs", 5_000_000).json()["id"]
    answer = piece(user, upload, 0, b"\xff\xd8\xff\xe0" + bytes(2_000_000))
    assert code_of(answer) == (422, "upload_refused")
    assert answer.json()["detail"].startswith("'a.svs' ends in .svs but is no TIFF")
    assert code_of(user.get(f"/uploads/{upload}")) == (404, "not_found")
    assert user.get("/me").json()["used_bytes"] == 0


def test_a_user_s_quota_counts_what_was_announced(service: Service, user: httpx.Client) -> None:
    me = user.get("/me").json()
    asyncio.run(service.accounts.change(UserChanged(0.0, UserId(me["id"]), max_bytes=1000)))
    upload = announce(user, "a.svs", 700).json()["id"]
    full = announce(user, "b.svs", 301)
    assert code_of(full) == (413, "quota_full")
    assert full.json()["detail"] == (
        "'b.svs' has 301 bytes, and of your 1.0 kB there are 300 bytes left."
    )
    told = user.get("/me").json()
    assert (told["used_bytes"], told["max_bytes"]) == (700, 1000)
    assert user.delete(f"/uploads/{upload}").status_code == 204
    assert code_of(user.delete(f"/uploads/{upload}")) == (404, "not_found")
    assert announce(user, "b.svs", 1000).status_code == 201


def test_a_damaged_slide_says_so_and_takes_no_job(
    service: Service, user: httpx.Client, sample_slide: Path
) -> None:
    slide = send(user, "cut.svs", sample_slide.read_bytes()[:500_000])
    told = looked_at(user, slide)
    assert told["state"] == "refused"
    assert told["why"]["message"].startswith("cut.svs is cut short: it has 500000 bytes")
    assert str(service.config.state) not in str(told)
    refused = user.post("/workflows", json={"jobs": [{"slide": slide}]})
    assert code_of(refused) == (422, "upload_refused")
    assert code_of(user.get(f"/slides/{slide}/file")) == (422, "upload_refused")
    assert code_of(user.get(f"/slides/{slide}/thumbnail")) == (422, "upload_refused")


def test_others_uploads_and_slides_do_not_exist(
    service: Service, user: httpx.Client, sample_slide: Path
) -> None:
    slide = send(user, "a.svs", sample_slide.read_bytes())
    upload = announce(user, "b.svs", 10).json()["id"]
    looked_at(user, slide)
    with a_user(service) as other:
        for path in (f"/slides/{slide}", f"/slides/{slide}/file", f"/uploads/{upload}"):
            assert code_of(other.get(path)) == (404, "not_found")
        assert other.get("/slides").json() == {"slides": [], "next": None}
        job = {"jobs": [{"slide": slide}]}
        assert code_of(other.post("/workflows", json=job)) == (404, "not_found")
        unknown = {"jobs": [{"slide": f"sl-{'0' * 21}"}]}
        theirs, nothing = (other.post("/workflows", json=each).json() for each in (job, unknown))
        assert theirs["detail"].replace(slide, "") == nothing["detail"].replace(
            f"sl-{'0' * 21}", ""
        )
