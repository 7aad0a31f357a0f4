"""Ended workflows as rows of the archive and back, by the same rules as events."""

from __future__ import annotations

from typing import Final

from raysched.core.commands import Retire
from raysched.journal.codec import Codec, Kind, Record, whole
from raysched.journal.rows import ArchiveRow

ARCHIVED: Final = Kind("workflow_archived", Retire)
_CODEC: Final = Codec[Retire]((ARCHIVED,), {})


def row(seq: int, retired: Retire) -> ArchiveRow:
    """A workflow that event ``seq`` sent away. Raises ``InternalError``."""
    workflow = retired.workflow
    record = _CODEC.encode(retired)
    return ArchiveRow(
        seq=seq,
        user=whole(workflow.user),
        workflow=whole(workflow.workflow),
        key=whole(workflow.key),
        submitted_at=workflow.submitted_at,
        jobs=[whole(job) for job in workflow.jobs],
        version=record.version,
        body=record.body,
    )


def read(version: int, body: str) -> Retire:
    """The workflow of a row. Raises ``JournalDamaged``, ``JournalTooNew``."""
    return _CODEC.decode(0, Record(ARCHIVED.name, version, body))
