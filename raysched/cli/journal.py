"""``raysched journal``: check, read and copy out the event log of a service that is stopped."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import typer

from raysched.cli.options import JobArgument, Spoken, verb
from raysched.cli.session import settings
from raysched.cli.voice import Voice
from raysched.errors import InternalError, NotFound

if TYPE_CHECKING:
    from raysched.core.scheduler import Scheduler
    from raysched.journal.journal import Journal, StoryLine

LOCK_WAIT_S = 1.0  # a running service holds the journal for as long as it runs


@dataclass(frozen=True, kw_only=True)
class StoryOptions(Spoken):
    """The options of ``journal story``."""

    job: JobArgument


def verify(options: Spoken, voice: Voice) -> None:  # noqa: ARG001 - verbs share one signature
    """Read every event, replay them, and check the state that they give."""
    from raysched.core.scheduler import Scheduler

    core, events = Scheduler(), 0
    with _opened() as journal:
        for event in journal.replay():
            core.handle(event)
            events += 1
    _check(core)
    facts = {
        "events": events,
        "lives": core.epoch,
        "users": len(core.state.users),
        "jobs": len(core.state.jobs),
        "jobs_open": core.open_jobs(),
    }
    voice.emit(journal=facts)
    told = ", ".join(f"{name.replace('_', ' ')}: {number:,}" for name, number in facts.items())
    voice.say(f"the journal is whole; {told}")


def story(options: StoryOptions, voice: Voice) -> None:
    """Everything that happened to one job."""
    with _opened() as journal:
        lines = journal.story(options.job)
    if not lines:
        raise NotFound(
            f"The journal has no job {options.job}.",
            remedy="See all events with `raysched journal export`.",
            job=options.job,
        )
    for line in lines:
        voice.emit(**asdict(line))
        voice.say(_told(line))


def export(options: Spoken, voice: Voice) -> None:  # noqa: ARG001 - verbs share one signature
    """Print every event as one line of JSON, oldest first."""
    with _opened() as journal:
        for line in journal.lines():
            typer.echo(json.dumps(asdict(line)))


app = typer.Typer(
    help="Check, read and copy out the event log of a stopped service.", no_args_is_help=True
)
for function in (verify, story, export):
    app.command()(verb(function))


@contextmanager
def _opened() -> Iterator[Journal]:
    """The journal of the state folder in force; none is made where there is none."""
    config = settings(None)
    from raysched.journal.journal import JOURNAL_NAME, Journal

    if not any(config.state.glob(f"{JOURNAL_NAME}*")):
        raise NotFound(
            f"There is no journal in {config.state}.",
            remedy="Name the state folder of the service in RAYSCHED_STATE.",
            state=str(config.state),
        )
    with Journal.open(config.state, lock_wait_s=LOCK_WAIT_S) as journal:
        yield journal


def _check(core: Scheduler) -> None:
    from raysched.core.invariants import check

    try:
        check(core)
    except AssertionError as error:
        raise InternalError(
            f"The journal can be read, but the state it gives breaks a promise: {error}.",
            remedy="This is a fault in raysched: report it with `raysched journal export`.",
        ) from error


def _told(line: StoryLine) -> str:
    when = datetime.fromtimestamp(line.at, UTC).isoformat(timespec="milliseconds")
    facts = {name: value for name, value in line.body.items() if name not in ("at", "job", "user")}
    return f"{line.seq:>8}  {when}  {line.kind}  {json.dumps(facts, ensure_ascii=False)}"
