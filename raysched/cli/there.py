"""The service as everybody else reaches it: over HTTP, with a key."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Self

from pydantic import BaseModel

from raysched.cli.beside import beside, unpack
from raysched.cli.service import NEWS_WAIT_S, Compared, LogWish, Result, Show, Wrote
from raysched.client import Client
from raysched.client.wire import Call
from raysched.core.accounts import Role
from raysched.core.model import JobState
from raysched.errors import InvalidSetting, SlideMissing
from raysched.results.exports.formats import KINDS, PACKED, Format, Shape, paths_of
from raysched.results.storage import size_of
from serve_app.log_models import LogLine
from serve_app.models import HttpJob, HttpSubmission, Job, Jobs, Workflow
from serve_app.report_models import UsageReport

if TYPE_CHECKING:
    from serve_app.estimate_models import Estimate

PATIENCE_S = 15.0
"""A restart of the service is waited out, and a person is told in time of one that is gone."""
DIFF_PARTS = (".html", ".json")


class There(Client):
    """See ``raysched.cli.service.Service``: a client is one, with the verbs that people use on
    top."""

    @classmethod
    def at(cls, server: str) -> Self:
        """The server with the key that is known for it. Raises ``Unauthorized``."""
        from raysched.cli.keys import key_for

        return cls(server, key_for(server), patience_s=PATIENCE_S)

    @property
    def takes(self) -> tuple[type[BaseModel], type[BaseModel]]:
        """See ``Service.takes``: the server decides where results go."""
        return HttpSubmission, HttpJob

    def submit_workflow(self, work: BaseModel, key: str) -> Workflow:
        """See ``Service.submit_workflow``."""
        asked = HttpSubmission.model_validate(work)
        here = sorted({job.slide for job in asked.jobs if Path(job.slide).is_file()})
        known = {name: self.uploaded(name) for name in here}
        # In full where it was not sent: of another file of that name there nobody speaks.
        named = {name: at.id if at else str(Path(name).resolve()) for name, at in known.items()}
        try:
            return self.submit(*_with_slides(asked, named), name=asked.name, key=key)
        except SlideMissing:
            if all(known.values()):
                raise
        named |= {name: self._send(Path(name)) for name, at in known.items() if at is None}
        return self.submit(*_with_slides(asked, named), name=asked.name, key=key)

    def _send(self, file: Path) -> str:
        """The id of the slide that a file becomes at the server."""
        from raysched.cli.bars import bar_for

        with bar_for(file.name) as moved:
            return self.upload(file, progress=moved).id

    def estimate_work(self, work: BaseModel) -> Estimate:
        """See ``Service.estimate_work``: of slides that the server has; none is uploaded."""
        asked = HttpSubmission.model_validate(work)
        here = {job.slide for job in asked.jobs if Path(job.slide).is_file()}
        named = {name: at.id for name in here if (at := self.uploaded(name))}
        return self.estimate(*_with_slides(asked, named), name=asked.name)

    def newest_jobs(self, *, only_open: bool = False) -> Jobs:
        """See ``Service.newest_jobs``."""
        params = {"open": True} if only_open else {}
        return self._wire.ask(Jobs, Call(method="GET", path="/jobs", params=params))

    def follow(self, job: str, show: Show) -> Job:
        """See ``Service.follow``."""
        last = self.job(job)
        for last in self.watch(job):
            show(last)
        return last

    def read_log(self, job: str, ask: LogWish, say: Callable[[LogLine], None]) -> None:
        """See ``Service.read_log``."""
        cursor = None
        while True:
            page = self.log(job, cursor=cursor, level=ask.level)
            for line in page.lines:
                say(line)
            cursor = page.next
            if page.complete and (page.state.is_final or not ask.follow):
                return
            if page.complete:
                time.sleep(NEWS_WAIT_S)

    def usage_report(self, since: date | None, until: date | None, user: str | None) -> UsageReport:
        """See ``Service.usage_report``: an administrator sees everybody's, others their own."""
        if user is None and self.me().role is not Role.ADMIN:
            return self.my_usage(since=since, until=until)
        return self.usage(since=since, until=until, user=user)

    def result(self, job: str) -> Result:
        """See ``Service.result``."""
        return ServerResult(self, job)

    def place(self, job: Job) -> str:
        """See ``Service.place``."""
        return f"get its results with: raysched download {job.id}"


@dataclass(frozen=True, slots=True)
class ServerResult:
    """See ``raysched.cli.service.Result``: files are made by the server."""

    client: Client
    name: str
    """The job's id."""

    def export(self, format: Format, out: Path) -> Wrote:  # noqa: A002
        """See ``Result.export``."""
        job = self.client.job(self.name)
        complete = job.state is JobState.SUCCEEDED
        first, *beside = paths_of(out, format)
        size_bytes = self._export(format, first)
        for other, path in zip(KINDS[format].beside, beside, strict=True):
            self._export(other, path)
        return Wrote(first, size_bytes, job.cells, complete, tuple(beside))

    def stream_export(self, format: Format, to: BinaryIO) -> None:  # noqa: A002
        """See ``Result.stream_export``."""
        _through(lambda path: self.client.export(self.name, format, path), to)

    def report(self, out: Path) -> tuple[Wrote, int]:
        """See ``Result.report``."""
        job = self.client.job(self.name)
        size_bytes = self.client.report(self.name, out).stat().st_size
        return Wrote(out, size_bytes, job.cells, True), job.tiles_failed

    def stream_report(self, to: BinaryIO) -> None:
        """See ``Result.stream_report``."""
        _through(lambda path: self.client.report(self.name, path), to)

    def diff(self, other: Result, out: Path) -> Compared:
        """See ``Result.diff``: the numbers and the page, which are all that a server sends."""
        from raysched.results.difference.difference import suffix_of

        suffix, there = suffix_of(out), self._there(other)
        if suffix not in DIFF_PARTS and suffix is not None:
            raise InvalidSetting(
                f"A server sends no difference as {suffix}.",
                remedy="Name a folder, .html or .json; for all else download both results.",
            )
        numbers = self.client.diff(self.name, there)
        with beside(out) as fresh:
            fresh.mkdir()
            parts = {kind: fresh / f"diff{kind}" for kind in DIFF_PARTS}
            parts[".json"].write_text(numbers.model_dump_json(indent=2) + "\n")
            self.client.diff_page(self.name, there, parts[".html"])
            (parts[suffix] if suffix else fresh).replace(out)
        files = (out,) if suffix else tuple(out / f"diff{kind}" for kind in DIFF_PARTS)
        return Compared(numbers.model_dump(mode="json"), files)

    def stream_diff(self, other: Result, to: BinaryIO) -> None:
        """See ``Result.stream_diff``."""
        there = self._there(other)
        _through(lambda path: self.client.diff_page(self.name, there, path), to)

    def _export(self, format: Format, out: Path) -> int:  # noqa: A002
        """Write one format; its size in bytes."""
        gzip = out.suffix == PACKED[Shape.STREAM]
        if KINDS[format].shape is not Shape.FOLDER or out.suffix == PACKED[Shape.FOLDER]:
            return self.client.export(self.name, format, out, gzip=gzip).stat().st_size
        with beside(out) as fresh:
            unpack(self.client.export(self.name, format, fresh.with_name("packed.zip")), out)
        return size_of(out)

    def _there(self, other: Result) -> str:
        if isinstance(other, ServerResult):
            return other.name
        raise InvalidSetting(
            "One of the two results is at a server, the other here.",
            remedy="Name two jobs of the server, or download the results and name two folders.",
        )


def _with_slides(asked: HttpSubmission, slides: Mapping[str, str]) -> list[HttpJob]:
    return [
        job.model_copy(update={"slide": slides[job.slide]}) if job.slide in slides else job
        for job in asked.jobs
    ]


def _through(fetch: Callable[[Path], Path], to: BinaryIO) -> None:
    """Fetch to a file and pass it on: so that nothing is said before all of it has come."""
    with (
        tempfile.TemporaryDirectory(prefix="raysched-") as name,
        fetch(Path(name) / "fetched").open("rb") as file,
    ):
        shutil.copyfileobj(file, to)
