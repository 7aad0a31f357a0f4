"""What is left when a cluster has been killed again and again: the material of the checker.

Plain values, read from files: nothing here or in ``checker.py`` knows raysched's code.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Violation:
    """A broken promise: the rule's name, and what shows it."""

    rule: str
    text: str


@dataclass
class Call:
    """One request of a client. ``sent`` and ``answered`` in seconds since the epoch; ``status`` is
    None where no answer came. ``about``: the job or key that it was about."""

    user: str
    verb: str
    about: str
    sent: float
    answered: float
    status: int | None
    answer: Any = None

    @property
    def is_acknowledged(self) -> bool:
        """Whether the service has said yes."""
        return self.status is not None and 200 <= self.status < 300


@dataclass
class Result:
    """One results folder: its name, manifest and receipts."""

    folder: str
    manifest: dict[str, Any]
    receipts: list[dict[str, Any]]


@dataclass
class Evidence:
    """Everything there is. ``calls`` in the order of their answers; ``journal``: the lines of
    ``raysched journal export``; ``expected``: the checksum of an undisturbed run, by job."""

    calls: list[Call]
    journal: list[dict[str, Any]]
    results: list[Result]
    expected: dict[str, str] = field(default_factory=dict)
    litter: list[str] = field(default_factory=list)


def read_results(folder: Path) -> list[Result]:
    """Every results folder that is there."""
    if not folder.is_dir():
        return []
    return [
        Result(
            path.name,
            json.loads((path / "manifest.json").read_text()),
            json.loads((path / "receipts.json").read_text()),
        )
        for path in sorted(folder.iterdir())
        if not path.name.startswith(".")
    ]


def read_litter(folder: Path, published: Iterable[str]) -> list[str]:
    """Below the results: files without a final name, and staging folders of published jobs. What
    is in the staging folder of another job is that job's, half-written files included."""
    if not folder.is_dir():
        return []
    over = {f".{job}.{job}.partial" for job in published}
    found = [path.relative_to(folder) for path in folder.rglob(".*")]
    return sorted(
        str(path)
        for path in found
        if path.parts[0] in over or not path.parts[0].endswith(".partial")
    )
