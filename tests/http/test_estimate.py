"""Dry runs: what a workflow would be is said, and nothing of it is submitted."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.http.command_line import Said, say
from tests.http.conftest import Service

pytestmark = [
    pytest.mark.http,
    # Ray Serve's own models, on import
    pytest.mark.filterwarnings("ignore:Using extra keyword arguments on `Field`"),
]


def asked(service: Service, *jobs: dict[str, Any]) -> httpx.Response:
    return service.http.post("/workflows/estimate", json={"jobs": list(jobs)})


def test_an_estimate_says_what_the_job_then_has_to_do(service: Service) -> None:
    job = {"slide": "sample.svs", "branch": "foretold", "tile_px": 512}
    before = service.http.get("/jobs").json()["jobs"]
    first = asked(service, job).raise_for_status().json()
    assert service.http.get("/jobs").json()["jobs"] == before
    (told,) = first["jobs"]
    assert (told["slide"], told["mpp_source"], told["mpp"]) == ("sample.svs", "vendor", 0.499)
    assert told["was_seen"] is True
    assert 0 < told["tissue_mm2"] < 2220 * 2967 * 0.499**2 / 1e6
    done = service.until(service.submit(**job)["id"], "succeeded")
    assert (told["tiles"], told["chunks"]) == (done["tiles_total"], done["chunks_total"])
    again = asked(service, job).json()
    assert again["jobs"][0]["seconds_from"] == "measured: your jobs with this engine"
    assert again["result_bytes_from"] == "measured: your newest results"
    assert again["jobs"][0]["segment_s"] > 0
    stages = ("plan_s", "segment_s", "assemble_s", "publish_s")
    sums = sum(again["jobs"][0][name] for name in stages)
    assert again["lane_s"] == pytest.approx(sums, abs=0.01)
    assert 0 <= again["starts_in_s"] <= again["ends_in_s"]
    assert (again["lanes_open"], again["lanes"]) == (2, 2.0)


def test_a_slide_without_a_pixel_size_is_a_question(service: Service, samples: Path) -> None:
    shutil.copy(samples / "slides" / "openslide-python__boxes.tiff", service.slides / "no-mpp.tif")
    told = asked(service, {"slide": "no-mpp.tif"}).raise_for_status().json()["jobs"][0]
    assert told["question"].startswith("What is the pixel size of no-mpp.tif?")
    assert (told["tiles"], told["mpp"]) == (0, None)


def test_a_sweep_is_looked_at_once_and_a_mask_has_no_tiles(service: Service) -> None:
    told = asked(
        service,
        {"slide": "sample.svs", "sweep": {"min_area_um2": list(range(10, 30))}},
        {"slide": "sample.svs", "kind": "tissue_mask"},
    ).json()
    *swept, mask = told["jobs"]
    assert len({(job["tiles"], job["was_seen"]) for job in swept}) == 1
    assert len(swept) == 20
    assert (mask["tiles"], mask["engine"], mask["seconds_from"]) == (
        *(0, None),
        "nothing to segment",
    )
    assert mask["tissue_mm2"] == pytest.approx(swept[0]["tissue_mm2"], rel=0.02)


@pytest.mark.parametrize(
    ("job", "status", "code"),
    [
        ({"slide": "../../etc/passwd"}, 404, "slide_missing"),
        ({"slide": "sample.svs", "engine": "none-such"}, 422, "unknown_engine"),
        ({"slide": "sample.svs", "depends_on": ["2"]}, 422, "invalid_workflow"),
        ({"slide": "sample.svs", "sweep": {"min_area_um2": list(range(1, 60))}}, 429, None),
    ],
)
def test_what_would_be_refused_is_refused(
    service: Service, job: dict[str, Any], status: int, code: str | None
) -> None:
    estimate = asked(service, job)
    submitted = service.http.post("/workflows", json={"jobs": [job]})
    assert (estimate.status_code, submitted.status_code) == (status, status), estimate.text
    own_id = re.compile(r"job-[a-z2-7]{10}-")  # each asking has ids of its own
    details = [own_id.sub("", each.json()["detail"]) for each in (estimate, submitted)]
    assert details[0] == details[1]
    if code is not None:
        assert estimate.json()["code"] == code


def test_the_command_line_says_it_too(service: Service, sample_slide: Path, tmp_path: Path) -> None:
    before = service.http.get("/jobs").json()["jobs"]
    submit, run = ["submit", str(sample_slide)], ["run", str(sample_slide), "--out", "cells"]
    verbs = [[*verb, "--dry-run", *more] for verb in (submit, run) for more in (["--json"], [])]
    for as_json, as_text in batched(say(service, *verbs, cwd=tmp_path)):
        assert (as_json.exit, as_text.exit) == (0, 0)
        assert json.loads(as_json.text)["estimate"]["jobs"][0]["tiles"] == 6
        assert "of lane time" in as_text.text
    assert service.http.get("/jobs").json()["jobs"] == before
    assert list(tmp_path.iterdir()) == []


def batched(said: list[Said]) -> list[tuple[Said, Said]]:
    return list(zip(said[::2], said[1::2], strict=True))
