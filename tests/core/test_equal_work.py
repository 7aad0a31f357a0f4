"""Equal work of one user is done once: what a job finds done it does not do again."""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from dataclasses import replace

import pytest
from world import cluster, order_of_starts, states

from raysched.core.commands import RunUnit
from raysched.core.events import ChunksMissed, Event, RunFailed, RunLost, SlidePlanned
from raysched.core.model import Failure, JobId, JobState, Reason, RunId, Stage, UserId
from raysched.core.scheduler import Scheduler
from raysched.core.views import Explanation
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
    assert command[2:] == (command.unit, "cells", "ann", "{}", None, False)


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


# --- equal work waits for the one who is at it ----------------------------------------------------


def at_it(*names: str, lanes: int = 2, **limits: float) -> FakeCluster:
    """Jobs of one user, each in a branch of its own, compute the same; the first is at work, and
    each of the others has been planned after it."""
    c = sharing(dict.fromkeys(names, "slide"), lanes, **limits)
    c.submit("ann", *(job(name, f"of {name}") for name in names))
    until(c, names[0], JobState.SEGMENTING)
    while any(c.view(name).awaits is None for name in names[1:]):
        assert c.tick()
    return c


def told(c: FakeCluster, *names: str) -> list[tuple[str, str | None]]:
    return [(c.view(name).state.value, c.view(name).awaits) for name in names]


def fail(c: FakeCluster, name: str, *, retryable: bool) -> None:
    """One run of the job fails; all others in flight go on."""
    run = next(each.run for each in c.core.runs().values() if each.unit.job == name)
    c.tell(RunFailed(c.now, run, 1.0, BOOM, retryable))


def test_equal_jobs_of_one_user_compute_once_and_the_later_takes_the_result() -> None:
    c = at_it("a", "b", lanes=4)
    assert told(c, "a", "b") == [("segmenting", None), ("waiting", "a")]
    c.run()
    assert states(c) == {"a": "succeeded", "b": "succeeded"}
    assert order_of_starts(c, Stage.SEGMENT) == ["a", "a", "a"]
    assert order_of_starts(c) == ["a", "b", "b"]
    assert c.view("b").reused
    assert c.view("b").attempt == 1


def test_who_waits_for_equal_work_is_told_for_which_and_how_long() -> None:
    c = at_it("a", "b")
    c.submit("ann", job("after b", "of b"))
    a = c.view("a")
    assert a.eta_s is not None
    assert c.view("b").explanation == Explanation(
        Reason.WAITING_FOR_EQUAL_WORK,
        "waiting for job a (segmenting), which computes the same: its results will be used",
        eta_s=a.eta_s,
    )
    assert c.view("after b").explanation == Explanation(
        Reason.WAITING_FOR_BRANCH,
        "waiting in branch of b: 2nd in line; first is job b: waiting for job a (segmenting), "
        "which computes the same: its results will be used",
        position=2,
    )


def test_who_waits_for_equal_work_holds_no_lane_and_no_place_under_the_cap() -> None:
    c = at_it("a", "b", lanes=2, max_running_jobs=2)
    c.submit("ann", job("c", "of c"))
    c.tick()
    running = {run.unit.job for run in c.core.runs().values()}
    assert (running, c.view("c").state) == ({"a", "c"}, JobState.PLANNING)


def test_another_users_equal_work_is_not_waited_for() -> None:
    c = sharing({"a": "slide", "b": "slide"}, lanes=2)
    c.submit("ann", job("a"))
    c.submit("bob", job("b"))
    until(c, "b", JobState.SEGMENTING)
    assert told(c, "a", "b") == [("segmenting", None), ("segmenting", None)]


def test_work_without_a_name_equals_no_other() -> None:
    c = sharing({}, lanes=2)
    c.submit("ann", job("a", "x"), job("b", "y"))
    until(c, "b", JobState.SEGMENTING)
    assert told(c, "a", "b") == [("segmenting", None), ("segmenting", None)]


def test_jobs_that_compute_something_else_are_not_waited_for() -> None:
    c = sharing({"a": "slide", "b": "other slide"}, lanes=2)
    c.submit("ann", job("a", "x"), job("b", "y"))
    until(c, "b", JobState.SEGMENTING)
    assert told(c, "a", "b") == [("segmenting", None), ("segmenting", None)]


@pytest.mark.parametrize("state", [JobState.SEGMENTING, JobState.ASSEMBLING, JobState.PUBLISHING])
def test_equal_work_is_waited_for_until_its_result_is_there(state: JobState) -> None:
    c = at_it("a", "b")
    until(c, "a", state)
    c.submit("ann", job("c", "of c"))
    c.work = lambda _: "slide"
    assert told(c, "b") == [("waiting", "a")]
    until(c, "a", JobState.SUCCEEDED)
    assert told(c, "b") == [("planning", None)]


def test_when_the_one_at_work_fails_for_good_the_first_that_waits_goes_to_work() -> None:
    c = at_it("a", "b", "c", lanes=3)
    fail(c, "a", retryable=False)
    c.run()
    assert states(c) == {"a": "failed", "b": "succeeded", "c": "succeeded"}
    assert c.view("c").reused
    assert order_of_starts(c, Stage.SEGMENT).count("b") == 3
    assert order_of_starts(c, Stage.SEGMENT).count("c") == 0


def test_several_that_are_planned_at_once_do_not_go_to_work_together() -> None:
    c = at_it("a", "b", "c", lanes=3)
    fail(c, "a", retryable=False)
    until(c, "b", JobState.SEGMENTING)
    while c.view("c").awaits is None:
        assert c.tick()
    assert told(c, "b", "c") == [("segmenting", None), ("waiting", "b")]


def test_nobody_sits_out_the_back_off_of_the_one_at_work_which_then_waits_itself() -> None:
    c = at_it("a", "b", lanes=2)
    fail(c, "a", retryable=True)
    until(c, "b", JobState.SEGMENTING)
    assert told(c, "a") == [("retry_waiting", None)]
    while c.view("a").awaits is None:
        assert c.tick()
    assert told(c, "a", "b") == [("waiting", "b"), ("segmenting", None)]
    c.run()
    assert states(c) == {"a": "succeeded", "b": "succeeded"}
    assert c.view("a").reused


def test_a_failed_attempt_is_waited_for_until_its_last_run_has_ended() -> None:
    c = at_it("a", "b", lanes=2)
    assert len(c.core.runs()) == 2
    fail(c, "a", retryable=False)
    assert told(c, "a", "b") == [("segmenting", None), ("waiting", "a")]
    c.tick()
    assert told(c, "a", "b") == [("failed", None), ("planning", None)]


def test_a_cancel_of_the_one_at_work_lets_those_that_wait_go_at_once() -> None:
    c = at_it("a", "b", lanes=4)
    c.cancel("a")
    assert told(c, "a", "b") == [("cancelling", None), ("planning", None)]
    c.run()
    assert states(c) == {"a": "cancelled", "b": "succeeded"}
    assert order_of_starts(c, Stage.SEGMENT).count("b") == 3


def test_who_waits_for_equal_work_can_be_cancelled() -> None:
    c = at_it("a", "b", "c", lanes=3)
    assert c.cancel("b") == []
    assert told(c, "b", "c") == [("cancelled", None), ("waiting", "a")]
    c.run()
    assert states(c) == {"a": "succeeded", "b": "cancelled", "c": "succeeded"}


def test_a_restart_keeps_who_waits_for_whom() -> None:
    c = at_it("a", "b", lanes=2)
    c.restart()
    assert told(c, "a", "b") == [("segmenting", None), ("waiting", "a")]
    c.run()
    assert states(c) == {"a": "succeeded", "b": "succeeded"}


def test_replaying_every_prefix_gives_the_live_state_also_while_jobs_wait() -> None:
    c = at_it("a", "b", "c", lanes=3)
    begun, live = len(c.history), []
    c.after_event = lambda core: live.append(deepcopy(core.state))
    fail(c, "a", retryable=True)
    c.run(1.5)
    c.restart()
    assert told(c, "b", "c") == [("segmenting", None), ("waiting", "b")]
    c.cancel("b")
    c.run()
    assert states(c) == {"a": "succeeded", "b": "cancelled", "c": "succeeded"}
    again = Scheduler(c.limits)
    for place, (event, decision) in enumerate(zip(c.history, c.decisions, strict=True)):
        again.handle(event, decision)
        assert place < begun or again.state == live[place - begun]


def test_a_parked_job_is_waited_for() -> None:
    c = at_it("a", "b", lanes=1, max_active_users=1, slot_tenure_s=1.5)
    c.submit("bob", job("d"))
    until(c, "d", JobState.SEGMENTING)
    assert told(c, "a", "b") == [("segmenting", None), ("waiting", "a")]
    c.run()
    assert states(c) == {"a": "succeeded", "b": "succeeded", "d": "succeeded"}
    assert order_of_starts(c, Stage.SEGMENT).count("b") == 0


def from_an_older_result(*names: str) -> FakeCluster:
    """Jobs of one user assemble an equal result that is in the store, though no job in the journal
    has made it; then the store loses it."""
    c = sharing(dict.fromkeys(names, "slide"), lanes=len(names))
    c.published.add((UserId("ann"), "slide"))
    c.submit("ann", *(job(name, f"of {name}") for name in names))
    while any(c.view(name).state is not JobState.ASSEMBLING for name in names):
        assert c.tick()
    c.published.clear()
    return c


def test_a_result_that_has_lost_chunks_waits_for_the_equal_job_at_work() -> None:
    """Both go on from one result; what it has lost one of them does again, for both."""
    c = from_an_older_result("b", "c")
    b, c_run = list(c.core.runs())
    c.tell(ChunksMissed(c.now, b, 0.5, (0, 1), 10, 0))
    assert told(c, "b", "c") == [("waiting", "c"), ("assembling", None)]
    c.tell(ChunksMissed(c.now, c_run, 0.5, (0, 1), 10, 0))
    assert told(c, "b", "c") == [("waiting", "c"), ("segmenting", None)]
    c.run()
    assert order_of_starts(c, Stage.SEGMENT) == ["c", "c"]
    assert c.view("b").state is JobState.SUCCEEDED


# --- work that is done is waited for by nobody ----------------------------------------------------


def sweep(*names: str, lanes: int, user: str = "ann", **limits: float) -> FakeCluster:
    """Jobs of one user that measure the same cells in different ways: their work is equal, their
    results are not, so none is planned as ``reused``."""
    c = sharing({}, lanes, **limits)
    c.work = lambda name: name.split("-")[0]

    def answer(command: RunUnit, now: float) -> tuple[float, Event]:
        after_s, event = c.succeed(command, now)
        if isinstance(event, SlidePlanned):
            event = replace(event, plan=replace(event.plan, reused=False))
        return after_s, event

    c.answer = answer
    c.submit(user, *(job(name, f"of {name}") for name in names))
    return c


def segmenting(c: FakeCluster) -> list[str]:
    return [str(v.job) for v in c.core.jobs_of(None, c.now) if v.state is JobState.SEGMENTING]


def test_of_many_jobs_of_one_work_one_goes_first_and_then_all_others_side_by_side() -> None:
    names = [f"slide-{number}" for number in range(50)]
    c = sweep(*names, lanes=60, max_running_jobs=60)
    while c.view(names[0]).state is not JobState.SUCCEEDED:
        assert segmenting(c) in ([], names[:1])
        assert c.tick()
    most = 0
    while c.tick():
        most = max(most, len(segmenting(c)))
    assert set(states(c).values()) == {"succeeded"}
    assert len(order_of_starts(c)) <= 100
    assert most == 49


def test_who_comes_when_the_work_is_done_waits_for_nobody_also_after_a_restart() -> None:
    c = sweep("slide-a", lanes=4)
    c.run()
    c.restart()
    c.submit("ann", job("slide-b", "x"), job("slide-c", "y"))
    until(c, "slide-c", JobState.SEGMENTING)
    assert segmenting(c) == ["slide-b", "slide-c"]
    assert order_of_starts(c) == ["slide-a", "slide-b", "slide-c"]


def test_work_that_another_user_has_done_is_still_done_by_one_at_a_time() -> None:
    c = sweep("slide-a", lanes=4)
    c.run()
    c.submit("bob", job("slide-b", "x"), job("slide-c", "y"))
    while c.view("slide-c").awaits is None:
        assert c.tick()
    assert segmenting(c) == ["slide-b"]


def test_a_job_that_succeeds_by_reuse_says_that_its_work_is_done() -> None:
    """Also to those that wait for another than this one."""
    c = from_an_older_result("slide-a", "slide-b", "slide-c")
    a, b, _ = list(c.core.runs())
    c.tell(ChunksMissed(c.now, a, 0.5, (0, 1), 10, 0))
    assert told(c, "slide-a") == [("waiting", "slide-b")]
    c.answer = lambda command, now: (
        (50.0, ChunksMissed(now + 50, command.run, 50.0, (0,), 20, 0))
        if command.unit.job == "slide-b" and command.unit.stage is Stage.ASSEMBLE
        else c.succeed(command, now)
    )
    c.tell(RunLost(c.now, b, "killed"))
    until(c, "slide-c", JobState.SUCCEEDED)
    assert told(c, "slide-a", "slide-b") == [("planning", None), ("assembling", None)]


def test_done_work_that_the_store_has_lost_is_done_by_all_at_once() -> None:
    c = sweep("slide-a", lanes=2)
    c.run()
    c.submit("ann", job("slide-b", "x"), job("slide-c", "y"))
    until(c, "slide-c", JobState.ASSEMBLING)
    for run in list(c.core.runs()):
        c.tell(ChunksMissed(c.now, run, 0.5, (0, 1), 10, 0))
    assert segmenting(c) == ["slide-b", "slide-c"]


def test_a_job_that_names_no_work_says_of_none_that_it_is_done() -> None:
    c = cluster(lanes=1)
    c.submit("ann", job("a"))
    c.run()
    assert list(c.core.state.users[UserId("ann")].done_work) == []


def known(c: FakeCluster) -> list[str]:
    return list(c.core.state.users[UserId("ann")].done_work)


def test_the_work_that_was_done_last_is_known_and_older_work_is_forgotten() -> None:
    c = sweep("v-1", lanes=1, max_done_work_per_user=2)
    c.run()
    for names, expected in (("w-1", ["v", "w"]), ("v-2", ["w", "v"]), ("x-1", ["v", "x"])):
        c.submit("ann", job(names))
        c.run()
        assert known(c) == expected


def test_work_that_jobs_are_at_is_not_forgotten() -> None:
    """Else several would be at what nobody is known to have done (I15)."""
    c = sweep("slide-a", lanes=8, max_done_work_per_user=1, max_running_jobs=4)
    c.run()
    c.chunks = lambda name: (30, 30, 30) if name.startswith("slide") else (1,)
    c.submit("ann", job("slide-b", "x"), job("slide-c", "y"))
    until(c, "slide-c", JobState.SEGMENTING)
    c.submit("ann", job("other-a", "z"))
    until(c, "other-a", JobState.SUCCEEDED)
    assert segmenting(c) == ["slide-b", "slide-c"]
    assert known(c)[0] == "slide"


def test_where_no_work_is_remembered_each_waits_for_the_one_before() -> None:
    """As it was in journals of earlier versions, which are replayed with a limit of 0."""
    c = sweep("slide-a", "slide-b", "slide-c", lanes=3, max_done_work_per_user=0)
    c.run()
    assert order_of_starts(c) == [f"slide-{name}" for name in "abcbcc"]
    assert known(c) == []
