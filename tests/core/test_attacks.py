"""What a hostile user, or an unlucky operator, could once do to others: none of it works."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest

from raysched.core.commands import RunUnit
from raysched.core.events import ChunkFinished, Event, JobRetryRequested, RunFailed, RunLost
from raysched.core.invariants import check
from raysched.core.limits import Limits
from raysched.core.model import MAIN, Failure, JobId, JobState, Reason, RunId, Stage, UserId
from raysched.errors import Conflict
from raysched.testing import FakeCluster, job

BROKEN = Failure("boom", "it broke", "fix it")


def test_many_branches_of_tiny_jobs_leave_no_lane_idle_while_a_giant_has_chunks() -> None:
    c = FakeCluster(
        Limits(max_jobs_per_user=1000),
        lanes=8,
        chunks=lambda name: (5,) * 2000 if name == "giant" else (1,),
        after_event=check,
    )
    c.submit("ann", job("giant"))
    c.submit("eve", *(job(f"tiny-{n}", f"branch-{n % 5}") for n in range(100)))
    c.run(20)
    idle = []
    while any(not c.view(f"tiny-{n}").state.is_final for n in range(95, 100)):
        c.tick()
        idle.append(len(c.core.state.pools[MAIN].idle))
    assert max(idle) == 0


def test_a_job_that_runs_alone_under_the_cap_still_makes_room() -> None:
    c = FakeCluster(
        Limits(max_running_jobs=1),
        lanes=4,
        chunks=lambda name: (5,) * 500 if name == "giant" else (1,),
        after_event=check,
    )
    c.submit("ann", job("giant"))
    c.run(20)
    c.submit("bob", job("small"))
    asked = c.now
    c.run(30)
    view = c.view("small")
    assert view.state is JobState.SUCCEEDED
    assert view.started_at is not None
    assert view.started_at - asked <= 5


@pytest.mark.parametrize("every_s", [30, 130, 230])
def test_restarts_do_not_move_shares_to_whoever_has_the_smaller_chunks(every_s: float) -> None:
    spent = {"ann": 0.0, "bob": 0.0}

    def answer(command: RunUnit, now: float) -> tuple[float, Event]:
        started[command.run] = (str(c.core.state.jobs[command.unit.job].user), now)
        return c.succeed(command, now)

    started: dict[RunId, tuple[str, float]] = {}
    sizes = {"large": (100,) * 200, "small": (10,) * 2000}
    c = FakeCluster(Limits(), lanes=1, chunks=lambda name: sizes[name], after_event=check)
    c.answer = answer
    c.submit("ann", job("large"))
    c.submit("bob", job("small"))
    for _ in range(int(6000 / every_s)):
        c.run(every_s)
        c.restart()
    moments = [*started.values(), ("", c.now)]
    for (user, begun), (_, ended) in pairwise(moments):
        spent[user] += ended - begun
    share = spent["ann"] / sum(spent.values())
    assert share == pytest.approx(0.5, abs=0.06)


def test_a_scheduler_that_was_away_charges_no_more_than_the_estimate() -> None:
    c = FakeCluster(Limits(first_tile_estimate_s=1.0), lanes=1, chunks=lambda _: (10,) * 3)
    c.submit("ann", job("a"))
    c.run(1.5)
    (run,) = c.core.runs().values()
    charged = c.core.state.pools[MAIN].turns.tags[UserId("ann")]
    c.now += 86_400.0
    c.restart()
    (again,) = c.core.runs().values()
    assert again.est_s == run.est_s
    assert c.core.state.pools[MAIN].turns.tags[UserId("ann")] == charged + again.est_s


@pytest.mark.parametrize("seconds", [math.inf, -math.inf, math.nan, -5.0])
def test_seconds_that_are_no_number_do_not_stop_the_scheduler(seconds: float) -> None:
    def answer(command: RunUnit, now: float) -> tuple[float, Event]:
        if command.unit.stage is Stage.SEGMENT:
            return 1.0, ChunkFinished(now + 1, command.run, seconds, 1, 0, "sum")
        return c.succeed(command, now)

    c = FakeCluster(Limits(), lanes=2, after_event=check)
    c.answer = answer
    c.submit("ann", job("a"))
    c.submit("bob", job("b"))
    c.run(100)
    assert [c.view(name).state for name in "ab"] == [JobState.SUCCEEDED] * 2
    assert all(math.isfinite(tag) for tag in c.core.state.pools[MAIN].turns.tags.values())
    assert math.isfinite(c.core.state.jobs[JobId("a")].progress.seconds)  # type: ignore[union-attr]


def test_the_wait_for_a_slot_that_is_shown_is_not_passed_by_the_chunks_of_others() -> None:
    c = FakeCluster(
        Limits(max_active_users=1, slot_tenure_s=600, first_tile_estimate_s=1.0),
        lanes=1,
        chunks=lambda _: (500,) * 40,
        after_event=check,
    )
    for user in ("ann", "bob", "cyd"):
        c.submit(user, job(f"of {user}"))
    c.run(510)  # the first chunk has told how long one takes
    told = {}
    for user in ("bob", "cyd"):
        explanation = c.view(f"of {user}").explanation
        assert explanation.reason is Reason.WAITING_FOR_SLOT
        assert explanation.eta_s is not None
        told[user] = c.now + explanation.eta_s
    c.run(4000)
    for user, latest in told.items():
        started = c.view(f"of {user}").started_at
        assert started is not None
        assert started <= latest + 1.0


def test_a_late_repeat_of_an_old_retry_is_no_new_retry() -> None:
    c = FakeCluster(Limits(max_retries=0), lanes=1, after_event=check)

    def answer(command: RunUnit, now: float) -> tuple[float, Event]:
        return 1.0, RunFailed(now + 1, command.run, 1.0, BROKEN, False)

    c.answer = answer
    c.submit("ann", job("a"))
    c.run()
    retries = [JobRetryRequested(c.now, UserId("ann"), JobId("a"), key) for key in "xyz"]
    for retry in retries[:2]:
        c.tell(retry)
        c.run()
    attempts = c.core.state.jobs[JobId("a")].attempt
    assert attempts == 3
    assert c.tell(retries[0]) == []
    assert c.tell(retries[1]) == []
    assert c.core.state.jobs[JobId("a")].attempt == attempts
    c.tell(retries[2])
    assert c.core.state.jobs[JobId("a")].attempt == attempts + 1


def test_retrying_what_is_under_way_does_not_advise_to_do_the_work_twice() -> None:
    c = FakeCluster(Limits(), lanes=1)
    c.submit("ann", job("a"))
    with pytest.raises(Conflict) as caught:
        c.retry("a")
    assert "Submit it again" not in caught.value.remedy
    c.run()
    with pytest.raises(Conflict) as caught:
        c.retry("a")
    assert caught.value.remedy == "Submit it again to run it once more."


def test_time_in_a_chunk_and_the_failure_of_an_earlier_attempt_are_kept_as_they_are() -> None:
    c = FakeCluster(Limits(), lanes=1, chunks=lambda _: (3, 4), after_event=check)
    fails = iter([True])

    def answer(command: RunUnit, now: float) -> tuple[float, Event]:
        if command.unit.stage is Stage.SEGMENT and next(fails, False):
            return 1.0, RunFailed(now + 1, command.run, 1.0, BROKEN, True)
        return c.succeed(command, now)

    c.answer = answer
    c.submit("ann", job("a"))
    c.run(2.5)
    assert c.view("a").failure == BROKEN
    c.run()
    done = c.core.state.jobs[JobId("a")]
    assert done.progress is not None
    assert (done.state, done.failure, done.progress.seconds) == (JobState.SUCCEEDED, None, 7.0)


def test_who_waits_at_the_cap_is_told_a_place_and_when_the_job_that_makes_room_is_done() -> None:
    c = FakeCluster(
        Limits(max_running_jobs=1, first_tile_estimate_s=1.0), lanes=1, chunks=lambda _: (10,) * 4
    )
    c.submit("ann", job("a"))
    c.run(2)
    c.submit("bob", job("b", "x"), job("b2", "y"))
    first, second = c.view("b").explanation, c.view("b2").explanation
    assert first.reason is second.reason is Reason.WAITING_FOR_RUNNING_CAP
    assert (first.position, second.position) == (1, 2)
    c.tick()
    (run,) = c.core.runs().values()
    assert run.unit.job == "b"


def test_a_lost_run_is_still_charged_for_its_time() -> None:
    c = FakeCluster(Limits(first_tile_estimate_s=10.0, max_losses_per_unit=50), lanes=1)

    def answer(command: RunUnit, now: float) -> tuple[float, Event]:
        return 4.0, RunLost(now + 4, command.run, "killed")

    c.answer = answer
    c.submit("ann", job("a"))
    c.run(3)
    assert c.core.state.pools[MAIN].turns.tags[UserId("ann")] == 10.0
    c.run(2)
    assert c.core.state.pools[MAIN].turns.tags[UserId("ann")] == 4.0 + 10.0
