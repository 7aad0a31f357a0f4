"""The ``raysched`` command: its verbs and nothing else. No heavy import: ``--help`` is instant."""

from __future__ import annotations

from typing import Annotated

import typer

from raysched import __version__
from raysched.cli.demo import demo
from raysched.cli.diff import diff
from raysched.cli.doctor import doctor
from raysched.cli.down import down
from raysched.cli.download import download
from raysched.cli.ending import to_the_end
from raysched.cli.engines import engines
from raysched.cli.evaluate import evaluate
from raysched.cli.export import export
from raysched.cli.gates import drain, pause, resume
from raysched.cli.jobs import answer, cancel, explain, retry, status, watch
from raysched.cli.journal import app as journal
from raysched.cli.login import login, logout
from raysched.cli.logs import logs
from raysched.cli.options import verb
from raysched.cli.report import report
from raysched.cli.reports import cluster, usage
from raysched.cli.run import run
from raysched.cli.sim import sim
from raysched.cli.slides import app as slides
from raysched.cli.slides import upload
from raysched.cli.submit import submit
from raysched.cli.up import up
from raysched.cli.users import app as users

app = typer.Typer(
    name="raysched",
    help="Segment every cell of whole-slide images on a shared Ray cluster.",
    epilog="Settings: RAYSCHED_CONFIG names a TOML file; see configs/default.toml. "
    "RAYSCHED_SERVER names a server to ask over HTTP.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)

HERE = "Work on this machine"
SERVICE = "Use the running service"

for function, panel in (
    (demo, HERE),
    (run, HERE),
    (up, HERE),
    (down, HERE),
    (doctor, HERE),
    (sim, HERE),
    (engines, HERE),
    (evaluate, HERE),
    (submit, SERVICE),
    (status, SERVICE),
    (watch, SERVICE),
    (explain, SERVICE),
    (logs, SERVICE),
    (answer, SERVICE),
    (cancel, SERVICE),
    (retry, SERVICE),
    (pause, SERVICE),
    (drain, SERVICE),
    (resume, SERVICE),
    (export, SERVICE),
    (report, SERVICE),
    (diff, SERVICE),
    (download, SERVICE),
    (upload, SERVICE),
    (login, SERVICE),
    (logout, SERVICE),
    (cluster, SERVICE),
    (usage, SERVICE),
):
    app.command(rich_help_panel=panel)(verb(function))
app.add_typer(journal, name="journal", rich_help_panel=HERE)
app.add_typer(slides, name="slide", rich_help_panel=SERVICE)
app.add_typer(users, name="user", rich_help_panel=SERVICE)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"raysched {__version__}")
        raise typer.Exit


@app.callback()
def _start(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_print_version, is_eager=True, help="Show the version."),
    ] = False,
) -> None:
    """Take what stands before the verb."""


def main() -> None:
    """The console script's entry."""
    to_the_end(app)
