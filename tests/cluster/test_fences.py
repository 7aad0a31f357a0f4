"""A cancel is acknowledged once nothing can be published any more; without Ray: no lane is open."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from raysched.cluster.life import Life
from raysched.config import Config, load_config
from raysched.core.events import (
    AllCancelRequested,
    Event,
    JobCancelRequested,
    WorkflowCancelRequested,
)
from raysched.core.model import BranchName, JobId, JobSpec, JobState, UserId, WorkflowId
from raysched.errors import ClusterError
from raysched.imaging.request import SegmentationRequest
from raysched.journal.entries import Entry
from raysched.journal.journal import Journal
from raysched.results.folders import staging_folder
from raysched.testing import FakeCluster

ANN, A, W = UserId("ann"), JobId("a"), WorkflowId("w1")


@pytest.fixture
def config(tmp_path: Path) -> Config:
    """A state folder whose one job is being published, by a run that nobody hears of any more."""
    config = load_config(state=tmp_path / "state")
    request = SegmentationRequest(slide="/slides/a.svs", out=str(tmp_path / "out"))
    spec = JobSpec(A, BranchName("main"), "cell_segmentation", request.model_dump_json())
    with Journal.open(config.state) as journal:
        journal.next_epoch()
        world = FakeCluster()
        world.submit("ann", spec)
        while world.view("a").state is not JobState.PUBLISHING or not world.in_flight:
            world.tick()
        entries = zip(world.history, world.decisions, strict=True)
        journal.append([Entry(event, None, decision) for event, decision in entries])
    handed = staging_folder(tmp_path / "out", A) / "publish.1-5"
    handed.mkdir(parents=True)
    (handed / "manifest.json").write_text("all of the result")
    return config


async def in_a_life(config: Config, work: Callable[[Life], Awaitable[None]]) -> None:
    life = await Life.begin(config, lambda *_: None)
    pump = asyncio.create_task(life._pump())
    try:
        await work(life)
    finally:
        await life._end([pump], remove_lanes=False)


def names(tmp_path: Path) -> list[str]:
    return sorted(path.name for path in staging_folder(tmp_path / "out", A).iterdir())


@pytest.mark.parametrize(
    "cancel",
    [
        JobCancelRequested(0.0, ANN, A),
        WorkflowCancelRequested(0.0, ANN, W),
        AllCancelRequested(0.0, ANN),
    ],
    ids=lambda event: type(event).__name__,
)
def test_what_was_handed_over_is_taken_back_before_a_cancel_is_acknowledged(
    config: Config, tmp_path: Path, cancel: Event
) -> None:
    async def work(life: Life) -> None:
        assert names(tmp_path) == ["publish.1-5"]
        await life.post(cancel)
        assert names(tmp_path) == ["result"]
        assert life.core.state.jobs[A].state is JobState.CANCELLED

    asyncio.run(in_a_life(config, work))


def test_a_cancel_that_is_asked_for_again_takes_back_what_the_first_could_not(
    config: Config, tmp_path: Path
) -> None:
    async def work(life: Life) -> None:
        await life.post(JobCancelRequested(life.now(), ANN, A))
        handed = staging_folder(tmp_path / "out", A) / "publish.1-5"
        handed.with_name("result").rename(handed)
        await life.post(JobCancelRequested(life.now(), ANN, A))
        assert names(tmp_path) == ["result"]

    asyncio.run(in_a_life(config, work))


def test_a_cancel_of_which_the_disk_does_not_tell_is_written_down_and_says_so(
    config: Config, tmp_path: Path
) -> None:
    staging = staging_folder(tmp_path / "out", A)
    aside = staging.rename(tmp_path / "aside")
    staging.symlink_to(staging)  # the system refuses to look at what lies there

    async def work(life: Life) -> None:
        with pytest.raises(ClusterError, match="a result may still appear"):
            await life.post(JobCancelRequested(life.now(), ANN, A))
        assert life.core.state.jobs[A].state is JobState.CANCELLED
        staging.unlink()
        aside.rename(staging)
        await life.post(JobCancelRequested(life.now(), ANN, A))
        assert names(tmp_path) == ["result"]

    asyncio.run(in_a_life(config, work))
