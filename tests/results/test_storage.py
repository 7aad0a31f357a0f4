"""What a place on the disk holds, and folders that appear when they are whole."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from raysched.cli.beside import unpack
from raysched.errors import StorageFailed
from raysched.results.storage import readable_size, size_of


def test_a_place_has_the_bytes_of_its_files(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "b").write_bytes(b"123")
    (tmp_path / "c").write_bytes(b"4567")
    (tmp_path / "link").symlink_to(tmp_path / "c")
    places = (tmp_path, tmp_path / "c", tmp_path / "link", tmp_path / "gone")
    assert tuple(map(size_of, places)) == (7, 4, 0, 0)


def test_a_zip_becomes_a_folder_whole_or_not_at_all(tmp_path: Path) -> None:
    packed, out = tmp_path / "packed.zip", tmp_path / "out"
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("job-1/manifest.json", "{}")
    with pytest.raises(StorageFailed):
        unpack(packed, out, "job-2")
    assert [path.name for path in tmp_path.iterdir()] == ["packed.zip"]
    unpack(packed, out, "job-1")
    assert (out / "manifest.json").read_text() == "{}"
    assert {path.name for path in tmp_path.iterdir()} == {"packed.zip", "out"}


@pytest.mark.parametrize(
    ("size_bytes", "said"),
    [(0, "0 bytes"), (999, "999 bytes"), (1000, "1.0 kB"), (5_000_000_000, "5.0 GB")],
)
def test_a_size_is_said_in_the_unit_that_suits_it(size_bytes: int, said: str) -> None:
    assert readable_size(size_bytes) == said
