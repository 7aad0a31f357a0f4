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
from raysched.errors import NotFound

if TYPE_CHECKING:
    from raysched.journal.entries import StoryLine
    from raysched.journal.journal import Journal


@dataclass(frozen=True, kw_only=True)
class StoryOptions(Spoken):
    """The options of ``journal story``."""

    job: JobArgument


def verify(options: Spoken, voice: Voice) -> None:  # noqa: ARG001 - verbs share one signature
    """Compare both copies of every event, replay them all, and check the state that they give.

    What can be mended from the other copy is, and is said; the old one is kept aside.
    """
    from raysched.journal.verifying import verified_open

    with _opened(voice) as journal:
        whole = verified_open(journal)
    core = whole.core
    facts = {
        "events": whole.events,
        "lives": core.epoch,
        "users": len(core.state.users),
        "jobs": len(core.state.jobs),
        "jobs_open": core.open_jobs(),
    }
    voice.emit(journal={**facts, "mended": whole.notices})
    told = ", ".join(f"{name.replace('_', ' ')}: {number:,}" for name, number in facts.items())
    voice.say(f"the journal is whole; {told}")


def repair(options: Spoken, voice: Voice) -> None:  # noqa: ARG001 - verbs share one signature
    """Make a damaged copy of the journal anew from the other; the old one is kept aside."""
    from raysched.journal.recovery import check_nothing_is_lost

    with _opened(voice) as journal:
        told = len(journal.notices)
        journal.repair()
        check_nothing_is_lost(journal)
        for notice in journal.notices[told:]:
            voice.note(notice)
        voice.emit(journal={"events": len(journal), "repaired": journal.notices})
        if not journal.notices:
            voice.say("nothing to repair: both copies are whole and equal")


def story(options: StoryOptions, voice: Voice) -> None:
    """Everything that happened to one job."""
    with _opened(voice) as journal:
        lines = journal.story(options.job)
    if not lines:
        raise NotFound(
            f"The journal has no job {options.job}.",
            remedy="See all events with `raysched journal export`.",
            job=options.job,
        )
    for line in lines:
        voice.emit(**_shown(line))
        voice.say(_told(line))


def export(options: Spoken, voice: Voice) -> None:  # noqa: ARG001 - verbs share one signature
    """Print every event as one line of JSON, oldest first, with what was decided after it: the
    units that got a lane, as [job, stage, chunk, lane], and the job that is parked."""
    with _opened(voice) as journal:
        for line in journal.lines():
            decided = asdict(line.decision) if line.decision else None
            typer.echo(json.dumps({**_shown(line), "decided": decided}))


app = typer.Typer(
    help="Check, mend, read and copy out the event log of a stopped service.", no_args_is_help=True
)
for function in (verify, repair, story, export):
    app.command()(verb(function))


@contextmanager
def _opened(voice: Voice) -> Iterator[Journal]:
    """The journal of the state folder in force; none is made where there is none."""
    config = settings(None)
    from raysched.journal.database import JOURNAL_NAME
    from raysched.journal.faults import writing_fault
    from raysched.journal.journal import Journal
    from raysched.journal.segments import FOLDER as SEGMENTS
    from raysched.journal.verifying import LOCK_WAIT_S

    try:
        found = {path.name for path in config.state.iterdir()} if config.state.is_dir() else set()
    except OSError as error:
        raise writing_fault(error, config.state / JOURNAL_NAME) from error
    if not any(name.startswith(JOURNAL_NAME) for name in found) and SEGMENTS not in found:
        raise NotFound(
            f"There is no journal in {config.state}.",
            remedy="Name the state folder of the service in RAYSCHED_STATE.",
            state=str(config.state),
        )
    with Journal.open(config.state, lock_wait_s=LOCK_WAIT_S) as journal:
        for notice in journal.notices:
            voice.note(notice)
        yield journal


def _shown(line: StoryLine) -> dict[str, object]:
    return {name: getattr(line, name) for name in ("seq", "at", "kind", "body")}


def _told(line: StoryLine) -> str:
    when = datetime.fromtimestamp(line.at, UTC).isoformat(timespec="milliseconds")
    facts = {name: value for name, value in line.body.items() if name not in ("at", "job", "user")}
    return f"{line.seq:>8}  {when}  {line.kind}  {json.dumps(facts, ensure_ascii=False)}"
