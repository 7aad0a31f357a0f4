"""How the command line speaks: results on stdout, the rest on stderr, JSON instead if asked."""

from __future__ import annotations

import json
import os
import sys
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any, TextIO

import typer

from raysched.errors import InternalError, RayschedError

INTERRUPTED_EXIT_CODE = 130
BROKEN_PIPE_EXIT_CODE = 141


class Interrupted(Exception):
    """A person stopped the command, and what there was to end has ended in order."""


@dataclass(frozen=True, slots=True)
class Voice:
    """Says things to a person, or to a program when ``json``. ``out``: where results go; None: to
    standard output."""

    json: bool
    verbose: bool
    out: TextIO | None = None

    def say(self, text: str = "") -> None:
        """A line of the result, for people."""
        if not self.json:
            typer.echo(text, file=self.out)

    def note(self, text: str) -> None:
        """A line beside the result, for people."""
        if not self.json:
            typer.echo(text, err=True)

    def emit(self, **what: Any) -> None:
        """One JSON line, for programs. Nothing is said to people."""
        if self.json:
            typer.echo(json.dumps(what, default=str), file=self.out)

    def fail(self, error: RayschedError) -> None:
        """What went wrong and what to do."""
        self.emit(
            error={
                "code": error.code,
                "message": error.message,
                "remedy": error.remedy,
                "exit_code": error.exit_code,
                "facts": error.facts,
            }
        )
        self.note(f"error: {error.message}\n  do: {error.remedy}")


class LastingVoice(Voice):
    """Of what goes on where nobody can hear it: its log's disk is full, its terminal closed."""

    def say(self, text: str = "") -> None:
        """A line of the result, for people, if it can be said."""
        with suppress(OSError):
            super().say(text)

    def note(self, text: str) -> None:
        """A line beside the result, for people, if it can be said."""
        with suppress(OSError):
            super().note(text)

    def emit(self, **what: Any) -> None:
        """One JSON line, for programs, if it can be said."""
        with suppress(OSError):
            super().emit(**what)


def lasting(voice: Voice) -> LastingVoice:
    """The same voice for a service, which does not end because a line could not be written."""
    return LastingVoice(voice.json, voice.verbose, voice.out)


def say_table(voice: Voice, title: str, head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """A table of plain texts, for people; nothing in them is taken for markup."""
    if voice.json:
        return
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(title=title or None, title_justify="left", box=box.SIMPLE_HEAD)
    for name in head:
        table.add_column(name, overflow="fold")
    for row in rows:
        table.add_row(*map(Text, row))
    # Written to a file or a pipe, a table is as wide as it needs to be.
    Console(width=None if sys.stdout.isatty() else 200, soft_wrap=False).print(table)


@contextmanager
def reporting(voice: Voice) -> Iterator[None]:
    """Turn what a verb raises into lines and an exit code; tracebacks only when asked for."""
    try:
        yield
    except (Interrupted, KeyboardInterrupt) as stop:
        message = str(stop) or "Stopped."
        voice.note(message)
        voice.emit(
            error={"code": "interrupted", "message": message, "exit_code": INTERRUPTED_EXIT_CODE}
        )
        raise typer.Exit(INTERRUPTED_EXIT_CODE) from None
    except RayschedError as error:
        _show_trace(voice, error)
        voice.fail(error)
        raise typer.Exit(error.exit_code) from None
    except typer.Exit:
        raise
    except BrokenPipeError:  # whoever read the output has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise typer.Exit(BROKEN_PIPE_EXIT_CODE) from None
    except Exception as error:  # noqa: BLE001 - the last resort of a command
        _show_trace(voice, error)
        voice.fail(
            InternalError(
                f"Internal error: {type(error).__name__}: {error}",
                remedy="Run it again with -v and report what it prints.",
            )
        )
        raise typer.Exit(InternalError.exit_code) from None


def _show_trace(voice: Voice, error: Exception) -> None:
    if voice.verbose:
        typer.echo("".join(traceback.format_exception(error)), err=True)
