"""What a benchmark gives: figures, each with its baseline and the limit it is held against."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured value. ``gate``: what it must reach; ``baseline``: the same done plainly."""

    what: str
    value: float
    unit: str
    baseline: float | None = None
    gate: float | None = None
    better: Literal["less", "more"] = "less"

    @property
    def passed(self) -> bool | None:
        """Whether the gate holds; None where there is none."""
        if self.gate is None:
            return None
        return self.value <= self.gate if self.better == "less" else self.value >= self.gate

    def as_json(self) -> str:
        """One line for programs."""
        return json.dumps({**asdict(self), "passed": self.passed})

    def as_row(self) -> str:
        """One line for people."""
        baseline = "" if self.baseline is None else _number(self.baseline)
        sign = "<=" if self.better == "less" else ">="
        gate = "" if self.gate is None else f"{sign} {_number(self.gate)}"
        verdict = {None: "", True: "ok", False: "MISSED"}[self.passed]
        value = _number(self.value)
        return f"{self.what:<52}{value:>12} {self.unit:<10}{baseline:>12}  {gate:<12}{verdict}"


HEADER = f"{'what':<52}{'measured':>12} {'unit':<10}{'baseline':>12}  {'gate':<12}"


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
