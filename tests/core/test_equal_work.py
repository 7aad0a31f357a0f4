"""Equal work of one user is done once: what a job finds done it does not do again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from world import cluster, order_of_starts, states

from raysched.core.events import ChunksMissed, RunFailed, SlidePlanned
from raysched.core.model import Failure, JobId, JobState, RunId, Stage
from raysched.testing import FakeCluster, job

BOOM = Failure("boom", "it broke", "fix it")


def sharing(works: Mapping[str, str], lanes: int = 2, **limits: float) -> FakeCluster:
    """A cluster in which jobs compute what ``works`` says."""
    c = cluster(lanes, **limits)
    c.work = lambda name: works.get(name, "")
    return c


def done_and_again() -> FakeCluster:
    """Job a has succeeded, its equal b is planned."""
    c = sharing({"a": "slide", "b": "slide"}, lanes=1)
    c.submit("ann", job("a"), job("b"))
    while c.view("b").state is not JobState.PLANNING:
        assert c.tick()
    return c


def in_flight(c: FakeCluster) -> RunId:
    return next(iter(c.core.runs()))


def until(c: FakeCluster, name: str, state: JobState) -> None:
    while c.view(name).state is not state:
        assert c.tick()


def test_a_job_whose_equal_has_succeeded_goes_straight_to_assemble_with_all_its_tiles_done() -> (
    None
):
    c = done_and_again()
    c.tick()
    view = c.view("b")
    assert (view.state, view.reused) == (JobState.ASSEMBLING, True)
    assert (view.chunks_done, view.chunks_total) == (3, 3)
    assert (view.tiles_done, view.tiles_total, view.cells) == (3, 3, 0)
    c.run()
    assert states(c) == {"a": "succeeded", "b": "succeeded"}
    assert (c.view("a").reused, c.view("b").reused) == (False, True)
    assert (c.view("a").cells, c.view("b").cells) == (30, 30)
    assert order_of_starts(c, Stage.SEGMENT) == ["a", "a", "a"]


def test_a_run_is_told_whose_it_is_and_of_which_kind() -> None:
    c = cluster(lanes=1)
    c.submit("ann", replace(job("a", kind="cells"), request="{}"))
    (command,) = c.started
    assert command[2:] == (command.unit, "cells", "ann", "{}", None)


def test_what_was_reused_and_is_gone_when_it_is_assembled_is_done_as_usual() -> None:
    c = done_and_again()
    c.tick()
    c.tell(ChunksMissed(c.now, in_flight(c), 0.5, (1,), 20, 0))
    view = c.view("b")
    assert (view.state, view.chunks_done, view.cells) == (JobState.SEGMENTING, 2, 20)
    c.run()
    assert order_of_starts(c, Stage.SEGMENT) == ["a", "a", "a", "b"]
    assert c.view("b").state is JobState.SUCCEEDED


def planned_again(c: FakeCluster, *, reused: bool) -> None:
    """Job b fails while it assembles, and its next attempt is planned."""
    c.tell(RunFailed(c.now, in_flight(c), 1.0, BOOM, True))
    until(c, "b", JobState.PLANNING)
    plan = c.core.state.jobs[JobId("b")].progress
    assert plan is not None
    again = replace(plan.plan, work="slide", reused=reused)
    c.tell(SlidePlanned(c.now, in_flight(c), 1.0, again))


def test_a_plan_that_no_longer_finds_the_equal_result_does_all_chunks() -> None:
    c = done_and_again()
    c.tick()
    planned_again(c, reused=False)
    view = c.view("b")
    assert (view.state, view.reused) == (JobState.SEGMENTING, False)
    assert (view.chunks_done, view.tiles_done) == (0, 0)


def test_an_attempt_that_finds_the_equal_result_does_only_what_is_left_of_nothing() -> None:
    c = cluster(lanes=1)
    c.submit("ann", job("b"))
    until(c, "b", JobState.SEGMENTING)
    c.tick()
    assert c.view("b").chunks_done == 1
    planned_again(c, reused=True)
    view = c.view("b")
    assert (view.state, view.chunks_done, view.tiles_done) == (JobState.ASSEMBLING, 3, 3)


def test_another_users_result_is_not_reused() -> None:
    c = sharing({"a": "slide", "b": "slide"}, lanes=1)
    c.submit("ann", job("a"))
    c.run()
    c.submit("bob", job("b"))
    c.run()
    assert order_of_starts(c, Stage.SEGMENT) == ["a", "a", "a", "b", "b", "b"]
    assert not c.view("b").reused


def test_the_pace_of_a_job_that_reuses_is_not_taken_for_its_own() -> None:
    c = done_and_again()
    c.tick()
    rate = c.core.state.rates["k"][Stage.SEGMENT]
    c.tell(ChunksMissed(c.now, in_flight(c), 0.5, (0, 1), 10, 0))
    c.tick()
    assert c.view("b").tiles_per_s == 1 / rate
