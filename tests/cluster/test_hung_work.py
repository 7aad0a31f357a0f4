"""Work that does not end, on a real cluster: it is given up in time, with its process, and said so.

A named pipe that nobody writes to is a storage that never answers; a stopped process is one that
answers nobody.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from driving import USER, Cluster, open_cluster

from raysched.cluster.deadlines import Extent, limit_s
from raysched.cluster.submission import JobRequest, Submission, prepare
from raysched.core.events import ClusterPaused, ClusterResumed
from raysched.core.model import JobId, Stage, UserId
from raysched.imaging.request import SegmentationRequest, TissueRequest, read_request
from raysched.imaging.synthetic import write_synthetic_slide
from raysched.results import stages
from raysched.results.folders import staging_folder
from raysched.results.manifest import MANIFEST
from raysched.testing.ray_processes import titled

LIMIT_S = 40.0


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Four small lanes; what hangs once is not tried again."""
    limits = {"lanes": 4, "lane_cpus": 0.25, "unit_limit_s": LIMIT_S}
    folder = tmp_path_factory.mktemp("cluster")
    with open_cluster(folder, scheduling={"max_retries": 0}, **limits) as opened:
        yield opened


@pytest.mark.parametrize(
    ("stage", "chunk_tiles", "tile_px", "tiles", "cells", "times"),
    [
        (Stage.PLAN, 4, 1024, 90_000, 90_000_000, 1.0),
        (Stage.SEGMENT, 2, 1024, 90_000, 90_000_000, 1.0),
        (Stage.SEGMENT, 16, 1024, 0, 0, 4.0),
        (Stage.SEGMENT, 4, 2048, 0, 0, 4.0),
        (Stage.ASSEMBLE, 4, 1024, 900, 900_000, 1.0),
        (Stage.ASSEMBLE, 4, 1024, 5000, 900_000, 5.0),
        (Stage.ASSEMBLE, 4, 1024, 900, 7_000_000, 7.0),
        (Stage.PUBLISH, 4, 512, 20_000, 0, 5.0),
    ],
)
def test_a_unit_has_time_for_what_it_has_to_do(
    stage: Stage, chunk_tiles: int, tile_px: int, tiles: int, cells: int, times: float
) -> None:
    request = SegmentationRequest(
        slide="/s.svs", out="/out", chunk_tiles=chunk_tiles, tile_px=tile_px
    )
    assert limit_s(600.0, stage, request, Extent(None, (tiles,), cells)) == 600.0 * times
    mask = TissueRequest(slide="/s.svs", out="/out")
    assert limit_s(600.0, stage, mask, Extent()) == 600.0


@pytest.mark.ray
@pytest.mark.slow
def test_what_hangs_is_given_up_with_its_process_and_others_go_on(
    cluster: Cluster, tmp_path: Path
) -> None:
    slides = {name: tmp_path / f"{name}.tif" for name in ("plan", "assemble", "stopped", "good")}
    for slide in slides.values():
        write_synthetic_slide(slide, width_px=900, height_px=700, nuclei=60)
    cluster.wait_for_lanes(4)
    jobs = {
        "plan": submit_what_hangs_in_planning(cluster, slides["plan"]),
        "assemble": submit_what_hangs_in_assembling(cluster, slides["assemble"]),
    }
    stopped = cluster.submit(slides["stopped"], branch="stopped", tile_px=64).job
    cluster.until(stopped, lambda view: len(view.chunks_running) > 0)
    while not (at_work := titled("ray::segment stopped")):
        pass  # Ray has the task a moment before its process has the title
    frozen = at_work[0]
    frozen.send_signal(signal.SIGSTOP)
    jobs["stopped"] = stopped
    good = cluster.submit(slides["good"], user=UserId("bob"))
    assert cluster.finish(good.job, user=UserId("bob")).cells > 30
    words = {
        "plan": "the plan was not done: the engine hangs, or the storage",
        "assemble": "the assembling was not done: the storage of the results hangs.",
        "stopped": "was not done: the engine hangs, or the storage of the slide or of the results.",
    }
    for name, job in jobs.items():
        ended = cluster.until(job, lambda view: view.state.is_final, wait_s=300)
        assert ended.failure is not None, name
        assert ended.failure.code == "work_hung"
        assert words[name] in ended.failure.message
    frozen.wait(timeout=60)  # raises while it is there, also stopped
    assert titled("ray::plan plan", "ray::assemble assemble") == []


def submit_what_hangs_in_planning(cluster: Cluster, slide: Path) -> JobId:
    """Its results folder answers to nobody, from after the submission on."""
    asyncio.run(cluster.gateway.hold(ClusterPaused(0.0, USER)))
    job = cluster.submit(slide, branch="plan", name="plan").job
    (cluster.folder / "out-plan").mkdir()
    os.mkfifo(cluster.folder / "out-plan" / MANIFEST)
    asyncio.run(cluster.gateway.hold(ClusterResumed(0.0, USER)))
    return job


def submit_what_hangs_in_assembling(cluster: Cluster, slide: Path) -> JobId:
    """What it would find of an earlier life never comes."""
    out = cluster.folder / "out-assemble"
    asked = Submission(jobs=(JobRequest(slide=str(slide), out=str(out), branch="assemble"),))
    prepared = prepare(asked, user=USER, key="assemble", config=cluster.config)
    (spec,) = prepared.jobs
    stages.plan_slide(read_request(spec.kind, spec.request), spec.job)
    result = staging_folder(out, spec.job) / "result"
    result.mkdir()
    os.mkfifo(result / MANIFEST)
    asyncio.run(cluster.gateway.submit(prepared))
    return spec.job
