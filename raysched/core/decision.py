"""What the scheduler decided after an event, as far as later events refer to it.

Written beside the event and given back with it on replay: a report names its run alone, so a replay
has to give the same unit to the same run, also after the rules of dispatch have changed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from raysched.core.commands import Command, RunUnit
from raysched.core.model import JobId, LaneId, Stage

Dispatch = tuple[JobId, Stage, int, LaneId]
"""A unit (job, stage, chunk) and its lane; runs are numbered in the order of dispatch."""


@dataclass(frozen=True, slots=True)
class Decision:
    """The units that got a lane, in order, and the job of each pool that is parked from then on."""

    dispatches: tuple[Dispatch, ...] = ()
    parking: tuple[JobId, ...] = ()


NOTHING = Decision()


def decision_of(commands: Sequence[Command], parking: tuple[JobId, ...]) -> Decision:
    """The decision that led to these commands."""
    dispatches = tuple(
        (command.unit.job, command.unit.stage, command.unit.chunk, command.lane)
        for command in commands
        if isinstance(command, RunUnit)
    )
    return Decision(dispatches, parking) if dispatches or parking else NOTHING
