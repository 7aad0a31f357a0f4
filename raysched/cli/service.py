"""What the verbs ask of a running service, wherever it runs.

One protocol with two implementations: ``Here`` reaches the cluster as its operator, ``There`` asks
a server over HTTP with a key. Verbs ask ``reach`` for one and know no more.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Protocol

from raysched.errors import InvalidSetting, NotFound

if TYPE_CHECKING:
    from pydantic import BaseModel

    from raysched.cli.options import Serving
    from raysched.cli.there import There
    from raysched.core.accounts import Role
    from raysched.results.exports.formats import Format
    from serve_app.account_models import Key, NewKey, User
    from serve_app.estimate_models import Estimate
    from serve_app.log_models import LogLine
    from serve_app.models import Engines, Gates, Job, Jobs, Why, Workflow
    from serve_app.node_models import NodeLanes
    from serve_app.report_models import Cluster, UsageReport

Show = Callable[["Job"], None]
NEWS_WAIT_S = 1.0
"""What an engine prints is in no event: who follows a log looks for it this often."""


@dataclass(frozen=True, slots=True)
class Wrote:
    """A file or folder that was written, what it holds of a job, and the files beside it."""

    path: Path
    size_bytes: int
    cells: int
    complete: bool
    beside: tuple[Path, ...] = ()


@dataclass(frozen=True, slots=True)
class LogWish:
    """From which level on lines are wanted, and whether until the job has ended."""

    level: str
    follow: bool


@dataclass(frozen=True, slots=True)
class Compared:
    """A difference that was written: its numbers, and the files with them."""

    numbers: dict[str, Any]
    files: tuple[Path, ...]


class Result(Protocol):
    """A result, or what an unfinished job has so far."""

    @property
    def name(self) -> str:
        """What files about it are called unless somebody says otherwise."""

    def export(self, format: Format, out: Path) -> Wrote:  # noqa: A002
        """Write an exchange format, and beside it what the format cannot hold."""

    def stream_export(self, format: Format, to: BinaryIO) -> None:  # noqa: A002
        """The exchange format alone."""

    def report(self, out: Path) -> tuple[Wrote, int]:
        """Write the page about it; also how many tiles failed."""

    def stream_report(self, to: BinaryIO) -> None:
        """The page."""

    def diff(self, other: Result, out: Path) -> Compared:
        """Write what it has in common with another."""

    def stream_diff(self, other: Result, to: BinaryIO) -> None:
        """The page of the difference."""


class Users(Protocol):
    """Who may use the service."""

    def users(self) -> tuple[User, ...]:
        """All that are not deleted."""

    def create_user(self, user: str, *, name: str | None = None, role: Role | str = "user") -> User:
        """Take one in."""

    def change_user(self, user: str, **changes: Any) -> User:
        """Change what is given."""

    def delete_user(self, user: str) -> User:
        """For ever."""

    def user_keys(self, user: str) -> tuple[Key, ...]:
        """Without their secrets."""

    def make_user_key(
        self,
        user: str,
        name: str = "key",
        *,
        role: Role | str | None = None,
        days: float | None = None,
    ) -> NewKey:
        """A key, shown this once."""

    def revoke_user_key(self, user: str, key: str) -> None:
        """End a key or a session."""


class Service(Users, Protocol):
    """A running service."""

    @property
    def takes(self) -> tuple[type[BaseModel], type[BaseModel]]:
        """How a workflow and one of its jobs are described there."""

    def submit_workflow(self, work: BaseModel, key: str) -> Workflow:
        """Submit what is described as ``takes`` says."""

    def estimate_work(self, work: BaseModel) -> Estimate:
        """What it would be, without submitting it."""

    def newest_jobs(self, *, only_open: bool = False) -> Jobs:
        """The first page of the jobs of who asks, newest first."""

    def job(self, job: str) -> Job:
        """One job."""

    def explain(self, job: str) -> Why:
        """Why it is where it is."""

    def follow(self, job: str, show: Show) -> Job:
        """Show each change until the job has ended or waits for a person."""

    def cancel(self, job: str) -> Job:
        """End it."""

    def retry(self, job: str) -> Job:
        """Try it again."""

    def retry_failed_tiles(self, job: str) -> Workflow:
        """Run its failed tiles again, as a new job."""

    def answer_mpp(self, job: str, mpp: float) -> Job:
        """Tell it its slide's pixel size."""

    def read_log(self, job: str, ask: LogWish, say: Callable[[LogLine], None]) -> None:
        """Say each line of what was said of a job, oldest first."""

    def usage_report(self, since: date | None, until: date | None, user: str | None) -> UsageReport:
        """What users used, as far as who asks may see it."""

    def cluster(self, limit: int = 100) -> Cluster:
        """The service at this moment; lists hold up to ``limit`` entries."""

    def engines(self) -> Engines:
        """What finds cells there."""

    def pause(self) -> Gates:
        """Let nothing new start."""

    def drain(self) -> Gates:
        """Take no new work in."""

    def resume(self) -> Gates:
        """End a pause and a drain."""

    def drain_node(self, node: str) -> NodeLanes:
        """Empty one node."""

    def resume_node(self, node: str) -> NodeLanes:
        """End the drain of a node."""

    def result(self, job: str) -> Result:
        """The result of a job."""

    def place(self, job: Job) -> str:
        """Where its results are, for people."""


@contextmanager
def reach(options: Serving) -> Iterator[Service]:
    """The service that the command line means: a server if one is named, with ``--server`` or in
    the environment, else the cluster. Raises ``InvalidSetting``."""
    from raysched.config import load_remote

    if options.server and options.address:
        raise InvalidSetting(
            "--server and --address name two services.",
            remedy="Leave one out: a server is asked over HTTP, an address is a Ray cluster's.",
        )
    server = options.server or (None if options.address else load_remote().server)
    if server:
        from raysched.cli.there import There

        with There.at(server) as there:
            yield there
    else:
        from raysched.cli.here import Here

        yield Here(options.address)


@contextmanager
def reach_server(options: Serving) -> Iterator[There]:
    """The server that the command line means. Raises ``InvalidSetting`` where it names none."""
    from raysched.cli.there import There

    with reach(options) as service:
        if not isinstance(service, There):
            raise InvalidSetting(
                "This is asked of a server, and none is named.",
                remedy="Name one with --server URL or RAYSCHED_SERVER. Beside the cluster slides "
                "and results are files: name them by their path.",
            )
        yield service


@contextmanager
def result_meant(what: str, options: Serving) -> Iterator[Result]:
    """The results folder that is given, or that of a job of the running service."""
    path = Path(what)
    if path.is_dir():
        from raysched.cli.folder import FolderResult

        yield FolderResult(path.absolute())
    elif what.startswith("job-"):
        with reach(options) as service:
            yield service.result(what)
    else:
        raise NotFound(
            f"There is no folder {path}.", remedy="Give a results folder or the id of a job."
        )
