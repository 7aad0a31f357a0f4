"""What is written: rows of events and of ended workflows, in groups that are durable together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple


class Row(NamedTuple):
    """One event. ``decided`` is None where it was not kept (the first layout of the file)."""

    at: float
    kind: str
    version: int
    job: str | None
    body: str
    decided: str | None


class ArchiveRow(NamedTuple):
    """One ended workflow, sent away by the event ``seq``."""

    seq: int
    user: str
    workflow: str
    key: str
    submitted_at: float
    jobs: list[str]
    version: int
    body: str


@dataclass(frozen=True, slots=True)
class Group:
    """Events ``first``, ``first + 1``, ... of one epoch, and what they sent to the archive."""

    first: int
    epoch: int
    rows: Sequence[Row]
    archived: Sequence[ArchiveRow] = field(default=())

    @property
    def last(self) -> int:
        """The ``seq`` of the last event; ``first - 1`` when there is none."""
        return self.first + len(self.rows) - 1
