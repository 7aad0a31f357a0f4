"""What random lives meet of tiles that cannot be read; part of ``test_machine``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from draws import USUAL
from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from raysched.core.model import Stage


class Tiles:
    """Rules of a life; what it tells is judged there."""

    model: Any
    met: Any
    tell: Callable[..., bool]
    clock: Callable[..., float]
    report_of: Callable[..., Any]
    runs_of: Callable[[Stage], list[str]]
    go_on: Callable[[float], bool]

    @precondition(lambda self: self.runs_of(Stage.PLAN))
    @rule(again=st.booleans())
    def more_tiles_fail_than_may(self, again: bool) -> None:
        """Of a plan that lets none fail; and when it is tried again the slide is planned again."""
        name = self.runs_of(Stage.PLAN)[0]
        job = self.model.runs[name].job
        strict = replace(USUAL, may_fail=0)
        self.tell(self.report_of(name, "well", self.clock(), 1.0, strict))
        for run in [n for n in self.runs_of(Stage.SEGMENT) if self.model.runs[n].job is job][:1]:
            self.tell(self.report_of(run, "well", self.clock(1.0), 1.0, strict))
        self.met["too many tiles failed"] += self.model.has_failed_too_much(job)
        for _ in range(9 if again and job.plan == strict else 0):
            mine = [n for n in self.runs_of(Stage.PLAN) if self.model.runs[n].job is job]
            if mine:
                self.tell(self.report_of(mine[0], "well", self.clock(), 1.0, strict))
                break
            self.go_on(1.0)
        self.met["failed tiles go again"] += self.model.went_again
