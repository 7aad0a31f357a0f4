"""Attempts: retries and back-off, lost runs and lanes, restarts, the question of the pixel size."""

from __future__ import annotations

import pytest
from world import BROKEN, Answer, cluster, failing, states

from raysched.core.commands import RunUnit, StopRun
from raysched.core.events import (
    ChunkFinished,
    ChunksMissed,
    Event,
    MppMissed,
    RunFailed,
    RunLost,
    RunStopped,
)
from raysched.core.model import (
    JobId,
    JobState,
    Reason,
    Stage,
)
from raysched.core.views import Explanation
from raysched.errors import IllegalMove, InvalidSetting
from raysched.testing import FakeCluster, job


def test_failed_attempts_wait_longer_and_longer_then_the_job_fails() -> None:
    c = cluster(retry_backoff_s=2.0, max_retries=2)
    failing(c, "bad", retryable=True)
    c.submit("ann", job("bad"))
    c.tick()
    assert c.view("bad").explanation == Explanation(
        Reason.WAITING_FOR_RETRY,
        "attempt 2 of 3 begins in 2 s; the last one failed: it broke",
        eta_s=2.0,
    )
    c.run()
    plans = [(command.unit.attempt, command.unit.stage.value) for command in c.started]
    assert plans == [(1, "plan"), (2, "plan"), (3, "plan")]
    assert (c.view("bad").state, c.view("bad").ended_at) == (JobState.FAILED, 1 + 2 + 1 + 4 + 1)
    assert c.view("bad").explanation.sentence == "failed after 3 attempts: it broke"


def test_the_back_off_has_a_limit() -> None:
    c = cluster(retry_backoff_s=2.0, retry_backoff_max_s=3.0, max_retries=3)
    failing(c, "bad", retryable=True)
    c.submit("ann", job("bad"))
    c.run()
    assert c.view("bad").ended_at == 1 + 2 + 1 + 3 + 1 + 3 + 1


def test_a_new_attempt_with_the_same_plan_keeps_the_chunks_that_are_done() -> None:
    c = cluster(lanes=1)
    failed = []

    def answer(command: RunUnit, now: float) -> tuple[float, Event]:
        if command.unit.chunk == 1 and not failed:
            failed.append(command)
            return 1.0, RunFailed(now + 1, command.run, 1.0, BROKEN, True)
        return c.succeed(command, now)

    c.answer = answer
    c.submit("ann", job("a"))
    c.run()
    chunks = [command.unit.chunk for command in c.started if command.unit.stage is Stage.SEGMENT]
    assert chunks == [0, 1, 1, 2]
    assert c.view("a").cells == 30


def test_a_failure_stops_the_siblings_and_counts_what_they_finish_meanwhile() -> None:
    c = cluster(lanes=3, max_retries=0)
    c.submit("ann", job("a"))
    c.tick()
    first, second, third = c.core.runs()
    assert c.tell(RunFailed(c.now, first, 0.5, BROKEN, True)) == [
        StopRun(second, JobId("a")),
        StopRun(third, JobId("a")),
    ]
    assert c.view("a").explanation.reason is Reason.STOPPING
    assert c.view("a").state is JobState.SEGMENTING
    assert c.tell(ChunkFinished(c.now, second, 0.5, 10, 0, "sum")) == []
    assert c.view("a").chunks_done == 1
    assert c.tell(RunStopped(c.now, third, 0.5)) == []
    assert c.view("a").state is JobState.FAILED


def test_lost_units_go_again_in_the_same_attempt_until_it_is_too_often() -> None:
    c = cluster(lanes=1, max_losses_per_unit=1, max_retries=0)
    c.answer = lambda command, now: (1.0, RunLost(now + 1, command.run, "killed"))
    c.submit("ann", job("a"))
    c.run()
    assert [command.unit.attempt for command in c.started] == [1, 1]
    view = c.view("a")
    assert view.state is JobState.FAILED
    assert view.failure is not None
    assert view.failure.code == "work_lost"


def test_what_was_ended_for_its_memory_goes_again_with_care_and_nothing_else_does() -> None:
    c = cluster(lanes=1, max_retries=1)

    def answer(command: RunUnit, now: float) -> tuple[float, Event]:
        match command.unit.stage, command.unit.chunk, len(c.started):
            case Stage.SEGMENT, 0, 2:
                return 1.0, RunLost(now + 1, command.run, "killed")
            case Stage.SEGMENT, 1, 4:
                return 1.0, RunLost(now + 1, command.run, "it held 9 GB", too_large=True)
            case Stage.SEGMENT, 2, 6:
                return 1.0, RunFailed(now + 1, command.run, 1.0, BROKEN, True)
        return c.succeed(command, now)

    c.answer = answer
    c.submit("ann", job("a"))
    c.run()
    assert c.view("a").state is JobState.SUCCEEDED
    told = [(each.unit.stage.value, each.unit.chunk, each.careful) for each in c.started]
    assert told == [
        ("plan", 0, False),
        ("segment", 0, False),  # killed: nobody knows that memory was the reason
        ("segment", 0, False),
        ("segment", 1, False),
        ("segment", 1, True),
        ("segment", 2, False),
        ("plan", 0, False),
        ("segment", 2, False),
        ("assemble", 0, False),
        ("publish", 0, False),
    ]


def test_care_outlives_a_restart_and_ends_with_the_attempt() -> None:
    c = cluster(lanes=1, max_retries=1, max_losses_per_unit=0)

    def answer(command: RunUnit, now: float) -> tuple[float, Event]:
        if len(c.started) == 2:
            return 1.0, RunLost(now + 1, command.run, "it held 9 GB", too_large=True)
        return c.succeed(command, now)

    c.answer = answer
    c.submit("ann", job("a"))
    c.run()
    assert (c.view("a").state, c.view("a").attempt) == (JobState.SUCCEEDED, 2)
    assert not any(each.careful for each in c.started)
    c = cluster(lanes=1)
    c.submit("ann", job("a"))
    c.run(1)
    (run,) = c.core.runs()
    c.tell(RunLost(c.now, run, "it held 9 GB", too_large=True))
    c.restart()
    c.run()
    again = [each.careful for each in c.started if each.unit.stage is Stage.SEGMENT]
    assert again[:3] == [False, True, True]


def test_a_lost_lane_loses_its_run_and_the_late_report_of_it_is_ignored() -> None:
    c = cluster(lanes=2)
    c.submit("ann", job("a"))
    (run,) = c.core.runs()
    lane = c.core.runs()[run].lane
    commands = c.lose_lane(lane)
    assert [type(command) for command in commands] == [RunUnit]
    assert c.tell(MppMissed(c.now, run, "how large?")) == []
    c.run()
    assert c.view("a").state is JobState.SUCCEEDED


def test_a_run_that_stops_without_being_told_to_counts_as_lost() -> None:
    c = cluster(lanes=1, max_losses_per_unit=0, max_retries=0)
    c.answer = lambda command, now: (1.0, RunStopped(now + 1, command.run, 1.0))
    c.submit("ann", job("a"))
    c.run()
    assert c.view("a").failure is not None


def test_a_restart_runs_the_same_units_again_and_blames_nobody() -> None:
    c = cluster(lanes=2, max_losses_per_unit=0, max_retries=0)
    c.submit("ann", job("a"))
    c.run(2)
    before = c.view("a").chunks_done
    for _ in range(5):
        c.restart()
    assert c.view("a").chunks_done == before == 2
    c.run()
    view = c.view("a")
    assert (view.state, view.attempt, view.cells) == (JobState.SUCCEEDED, 1, 30)
    assert {run.split("-")[0] for run in (command.run for command in c.started)} == {"1", "6"} | {
        str(epoch) for epoch in range(2, 6)
    }


def test_a_slide_without_pixel_size_waits_for_the_answer_and_plans_with_it() -> None:
    c = cluster(lanes=2)

    def answer(command: RunUnit, now: float) -> tuple[float, Event]:
        if command.unit.job == "a" and command.mpp is None:
            return 1.0, MppMissed(now + 1, command.run, "how large is a pixel?")
        return c.succeed(command, now)

    c.answer = answer
    c.submit("ann", job("a"), job("b"))
    c.submit("bob", job("c"))
    c.run()
    assert states(c) == {"a": "needs_mpp", "b": "waiting", "c": "succeeded"}
    assert c.core.state.slots == {}
    assert c.view("a").question == "how large is a pixel?"
    assert c.view("b").explanation == Explanation(
        Reason.WAITING_FOR_BRANCH,
        "waiting in branch main: 2nd in line; first is job a: "
        "waiting for your answer: how large is a pixel?",
        position=2,
    )
    for wrong in (0.05, 3.0, float("nan")):
        with pytest.raises(InvalidSetting, match="is not plausible"):
            c.say_mpp("a", wrong)
    c.say_mpp("a", 0.25)
    c.run()
    assert set(states(c).values()) == {"succeeded"}
    assert {command.mpp for command in c.started if command.unit.job == "a"} == {None, 0.25}


def test_losses_are_counted_anew_in_each_attempt() -> None:
    c = cluster(lanes=1, max_losses_per_unit=1, max_retries=1)

    def answer(command: RunUnit, now: float) -> tuple[float, Event]:
        if len(c.started) <= 3:
            return 1.0, RunLost(now + 1, command.run, "killed")
        return c.succeed(command, now)

    c.answer = answer
    c.submit("ann", job("a"))
    c.run()
    assert (c.view("a").state, c.view("a").attempt) == (JobState.SUCCEEDED, 2)
    assert [command.unit.attempt for command in c.started[:4]] == [1, 1, 2, 2]


def test_a_retry_by_a_person_gives_all_attempts_again() -> None:
    c = cluster(max_retries=1)
    failing(c, "bad", retryable=True)
    c.submit("ann", job("bad"))
    c.run()
    c.retry("bad")
    c.run()
    assert [command.unit.attempt for command in c.started] == [1, 2, 3, 4]


def missing(chunks: tuple[int, ...], times: int) -> Answer:
    """Assembling finds chunks gone, the given number of times."""
    helper = FakeCluster()
    left = iter(range(times))

    def answer(command: RunUnit, now: float) -> tuple[float, Event]:
        if command.unit.stage is Stage.ASSEMBLE and next(left, None) is not None:
            return 1.0, ChunksMissed(now + 1, command.run, 1.0, chunks, 10, 0)
        return helper.succeed(command, now)

    return answer


def test_finished_chunks_that_storage_has_lost_are_done_again_and_no_others() -> None:
    c = cluster(answer=missing((0, 2), times=1))
    c.submit("ann", job("a"))
    c.run()
    chunks = [each.unit.chunk for each in c.started if each.unit.stage is Stage.SEGMENT]
    assert chunks == [0, 1, 2, 0, 2]
    view = c.view("a")
    assert (view.state, view.chunks_done, view.tiles_done) == (JobState.SUCCEEDED, 3, 3)


def test_storage_that_loses_chunks_again_and_again_fails_the_job() -> None:
    c = cluster(answer=missing((1,), times=1000), max_losses_per_unit=2, max_retries=0)
    c.submit("ann", job("a"))
    c.run()
    view = c.view("a")
    assert view.state is JobState.FAILED
    assert view.failure is not None
    assert view.failure.message == "Storage lost finished chunks 3 times, now 1."


@pytest.mark.parametrize("chunks", [(), (3,), (1, 0), (1, 1), (-1,)])
def test_chunks_that_are_not_of_the_plan_cannot_be_missed(chunks: tuple[int, ...]) -> None:
    c = cluster(answer=missing(chunks, times=1))
    c.submit("ann", job("a"))
    with pytest.raises(IllegalMove, match="misses chunks"):
        c.run()
