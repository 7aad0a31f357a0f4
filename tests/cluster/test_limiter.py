"""Token buckets: never more than the burst and what has come back, and nothing kept of the idle."""

from __future__ import annotations

import itertools
import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raysched.cluster.limiter import (
    SWEEP_FROM,
    Budget,
    Limiter,
    Pace,
    Taken,
    check_taken,
    pace_of,
)
from raysched.config import LimitSettings
from raysched.errors import TooManyRequests

PACE = Pace(burst=5, per_s=1.0)
PACES = st.builds(Pace, st.integers(1, 50), st.floats(0.01, 1000.0))
STEPS = st.lists(st.floats(0.0, 10.0), min_size=1, max_size=200)


def let_in(pace: Pace, steps_s: list[float]) -> list[float]:
    """When a user who asks after each of these pauses is let in."""
    limiter = Limiter()
    times = itertools.accumulate(steps_s)
    return [at for at in times if not limiter.take("user", pace, at).wait_s]


def test_a_burst_is_let_in_and_then_one_for_each_token_that_comes_back() -> None:
    limiter = Limiter()
    assert [limiter.take("u", PACE, 0.0).left for _ in range(5)] == [4, 3, 2, 1, 0]
    assert limiter.take("u", PACE, 0.25) == Taken(0, 0.75)
    assert limiter.take("u", PACE, 1.0) == Taken(0)
    assert limiter.take("u", PACE, 1.0) == Taken(0, 1.0)
    assert limiter.take("u", PACE, 100.0) == Taken(4)


def test_buckets_are_apart() -> None:
    limiter = Limiter()
    for _ in range(5):
        limiter.take(("u", Budget.CREATE), PACE, 0.0)
    assert limiter.take(("u", Budget.CREATE), PACE, 0.0).wait_s
    assert limiter.take(("u", Budget.EXPORT), PACE, 0.0) == Taken(4)
    assert limiter.take(("v", Budget.CREATE), PACE, 0.0) == Taken(4)


@given(pace=PACES, steps_s=STEPS)
def test_no_window_of_time_lets_in_more_than_a_burst_and_what_comes_back(
    pace: Pace, steps_s: list[float]
) -> None:
    times = let_in(pace, steps_s)
    for first, last in itertools.combinations(range(len(times)), 2):
        most = pace.burst + (times[last] - times[first]) * pace.per_s
        assert last - first + 1 <= most + 0.01


@given(pace=PACES, steps_s=STEPS)
def test_nobody_is_refused_who_keeps_within_the_pace(pace: Pace, steps_s: list[float]) -> None:
    slow = [step_s + 1 / pace.per_s for step_s in steps_s]
    assert len(let_in(pace, slow)) == len(slow)


@given(pace=PACES, steps_s=STEPS)
def test_whoever_comes_back_when_told_is_let_in_and_not_a_moment_before(
    pace: Pace, steps_s: list[float]
) -> None:
    limiter = Limiter()
    for at in itertools.accumulate(steps_s):
        taken = limiter.take("user", pace, at)
        if taken.wait_s:
            too_soon = at + taken.wait_s - 1e-4
            assert too_soon <= at or limiter.take("user", pace, too_soon).wait_s
            assert limiter.take("user", pace, at + taken.wait_s).wait_s == 0.0
            return


@given(pace=PACES)
def test_a_flood_is_told_how_many_are_left_and_refusals_cost_nothing(pace: Pace) -> None:
    limiter = Limiter()
    answers = [limiter.take("user", pace, 7.0) for _ in range(pace.burst + 3)]
    assert [each.left for each in answers] == [*range(pace.burst - 1, -1, -1), 0, 0, 0]
    assert {each.wait_s for each in answers[pace.burst :]} == {answers[-1].wait_s}


def test_users_who_are_idle_vanish() -> None:
    limiter = Limiter()
    for at in range(20 * SWEEP_FROM):
        limiter.take(f"user-{at}", PACE, at * 0.01)
        assert len(limiter) <= SWEEP_FROM  # of whom a hundred are not full yet at any time
    assert len(limiter) > 0


def test_who_is_not_idle_is_not_forgotten() -> None:
    limiter = Limiter()
    slow = Pace(burst=1, per_s=0.001)
    for each in range(3 * SWEEP_FROM):
        limiter.take(each, slow, 0.0)
    assert [
        each for each in range(3 * SWEEP_FROM) if not limiter.take(each, slow, 1.0).wait_s
    ] == []


def test_every_budget_has_a_pace_in_the_settings() -> None:
    limits = LimitSettings(create_burst=7, create_per_s=0.5)
    assert pace_of(limits, Budget.CREATE) == Pace(7, 0.5)
    assert {pace_of(limits, each) for each in (Budget.DEFAULT, Budget.UPLOAD, Budget.EXPORT)} == {
        Pace(30, 10.0)
    }


def test_the_refusal_says_when_to_come_again_also_after_a_journey() -> None:
    check_taken(Taken(0), Budget.CREATE)
    with pytest.raises(TooManyRequests) as refused:
        check_taken(Taken(0, 1.5), Budget.CREATE)
    back = pickle.loads(pickle.dumps(refused.value))
    assert (back.retry_after_s, back.facts) == (1.5, {"retry_after_s": 1.5, "budget": "create"})
