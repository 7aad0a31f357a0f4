"""What a client asks of results: lists, downloads, exports, reports, differences."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import quote

from raysched.client.files import Progress, download
from raysched.client.wire import Call, Wire, at
from raysched.results.exports.formats import Format
from serve_app.download_models import Results
from serve_app.models import Diff, Job


class ResultVerbs:
    """Verbs of ``Client``. A file appears when it is whole; none that is there is replaced."""

    _wire: Wire

    def results(self, job: str) -> Results:
        """The files of a job's results with their sizes. Raises ``NotReady`` before its end."""
        return self._wire.ask(Results, Call(method="GET", path=at("jobs", job, "results")))

    def delete_results(self, job: str) -> Job:
        """Delete the results of a job that has ended, and what it has computed; the job stays."""
        return self._wire.ask(Job, Call(method="DELETE", path=at("jobs", job, "results")))

    def download(
        self, job: str, path: str, to: Path | str | None = None, progress: Progress | None = None
    ) -> Path:
        """One file of a job's results, ``path`` as ``results`` lists it, into the file ``to``
        (default: its name, here). Goes on where an earlier call was interrupted."""
        place = Path(to) if to is not None else Path(Path(path).name)
        call = Call(method="GET", path=f"{at('jobs', job, 'results')}/{quote(path)}")
        return download(self._wire, call, place, progress)

    def download_zip(
        self, job: str, to: Path | str | None = None, progress: Progress | None = None
    ) -> Path:
        """All results of a job as one zip. Goes on where an earlier call was interrupted."""
        call = Call(method="GET", path=at("jobs", job, "results.zip"))
        return download(self._wire, call, Path(to or f"{job}.zip"), progress)

    def export(
        self,
        job: str,
        format: Format | str,  # noqa: A002
        to: Path | str,
        *,
        gzip: bool = False,
        progress: Progress | None = None,
    ) -> Path:
        """The cells in an exchange format, of an unfinished job those found so far. A format that
        is a folder comes as a zip. Raises ``NotReady`` when there are none."""
        params = {"format": str(format), "gzip": gzip}
        call = Call(method="GET", path=at("jobs", job, "export"), params=params)
        return download(self._wire, call, Path(to), progress)

    def report(self, job: str, to: Path | str | None = None) -> Path:
        """The result as one self-contained page of HTML."""
        call = Call(method="GET", path=at("jobs", job, "report"))
        return download(self._wire, call, Path(to or f"{job}.html"))

    def diff(self, job: str, other: str) -> Diff:
        """What two results of one slide have in common. Raises ``DifferentSlides``."""
        return self._wire.ask(Diff, Call(method="GET", path=at("jobs", job, "diff", other)))

    def diff_page(self, job: str, other: str, to: Path | str | None = None) -> Path:
        """The same as one self-contained page of HTML, with a map."""
        call = Call(method="GET", path=at("jobs", job, "diff", other, "page"))
        return download(self._wire, call, Path(to or f"{job}-{other}.diff.html"))
