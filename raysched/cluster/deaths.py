"""What the end of a run's process means: whether memory was the reason, and what becomes of its
unit.

A process that ends itself for its memory has left a note. Who is killed from outside says nothing:
then Ray says that it did it, or the system counts those that it has killed for want of memory.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

from ray.exceptions import OutOfMemoryError, RayError, WorkerCrashedError

from raysched.cluster import tasks
from raysched.cluster.guard import taken_held, taken_note, too_large
from raysched.cluster.run_endings import Lost, cause_of
from raysched.core.commands import RunUnit
from raysched.core.model import Failure, LaneId

log = logging.getLogger(__name__)

MEMORY_SEEN = re.compile(r"was ([0-9.]+ ?GB / [0-9.]+ ?GB)")  # in what Ray says of a node
MemoryShort = Callable[[LaneId], Awaitable[bool]]
"""Whether the system under a lane has killed a process for want of memory since this was asked."""


@dataclass(frozen=True, slots=True)
class Died:
    """A run whose process or node died, and what Ray says of it. ``was_stopped``: it was told to
    stop, so that its end was wanted."""

    command: RunUnit
    error: RayError
    was_stopped: bool


async def meaning_of(died: Died, notes: Path, memory_short: MemoryShort) -> tasks.Failed | Lost:
    """If memory was the reason, the unit goes once more with care, and fails if that ends in the
    same way; else it is just lost. Takes the run's notes."""
    command = died.command
    said = await asyncio.to_thread(taken_note, notes, command.run)
    held = await asyncio.to_thread(taken_held, notes, command.run)
    by_itself = said is not None
    if said is None and not died.was_stopped:
        said = await _killed_for_memory(died, held, memory_short)
    if said is None:
        return Lost(cause_of(died.error))
    log.warning("Run %s: %s", command.run, said.message)
    if not command.careful:
        return Lost(said.message.removesuffix("."), too_large=True)
    return tasks.Failed(said, retryable=not by_itself)  # a machine may have room later


async def _killed_for_memory(
    died: Died, held: int | None, memory_short: MemoryShort
) -> Failure | None:
    """The failure of a unit whose machine was out of memory, as Ray or the system says."""
    was_ray = isinstance(died.error, OutOfMemoryError)
    if not was_ray:
        crashed = isinstance(died.error, WorkerCrashedError) and held is not None
        if not crashed or not await memory_short(died.command.lane):
            return None
    by = "Ray" if was_ray else "the system"
    seen = MEMORY_SEEN.search(str(died.error))
    facts = [f"the process held {held / 1e9:.1f} GB"] if held is not None else []
    facts += [f"{seen[1]} of the machine were in use"] if seen else []
    numbers = f" ({', '.join(facts)})" if facts else ""
    return too_large(
        f"The {died.command.unit.stage} stage was ended by {by}, because its machine had no memory "
        f"left{numbers}",
        died.command.careful,
    )
