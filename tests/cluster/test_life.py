"""A life of the scheduler, without Ray: no lane is open, so nothing is sent anywhere."""

from __future__ import annotations

import asyncio
import gc
from pathlib import Path

import pytest

from raysched.cluster.life import Life
from raysched.config import Config, load_config
from raysched.core import transitions
from raysched.core.events import JobCancelRequested, SchedulerStarted, WorkflowSubmitted
from raysched.core.model import JobId, JobState, UserId, WorkflowId
from raysched.core.transitions import Cause
from raysched.errors import IllegalMove, NotFound
from raysched.journal.journal import Journal
from raysched.journal.recovery import recover
from raysched.testing import job

ANN, A = UserId("ann"), JobId("a")


@pytest.fixture
def config(tmp_path: Path) -> Config:
    return load_config(state=tmp_path / "state")


async def live(config: Config, work: object) -> Life:
    """Begin a life, let something happen in it, and end it."""
    life = await Life.begin(config, lambda *_: None)
    pump = asyncio.create_task(life._pump())
    try:
        await work(life)  # type: ignore[operator]
    finally:
        await life._end([pump], remove_lanes=False)
    return life


async def submit(life: Life) -> None:
    await life.post(WorkflowSubmitted(life.now(), ANN, "k", WorkflowId("w"), "n", (job("a"),)))


def test_a_fault_that_changed_something_ends_the_life_and_is_forgotten_with_it(
    config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def work(life: Life) -> None:
        await submit(life)
        lost = (JobState.WAITING, Cause.CANCELLED_AT_REST)
        without = {edge: to for edge, to in transitions.TABLE.items() if edge != lost}
        monkeypatch.setattr(transitions, "TABLE", without)
        with pytest.raises(IllegalMove):
            await life.post(JobCancelRequested(life.now(), ANN, A))
        with pytest.raises(IllegalMove):  # this life is over: it takes nothing more
            await life.post(JobCancelRequested(life.now(), ANN, A))

    asyncio.run(live(config, work))
    with Journal.open(config.state) as journal:
        assert recover(journal).state.jobs[A].state is JobState.WAITING


def test_a_refusal_ends_nothing(config: Config) -> None:
    async def work(life: Life) -> None:
        with pytest.raises(NotFound):
            await life.post(JobCancelRequested(life.now(), ANN, A))
        await submit(life)
        await life.settled()

    life = asyncio.run(live(config, work))
    assert life.core.state.jobs[A].state is JobState.WAITING


def test_a_start_that_is_refused_ends_the_life(config: Config) -> None:
    async def work(life: Life) -> None:
        with pytest.raises(IllegalMove, match="does not follow"):
            await life.post(SchedulerStarted(life.now(), 1))
        with pytest.raises(IllegalMove, match="does not follow"):
            await submit(life)  # this life is over: it takes nothing more

    asyncio.run(live(config, work))
    gc.collect()  # of the exception's frames; Python 3.11 stumbles if they go while it parses
