"""The door to reports: the page in pieces, or as a file that appears whole or not at all."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path

from raysched.results.report.facts import gather
from raysched.results.report.page import after_preview, before_preview
from raysched.results.storage import Disk, storage

SUFFIX = ".report.html"
PIECE_BYTES = 3 << 16
"""A multiple of 3, so that pieces of base64 join without padding."""


class Report:
    """A finished result as one self-contained page of HTML, gathered when it is opened.

    Raises ``NotReady`` when there is no finished result, ``StorageFailed`` when it is damaged.
    """

    def __init__(self, folder: Path) -> None:
        self.facts = gather(folder)

    def pieces(self) -> Iterator[bytes]:
        """The page as UTF-8. Only a piece of the preview is in memory at a time."""
        yield before_preview(self.facts).encode()
        with storage(self.facts.preview), self.facts.preview.open("rb") as file:
            yield b"data:image/png;base64,"
            while piece := file.read(PIECE_BYTES):
                yield b64encode(piece)
        yield after_preview(self.facts).encode()

    def file(self, path: Path, disk: Disk | None = None) -> int:
        """Write the page to a file; its size in bytes."""
        with storage(path):
            with (disk or Disk()).replacing(path) as file:
                for piece in self.pieces():
                    file.write(piece)
            return path.stat().st_size
