"""A fake cluster with rules checked after every event, and what tests ask of it."""

from __future__ import annotations

from collections.abc import Callable

from raysched.core.commands import RunUnit
from raysched.core.events import (
    Event,
    RunFailed,
)
from raysched.core.invariants import check
from raysched.core.limits import Limits
from raysched.core.model import (
    Failure,
    Stage,
)
from raysched.testing import FakeCluster

Answer = Callable[[RunUnit, float], tuple[float, Event]]
BROKEN = Failure("boom", "it broke", "fix it")


def cluster(lanes: int = 2, answer: Answer | None = None, **limits: float) -> FakeCluster:
    return FakeCluster(Limits(**limits), lanes=lanes, answer=answer, after_event=check)


def states(c: FakeCluster) -> dict[str, str]:
    return {str(view.job): view.state.value for view in c.core.jobs_of(None, c.now)}


def order_of_starts(c: FakeCluster, stage: Stage = Stage.PLAN) -> list[str]:
    return [str(command.unit.job) for command in c.started if command.unit.stage is stage]


def failing(
    c: FakeCluster, *names: str, retryable: bool = False, stage: Stage = Stage.PLAN
) -> None:
    def answer(command: RunUnit, now: float) -> tuple[float, Event]:
        if command.unit.job in names and command.unit.stage is stage:
            return 1.0, RunFailed(now + 1, command.run, 1.0, BROKEN, retryable)
        return c.succeed(command, now)

    c.answer = answer
