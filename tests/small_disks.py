"""A small real file system of a test's own, to be filled, shut and taken away."""

from __future__ import annotations

import contextlib
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest


@dataclass(frozen=True)
class SmallDisk:
    """A tmpfs at ``path``."""

    path: Path

    def fill(self, leave: int = 0) -> None:
        """Take all room but for so many bytes."""
        with (self.path / "filling").open("ab", buffering=0) as filling:
            for size in (65_536, 4096, 1):
                with contextlib.suppress(OSError):
                    while True:
                        filling.write(bytes(size))
        if leave:
            with (self.path / "filling").open("ab") as filling:
                filling.truncate(max(0, filling.tell() - leave))

    def free(self) -> None:
        """Give the room back."""
        (self.path / "filling").unlink()

    @contextmanager
    def read_only(self) -> Iterator[None]:
        """Nothing can be written for a while."""
        mounted("-o", "remount,ro", str(self.path))
        try:
            yield
        finally:
            mounted("-o", "remount,rw", str(self.path))


def mounted(*options: str) -> None:
    """Skips the test where nothing may be mounted, with what was said."""
    try:
        done = subprocess.run(["mount", *options], capture_output=True, text=True, check=False)
    except FileNotFoundError:
        pytest.skip("no mount command to make a small disk with")
    if done.returncode:
        pytest.skip(f"a small disk cannot be mounted: {done.stderr.strip()}")


@contextmanager
def small_disk(size: str) -> Iterator[SmallDisk]:
    """Not under tmp_path, which other sessions may tidy away."""
    with tempfile.TemporaryDirectory(prefix="raysched-small-disk-") as name:
        mounted("-t", "tmpfs", "-o", f"size={size}", "none", name)
        try:
            yield SmallDisk(Path(name))
        finally:
            subprocess.run(["umount", "--lazy", name], check=True)
