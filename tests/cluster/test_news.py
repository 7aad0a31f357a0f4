"""What changed, as the service asks for it: also of what has left memory or was deleted since."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

from raysched.cluster.life import Life
from raysched.cluster.news import Mark, News, news_of
from raysched.config import load_config
from raysched.core.events import (
    JobCancelRequested,
    ResultsDeleted,
    WorkflowDeleted,
    WorkflowSubmitted,
)
from raysched.core.model import JobId, UserId, WorkflowId
from raysched.testing import job

ANN = UserId("ann")
LIMITS = {"max_ended_jobs_per_user": 1, "max_jobs_per_user": 2000}


async def _live(folder: Path, work: Callable[[Life], Awaitable[None]]) -> None:
    config = load_config(state=folder / "state", scheduling=LIMITS)
    life = await Life.begin(config, lambda *_: None)
    pump = asyncio.create_task(life._pump())
    try:
        await work(life)
    finally:
        await life._end([pump], remove_lanes=False)


def live(folder: Path, work: Callable[[Life], Awaitable[None]]) -> None:
    """A life without lanes, which keeps one ended job in memory."""
    asyncio.run(_live(folder, work))


async def submit(life: Life, name: str) -> None:
    workflow = WorkflowId(f"w-{name}")
    await life.post(WorkflowSubmitted(life.now(), ANN, name, workflow, "n", (job(name),)))


async def end(life: Life, name: str) -> None:
    await submit(life, name)
    await life.post(JobCancelRequested(life.now(), ANN, JobId(name)))


async def start(life: Life) -> Mark:
    news = await news_of(life, None, 0.0)
    assert news.missed
    return news.upto


def said(news: News) -> list[tuple[str, str]]:
    return [
        (each.job.job, each.job.state.value) if each.job else ("deleted", str(each.deleted))
        for each in news.changes
    ]


def test_jobs_that_ended_and_were_retired_before_anybody_asked_are_told_as_they_ended(
    tmp_path: Path,
) -> None:
    async def work(life: Life) -> None:
        async def refuse(*_: object, **__: object) -> None:
            raise AssertionError("thousands may end at once: none is looked up by itself")

        life.look_up = refuse  # type: ignore[method-assign, assignment]
        begun = await start(life)
        for name in "abc":
            await end(life, name)
        assert list(life.core.state.jobs) == ["c"]
        news = await news_of(life, begun, 0.0)
        assert said(news) == [(name, "cancelled") for name in "abc"]
        assert (await news_of(life, news.upto, 0.0)).changes == ()

    live(tmp_path, work)


def test_of_what_was_deleted_only_that_is_told(tmp_path: Path) -> None:
    async def work(life: Life) -> None:
        begun = await start(life)
        for name in "ab":
            await end(life, name)
        for name in "ab":
            workflow, jobs = WorkflowId(f"w-{name}"), (JobId(name),)
            await life.post(WorkflowDeleted(life.now(), ANN, workflow, name, jobs))
        news = await news_of(life, begun, 0.0)
        assert said(news) == [("deleted", "w-a"), ("deleted", "w-b")]

    live(tmp_path, work)


def test_what_changes_in_the_archive_is_told_as_it_is_there(tmp_path: Path) -> None:
    async def work(life: Life) -> None:
        for name in "ab":
            await end(life, name)
        begun = await start(life)
        await life.post(ResultsDeleted(life.now(), ANN, JobId("a"), retired=True))
        (change,) = (await news_of(life, begun, 0.0)).changes
        assert change.job is not None
        assert (change.job.job, change.job.results_deleted_at is None) == ("a", False)

    live(tmp_path, work)


def test_who_waits_is_told_at_once_and_who_asks_of_another_life_has_missed_something(
    tmp_path: Path,
) -> None:
    async def work(life: Life) -> None:
        begun = await start(life)
        waiting = asyncio.create_task(news_of(life, begun, 60.0))
        await submit(life, "a")
        assert said(await waiting) == [("a", "waiting")]
        other = await news_of(life, Mark(begun.epoch + 1, begun.serial), 60.0)
        assert (other.missed, other.upto) == (True, Mark(begun.epoch, life.changes.serial))

    live(tmp_path, work)


def test_what_is_told_at_once_is_bounded_and_the_rest_comes_with_the_next_question(
    tmp_path: Path,
) -> None:
    async def work(life: Life) -> None:
        begun = await start(life)
        names = [f"j{number}" for number in range(1100)]
        jobs = tuple(job(name) for name in names)
        await life.post(WorkflowSubmitted(life.now(), ANN, "k", WorkflowId("w"), "n", jobs))
        mark, told = begun, []
        for expected in (500, 500, 100):
            news = await news_of(life, mark, 0.0)
            assert len(news.changes) == expected
            told += [name for name, _ in said(news)]
            mark = news.upto
        assert told == names

    live(tmp_path, work)
