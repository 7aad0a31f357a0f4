"""Slides of which some tiles cannot be read, for a while or for ever."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import tifffile

from raysched.imaging.slide import file_state
from raysched.results.staging import staging_folder


@dataclass
class Rotten:
    """A copy of a slide whose last TIFF tile, the corner at the right and bottom, can be spoilt and
    mended again, byte for byte."""

    path: Path
    at: int
    good: bytes

    @classmethod
    def of(cls, slide: Path, path: Path) -> Rotten:
        """A sound copy, compressed: what is spoilt cannot be decoded. With a second level, in which
        the slide as a whole can be seen also while the first is spoilt."""
        rgb = tifffile.imread(slide)
        form = {"tile": (256, 256), "photometric": "rgb", "compression": "zlib"}
        with tifffile.TiffWriter(path) as file:
            file.write(rgb, **form, metadata=None)
            file.write(rgb[::8, ::8].copy(), **form, subfiletype=1, metadata=None)
        with tifffile.TiffFile(path) as file:
            at, size = file.pages[0].dataoffsets[-1], file.pages[0].databytecounts[-1]
        with path.open("rb") as sound:
            sound.seek(at)
            return cls(path, at, sound.read(size))

    def spoil(self) -> None:
        """Write zeros where the tile was."""
        self._write(bytes(len(self.good)))

    def mend(self) -> None:
        """The same bytes as at first."""
        self._write(self.good)

    def _write(self, content: bytes) -> None:
        with self.path.open("r+b") as file:
            file.seek(self.at)
            file.write(content)


def pretend_unchanged(out: Path, job: str, slide: Path) -> None:
    """A disk that rots tells nobody: the system says of the slide's file what it said before."""
    path = staging_folder(out, job) / "planned.json"
    receipt = json.loads(path.read_text())
    receipt["slide_state"] = file_state(slide)
    path.write_text(json.dumps(receipt))
