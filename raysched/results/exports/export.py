"""The door to all exports: of a results folder, or of what an unfinished job has so far.

An export of an unfinished job says so in its provenance (``"complete": false``); its ids are
provisional. What exists of finished jobs only (the label images) is refused before it has ended.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from pkgutil import resolve_name
from tempfile import TemporaryDirectory
from typing import Any, BinaryIO

from raysched.errors import InvalidSetting, NotReady
from raysched.results.exports.archives import compressed, zip_tree
from raysched.results.exports.cells import Cells
from raysched.results.exports.formats import KINDS, PACKED, Format, Shape, named, paths_of, unpacked
from raysched.results.reading import Contents
from raysched.results.storage import Disk, size_of, storage, unique

COPY_BYTES = 1 << 20
COMPRESSED = {Format.GEOPARQUET, Format.OME_ZARR_ZIP}
"""Streams that gzip would make no smaller."""


@dataclass(frozen=True, slots=True)
class Written:
    """A file or folder that was written, of how many bytes, and the files beside it."""

    path: Path
    size_bytes: int
    contents: Contents
    beside: tuple[Path, ...] = ()


class Export:
    """One export, opened and checked before anything is written. ``same`` as in ``Cells``.

    Raises ``NotReady`` when there are no cells, or not yet what the format is made of,
    ``InvalidSetting`` when the format needs a library that is not there, ``StorageFailed``.
    """

    def __init__(
        self,
        folder: Path,
        format: Format,  # noqa: A002
        same: Cells | None = None,
    ) -> None:
        self.format = format
        self.kind = KINDS[format]
        self._write = _writer(format)
        self._cells = Cells(folder, format, same)
        if self.kind.whole and not self.contents.complete:
            partial = ", ".join(name for name, kind in KINDS.items() if not kind.whole)
            raise NotReady(
                f"There is no {format} of {self.contents.job} yet: its label image is painted "
                "when all cells have been found.",
                remedy=f"Wait until it has succeeded, or take the cells so far: {partial}.",
            )

    @property
    def cells(self) -> Cells:
        """The cells, to be exported once more in another format."""
        return self._cells

    @property
    def contents(self) -> Contents:
        """What is exported."""
        return self._cells.contents

    def beside(self) -> list[Export]:
        """Exports of the very same cells that hold what this format cannot."""
        return [Export(self._cells.folder, other, self._cells) for other in self.kind.beside]

    def stream(self, to: BinaryIO, *, gzipped: bool = False) -> None:
        """Write to a stream that cannot seek. A folder goes as a zip; what must be a file or
        folder first is made in the system's temporary folder. Raises what ``check_gzip`` does.
        """
        if gzipped:
            self.check_gzip()
            with compressed(to) as packed:
                self.stream(packed)
        elif self.kind.shape is Shape.STREAM:
            self._write(self._cells, to)
        else:
            with TemporaryDirectory(prefix="raysched-export-") as name:
                made = Path(name) / "made"
                with storage(made):
                    self._write(self._cells, made)
                if self.kind.shape is Shape.FOLDER:
                    zip_tree(made, to)
                else:
                    with made.open("rb") as file:
                        shutil.copyfileobj(file, to, COPY_BYTES)

    def file(self, path: Path) -> Written:
        """Write a file or folder that appears when it is complete and valid.

        ``.gz`` at the end of the name gzips a stream, ``.zip`` makes one file of a folder.
        """
        one_file = self.kind.shape is Shape.FOLDER and path.suffix == PACKED[Shape.FOLDER]
        with storage(path):
            if self.kind.shape is Shape.STREAM or one_file:
                with Disk().replacing(path) as file:
                    self.stream(file, gzipped=path.suffix == PACKED[Shape.STREAM])
            else:
                with replacing_tree(path) as fresh:
                    self._write(self._cells, fresh)
            return Written(path, size_of(path), self.contents)

    def check_gzip(self) -> None:
        """Raises ``InvalidSetting`` for a format that is compressed already."""
        if self.kind.shape is not Shape.STREAM or self.format in COMPRESSED:
            raise InvalidSetting(
                f"The format {self.format} is not gzipped: it is compressed already.",
                remedy="Leave gzip, or the ending .gz, away.",
            )


def export_files(folder: Path, path: Path, format: Format | None = None) -> Written:  # noqa: A002
    """An export as a file or folder, and beside it what the format cannot hold.

    Without ``format`` the name decides: ``cells.csv``, ``cells.geojson.gz``. Raises
    ``InvalidSetting`` when it does not, and what ``Export`` raises, before anything is written.
    """
    chosen = format or named(unpacked(path.name))
    if chosen is None:
        raise InvalidSetting(
            f"The name {path.name!r} is that of no export format.",
            remedy=f"Name a format, one of: {', '.join(KINDS)}.",
        )
    first = Export(folder, chosen)
    if path.suffix == PACKED[Shape.STREAM]:
        first.check_gzip()
    _, *beside = paths_of(path, chosen)
    written = first.file(path)
    for other, place in zip(first.beside(), beside, strict=True):
        other.file(place)
    return Written(path, written.size_bytes, written.contents, tuple(beside))


def _writer(format: Format) -> Callable[[Cells, Any], None]:  # noqa: A002
    extra = KINDS[format].extra
    try:
        write: Callable[[Cells, Any], None] = resolve_name(KINDS[format].writer)
    except ImportError as missing:
        if not extra:
            raise
        raise InvalidSetting(
            f"The format {format} needs a library that cannot be imported: {missing}.",
            remedy=f"Install it with `pip install 'raysched[{extra}]'`, or choose another format.",
        ) from missing
    return write


@contextmanager
def replacing_tree(path: Path) -> Iterator[Path]:
    """A new file or folder beside ``path`` that takes its name when it is complete."""
    disk = Disk()
    fresh = path.parent / f".{path.name}.{unique()}"
    try:
        yield fresh
        if fresh.is_dir():
            disk.sync_tree(fresh)
        else:
            disk.sync(fresh)
        disk.rename(fresh, path)
    finally:
        if fresh.is_dir():
            disk.remove_tree(fresh)
        else:
            fresh.unlink(missing_ok=True)
