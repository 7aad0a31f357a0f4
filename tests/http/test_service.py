"""The whole service over HTTP: a real slide from submission to downloaded results."""

from __future__ import annotations

import csv
import gzip
import io
import json
import shutil
import zipfile
from pathlib import Path
from typing import Any

import httpx
import pytest

from raysched.results.exports.formats import KINDS, Format, Shape
from tests.http.conftest import Service

pytestmark = [
    pytest.mark.http,
    # Ray Serve's own models, on import
    pytest.mark.filterwarnings("ignore:Using extra keyword arguments on `Field`"),
]

BEGINNINGS = {
    "application/zip": b"PK\x03\x04",
    "application/vnd.apache.parquet": b"PAR1",
    "application/x-hdf5": b"\x89HDF",
}


@pytest.fixture(scope="module")
def done(service: Service) -> dict[str, Any]:
    """A job that has succeeded."""
    return service.until(service.submit("sample.svs", key="done")["id"], "succeeded")


def url_of(service: Service, path: str) -> str:
    """A full URL of the service, outside /api/v1."""
    return str(service.http.base_url).removesuffix("/api/v1/") + path


def code_of(response: httpx.Response) -> tuple[int, str]:
    assert response.headers["content-type"] == "application/problem+json", response.text
    return response.status_code, response.json()["code"]


def test_the_service_says_that_it_is_ready(service: Service) -> None:
    ready = service.http.get(url_of(service, "/readyz"))
    assert (ready.status_code, ready.json()["ready"]) == (200, True)
    assert service.http.get(url_of(service, "/healthz")).status_code == 200
    assert service.http.get(url_of(service, "/docs")).status_code == 200


def test_a_slide_goes_from_its_name_to_cells(done: dict[str, Any]) -> None:
    assert done["cells"] > 1000
    assert done["tiles_done"] == done["tiles_total"] > 0
    assert (done["slide"], len(done["checksum"]), done["failure"]) == ("sample.svs", 64, None)
    assert done["submitted_at"] <= done["started_at"] <= done["ended_at"]


def test_no_answer_shows_a_path_of_the_server(service: Service, done: dict[str, Any]) -> None:
    listed = service.http.get("/jobs").text
    assert done["id"] in listed
    for folder in (service.slides, service.config.state):
        assert str(folder) not in listed
    (service.slides / "bad.svs").write_bytes(b"no slide")
    response = service.post("bad.svs")
    assert code_of(response) == (422, "not_a_slide")
    assert str(service.slides) not in response.text


def test_the_story_of_a_failure_shows_no_path_of_the_server(service: Service) -> None:
    slide = service.slides / "soon-gone.svs"
    shutil.copy(service.slides / "sample.svs", slide)
    ahead = service.submit("sample.svs", key="ahead", branch="one-by-one")["id"]
    job = service.submit("soon-gone.svs", key="soon-gone", branch="one-by-one")["id"]
    slide.unlink()
    service.http.post(f"/jobs/{ahead}/cancel")
    ended = service.until(job, "failed")
    shown = service.http.get(f"/jobs/{job}").text + service.http.get(f"/jobs/{job}/explain").text
    shown += service.http.get(f"/jobs/{job}/results").text
    for folder in (service.slides, service.config.state):
        assert str(folder) not in shown
    assert "soon-gone.svs" in ended["failure"]["message"]
    assert "soon-gone.svs" in ended["why"]["sentence"]


def test_the_workflow_is_found_where_its_location_says(service: Service) -> None:
    created = service.post("sample.svs", key="located")
    found = service.http.get(url_of(service, created.headers["location"]))
    assert found.json()["id"] == created.json()["id"]
    service.http.post(f"/jobs/{created.json()['jobs'][0]['id']}/cancel")


def test_the_same_key_gives_the_same_workflow_even_when_the_slide_is_gone(
    service: Service,
) -> None:
    slide = service.slides / "short-lived.svs"
    shutil.copy(service.slides / "sample.svs", slide)
    first = service.post("short-lived.svs", key="twice")
    slide.unlink()
    second = service.post("short-lived.svs", key="twice")
    assert (first.status_code, second.status_code) == (201, 200)
    assert first.json()["id"] == second.json()["id"]
    other = service.post("sample.svs", key="twice")
    assert code_of(other) == (409, "conflict")
    finer = service.post("short-lived.svs", key="twice", params={"min_area_um2": 20})
    assert code_of(finer) == (409, "conflict")
    service.http.post(f"/jobs/{first.json()['jobs'][0]['id']}/cancel")


def test_results_are_listed_with_their_sizes_and_downloaded_whole_or_in_part(
    service: Service, done: dict[str, Any]
) -> None:
    base = f"/jobs/{done['id']}/results"
    listed = service.http.get(base).json()
    sizes = {file["path"]: file["size_bytes"] for file in listed["files"]}
    assert {"manifest.json", "preview.png", "cells/part-00000.parquet"} <= set(sizes)
    assert listed["size_bytes"] == sum(sizes.values())
    whole = service.http.get(f"{base}/preview.png")
    assert (whole.headers["content-type"], len(whole.content)) == (
        "image/png",
        sizes["preview.png"],
    )
    part = service.http.get(f"{base}/preview.png", headers={"Range": "bytes=0-7"})
    assert (part.status_code, part.content) == (206, b"\x89PNG\r\n\x1a\n")
    manifest = service.http.get(f"{base}/manifest.json").json()
    assert (manifest["checksum"], manifest["counts"]["cells"]) == (
        done["checksum"],
        done["cells"],
    )


def test_all_results_come_as_one_zip(service: Service, done: dict[str, Any]) -> None:
    listed = service.http.get(f"/jobs/{done['id']}/results").json()
    response = service.http.get(f"/jobs/{done['id']}/results.zip")
    with zipfile.ZipFile(io.BytesIO(response.content)) as archive:
        assert archive.testzip() is None
        sizes = {entry.filename: entry.file_size for entry in archive.infolist()}
    assert sizes == {f"{done['id']}/{file['path']}": file["size_bytes"] for file in listed["files"]}


def test_a_finished_job_cannot_be_cancelled(service: Service, done: dict[str, Any]) -> None:
    assert code_of(service.http.post(f"/jobs/{done['id']}/cancel")) == (409, "conflict")


def test_exports_hold_every_cell(service: Service, done: dict[str, Any]) -> None:
    url = f"/jobs/{done['id']}/export"
    table = service.http.get(url, params={"format": "csv"})
    assert len(list(csv.DictReader(io.StringIO(table.text)))) == done["cells"]
    assert 'rel="describedby"' in table.headers["link"]
    shapes = service.http.get(url, params={"format": "geojson"})
    assert len(json.loads(shapes.content)["features"]) == done["cells"]
    assert f"{done['id']}.geojson" in shapes.headers["content-disposition"]


def test_the_report_is_a_page_that_may_run_nothing(service: Service, done: dict[str, Any]) -> None:
    answer = service.http.get(f"/jobs/{done['id']}/report")
    assert (answer.status_code, answer.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert answer.headers["x-content-type-options"] == "nosniff"
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "script-src" not in policy
    assert answer.text.startswith("<!DOCTYPE html>")
    assert answer.text.endswith("</html>\n")
    assert f"{done['cells']:,} cells" in answer.text
    assert done["checksum"] in answer.text
    for folder in (service.slides, service.config.state):
        assert str(folder) not in answer.text


def test_two_results_are_compared_as_numbers_and_as_a_page(
    service: Service, done: dict[str, Any]
) -> None:
    job = done["id"]
    told = service.http.get(f"/jobs/{job}/diff/{job}").raise_for_status().json()
    assert (told["matched"], told["lost"], told["gained"]) == (done["cells"], 0, 0)
    assert told["first"] == {"job": job, "cells": done["cells"], "checksum": done["checksum"]}
    assert (told["first"], told["differing"], told["mean_iou"]) == (told["second"], [], 1.0)
    page = service.http.get(f"/jobs/{job}/diff/{job}/page")
    assert (page.status_code, page.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert "default-src 'none'" in page.headers["content-security-policy"]
    assert page.text.endswith("</html>\n")
    for folder in (service.slides, service.config.state):
        assert str(folder) not in page.text
    assert code_of(service.http.get(f"/jobs/{job}/diff/job-none")) == (404, "not_found")
    assert code_of(service.http.get(f"/jobs/job-none/diff/{job}/page")) == (404, "not_found")


@pytest.mark.parametrize("wanted", Format)
def test_every_format_is_served_under_its_name_and_type(
    wanted: Format, service: Service, done: dict[str, Any]
) -> None:
    kind = KINDS[wanted]
    answer = service.http.get(f"/jobs/{done['id']}/export", params={"format": wanted})
    assert answer.headers["content-type"] == kind.media_type
    packed = ".zip" if kind.shape is Shape.FOLDER else ""
    assert f'"{done["id"]}{kind.suffix}{packed}"' in answer.headers["content-disposition"]
    assert answer.content[:4] == BEGINNINGS.get(kind.media_type, answer.content[:4])
    if kind.media_type == "application/zip":
        with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
            assert archive.testzip() is None


def test_text_is_gzipped_when_asked_for_and_nothing_else_is(
    service: Service, done: dict[str, Any]
) -> None:
    url = f"/jobs/{done['id']}/export"
    packed = service.http.get(url, params={"format": "geojson", "gzip": True})
    assert packed.headers["content-type"] == "application/gzip"
    assert len(json.loads(gzip.decompress(packed.content))["features"]) == done["cells"]
    assert f"{done['id']}.geojson.gz" in packed.headers["content-disposition"]
    refused = service.http.get(url, params={"format": "h5ad", "gzip": True})
    assert code_of(refused) == (422, "invalid_setting")


@pytest.mark.parametrize(
    "path",
    [
        "../../cluster.json",
        "%2e%2e/%2e%2e/cluster.json",
        "..%2f..%2fcluster.json",
        "cells/..%2f..%2f..%2fcluster.json",
        "%2fetc%2fpasswd",
        "/etc/passwd",
        "manifest.json%00",
        "x" * 2000,
        "cells",
        "nothing",
    ],
)
def test_a_download_never_leaves_the_results(
    path: str, service: Service, done: dict[str, Any]
) -> None:
    base = httpx.URL(str(service.http.base_url))
    raw = f"{base.path}jobs/{done['id']}/results/{path}".encode()
    response = service.http.get(base.copy_with(raw_path=raw))
    assert code_of(response) == (404, "not_found")


@pytest.mark.parametrize("slide", ["/etc/passwd", "../state/cluster.json", "nothing.svs"])
def test_a_slide_outside_the_slide_folders_does_not_exist(slide: str, service: Service) -> None:
    response = service.post(slide)
    assert code_of(response) == (404, "slide_missing")
    assert response.json()["detail"] == f"There is no slide {slide!r} that this service may read."


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/workflows/wf-none"),
        ("GET", "/jobs/job-none"),
        ("GET", "/jobs/job-none/explain"),
        ("GET", "/jobs/job-none/results"),
        ("GET", "/jobs/job-none/results.zip"),
        ("GET", "/jobs/job-none/results/manifest.json"),
        ("GET", "/jobs/job-none/export"),
        ("GET", "/jobs/job-none/report"),
        ("GET", "/jobs/job-none/diff/job-none"),
        ("GET", "/jobs/job-none/diff/job-none/page"),
        ("POST", "/jobs/job-none/cancel"),
        ("POST", "/jobs/job-none/retry"),
    ],
)
def test_what_does_not_exist_is_not_found(method: str, path: str, service: Service) -> None:
    assert code_of(service.http.request(method, path)) == (404, "not_found")


def test_a_cancelled_job_has_no_results_and_says_why(service: Service) -> None:
    job = service.submit("sample.svs", tile_px=256, chunk_tiles=1)["id"]
    assert service.http.post(f"/jobs/{job}/cancel").json()["state"] in {"cancelling", "cancelled"}
    service.until(job, "cancelled")
    assert service.http.get(f"/jobs/{job}/explain").json()["reason"] == "cancelled"
    assert code_of(service.http.get(f"/jobs/{job}/results.zip")) == (409, "not_ready")
    assert code_of(service.http.get(f"/jobs/{job}/report")) == (409, "not_ready")
    assert code_of(service.http.get(f"/jobs/{job}/diff/{job}")) == (409, "not_ready")
    assert service.http.post(f"/jobs/{job}/cancel").json()["state"] == "cancelled"


def test_a_slide_without_a_pixel_size_asks_and_goes_on_when_answered(
    service: Service, samples: Path
) -> None:
    shutil.copy(samples / "slides" / "openslide-python__boxes.tiff", service.slides / "boxes.tiff")
    job = service.submit("boxes.tiff")["id"]
    asking = service.until(job, "needs_mpp")
    assert "boxes.tiff" in asking["question"]
    refused = service.http.post(f"/jobs/{job}/answer", json={"mpp": 1000})
    assert code_of(refused) == (422, "invalid_request")
    service.http.post(f"/jobs/{job}/answer", json={"mpp": 0.5}).raise_for_status()
    assert service.until(job, "succeeded")["failure"] is None
    late = service.http.post(f"/jobs/{job}/answer", json={"mpp": 0.25})
    assert code_of(late) == (409, "conflict")


def test_a_tissue_mask_and_a_sweep_are_asked_for_like_cells(service: Service) -> None:
    tissue = {"threshold": 30}
    job = service.submit("sample.svs", kind="tissue_mask", tissue=tissue)
    assert (job["engine"], job["params"], job["measure"]) == (None, None, None)
    assert job["tissue"]["threshold"] == 30
    done = service.until(job["id"], "succeeded")
    assert (done["cells"], done["why"]["sentence"]) == (0, "done")
    listed = service.http.get(f"/jobs/{job['id']}/results").json()["files"]
    assert {"tissue.geojson", "preview.png"} <= {file["path"] for file in listed}
    assert service.http.get(f"/jobs/{job['id']}/results").json()["exports"] == []
    for verb in ("export", "report"):
        refused = service.http.get(f"/jobs/{job['id']}/{verb}")
        assert code_of(refused) == (404, "not_found")
        assert "tissue mask" in refused.json()["detail"]
        assert str(service.config.state) not in refused.text
    sweep = {"min_area_um2": [10, 20]}
    swept = service.post("sample.svs", sweep=sweep, branch="swept").json()["jobs"]
    assert [each["params"]["min_area_um2"] for each in swept] == [10, 20]
    for each in swept:
        service.http.post(f"/jobs/{each['id']}/cancel").raise_for_status()
    assert code_of(service.post("sample.svs", sweep={"nothing": [1]})) == (422, "invalid_setting")
    assert code_of(service.post("sample.svs", sweep={"x": []})) == (422, "invalid_request")
    assert code_of(service.post("sample.svs", kind="other")) == (422, "invalid_workflow")
