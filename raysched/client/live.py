"""Server-sent events: read as they come, gone on with by ``Last-Event-ID`` when a stream ends."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from raysched.client.wire import Call, Patience, Wire, wait_out
from raysched.errors import ClusterUnreachable

SILENCE_S = 60.0
"""The service says something every 15 s; a stream that is silent for as long is dead."""


@dataclass(frozen=True, slots=True)
class Event:
    """One event: its name, its id and what it tells, in JSON."""

    name: str
    id: str
    data: str


def listen(wire: Wire, path: str) -> Iterator[Event]:
    """The events of a stream, for ever: whenever it ends it is asked for again, from the last event
    on. Raises what the service refuses, and ``ClusterUnreachable`` when patience is over."""
    last = ""
    patience = Patience(wire.patience_s)
    while True:
        headers = {"Accept": "text/event-stream", **({"Last-Event-ID": last} if last else {})}
        try:
            with wire.stream(Call(method="GET", path=path, headers=headers), SILENCE_S) as answer:
                if not answer.is_success:
                    answer.read()
                    wait_out(answer, patience)
                    continue
                for event in read_events(answer.iter_lines()):
                    patience.renew()
                    last = event.id or last
                    if event.name:
                        yield event
        except ClusterUnreachable as trouble:
            patience.wait(trouble)


def read_events(lines: Iterable[str]) -> Iterator[Event]:
    """Events from the lines of a stream. A comment's id counts too: it comes as an event without
    a name."""
    name, data, id_ = "", [], ""
    for line in lines:
        field, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if field == "event":
            name = value
        elif field == "data":
            data.append(value)
        elif field == "id":
            id_ = value
        elif not line and (data or id_):
            yield Event(name if data else "", id_, "\n".join(data))
            name, data = "", []
