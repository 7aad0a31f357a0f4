"""Results over HTTP: sizes before a download, parts of it, and what becomes of slow readers."""

from __future__ import annotations

import email
import hashlib
import io
import json
import os
import socket
import zipfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest

from raysched.results.exports.formats import KINDS, Format
from tests.http.conftest import Service

pytestmark = [
    pytest.mark.http,
    # Ray Serve's own models, on import
    pytest.mark.filterwarnings("ignore:Using extra keyword arguments on `Field`"),
]

LARGE_BYTES = 48 * 1024 * 1024
"""More than a window and what the system keeps for two connections."""


@pytest.fixture(scope="module")
def done(service: Service) -> dict[str, Any]:
    """A job that has succeeded."""
    return service.until(service.submit("sample.svs", key="downloaded")["id"], "succeeded")


@pytest.fixture(scope="module")
def base(done: dict[str, Any]) -> str:
    return f"/jobs/{done['id']}/results"


@pytest.fixture(scope="module")
def folder(service: Service, done: dict[str, Any]) -> Path:
    """The results on the server's disk."""
    return service.config.results / str(done["id"])


@pytest.fixture(scope="module")
def stopped(service: Service) -> str:
    """A job that was cancelled when some of its chunks were done."""
    job: str = service.submit("sample.svs", key="stopped", tile_px=128, chunk_tiles=1)["id"]
    while service.http.get(f"/jobs/{job}").json()["cells"] < 200:
        pass
    service.http.post(f"/jobs/{job}/cancel").raise_for_status()
    service.until(job, "cancelled")
    return job


def of_manifest(folder: Path) -> dict[str, str]:
    """Checksums of files, by path."""
    notes = json.loads((folder / "manifest.json").read_bytes())["files"]
    return {note["path"]: note["sha256"] for note in notes}


# --- sizes ----------------------------------------------------------------------------------------


def test_every_file_is_listed_with_its_size_type_and_address(
    service: Service, base: str, folder: Path
) -> None:
    listed = service.http.get(base).json()
    assert listed["complete"] is True
    on_disk = {
        path.relative_to(folder).as_posix(): path.stat().st_size
        for path in folder.rglob("*")
        if path.is_file()
    }
    assert {each["path"]: each["size_bytes"] for each in listed["files"]} == on_disk
    root = service.http.base_url.copy_with(path="/")
    for each in listed["files"]:
        head = service.http.head(root.join(each["href"]))
        assert (head.status_code, head.content) == (200, b"")
        assert int(head.headers["content-length"]) == each["size_bytes"]
        assert head.headers["content-type"].partition(";")[0] == each["media_type"]


@pytest.mark.parametrize("wanted", Format)
def test_the_size_of_every_format_is_shown_first(
    wanted: Format, service: Service, base: str
) -> None:
    exports = {each["format"]: each for each in service.http.get(base).json()["exports"]}
    assert set(exports) == set(Format)
    offer = exports[wanted]
    got = service.http.get(service.http.base_url.copy_with(path="/").join(offer["href"]))
    assert (got.status_code, got.headers["content-type"]) == (200, offer["media_type"])
    assert f'"{offer["name"]}"' in got.headers["content-disposition"]
    assert offer["complete"] is True
    if offer["exact"]:
        assert len(got.content) == offer["size_bytes"]
    else:
        assert len(got.content) / 2 < offer["size_bytes"] < 2 * len(got.content)
    assert offer["exact"] == (wanted is Format.MANIFEST)


def test_a_cancelled_job_offers_what_it_has_and_says_that_it_is_not_all(
    service: Service, stopped: str
) -> None:
    listed = service.http.get(f"/jobs/{stopped}/results").json()
    assert (listed["complete"], listed["files"], listed["zip"]) == (False, [], None)
    offers = {each["format"]: each for each in listed["exports"]}
    assert set(offers) == {name for name, kind in KINDS.items() if not kind.whole}
    for offer in offers.values():
        assert offer["name"].startswith(f"{stopped}.partial.")
        assert (offer["complete"], offer["exact"]) == (False, False)
        got = service.http.get(service.http.base_url.copy_with(path="/").join(offer["href"]))
        assert f'"{offer["name"]}"' in got.headers["content-disposition"]
        assert len(got.content) / 3 < offer["size_bytes"] < 3 * len(got.content)
    assert service.http.get(f"/jobs/{stopped}/results.zip").status_code == 409


# --- parts ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("asked", "first", "end"),
    [
        ("bytes=0-0", 0, 1),
        ("bytes=10-99", 10, 100),
        ("bytes=100-", 100, None),
        ("bytes=-50", -50, None),
        ("BYTES = 5-1000000000", 5, None),
        ("bytes=-1000000000", 0, None),
    ],
)
@pytest.mark.parametrize("what", ["/preview.png", ".zip"])
def test_a_range_is_that_part_of_the_whole(
    what: str, asked: str, first: int, end: int | None, service: Service, base: str
) -> None:
    whole = service.http.get(base + what).content
    part = service.http.get(base + what, headers={"Range": asked})
    assert (part.status_code, part.content) == (206, whole[first:end])
    begin, stop, _ = slice(first, end).indices(len(whole))
    assert part.headers["content-range"] == f"bytes {begin}-{stop - 1}/{len(whole)}"
    assert int(part.headers["content-length"]) == len(part.content)


def test_many_ranges_come_as_many_parts(service: Service, base: str) -> None:
    whole = service.http.get(f"{base}/preview.png").content
    answer = service.http.get(f"{base}/preview.png", headers={"Range": "bytes=0-9,50-59,-10"})
    assert answer.status_code == 206
    head = f"Content-Type: {answer.headers['content-type']}\r\n\r\n".encode()
    parts = email.message_from_bytes(head + answer.content).get_payload()
    assert (
        [part.get_payload(decode=True) for part in parts]
        == [  # type: ignore[union-attr]
            *(whole[:10], whole[50:60], whole[-10:])
        ]
    )


@pytest.mark.parametrize("asked", ["bytes=x", "bytes=", "bytes=-", "lines=1-2", "bytes=9-3", "1"])
@pytest.mark.parametrize("what", ["/preview.png", ".zip"])
def test_a_range_that_means_nothing_is_passed_over(
    what: str, asked: str, service: Service, base: str
) -> None:
    answer = service.http.get(base + what, headers={"Range": asked})
    assert answer.status_code == 200
    assert len(answer.content) == int(answer.headers["content-length"])


@pytest.mark.parametrize("what", ["/preview.png", ".zip"])
def test_a_range_behind_the_end_is_a_problem(what: str, service: Service, base: str) -> None:
    size = len(service.http.get(base + what).content)
    answer = service.http.get(base + what, headers={"Range": f"bytes={size}-"})
    assert (answer.status_code, answer.headers["content-range"]) == (416, f"bytes */{size}")
    assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize("what", ["/cells/part-00000.parquet", "/labels.zarr/zarr.json", ".zip"])
def test_who_has_it_is_told_so_and_who_has_something_else_gets_all(
    what: str, service: Service, base: str
) -> None:
    url = base + what
    etag = service.http.head(url).headers["etag"]
    for known in (etag, f'"other", W/{etag}', "*"):
        same = service.http.get(url, headers={"If-None-Match": known})
        assert (same.status_code, same.content, same.headers["etag"]) == (304, b"", etag)
    assert service.http.get(url, headers={"If-None-Match": '"other"'}).status_code == 200
    for known, status in ((etag, 206), ('"other"', 200)):
        resumed = {"Range": "bytes=5-", "If-Range": known}
        assert service.http.get(url, headers=resumed).status_code == status


def test_etags_are_the_checksums_of_the_manifest(service: Service, base: str, folder: Path) -> None:
    for path, sha256 in of_manifest(folder).items():
        if (folder / path).is_file():
            assert service.http.head(f"{base}/{path}").headers["etag"] == f'"{sha256}"'
    manifest = hashlib.sha256((folder / "manifest.json").read_bytes()).hexdigest()
    assert service.http.head(f"{base}/manifest.json").headers["etag"] == f'"{manifest}"'


def test_a_zip_that_broke_off_is_resumed(service: Service, base: str) -> None:
    listed = service.http.get(base).json()
    size = listed["zip"]["size_bytes"]
    url, half = f"{base}.zip", size // 2
    etag = service.http.head(url).headers["etag"]
    first = service.http.get(url, headers={"Range": f"bytes=0-{half - 1}"}).content
    rest = {"Range": f"bytes={half}-", "If-Range": etag}
    whole = first + service.http.get(url, headers=rest).content
    again = service.http.get(url)
    assert (whole, len(whole)) == (again.content, size)
    assert int(again.headers["content-length"]) == size
    with zipfile.ZipFile(io.BytesIO(whole)) as archive:
        assert archive.testzip() is None


# --- slow readers ---------------------------------------------------------------------------------


@pytest.fixture
def large(folder: Path) -> Iterator[str]:
    """A large file beside the results."""
    path = folder / "large.bin"
    with path.open("wb") as file:
        os.truncate(file.fileno(), LARGE_BYTES)
    yield "/large.bin"
    path.unlink()


def begin(service: Service, path: str) -> socket.socket:
    """A download whose first bytes are there and the rest is not read; to be closed."""
    url = service.http.base_url
    link = socket.create_connection((url.host, url.port), timeout=60)
    key = service.http.headers["Authorization"]
    lines = (f"GET {url.path}{path.lstrip('/')} HTTP/1.1", f"Host: {url.host}")
    link.sendall("\r\n".join((*lines, f"Authorization: {key}", "", "")).encode())
    assert link.recv(12) == b"HTTP/1.1 200"
    return link


@pytest.mark.parametrize("what", ["/large.bin", ".zip"])
def test_a_user_has_so_many_downloads_at_once_until_they_end(
    what: str, service: Service, base: str, large: str
) -> None:
    """That they hold their places also shows that they are sent no faster than they are read."""
    most = service.config.limits.downloads_per_user
    with ExitStack() as held:
        links = [held.enter_context(begin(service, base + what)) for _ in range(most)]
        refused = service.http.get(base + large)
        assert (refused.status_code, refused.json()["code"]) == (429, "too_many_at_once")
        assert (int(refused.headers["retry-after"]) > 0, refused.json()["limit"]) == (True, most)
        assert service.http.get(base).status_code == 200  # all else goes on
        got = 0
        while piece := links[0].recv(1 << 20):  # it is still whole when it is read at last
            got += len(piece)
            if got >= LARGE_BYTES:
                break
        links[1].close()  # and this one goes away in the middle
        while service.http.get(f"{base}/manifest.json").status_code == 429:
            pass
    answers = [service.http.get(f"{base}/manifest.json") for _ in range(3)]
    assert {each.status_code for each in answers} == {200}
    while not all(_is_let_in(service, base + large) for _ in range(2)):
        pass


def _is_let_in(service: Service, path: str) -> bool:
    with service.http.stream("GET", path) as answer:
        return answer.status_code == httpx.codes.OK
