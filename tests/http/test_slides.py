"""Slides over the real service: registered, listed, renamed, downloaded, in zips, never others'."""

from __future__ import annotations

import io
import shutil
import zipfile
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.http.conftest import Service
from tests.http.over_http import a_user, code_of, looked_at, send

pytestmark = [
    pytest.mark.http,
    # Ray Serve's own models, on import
    pytest.mark.filterwarnings("ignore:Using extra keyword arguments on `Field`"),
]


@pytest.fixture
def user(service: Service) -> Iterator[httpx.Client]:
    with a_user(service) as client:
        yield client


@pytest.fixture
def slide(user: httpx.Client, sample_slide: Path) -> str:
    """One that is ready."""
    slide = send(user, "Schnitt ä.svs", sample_slide.read_bytes())
    assert looked_at(user, slide)["state"] == "ready"
    return slide


def test_a_slide_tells_what_is_known_of_it(
    user: httpx.Client, slide: str, sample_slide: Path
) -> None:
    told = user.get(f"/slides/{slide}").json()
    assert (told["vendor"], told["width"], told["height"]) == ("aperio", 2220, 2967)
    assert told["levels"] == [{"width": 2220, "height": 2967, "downsample": 1.0}]
    assert (told["mpp"], told["mpp_source"]) == (0.499, "vendor")
    assert (told["source"], told["why"]) == ("upload", None)
    assert told["size_bytes"] == sample_slide.stat().st_size == user.get("/me").json()["used_bytes"]
    small = user.get(f"/slides/{slide}/thumbnail")
    assert small.headers["vary"] == "Cookie, Authorization"
    assert (small.headers["content-type"], small.content[:4]) == ("image/png", b"\x89PNG")


def test_a_slide_s_file_comes_back_whole_or_in_part(
    user: httpx.Client, slide: str, sample_slide: Path
) -> None:
    data = sample_slide.read_bytes()
    whole = user.get(f"/slides/{slide}/file")
    assert whole.content == data
    assert whole.headers["content-type"] == "application/octet-stream"
    assert "filename*=utf-8''Schnitt%20%C3%A4.svs" in whole.headers["content-disposition"]
    part = user.get(f"/slides/{slide}/file", headers={"Range": "bytes=1000-1999"})
    assert (part.status_code, part.content) == (206, data[1000:2000])


def test_slides_are_listed_page_by_page_and_renamed(user: httpx.Client, slide: str) -> None:
    registered = [
        user.post("/slides", json={"folder": 0, "path": "sample.svs"}).json()["id"]
        for _ in range(2)
    ]
    first = user.get("/slides", params={"limit": 2}).json()
    second = user.get("/slides", params={"limit": 2, "cursor": first["next"]}).json()
    ids = [each["id"] for each in first["slides"] + second["slides"]]
    assert (ids, second["next"]) == ([*sorted(registered, reverse=True), slide], None)
    renamed = user.patch(f"/slides/{slide}", json={"name": "Case 7.svs"})
    assert renamed.json()["name"] == user.get(f"/slides/{slide}").json()["name"] == "Case 7.svs"
    assert code_of(user.patch(f"/slides/{slide}", json={"name": "a/b.svs"})) == (
        422,
        "bad_file_name",
    )


def test_a_server_s_slide_is_registered_used_and_only_forgotten(
    service: Service, user: httpx.Client
) -> None:
    folder = service.slides / "case 9"
    folder.mkdir(exist_ok=True)
    shutil.copy(service.slides / "sample.svs", folder / "inside.svs")
    told = user.get("/slide-folders", params={"folder": 0, "path": "case 9"}).json()
    assert told["folders"] == [{"folder": 0, "name": "slides"}]
    (entry,) = told["entries"]
    assert (entry["path"], entry["is_folder"]) == ("case 9/inside.svs", False)
    made = user.post("/slides", json={"folder": 0, "path": entry["path"]})
    assert made.status_code == 201
    slide = made.json()["id"]
    ready = looked_at(user, slide)
    assert (ready["state"], ready["source"], ready["name"]) == ("ready", "server", "inside.svs")
    assert user.get("/me").json()["used_bytes"] == 0
    body = {"jobs": [{"slide": slide, "kind": "tissue_mask"}]}
    job = user.post("/workflows", json=body).raise_for_status().json()["jobs"][0]
    assert (job["slide"], job["slide_id"]) == ("inside.svs", slide)
    user.post(f"/jobs/{job['id']}/cancel")
    while user.delete(f"/slides/{slide}").status_code == 409:
        pass
    assert (folder / "inside.svs").exists()
    assert str(service.slides) not in made.text + str(ready) + str(told)


@pytest.mark.parametrize("path", ["../state/journal", "/etc/passwd", "a\0.svs", "nothing.svs"])
def test_nothing_else_on_the_server_can_be_registered(path: str, user: httpx.Client) -> None:
    assert code_of(user.post("/slides", json={"folder": 0, "path": path})) == (404, "slide_missing")


def test_the_folder_of_uploads_is_nobody_s_to_name(
    service: Service, user: httpx.Client, slide: str
) -> None:
    (path,) = service.config.uploads.glob(f"*/{slide}/content/*")
    for name in (str(path), path.relative_to(service.config.uploads).as_posix()):
        refused = user.post("/workflows", json={"jobs": [{"slide": name}]})
        assert code_of(refused) == (404, "slide_missing")


def test_a_zip_with_a_slide_is_unpacked_and_comes_back_as_a_zip(
    user: httpx.Client, sample_slide: Path
) -> None:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        archive.writestr("case/a.svs", sample_slide.read_bytes())
    slide = send(user, "case.zip", made.getvalue())
    told = looked_at(user, slide)
    assert (told["state"], told["name"], told["width"]) == ("ready", "case.zip", 2220)
    back = user.get(f"/slides/{slide}/file")
    with zipfile.ZipFile(io.BytesIO(back.content)) as archive:
        assert archive.read(f"{slide}/case/a.svs") == sample_slide.read_bytes()


def test_a_hostile_zip_is_refused_with_its_reason(user: httpx.Client) -> None:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        archive.writestr("../../a.svs", b"II*\0")
    told = looked_at(user, send(user, "case.zip", made.getvalue()))
    assert told["state"] == "refused"
    assert told["why"]["message"].startswith("The zip is not taken in: it holds '../../a.svs'.")
    assert user.get("/me").json()["used_bytes"] == 0
