"""Slots, tenure, caps, fair shares and parking."""

from __future__ import annotations

from collections import Counter

import pytest

from raysched.core.commands import RunUnit, WakeAt
from raysched.core.events import ChunkFinished, Event, UserWeighted
from raysched.core.fairness import FairQueue
from raysched.core.invariants import check
from raysched.core.limits import Limits
from raysched.core.model import MAIN, JobState, Reason, Stage, UserId
from raysched.core.views import Explanation
from raysched.errors import InvalidSetting
from raysched.testing import FakeCluster, job


def cluster(lanes: int = 1, chunks: dict[str, int] | None = None, **limits: float) -> FakeCluster:
    sizes = chunks or {}
    return FakeCluster(
        Limits(**limits),  # type: ignore[arg-type]
        lanes=lanes,
        chunks=lambda name: (1,) * sizes.get(str(name), 3),
        after_event=check,
    )


# --- slots ----------------------------------------------------------------------------------------


def test_users_wait_for_a_slot_first_in_first_out_and_are_told_how_long() -> None:
    c = cluster(lanes=2, max_active_users=1, slot_tenure_s=600)
    for user in ("ann", "bob", "cyd"):
        c.submit(user, job(f"of {user}"))
    c.run(2)
    assert list(c.core.state.slots) == ["ann"]
    assert c.core.state.now == 2.0
    assert c.view("of cyd").explanation == Explanation(
        Reason.WAITING_FOR_SLOT,
        "waiting for a slot: 2nd of 2, about 20 min; the slots are held by 1 user",
        position=2,
        eta_s=598.0 + 600.0 + 1.0,  # the longest run in flight, once a round
    )
    c.run()
    started = [c.view(f"of {user}").started_at for user in ("ann", "bob", "cyd")]
    ended = [c.view(f"of {user}").ended_at for user in ("ann", "bob", "cyd")]
    assert started == [0.0, ended[0], ended[1]]
    assert not c.core.state.slots


def test_a_user_whose_tenure_is_over_parks_at_the_chunks_end_and_queues_at_the_end() -> None:
    c = cluster(chunks={"giant": 200}, max_active_users=1, slot_tenure_s=10)
    c.submit("ann", job("giant"))
    c.submit("bob", job("small"))
    c.submit("cyd", job("other"))
    assert c.core.state.wake_at == 10.0
    c.run(11)
    assert list(c.core.state.slots) == ["bob"]
    assert list(c.core.state.queue) == ["cyd", "ann"]
    assert c.view("giant").state is JobState.SEGMENTING
    assert c.view("giant").explanation.reason is Reason.WAITING_FOR_SLOT
    c.run(1)
    c.run(30)
    assert (c.view("small").started_at, c.view("other").started_at) == (10.0, 16.0)
    c.run()
    assert c.view("giant").chunks_done == 200


def test_while_a_run_of_a_yielding_user_ends_the_user_gets_no_new_dispatch() -> None:
    c = cluster(lanes=2, chunks={"giant": 1000}, max_active_users=1, slot_tenure_s=10.5)
    c.submit("ann", job("giant"))
    c.submit("bob", job("small"))
    c.run(10.6)
    assert len(c.core.runs()) == 2
    assert c.view("giant").state is JobState.SEGMENTING
    c.tick()
    assert len(c.core.runs()) == 1
    c.tick()
    assert list(c.core.state.slots) == ["bob"]


def test_a_tenure_that_is_over_takes_nothing_while_nobody_waits() -> None:
    c = cluster(chunks={"giant": 50}, max_active_users=1, slot_tenure_s=10)
    c.submit("ann", job("giant"))
    c.run()
    assert not any(type(event).__name__ == "TimePassed" for event in c.history)
    assert c.view("giant").ended_at == 53.0


def test_only_as_many_users_make_room_as_wait() -> None:
    c = cluster(lanes=2, chunks={"g1": 500, "g2": 500}, max_active_users=2, slot_tenure_s=10)
    c.submit("ann", job("g1"))
    c.submit("bob", job("g2"))
    c.run(20)
    c.submit("cyd", job("small"))
    assert list(c.core.state.yielding) == ["ann"]


def test_without_a_tenure_a_slot_is_held_until_all_is_done() -> None:
    c = cluster(chunks={"giant": 100}, max_active_users=1, slot_tenure_s=0)
    c.submit("ann", job("giant"))
    c.submit("bob", job("small"))
    assert c.view("small").explanation == Explanation(
        Reason.WAITING_FOR_SLOT,
        "waiting for a slot: 1st of 1; the slots are held by 1 user",
        position=1,
    )
    c.run()
    assert c.view("small").started_at == c.view("giant").ended_at == 103.0


def test_nobody_waits_longer_than_the_bound_that_is_shown() -> None:
    names = [f"u{n}" for n in range(7)]
    c = cluster(lanes=2, chunks=dict.fromkeys(names, 100), max_active_users=2, slot_tenure_s=20)
    for name in names:
        c.submit(name, job(name))
    bounds = {name: c.view(name).explanation.eta_s or 0.0 for name in names[2:]}
    c.run()
    for name, bound in bounds.items():
        longest_chunk = 1.0
        rounds = names.index(name) // 2
        assert (c.view(name).started_at or 0.0) <= bound + rounds * longest_chunk


def test_a_wake_up_is_asked_for_when_somebody_begins_to_wait() -> None:
    c = cluster(max_active_users=1, slot_tenure_s=10)
    c.submit("ann", job("a"))
    c.run(2)
    c.submit("bob", job("b"))
    assert c.alarm == 10.0
    assert c.cancel("b") == []
    assert c.core.state.wake_at is None
    assert WakeAt not in {type(command) for command in c.lose_lane("none")}


# --- caps and shares ------------------------------------------------------------------------------


def test_no_more_jobs_run_than_the_cap_allows_and_the_others_say_so() -> None:
    c = cluster(lanes=4, max_running_jobs=2)
    c.submit("ann", *[job(name, name) for name in "abcd"])
    assert len(c.core.state.pools[MAIN].running) == 2
    assert c.view("d").explanation.reason is Reason.WAITING_FOR_RUNNING_CAP
    c.run()
    assert {view.state for view in c.core.jobs_of(None, c.now)} == {JobState.SUCCEEDED}


def test_a_tiny_job_gets_in_within_a_chunk_when_giants_fill_the_cap_and_the_lanes() -> None:
    c = cluster(lanes=6, chunks={"g1": 400, "g2": 400, "tiny": 1}, max_running_jobs=2)
    c.submit("ann", job("g1", "x"), job("g2", "y"))
    c.run(50)
    c.submit("bob", job("tiny"))
    c.submit("ann", job("own tiny", "z"))
    c.run(20)
    tiny = c.view("tiny")
    assert tiny.started_at is not None
    assert tiny.started_at - tiny.submitted_at <= 2.0
    assert tiny.state is JobState.SUCCEEDED
    assert c.view("own tiny").started_at is not None


def test_two_users_share_evenly_however_many_branches_one_of_them_opens() -> None:
    c = cluster(lanes=2, chunks={f"m{n}": 20 for n in range(40)} | {"few": 400})
    c.submit("ann", *[job(f"m{n}", f"b{n}") for n in range(40)])
    c.submit("bob", job("few"))
    c.run(200)
    owner = {f"m{n}": "ann" for n in range(40)} | {"few": "bob"}
    spent = Counter({"ann": 0.0, "bob": 0.0})
    for command in c.started:
        spent[owner[str(command.unit.job)]] += 1.0  # every unit takes a second
    assert spent["ann"] == pytest.approx(spent["bob"], rel=0.02)


def test_branches_of_a_user_take_turns_by_chunk() -> None:
    c = cluster(lanes=1, chunks={"giant": 300, "tiny": 1})
    c.submit("ann", job("giant", "x"))
    c.run(100)
    c.submit("ann", job("tiny", "y"))
    c.run(10)
    assert c.view("tiny").ended_at == pytest.approx(100 + 6, abs=2)


def test_time_without_work_banks_no_credit() -> None:
    c = cluster(lanes=1, chunks={"a": 400, "b": 400})
    c.submit("ann", job("a"))
    c.run(200)
    c.submit("bob", job("b"))
    c.run(100)
    since = [x.unit.job for x in c.started if x.unit.stage is Stage.SEGMENT][-100:]
    assert abs(since.count("a") - since.count("b")) <= 2  # type: ignore[arg-type]


@pytest.mark.parametrize("users", [("ann", "bob"), ("ann", "ann")])
def test_what_counts_is_the_time_that_chunks_took_between_users_and_between_branches(
    users: tuple[str, str],
) -> None:
    c = cluster(lanes=1, chunks={"slow": 400, "quick": 400})
    spent = Counter({"slow": 0.0, "quick": 0.0})

    def answer(command: RunUnit, now: float) -> tuple[float, Event]:
        seconds = 5.0 if command.unit.job == "slow" else 1.0
        spent[str(command.unit.job)] += seconds
        if command.unit.stage is Stage.PLAN:
            return c.succeed(command, now)
        return seconds, ChunkFinished(now + seconds, command.run, seconds, 1, 0, "sum")

    c.answer = answer
    c.submit(users[0], job("slow", "x"))
    c.submit(users[1], job("quick", "y"))
    c.run(300)
    assert spent["slow"] == pytest.approx(spent["quick"], abs=10)


def test_the_weight_of_a_user_counts_in_dispatch() -> None:
    c = cluster(lanes=1, chunks={"a": 400, "b": 400})
    c.submit("ann", job("a"))
    c.submit("bob", job("b"))
    c.tell(UserWeighted(c.now, UserId("ann"), 3.0))
    c.run(200)
    done = c.view("a").chunks_done, c.view("b").chunks_done
    assert done == (pytest.approx(150, abs=4), pytest.approx(50, abs=4))


def test_a_weight_may_be_given_before_the_user_has_submitted_anything() -> None:
    c = cluster(lanes=1, chunks={"a": 400, "b": 400})
    c.tell(UserWeighted(0.0, UserId("bob"), 0.5))
    c.submit("ann", job("a"))
    c.submit("bob", job("b"))
    c.run(150)
    done = c.view("a").chunks_done, c.view("b").chunks_done
    assert done == (pytest.approx(100, abs=4), pytest.approx(50, abs=4))


@pytest.mark.parametrize("weight", [0.0, -1.0, 0.001, 1000.0, float("nan"), float("inf")])
def test_a_weight_that_would_starve_somebody_is_refused_and_changes_nothing(weight: float) -> None:
    c = cluster()
    before = c.core.revision
    with pytest.raises(InvalidSetting, match="out of range"):
        c.tell(UserWeighted(0.0, UserId("ann"), weight))
    assert c.core.revision == before
    assert not c.core.state.users


def test_the_estimate_of_a_chunk_is_learnt_per_tile() -> None:
    c = FakeCluster(lanes=1, chunks=lambda _: (4, 4, 2), after_event=check)
    c.submit("ann", job("a"))
    c.tick()
    (run,) = c.core.runs().values()
    assert run.est_s == 4 * 0.5
    c.tick()
    c.tick()
    (run,) = c.core.runs().values()
    assert run.est_s == 2 * 1.0


def test_a_job_that_fills_the_cap_alone_still_gets_every_lane() -> None:
    c = cluster(lanes=3, chunks={"a": 30}, max_running_jobs=1)
    c.submit("ann", job("a"))
    c.run(5)
    assert (len(c.core.runs()), c.core.state.pools[MAIN].parking) == (3, None)


def test_nobody_is_parked_while_a_cancelled_job_is_coming_to_rest_anyway() -> None:
    c = cluster(lanes=4, chunks={"g1": 100, "g2": 100}, max_running_jobs=2)
    c.submit("ann", job("g1", "x"), job("g2", "y"))
    c.run(5)
    c.cancel("g1")
    c.submit("bob", job("tiny"))
    assert c.core.state.pools[MAIN].parking is None
    first = next(run for run in c.core.runs().values() if run.unit.job == "g2")
    c.tell(ChunkFinished(c.now, first.run, 1.0, 1, 0, "sum"))
    assert c.core.state.pools[MAIN].parking is None
    c.run(5)
    assert c.view("tiny").started_at == pytest.approx(5.1)


def test_a_nap_does_not_clear_a_debt() -> None:
    turns: FairQueue[str] = FairQueue()
    for name in ("ann", "bob"):
        turns.wake(name)
    turns.charge("ann", 100.0)
    turns.sleep("ann")
    turns.wake("ann")
    for _ in range(101):
        assert turns.first() == "bob"
        turns.charge("bob", 1.0)
    assert turns.first() == "ann"


def test_a_heavier_weight_gets_a_proportionally_larger_share() -> None:
    turns: FairQueue[str] = FairQueue()
    weights = {"light": 1.0, "heavy": 3.0}
    for name in weights:
        turns.wake(name)
    served: Counter[str] = Counter()
    for _ in range(400):
        name = turns.first()
        assert name is not None
        served[name] += 1
        turns.charge(name, 1.0 / weights[name])
    assert served == {"light": 100, "heavy": 300}


def test_a_cost_that_was_estimated_too_low_is_corrected() -> None:
    turns: FairQueue[str] = FairQueue()
    turns.wake("slow")
    turns.wake("quick")
    served: Counter[str] = Counter()
    for _ in range(110):
        name = turns.first()
        assert name is not None
        served[name] += 1
        turns.charge(name, 1.0)
        turns.correct(name, 9.0 if name == "slow" else 0.0)
    assert served["quick"] == pytest.approx(100, abs=1)


def test_the_heap_of_a_fair_queue_stays_small_and_its_order_right() -> None:
    turns: FairQueue[int] = FairQueue()
    for name in range(10):
        turns.wake(name)
    for step in range(5000):
        first = turns.first()
        assert first is not None
        assert turns.rank(first) == 0
        turns.charge(first, 1.0 + step % 3)
    assert len(turns._heap) <= 2 * 10 + 64 + 1


def test_waiting_for_a_turn_says_who_goes_first_without_naming_anyone() -> None:
    c = cluster(lanes=1)
    c.submit("ann", job("a", "x"))
    c.submit("bob", job("b"))
    c.submit("ann", job("a2", "y"))
    assert c.view("b").explanation == Explanation(
        Reason.WAITING_FOR_LANE,
        "next to go: waiting for the lane to finish its chunk",
        position=1,
        eta_s=0.5,
    )
    assert c.view("a2").explanation == Explanation(
        Reason.WAITING_FOR_TURN,
        "waiting for its turn at 1 lane: 2nd to go, after 1 other user",
        position=2,
        eta_s=1.0,
    )


def test_without_any_lane_a_job_says_that_the_cluster_is_starting() -> None:
    c = cluster(lanes=0)
    c.submit("ann", job("a"))
    assert c.view("a").explanation == Explanation(
        Reason.WAITING_FOR_LANE, "waiting for a lane: none is open, the cluster is starting"
    )
