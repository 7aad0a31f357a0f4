"""A result as a folder on this machine."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from raysched.cli.service import Compared, Result, Wrote
from raysched.errors import InvalidSetting
from raysched.results.exports.formats import Format


@dataclass(frozen=True, slots=True)
class FolderResult:
    """See ``raysched.cli.service.Result``."""

    folder: Path

    @property
    def name(self) -> str:
        """The folder's."""
        return self.folder.name.lstrip(".")

    def export(self, format: Format, out: Path) -> Wrote:  # noqa: A002
        """See ``Result.export``."""
        from raysched.results.exports.export import export_files

        made = export_files(self.folder, out, format)
        held = made.contents
        return Wrote(made.path, made.size_bytes, held.cells, held.complete, made.beside)

    def stream_export(self, format: Format, to: BinaryIO) -> None:  # noqa: A002
        """See ``Result.stream_export``."""
        from raysched.results.exports.export import Export

        Export(self.folder, format).stream(to)

    def report(self, out: Path) -> tuple[Wrote, int]:
        """See ``Result.report``."""
        from raysched.results.report.report import Report

        made = Report(self.folder)
        size_bytes = made.file(out)
        counts = made.facts.manifest.counts
        return Wrote(out, size_bytes, counts.cells, True), len(counts.tiles_failed)

    def stream_report(self, to: BinaryIO) -> None:
        """See ``Result.stream_report``."""
        from raysched.results.report.report import Report

        to.writelines(Report(self.folder).pieces())

    def diff(self, other: Result, out: Path) -> Compared:
        """See ``Result.diff``."""
        from raysched.results.difference.difference import Difference, suffix_of

        difference = Difference(self.folder, _folder(other))
        if suffix_of(out) is None:
            written = difference.folder(out)
        else:
            difference.file(out)
            written = [out]
        return Compared(difference.numbers(), tuple(written))

    def stream_diff(self, other: Result, to: BinaryIO) -> None:
        """See ``Result.stream_diff``."""
        from raysched.results.difference.difference import Difference

        to.writelines(Difference(self.folder, _folder(other)).pieces())


def _folder(other: Result) -> Path:
    if isinstance(other, FolderResult):
        return other.folder
    raise InvalidSetting(
        "One of the two results is here, the other at a server.",
        remedy="Name two jobs of the server, or download the results and name two folders.",
    )
