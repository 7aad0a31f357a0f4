"""The same events give the same commands and an equal state, in every process (I11)."""

from __future__ import annotations

import os
import subprocess
import sys
from copy import deepcopy
from dataclasses import replace
from pathlib import Path

import pytest

from raysched.core import dispatch
from raysched.core.commands import RunUnit
from raysched.core.decision import Decision
from raysched.core.events import (
    Event,
    MppMissed,
    RunFailed,
    RunLost,
    SchedulerStarted,
    WorkflowDeleted,
)
from raysched.core.invariants import check
from raysched.core.limits import Limits
from raysched.core.model import MAIN, Failure, JobId, LaneId, Stage, UserId, WorkflowId
from raysched.core.scheduler import Scheduler
from raysched.core.state import State
from raysched.errors import IllegalMove
from raysched.testing import FakeCluster, job

LIMITS = Limits(max_active_users=2, max_running_jobs=2, slot_tenure_s=8, retry_backoff_s=1.0)


def eventful() -> tuple[FakeCluster, list[State]]:
    """A busy hour: failures, losses, a question, a cancel, a retry, a restart."""
    snapshots: list[State] = []
    c = FakeCluster(
        LIMITS, lanes=3, after_event=lambda core: snapshots.append(deepcopy(core.state))
    )

    def answer(command: RunUnit, now: float) -> tuple[float, Event]:
        match command.run.split("-")[1], command.unit.job:
            case (("2" | "9" | "14"), _):
                failure = Failure("boom", "it broke", "fix it")
                return 1.0, RunFailed(now + 1, command.run, 1.0, failure, True)
            case (("4" | "11"), _):
                return 0.5, RunLost(now + 0.5, command.run, "killed")
            case _, "dora's" if command.mpp is None:
                return 1.0, MppMissed(now + 1, command.run, "how large?")
        return c.succeed(command, now)

    c.answer = answer
    c.submit("ann", job("a", "x"), job("b", "x"), job("c", "y", after=["a"]))
    c.submit("bob", job("d", "x"), job("e", "y"))
    c.run(3)
    c.submit("cyd", job("f", "x"))
    c.submit("dora", job("dora's", "x"), job("g", "x"))
    c.run(3)
    c.cancel("e")
    c.run(2)
    c.restart()
    c.lose_lane("lane-1")
    c.run()
    c.say_mpp("dora's", 0.5)
    c.run()
    return c, snapshots


def test_replaying_every_prefix_gives_the_live_state() -> None:
    c, snapshots = eventful()
    assert len(c.history) == len(snapshots) > 50
    for length, live in enumerate(snapshots, start=1):
        again = Scheduler(LIMITS)
        for event in c.history[:length]:
            again.handle(event)
        assert again.state == live


def test_a_replay_by_the_recorded_decisions_does_not_depend_on_the_rules_of_dispatch(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    c, snapshots = eventful()

    def other_rules(state: State) -> None:
        raise AssertionError("a replay decided anew")

    monkeypatch.setattr(dispatch, "choose", other_rules)
    again = Scheduler(LIMITS)
    for event, decision, live in zip(c.history, c.decisions, snapshots, strict=True):
        again.handle(event, decision)
        assert again.state == live


def with_one_parked() -> FakeCluster:
    """A giant is parked beside its last run in flight, because another's turn has come."""
    limits = replace(LIMITS, max_running_jobs=1)
    c = FakeCluster(limits, lanes=2, chunks=lambda _: (1, 3) * 5, after_event=check)
    giant = c.submit("ann", job("giant"))
    c.run(2)
    c.submit("bob", job("tiny"))
    while c.core.state.pools[MAIN].parking is None:
        assert c.tick()
    assert (c.core.state.pools[MAIN].parking, giant) == ("giant", "w1")
    return c


def all_is_lost_and_deleted(c: FakeCluster) -> None:
    """No lane is left, and the giant's owner wants no more of it."""
    idle = list(c.core.state.pools[MAIN].idle)
    for lane in [*idle, *c.core.state.lanes.keys() - idle]:
        c.lose_lane(lane)
    c.cancel("giant")
    c.tell(WorkflowDeleted(c.now, UserId("ann"), WorkflowId("w1")))
    assert JobId("giant") not in c.core.state.jobs
    c.submit("cyd", job("later"))


def replayed(c: FakeCluster, decisions: list[Decision]) -> State:
    again = Scheduler(c.limits)
    for event, decision in zip(c.history, decisions, strict=True):
        again.handle(event, decision)
    return again.state


def test_who_was_parked_is_forgotten_when_it_ends_although_no_lane_is_left() -> None:
    c = with_one_parked()
    begun = len(c.history)
    all_is_lost_and_deleted(c)
    assert not any(decision.parking for decision in c.decisions[begun + 1 :])
    assert c.core.state.pools[MAIN].parking is None
    assert replayed(c, c.decisions) == c.core.state


def test_a_journal_that_names_a_parked_job_that_is_gone_is_read_for_ever() -> None:
    """As they were written while whoever was parked was remembered beyond its end."""
    c = with_one_parked()
    begun = len(c.history)
    all_is_lost_and_deleted(c)
    stale = Decision(parking=(JobId("giant"),))
    assert not any(decision.dispatches for decision in c.decisions[begun:])
    old = [*c.decisions[:begun], *[stale] * (len(c.decisions) - begun)]
    assert replayed(c, old) == c.core.state


def test_a_decision_that_cannot_have_been_is_refused() -> None:
    c, _ = eventful()
    again = Scheduler(LIMITS)
    again.handle(c.history[0], c.decisions[0])
    impossible = Decision(((JobId("a"), Stage.PLAN, 0, LaneId("lane-0")),))
    with pytest.raises(IllegalMove, match="cannot have been given lane lane-0"):
        again.handle(c.history[1], impossible)


def test_after_a_crash_at_any_event_everything_still_ends_and_no_done_chunk_runs_again() -> None:
    c, snapshots = eventful()
    for length in range(2, len(snapshots) + 1):
        after = FakeCluster(LIMITS, lanes=2, after_event=check)
        after.core = Scheduler(LIMITS)
        after.history.clear()
        for event in c.history[:length]:
            after.core.handle(event)
            after.now = max(after.now, event.at)
        after.started.clear()
        before = {view.job: view.chunks_done for view in after.core.jobs_of(None, after.now)}
        after.restart()
        after.run()
        for view in after.core.jobs_of(None, after.now):
            if view.question is not None:
                after.say_mpp(view.job, 0.5)
        after.run()
        views = {view.job: view for view in after.core.jobs_of(None, after.now)}
        assert all(view.state.is_final for view in views.values())
        for name, done in before.items():
            chunks = [x for x in after.started if x.unit.job == name and x.unit.stage == "segment"]
            assert len(chunks) <= 3 - done


def test_limits_travel_with_the_events_so_that_a_replay_does_not_depend_on_the_settings() -> None:
    c, _ = eventful()
    again = Scheduler(Limits(max_active_users=9, max_running_jobs=9, slot_tenure_s=0))
    for event in c.history:
        again.handle(event)
    assert again.state == c.core.state
    assert again.state.limits == LIMITS


def test_lower_limits_after_a_restart_hold_at_once() -> None:
    c = FakeCluster(LIMITS, lanes=3, after_event=check)
    for user in ("ann", "bob", "cyd"):
        c.submit(user, job(f"of {user}"))
    c.tell(SchedulerStarted(c.now, 2, Limits(max_active_users=1, max_running_jobs=1)))
    assert list(c.core.state.slots) == ["ann"]
    assert list(c.core.state.queue) == ["bob", "cyd"]


def test_the_same_events_give_the_same_commands_whatever_the_hash_seed() -> None:
    script = (
        "import sys; sys.path.insert(0, sys.argv[1]); from test_replay import eventful;"
        "c, s = eventful(); print(c.started); print(s[-1])"
    )
    here = Path(__file__).parent
    printed = {
        subprocess.run(
            [sys.executable, "-c", script, str(here)],
            env={**os.environ, "PYTHONHASHSEED": seed},
            check=True,
            capture_output=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(printed) == 1
    assert JobId("dora's").encode() in printed.pop()
