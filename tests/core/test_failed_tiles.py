"""Tiles that could not be read: how many may fail, and what of a job is done again for them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from world import BROKEN, cluster

from raysched.core.commands import RunUnit, StopRun
from raysched.core.events import ChunkFinished, ChunksMissed, Event, RunFailed, SlidePlanned
from raysched.core.model import Failure, JobId, JobState, Reason, Stage
from raysched.core.views import Explanation
from raysched.testing import FakeCluster, job


@dataclass
class Slide:
    """A slide of five chunks of two tiles; ``bad``: of which chunks how many tiles cannot be read.
    ``works``: from which attempt on they can."""

    cluster: FakeCluster
    may_fail: int | None
    bad: Mapping[int, int]
    works: int = 99
    asked: list[tuple[int, int]] = field(default_factory=list)

    def __call__(self, command: RunUnit, now: float) -> tuple[float, Event]:
        seconds, event = self.cluster.succeed(command, now)
        if isinstance(event, SlidePlanned):
            event = replace(event, plan=replace(event.plan, may_fail=self.may_fail))
        if isinstance(event, ChunkFinished):
            self.asked.append((command.unit.attempt, command.unit.chunk))
            is_bad = command.unit.attempt < self.works
            failed = self.bad.get(command.unit.chunk, 0) if is_bad else 0
            event = replace(event, tiles_failed=failed)
        return seconds, event


def slide_of(
    may_fail: int | None, bad: Mapping[int, int], works: int = 99, lanes: int = 1, **limits: float
) -> tuple[FakeCluster, Slide]:
    c = cluster(lanes, **limits)
    c.chunks = lambda _: (2, 2, 2, 2, 2)
    slide = Slide(c, may_fail, bad, works)
    c.answer = slide
    c.submit("ann", job("a"))
    return c, slide


def test_a_job_with_no_more_failed_tiles_than_may_be_succeeds_and_says_how_many() -> None:
    c, slide = slide_of(2, {1: 1, 3: 1})
    c.run()
    view = c.view("a")
    assert (view.state, view.tiles_failed, view.tiles_done) == (JobState.SUCCEEDED, 2, 10)
    assert view.explanation == Explanation(Reason.DONE, "succeeded with 2 failed tiles: 50 cells")
    assert slide.asked == [(1, chunk) for chunk in range(5)]


def test_one_failed_tile_is_said_in_the_singular() -> None:
    c, _ = slide_of(1, {1: 1})
    c.run()
    assert c.view("a").explanation.sentence == "succeeded with 1 failed tile: 50 cells"


def test_an_attempt_fails_as_soon_as_more_tiles_have_failed_than_may() -> None:
    c, slide = slide_of(1, {0: 1, 2: 1}, max_retries=0)
    c.run()
    assert slide.asked == [(1, 0), (1, 1), (1, 2)]
    view = c.view("a")
    assert (view.state, view.chunks_done, view.tiles_failed) == (JobState.FAILED, 3, 2)
    assert view.failure == Failure(
        "too_many_failed_tiles",
        "2 of 10 tiles could not be read, and at most 1 may fail.",
        "See why with `raysched logs`, check the slide's file and its storage, then `raysched "
        "retry` the job: only failed and unfinished tiles are computed. Or submit it with a higher "
        "max_failed_share.",
    )


def test_the_chunks_in_flight_are_told_to_stop_and_no_other_begins() -> None:
    c, _ = slide_of(0, {0: 2}, lanes=3, max_retries=0)
    c.tick()
    first, second, third = c.core.runs()
    assert c.tell(ChunkFinished(c.now, first, 1.0, 10, 2, "sum")) == [
        StopRun(second, JobId("a")),
        StopRun(third, JobId("a")),
    ]


def test_a_new_attempt_does_only_the_chunks_with_failed_tiles_and_those_that_are_left() -> None:
    c, slide = slide_of(1, {0: 1, 2: 2}, works=2)
    c.run()
    assert slide.asked == [(1, 0), (1, 1), (1, 2), (2, 0), (2, 2), (2, 3), (2, 4)]
    view = c.view("a")
    assert (view.state, view.tiles_failed, view.tiles_done) == (JobState.SUCCEEDED, 0, 10)
    assert (view.chunks_done, view.cells) == (5, 50)


def test_the_retry_of_a_person_does_only_the_chunks_with_failed_tiles_again() -> None:
    c, slide = slide_of(0, {4: 1}, works=2, max_retries=0)
    c.run()
    assert c.view("a").state is JobState.FAILED
    slide.asked.clear()
    c.retry("a")
    c.run()
    assert (slide.asked, c.view("a").state) == ([(2, 4)], JobState.SUCCEEDED)


def test_while_it_waits_for_its_retry_a_job_says_what_has_failed() -> None:
    c, _ = slide_of(0, {0: 1})
    c.run(seconds=3.0)
    view = c.view("a")
    assert (view.state, view.tiles_failed) == (JobState.RETRY_WAITING, 1)
    assert view.explanation.sentence == (
        "attempt 2 of 3 begins in 2 s; the last one failed: 1 of 10 tiles could not be read, and "
        "at most 0 may fail."
    )


def test_a_restart_in_the_middle_forgets_no_failed_tile() -> None:
    c, slide = slide_of(1, {0: 1, 3: 1}, max_retries=0)
    c.run(seconds=4.0)
    c.restart()
    c.run()
    assert (c.view("a").state, c.view("a").tiles_failed) == (JobState.FAILED, 2)
    assert [chunk for _, chunk in slide.asked if chunk == 0] == [0]


def test_a_chunk_that_storage_lost_counts_as_it_was_done_the_second_time() -> None:
    c, slide = slide_of(1, {0: 1})
    ends = {}

    def answer(command: RunUnit, now: float) -> tuple[float, Event]:
        seconds, event = slide(command, now)
        if command.unit.stage is Stage.ASSEMBLE:
            number = ends.setdefault("assembled", 0) + 1
            ends["assembled"] = number
            if number == 1:
                slide.works = 1  # from now on the tile can be read
                return 1.0, ChunksMissed(now + 1, command.run, 1.0, (0,), 40, 0)
            if number == 2:
                return 1.0, RunFailed(now + 1, command.run, 1.0, BROKEN, True)
        return seconds, event

    c.answer = answer
    c.run()
    assert slide.asked == [*((1, chunk) for chunk in range(5)), (1, 0)]
    view = c.view("a")
    assert (view.state, view.attempt, view.tiles_failed) == (JobState.SUCCEEDED, 2, 0)


def test_a_plan_of_an_older_version_sets_no_limit() -> None:
    c, _ = slide_of(None, dict.fromkeys(range(5), 2))
    c.run()
    assert (c.view("a").state, c.view("a").tiles_failed) == (JobState.SUCCEEDED, 10)


def test_nothing_of_a_plan_of_an_older_version_goes_again_when_it_is_planned_anew() -> None:
    c, slide = slide_of(None, {0: 1})

    def answer(command: RunUnit, now: float) -> tuple[float, Event]:
        if (command.unit.attempt, command.unit.chunk) == (1, 3):
            return 1.0, RunFailed(now + 1, command.run, 1.0, BROKEN, True)
        return slide(command, now)

    c.answer = answer
    c.run()
    assert slide.asked == [(1, 0), (1, 1), (1, 2), (2, 3), (2, 4)]
