"""``raysched up`` with a real S3-compatible server: from the upload to the download and the end."""

from __future__ import annotations

import io
import json
import os
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from operating import Up, run_verb, up

from raysched.client import Client
from raysched.imaging.request import SegmentationRequest
from raysched.results import stages
from raysched.results.remote.bucket import Bucket
from raysched.results.remote.place import StorePlace
from raysched.testing import s3_server
from raysched.testing.s3_server import S3Server

pytestmark = [pytest.mark.ray, pytest.mark.slow]

WAIT_S = 120.0


@pytest.fixture(scope="module")
def server() -> Iterator[S3Server]:
    with s3_server.running() as started:
        yield started


@pytest.fixture(scope="module")
def settings(server: S3Server, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The environment of a service whose nodes go through the store."""
    return {
        **s3_server.CREDENTIALS,
        "RAYSCHED_STORAGE__URL": f"{server.bucket('service')}/lab",
        "RAYSCHED_STORAGE__ENDPOINT": server.endpoint,
        "RAYSCHED_STORAGE__REGION": s3_server.REGION,
        "RAYSCHED_CACHE": str(tmp_path_factory.mktemp("cache")),
    }


@pytest.fixture(scope="module")
def service(
    settings: dict[str, str], tmp_path_factory: pytest.TempPathFactory, samples: Path
) -> Iterator[Up]:
    with up(tmp_path_factory.mktemp("service") / "state", samples, **settings) as running:
        yield running


@pytest.fixture
def bucket(settings: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bucket:
    for name, value in s3_server.CREDENTIALS.items():
        monkeypatch.setenv(name, value)
    url, endpoint = settings["RAYSCHED_STORAGE__URL"], settings["RAYSCHED_STORAGE__ENDPOINT"]
    return Bucket(StorePlace(url, endpoint, s3_server.REGION, tmp_path, 10**9, tmp_path, 10**9))


def answer(service: Up, path: str) -> httpx.Response:
    headers = {"Authorization": f"Bearer {service.where['admin_key']}"}
    found = httpx.get(f"{service.where['url']}{path}", headers=headers, timeout=60)
    return found.raise_for_status()


def at_home(slide: Path, folder: Path, **options: Any) -> str:
    """The checksum of the same work in one folder."""
    request = SegmentationRequest(slide=str(slide), out=str(folder / "out"), **options)
    for chunk in range(len(stages.plan_slide(request, "alone").chunk_tiles)):
        stages.segment_chunk(request, "alone", chunk, lambda: False)
    stages.assemble(request, "alone", lambda: False)
    return stages.publish(request, "alone").checksum


def test_an_upload_becomes_cells_in_the_store_and_on_the_page(
    service: Up, bucket: Bucket, sample_slide: Path, tmp_path: Path
) -> None:
    with Client(service.where["url"], service.where["admin_key"]) as client:
        slide = client.upload(sample_slide)
    work = {"jobs": [{"slide": slide.id, "tile_px": 512, "chunk_tiles": 1}]}
    job = service.api("POST", "/api/v1/workflows?uploaded", json=work)["jobs"][0]["id"]
    done = service.until(job, "succeeded")
    assert done["checksum"] == at_home(sample_slide, tmp_path, tile_px=512)

    manifest = answer(service, f"/api/v1/jobs/{job}/results/manifest.json").json()
    assert manifest["checksum"] == done["checksum"]
    with zipfile.ZipFile(
        io.BytesIO(answer(service, f"/api/v1/jobs/{job}/results.zip").content)
    ) as z:
        assert z.testzip() is None
        assert json.loads(z.read(f"{job}/manifest.json")) == manifest
    cells = answer(service, f"/api/v1/jobs/{job}/export?format=csv").text.splitlines()
    assert len(cells) == 1 + done["cells"]
    assert answer(service, f"/api/v1/jobs/{job}/log").json()["lines"]

    assert bucket.sizes("jobs") == {}
    stored = bucket.sizes(f"results/{job}")
    assert sum(name.endswith("/manifest.json") for name in stored) == 1
    service.api("DELETE", f"/api/v1/jobs/{job}/results")
    deadline = time.monotonic() + WAIT_S
    while bucket.sizes(f"results/{job}") or bucket.sizes(f"logs/{job}"):
        assert time.monotonic() < deadline


def test_cells_are_seen_while_the_job_runs(service: Up) -> None:
    job = service.submit(Path("CMU-1-Small-Region.svs"), "seen", tile_px=128)
    while True:
        view = service.api("GET", f"/api/v1/jobs/{job}")
        assert view["state"] in {"waiting", "planning", "segmenting"}, "it was too fast to be seen"
        if view["chunks_done"] > 3:
            break
    chunks = answer(service, f"/api/v1/jobs/{job}/chunks").json()
    assert "done" in {chunk["state"] for chunk in chunks["chunks"]}
    exported = answer(service, f"/api/v1/jobs/{job}/export?format=csv").text.splitlines()
    assert len(exported) > 1
    service.api("POST", f"/api/v1/jobs/{job}/cancel")
    service.until(job, "cancelled")
    kept = answer(service, f"/api/v1/jobs/{job}/export?format=csv").text.splitlines()
    assert len(kept) >= len(exported)


def test_a_doctor_asks_the_store(settings: dict[str, str], tmp_path: Path) -> None:
    env = {**service_env(tmp_path), **settings}
    _, found = run_verb(env, "doctor")
    assert any(
        "the object store" in json.dumps(line) and "does as told" in json.dumps(line)
        for line in found
    )


def test_up_is_refused_where_the_store_is_not_there(
    settings: dict[str, str], tmp_path: Path
) -> None:
    env = {**service_env(tmp_path), **settings, "RAYSCHED_STORAGE__URL": "s3://no-such-bucket"}
    code, said = run_verb(env, "up", "--port", "0")
    assert code != 0
    assert "there is no such bucket" in json.dumps(said)


def service_env(tmp_path: Path) -> dict[str, str]:
    return {**os.environ, "RAYSCHED_STATE": str(tmp_path / "state")}
