"""Decisions as short texts beside their events; the empty text is the usual one: nothing."""

from __future__ import annotations

from pydantic import TypeAdapter, ValidationError
from pydantic_core import to_json

from raysched.core.decision import NOTHING, Decision, Dispatch
from raysched.core.model import JobId
from raysched.errors import JournalDamaged

_READER = TypeAdapter(tuple[tuple[Dispatch, ...], JobId | tuple[JobId, ...] | None])


def decision_text(decision: Decision) -> str:
    """The decision as JSON: the dispatches, then the parked job, or a list of several, one of each
    pool."""
    if decision is NOTHING:
        return ""
    parked = decision.parking
    one = parked[0] if parked else None
    return to_json((decision.dispatches, parked if len(parked) > 1 else one)).decode()


def read_decision(seq: int, text: str | None) -> Decision | None:
    """The decision of event ``seq``; None where it was not kept. Raises ``JournalDamaged``."""
    if not text:
        return None if text is None else NOTHING
    try:
        dispatches, parked = _READER.validate_json(text)
    except ValidationError as error:
        raise JournalDamaged(
            f"What was decided after record {seq} of the journal cannot be read.",
            remedy="Nothing was changed. Report this with `raysched journal export`.",
            seq=seq,
        ) from error
    if not isinstance(parked, tuple):
        parked = () if parked is None else (parked,)
    return Decision(dispatches, parked)
