"""Events to records and back: ``(kind, version, body)``, the body being JSON.

``KINDS`` fixes the name and version under which each event is written, so that renaming a class
changes no record. When an event's body changes in a way that its defaults do not cover, raise its
version here and add the function that turns the older body into the newer one to ``UPGRADES``;
records are upgraded while they are read and are never rewritten.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from typing import Any, Final, Generic, TypeAlias, TypeVar

from pydantic import ConfigDict, TypeAdapter, ValidationError
from pydantic_core import PydanticSerializationError, from_json, to_json

from raysched.core import events
from raysched.core.events import Event
from raysched.errors import InternalError, JournalDamaged, JournalTooNew

E = TypeVar("E")
Body: TypeAlias = dict[str, object]
Upgrade: TypeAlias = Callable[[Body], Body]


@dataclass(frozen=True, slots=True)
class Kind:
    """The name and the present version under which one type of event is written."""

    name: str
    event: type[Any]
    version: int = 1


KINDS: Final = (
    Kind("scheduler_started", events.SchedulerStarted, 2),
    Kind("workflow_submitted", events.WorkflowSubmitted),
    Kind("job_cancel_requested", events.JobCancelRequested),
    Kind("job_retry_requested", events.JobRetryRequested),
    Kind("workflow_cancel_requested", events.WorkflowCancelRequested),
    Kind("all_cancel_requested", events.AllCancelRequested),
    Kind("workflow_deleted", events.WorkflowDeleted),
    Kind("results_deleted", events.ResultsDeleted),
    Kind("files_removed", events.FilesRemoved),
    Kind("cluster_paused", events.ClusterPaused),
    Kind("cluster_drained", events.ClusterDrained),
    Kind("cluster_resumed", events.ClusterResumed),
    Kind("node_drained", events.NodeDrained),
    Kind("node_resumed", events.NodeResumed),
    Kind("mpp_answered", events.MppAnswered),
    Kind("user_weighted", events.UserWeighted),
    Kind("user_created", events.UserCreated),
    Kind("user_changed", events.UserChanged),
    Kind("user_deleted", events.UserDeleted),
    Kind("key_made", events.KeyMade),
    Kind("key_revoked", events.KeyRevoked),
    Kind("key_used", events.KeyUsed),
    Kind("logged_in", events.LoggedIn),
    Kind("lane_opened", events.LaneOpened),
    Kind("lane_closing", events.LaneClosing),
    Kind("lane_lost", events.LaneLost),
    Kind("lanes_counted", events.LanesCounted),
    Kind("slide_planned", events.SlidePlanned),
    Kind("mpp_missed", events.MppMissed),
    Kind("chunk_finished", events.ChunkFinished),
    Kind("result_assembled", events.ResultAssembled),
    Kind("chunks_missed", events.ChunksMissed),
    Kind("result_published", events.ResultPublished),
    Kind("run_failed", events.RunFailed),
    Kind("run_lost", events.RunLost),
    Kind("run_stopped", events.RunStopped),
    Kind("time_passed", events.TimePassed),
)


def _remembering_no_work(body: Body) -> Body:
    """A life that remembered no done work must be replayed so: its decisions follow from that."""
    limits = body.get("limits")
    if not isinstance(limits, dict):
        return body
    return {**body, "limits": {**limits, "max_done_work_per_user": 0}}


UPGRADES: Final[Mapping[tuple[str, int], Upgrade]] = {
    ("scheduler_started", 1): _remembering_no_work,
}
"""``(kind, version)`` to the function that turns a body of that version into the next one's."""

# NaN and infinity are kept, since a reading must equal what was written; a field that this code
# does not know is refused, since dropping it in silence would lose what a newer raysched meant.
_RULES = ConfigDict(strict=True, extra="forbid", ser_json_inf_nan="constants")


@dataclass(frozen=True, slots=True)
class Record:
    """One row of the journal as far as its meaning goes."""

    kind: str
    version: int
    body: str


class Codec(Generic[E]):
    """Writes events in their present version and reads every version there ever was."""

    def __init__(
        self,
        kinds: Sequence[Kind],
        upgrades: Mapping[tuple[str, int], Upgrade],
    ) -> None:
        for kind in kinds:
            if missing := [v for v in range(1, kind.version) if (kind.name, v) not in upgrades]:
                raise InternalError(
                    f"Records of {kind.name} version {missing[0]} could not be read.",
                    remedy="Add the upgrade from that version to the codec's table.",
                )
        self._upgrades = upgrades
        self._writers = {kind.event: (kind, _adapter(kind.event)) for kind in kinds}
        self._readers = {kind.name: (kind, reader) for kind, reader in self._writers.values()}

    def encode(self, event: E) -> Record:
        """Raises ``InternalError`` when the event's values cannot be read back."""
        if type(event) not in self._writers:
            raise _unwritable(event, "its type is not in the codec's table")
        kind, writer = self._writers[type(event)]
        try:
            body = writer.dump_json(event, warnings=False).decode()
        except PydanticSerializationError:
            body = _cleaned(event)
        try:
            writer.validate_json(body)  # costs 1 us; an unreadable record would end every replay
        except ValidationError as error:
            raise _unwritable(event, _first(error)) from error
        return Record(kind.name, kind.version, body)

    def decode(self, seq: int, record: Record) -> E:
        """Raises ``JournalDamaged``, naming record ``seq``, when it cannot be understood."""
        kind, reader = self._known(seq, record)
        body: str | bytes = record.body
        if record.version < kind.version:
            body = to_json(self.body(seq, record), inf_nan_mode="constants")
        try:
            event = reader.validate_json(body)
        except ValidationError as error:
            if any(fault["type"] == "unexpected_keyword_argument" for fault in error.errors()):
                raise _too_new(seq, record) from error
            raise _unreadable(seq, record, _first(error)) from error
        if event is None:
            raise _unreadable(seq, record, "the body is empty")
        return event

    def body(self, seq: int, record: Record) -> Body:
        """The record's fields as JSON values, in the present version. Raises as ``decode``."""
        kind, _ = self._known(seq, record)
        try:
            body: object = from_json(record.body)
        except ValueError as error:
            raise _unreadable(seq, record, str(error)) from error
        if not isinstance(body, dict):
            raise _unreadable(seq, record, "the body is not an object")
        for version in range(record.version, kind.version):
            body = self._upgrades[kind.name, version](body)
        return body

    def _known(self, seq: int, record: Record) -> tuple[Kind, TypeAdapter[E | None]]:
        known = self._readers.get(record.kind)
        if known is None or record.version > known[0].version:
            raise _too_new(seq, record)
        if record.version < 1:
            raise _unreadable(seq, record, f"there is no version {record.version}")
        return known


@cache
def standard_codec() -> Codec[Event]:
    """The codec over ``KINDS`` and ``UPGRADES``; building it takes about 10 ms."""
    return Codec(KINDS, UPGRADES)


def _adapter(event: type[Any]) -> TypeAdapter[Any]:
    # "or None" since pydantic takes rules for a plain dataclass only from a type around it
    either: Any = event | None
    return TypeAdapter(either, config=_RULES)


def whole(text: str) -> str:
    """The text with every half character replaced by "?".

    File names that are not UTF-8 reach texts as lone surrogates, which neither JSON nor DuckDB can
    carry; such a text must not stop the scheduler.
    """
    return text.encode("utf-8", "replace").decode()


def mention(job: str) -> str:
    """How the body of an event that carries this job's spec says its id."""
    return '"job":' + to_json(whole(job)).decode()


def _cleaned(event: Any) -> str:
    """The body of an event that has half characters in its texts."""
    try:
        return whole(json.dumps(asdict(event), ensure_ascii=False, separators=(",", ":")))
    except (TypeError, ValueError) as error:
        raise _unwritable(event, str(error)) from error


def _unwritable(event: object, why: str) -> InternalError:
    name = type(event).__name__
    return InternalError(
        f"An event of type {name} cannot be written to the journal: {_one_line(why)}.",
        remedy="This is a fault in raysched: please report it with this message.",
        event=name,
    )


def _too_new(seq: int, record: Record) -> JournalTooNew:
    return JournalTooNew(
        f"Record {seq} of the journal ({record.kind} version {record.version}) was written by a "
        "newer raysched.",
        remedy="Nothing was changed. Run the raysched that wrote it, or a newer one.",
        seq=seq,
        kind=record.kind,
        version=record.version,
    )


def _unreadable(seq: int, record: Record, why: str) -> JournalDamaged:
    return JournalDamaged(
        f"Record {seq} of the journal ({record.kind} version {record.version}) cannot be read: "
        f"{_one_line(why)}.",
        remedy="Nothing was changed. Keep a copy of the state folder, then restore a backup of it "
        "or start with a new one.",
        seq=seq,
        kind=record.kind,
        version=record.version,
    )


def _first(error: ValidationError) -> str:
    """The first complaint, as ``field.inner: what is wrong``."""
    first = error.errors(include_url=False, include_context=False)[0]
    where = ".".join(map(str, first["loc"]))
    return f"{where}: {first['msg']}" if where else first["msg"]


def _one_line(text: str) -> str:
    return " ".join(text.split()).rstrip(".")
