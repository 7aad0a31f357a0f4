"""The main job on real Ray: the same result whatever happens on the way."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

import pytest
import ray
from driving import USER, Cluster

from raysched.cluster.gateway import ACTOR_NAME
from raysched.cluster.submission import JobRequest, Submission, prepare
from raysched.cluster.tasks import LANE_NICE
from raysched.core.model import JobId, JobState, Reason, UserId
from raysched.core.views import JobView
from raysched.errors import Conflict, NotFound
from raysched.testing.ray_processes import titled

pytestmark = pytest.mark.ray

SMALL_TILES = {"tile_px": 512, "chunk_tiles": 1}


def out_of(view: JobView) -> Path:
    return Path(json.loads(view.request)["out"])


@pytest.fixture(scope="module")
def undisturbed(cluster: Cluster, sample_slide: Path) -> JobView:
    """The sample, segmented once in peace."""
    return cluster.finish(cluster.submit(sample_slide, **SMALL_TILES).job)


def test_a_finished_job_leaves_its_results_folder_and_nothing_else(
    undisturbed: JobView,
) -> None:
    out = out_of(undisturbed)
    manifest = json.loads((out / "manifest.json").read_text())
    assert manifest["checksum"] == undisturbed.checksum
    assert manifest["counts"]["cells"] == undisturbed.cells > 1000
    assert list(out.parent.glob(f".{out.name}*")) == []
    assert undisturbed.tiles_done == undisturbed.tiles_total
    assert undisturbed.explanation.reason is Reason.DONE


def store_used() -> float:
    """Bytes in the object store."""
    name = "object_store_memory"
    return float(ray.cluster_resources()[name] - ray.available_resources()[name])


def test_the_object_store_holds_nothing_of_a_job_however_many_chunks_it_has(
    cluster: Cluster, sample_slide: Path, undisturbed: JobView
) -> None:
    before = store_used()
    job = cluster.submit(sample_slide, tile_px=192, chunk_tiles=1)
    for chunks in (5, 40, 100):
        cluster.until(job.job, lambda view: view.chunks_done >= chunks)  # noqa: B023
        assert store_used() <= before
    assert cluster.finish(job.job).cells > 1000
    assert store_used() <= before


@pytest.mark.parametrize("chunk_tiles", [4, 16])
def test_other_chunk_sizes_give_the_same_checksum(
    cluster: Cluster, sample_slide: Path, undisturbed: JobView, checksum: str, chunk_tiles: int
) -> None:
    again = cluster.submit(sample_slide, tile_px=512, chunk_tiles=chunk_tiles)
    assert cluster.finish(again.job).checksum == undisturbed.checksum == checksum


def test_a_killed_worker_costs_its_chunk_only(
    cluster: Cluster, sample_slide: Path, undisturbed: JobView
) -> None:
    job = cluster.submit(sample_slide, **SMALL_TILES).job
    cluster.until(job, lambda view: view.chunks_done >= 2)
    victim = titled("ray::segment ")[0]
    os.kill(victim.pid, signal.SIGKILL)
    ended = cluster.finish(job)
    assert ended.checksum == undisturbed.checksum
    assert ended.attempt == 1


def test_lanes_give_way_to_those_who_ask(cluster: Cluster, sample_slide: Path) -> None:
    """Each chunk's process works at a lower priority than the scheduler and the service."""
    job = cluster.submit(sample_slide, **SMALL_TILES).job
    nice: set[int] = set()

    def look(_: JobView) -> bool:
        nice.update(process.nice() for process in titled("ray::segment "))
        return bool(nice)

    cluster.until(job, look)
    assert nice == {max(LANE_NICE, os.getpriority(os.PRIO_PROCESS, 0))}
    cluster.finish(job)


def test_a_killed_scheduler_comes_back_and_goes_on(
    cluster: Cluster, sample_slide: Path, undisturbed: JobView
) -> None:
    job = cluster.submit(sample_slide, **SMALL_TILES).job
    before = cluster.until(job, lambda view: view.chunks_done >= 2)
    epoch = asyncio.run(cluster.gateway.health()).epoch
    handle = ray.get_actor(ACTOR_NAME, namespace=cluster.config.cluster.namespace)
    ray.kill(handle, no_restart=False)
    after = asyncio.run(cluster.gateway.job(USER, job))
    assert after.chunks_done >= before.chunks_done
    assert cluster.finish(job).checksum == undisturbed.checksum
    assert asyncio.run(cluster.gateway.health()).epoch == epoch + 1


def test_a_cancelled_job_starts_nothing_new_and_frees_its_lanes(
    cluster: Cluster, sample_slide: Path
) -> None:
    job = cluster.submit(sample_slide, **SMALL_TILES).job
    cluster.until(job, lambda view: view.chunks_done >= 1)
    asyncio.run(cluster.gateway.cancel(USER, job))
    ended = cluster.until(job, lambda view: view.state is JobState.CANCELLED)
    assert asyncio.run(cluster.gateway.health()).lanes_busy == 0
    assert not out_of(ended).exists()
    with pytest.raises(Conflict):
        asyncio.run(cluster.gateway.retry(USER, job))


def test_a_slide_without_mpp_asks_and_goes_on_when_answered(
    cluster: Cluster, tmp_path: Path
) -> None:
    from raysched.imaging.synthetic import write_synthetic_slide

    slide = tmp_path / "no-mpp.tiff"
    write_synthetic_slide(slide, width_px=900, height_px=700, mpp=None, nuclei=60)
    job = cluster.submit(slide).job
    asked = cluster.until(job, lambda view: view.state is JobState.NEEDS_MPP)
    assert asked.question is not None
    assert "mpp" in asked.question
    asyncio.run(cluster.gateway.answer_mpp(USER, job, 0.5))
    assert cluster.finish(job).cells > 30


def test_the_same_key_is_the_same_workflow(cluster: Cluster, sample_slide: Path) -> None:
    request = JobRequest(slide=str(sample_slide), out=str(cluster.folder / "same-key"))
    submission = Submission(jobs=(request,))

    async def twice() -> list[str]:
        prepared = prepare(submission, user=USER, key="same", config=cluster.config)
        answers = await asyncio.gather(*(cluster.gateway.submit(prepared) for _ in range(2)))
        return [answer.workflow for answer in answers]

    first, second = asyncio.run(twice())
    assert first == second
    job = asyncio.run(cluster.gateway.workflow(USER, first)).jobs[0].job  # type: ignore[arg-type]
    cluster.finish(job)
    assert asyncio.run(twice()) == [first, first], "repeating a finished submission is harmless"


@pytest.mark.parametrize("out", ["{slide}/below", "{folder}/{long}", "{folder}/a\0b"])
def test_a_run_that_cannot_even_be_told_to_stop_ends_and_frees_its_lane(
    out: str, cluster: Cluster, sample_slide: Path
) -> None:
    key = uuid4().hex
    asked = Submission(jobs=(JobRequest(slide=str(sample_slide)),))
    prepared = prepare(asked, user=USER, key=key, config=cluster.config)
    folder = out.format(slide=sample_slide, folder=cluster.folder, long="x" * 250)
    request = {**json.loads(prepared.jobs[0].request), "out": folder}
    spec = replace(prepared.jobs[0], request=json.dumps(request))
    asyncio.run(cluster.gateway.submit(replace(prepared, jobs=(spec,))))
    begun = cluster.until(spec.job, lambda view: view.state is not JobState.WAITING)
    if not begun.state.is_final:
        asyncio.run(cluster.gateway.cancel(USER, spec.job))
    ended = cluster.until(spec.job, lambda view: view.state.is_final)
    assert ended.state in (JobState.FAILED, JobState.CANCELLED)


def test_a_request_that_cannot_be_read_fails_its_job_and_nothing_else(
    cluster: Cluster, sample_slide: Path
) -> None:
    asked = Submission(jobs=(JobRequest(slide=str(sample_slide)),))
    prepared = prepare(asked, user=USER, key=uuid4().hex, config=cluster.config)
    spec = replace(prepared.jobs[0], request="{}")
    event = replace(prepared, jobs=(spec,))
    epoch = asyncio.run(cluster.gateway.health()).epoch
    asyncio.run(cluster.gateway.submit(event))
    ended = cluster.until(spec.job, lambda view: view.state.is_final)
    assert ended.state is JobState.FAILED and ended.failure is not None
    assert "could not be started" in ended.failure.message
    assert asyncio.run(cluster.gateway.health()).epoch == epoch


def test_another_user_sees_nothing(cluster: Cluster, undisturbed: JobView) -> None:
    stranger = UserId("bob")
    with pytest.raises(NotFound):
        asyncio.run(cluster.gateway.job(stranger, undisturbed.job))
    with pytest.raises(NotFound):
        asyncio.run(cluster.gateway.cancel(stranger, undisturbed.job))
    assert asyncio.run(cluster.gateway.jobs(stranger)).items == ()
    with pytest.raises(NotFound):
        asyncio.run(cluster.gateway.job(USER, JobId("job-nobody-1")))
