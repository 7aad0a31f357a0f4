"""What may be wrong with a service, and what to do: small checks in a table.

A check looks and says what it found; it changes nothing. A finding may bring a repair, which is
there only where it is surely safe: nothing of a live service, and never a result.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum

from raysched.cluster.record import Keeper, keeper_of
from raysched.config import Config
from raysched.core.scheduler import Scheduler
from raysched.errors import RayschedError


class Grade(StrEnum):
    """How a finding is meant. A note asks for nothing."""

    GOOD = "ok"
    NOTE = "note"
    BAD = "wrong"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that a check has found. ``repair`` does what ``remedy`` says, and returns what it
    has done; raises ``RayschedError`` or ``OSError``."""

    says: str
    grade: Grade = Grade.GOOD
    remedy: str = ""
    repair: Callable[[], str] | None = None


@dataclass(slots=True)
class Look:
    """What checks look at, and what earlier checks have learned. ``core``: the state in a stopped
    service's journal; ``joined``: Ray is at hand."""

    config: Config
    keeper: Keeper | None = None
    core: Scheduler | None = None
    joined: bool = False
    stopped: bool = False
    """Nobody holds the journal: what processes would be at work on lies still."""

    @classmethod
    def at(cls, config: Config) -> Look:
        """A first look."""
        return cls(config, keeper_of(config.state))


Check = Callable[[Look], Iterator[Finding]]


@dataclass(frozen=True, slots=True)
class Found:
    """A finding and the name of its check; ``repaired``: what was done about it."""

    check: str
    finding: Finding
    repaired: str | None = None

    @property
    def is_wrong(self) -> bool:
        """Whether something is left to be done."""
        return self.finding.grade is Grade.BAD and self.repaired is None


def examine(look: Look, checks: dict[str, Check], *, repair: bool) -> Iterator[Found]:
    """Carry the checks out in their order. One that fails is itself a finding."""
    for name, check in checks.items():
        try:
            for finding in check(look):
                yield _repaired(name, finding) if repair else Found(name, finding)
        except Exception as error:  # noqa: BLE001 - what is broken may break a check in any way
            yield Found(name, _failed(error))


def _repaired(name: str, finding: Finding) -> Found:
    if finding.repair is None:
        return Found(name, finding)
    try:
        return Found(name, finding, finding.repair())
    except (RayschedError, OSError) as error:
        return Found(name, _failed(error))


def _failed(error: Exception) -> Finding:
    match error:
        case RayschedError():
            return Finding(error.message, Grade.BAD, error.remedy)
        case OSError():
            remedy = "Check that this user may read and write it, and that its disk answers."
            return Finding(str(error), Grade.BAD, remedy)
    first = next(iter(str(error).strip().splitlines()), "")
    remedy = "Do what the other lines say, then look again; if this stays, report it."
    says = f"this could not be looked at ({type(error).__name__}: {first[:200]})"
    return Finding(says, Grade.BAD, remedy)
