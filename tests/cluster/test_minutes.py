"""What happened in each of the last minutes, as it is counted while events become durable."""

from __future__ import annotations

from raysched.cluster.minutes import (
    KEPT,
    REPLICAS_MOST,
    Minutes,
    MinuteView,
    RequestsSeen,
    Sample,
    waits_of,
)
from raysched.core.commands import Command
from raysched.core.events import Event
from raysched.core.limits import Limits
from raysched.core.scheduler import Scheduler
from raysched.core.state import State
from raysched.testing import FakeCluster, job

HOUR_S = 3600.0


def counted(c: FakeCluster) -> Minutes:
    """Told of everything that happens from now on, as a life tells it."""
    minutes = Minutes(c.core.state, c.now)

    def record(core: Scheduler, event: Event, commands: list[Command]) -> None:
        minutes.tick(core.state, event.at)
        minutes.note([event], waits_of(commands, core.state), core.state)
        minutes.count_depth(core.state)

    c.record = record
    minutes.tick(c.core.state, c.now)
    return minutes


def shown(minutes: Minutes) -> dict[float, MinuteView]:
    return {each.at: each for each in minutes.view().minutes}


def test_jobs_chunks_and_cells_count_in_the_minute_in_which_they_became_known() -> None:
    c = FakeCluster(lanes=1, chunks=lambda _: (10, 20, 90))
    minutes = counted(c)
    c.submit("ann", job("a"), job("b"))
    c.run(185)
    minutes.tick(c.core.state, c.now)
    first, second, third, fourth = shown(minutes).values()
    assert [each.at for each in (first, second, third, fourth)] == [0, 60, 120, 180]
    assert (first.jobs_submitted, first.jobs_started, first.jobs_ended) == (2, 1, 0)
    assert (first.wait_median_s, first.wait_p90_s) == (0.0, 0.0)
    assert (first.chunks, first.tiles, first.cells) == (2, 30, 20)
    assert (first.chunk_median_s, first.chunk_p90_s) == (10.0, 20.0)
    assert (second.chunks, second.chunk_median_s) == (0, None)
    assert (third.chunks, third.jobs_ended, third.jobs_started) == (3, 1, 1)
    assert third.wait_median_s == 123.0
    assert sum(each.jobs_started for each in shown(minutes).values()) == 2


def test_a_minute_that_is_over_is_worked_out_once_for_each_word_of_it() -> None:
    c = FakeCluster(lanes=1)
    minutes = counted(c)
    c.run(130)
    minutes.tick(c.core.state, c.now)
    minutes.answered(RequestsSeen("a", 0, 10, (1.0,)))
    first, second = minutes.view().minutes[:2]
    again = minutes.view().minutes
    assert again[0] is first and again[1] is second
    minutes.answered(RequestsSeen("a", 0, 20, (1.0,)))
    told = minutes.view().minutes
    assert (told[0].requests, told[1] is second) == (20, True)
    minutes.answered(RequestsSeen("a", 2, 7, (1.0,)))
    assert minutes.view().minutes[2].requests == 7


def test_a_job_that_is_tried_again_starts_once() -> None:
    c = FakeCluster(lanes=1, chunks=lambda _: (30,))
    minutes = counted(c)
    c.submit("ann", job("a"))
    c.now = 0.5
    c.lose_lane("lane-0")  # its plan is lost with it
    c.restart()
    c.run(20)
    assert sum(each.jobs_started for each in shown(minutes).values()) == 1


def test_lanes_are_busy_for_the_share_of_time_that_work_was_in_them() -> None:
    c = FakeCluster(lanes=2, chunks=lambda _: (88,))
    minutes = counted(c)
    c.now = 30.0
    c.submit("ann", job("a"))  # 1 s to plan, 88 s of a chunk, 1 s each to assemble and publish
    c.run()
    minutes.tick(c.core.state, 180.0)
    busy = [each.lanes_busy for each in shown(minutes).values()]
    assert busy == [0.25, 0.5, 1 / 120, 0.0]


def test_the_queue_of_a_minute_is_as_deep_as_at_its_end() -> None:
    c = FakeCluster(lanes=1, chunks=lambda _: (100,))
    minutes = counted(c)
    c.submit("ann", *(job(f"a{n}") for n in range(3)))
    c.run(70)
    minutes.tick(c.core.state, c.now)
    depths = [each.queue_depth for each in shown(minutes).values()]
    assert depths == [2, 2]


def test_an_hour_is_kept_and_what_was_before_this_life_is_not_counted() -> None:
    c = FakeCluster(lanes=1)
    c.submit("ann", job("a"))
    c.run()
    c.now = 100.0
    minutes = counted(c)
    c.submit("ann", job("b"))
    c.run()
    assert (minutes.view().since, shown(minutes)[60].jobs_ended) == (100.0, 1)
    minutes.tick(c.core.state, 100 + HOUR_S)
    kept = list(shown(minutes))
    assert (len(kept), kept[0], kept[-1]) == (KEPT, 120, 3660)
    minutes.tick(c.core.state, 100 + 10 * HOUR_S)
    assert list(shown(minutes)) == [36060]


def test_requests_of_all_replicas_count_each_by_how_many_it_answered() -> None:
    minutes = Minutes(State(limits=Limits()), 0.0)
    minutes.answered(RequestsSeen("one", 0, 10, (1.0,)))
    minutes.answered(RequestsSeen("one", 0, 99, (1.0, 1.0)))
    minutes.answered(RequestsSeen("two", 0, 1, (500.0,)))
    minutes.answered(RequestsSeen("two", 7, 1, (500.0,)))  # of a minute that nobody knows
    (view,) = minutes.view().minutes
    assert (view.requests, view.request_median_ms, view.request_p95_ms) == (100, 1.0, 1.0)
    minutes.answered(RequestsSeen("two", 0, 20, (500.0,)))
    (view,) = minutes.view().minutes
    assert (view.request_median_ms, view.request_p95_ms) == (1.0, 500.0)


def test_replicas_of_one_minute_are_bounded_and_those_that_are_known_go_on() -> None:
    minutes = Minutes(State(limits=Limits()), 0.0)
    for number in range(REPLICAS_MOST + 5):
        minutes.answered(RequestsSeen(f"replica {number}", 0, 1, ()))
    minutes.answered(RequestsSeen("replica 0", 0, 100, ()))
    assert minutes.view().minutes[0].requests == REPLICAS_MOST - 1 + 100


def test_a_sample_is_even_and_no_larger_than_its_bound() -> None:
    sample = Sample(8)
    for value in range(1000):
        sample.add(value)
        assert len(sample.values) <= 8
    assert sample.count == 1000
    assert list(sample.values) == [0, 128, 256, 384, 512, 640, 768, 896]
