"""The journal when others hold it, or the disk will not take it; all of it for real."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from attack import Begin, event, kill, line, read

from raysched.core.events import MppMissed
from raysched.core.model import RunId
from raysched.errors import StateLocked, StorageFailed, StorageFull
from raysched.journal.entries import Entry
from raysched.journal.journal import Journal

HOLDER = """
import sys
from pathlib import Path
from raysched.journal.journal import Journal

journal = Journal.open(Path(sys.argv[1]))
print("held", flush=True)
sys.stdin.read()
"""

FOREIGN_HOLDER = """
import sys, duckdb
db = duckdb.connect(sys.argv[1] + "/journal.duckdb")
print("held", flush=True)
sys.stdin.read()
"""

FILLER = """
import resource, sys
from pathlib import Path
from raysched.core.events import MppMissed
from raysched.errors import RayschedError
from raysched.journal.entries import Entry
from raysched.journal.journal import Journal

journal = Journal.open(Path(sys.argv[1]))
journal.next_epoch()
if limit := int(sys.argv[2]):
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
for said in range(2):
    try:
        while True:
            event = MppMissed(float(len(journal) + 1), "r1", "?" * 100_000)
            journal.append([Entry(event)])
            if len(journal) > 1_000:
                sys.exit("the disk never got full")
    except RayschedError as error:
        print(len(journal), error.code, "|", error, "|", error.remedy, flush=True)
journal.close()
"""


NOBODY = """
import os, sys
from pathlib import Path
from raysched.errors import RayschedError
from raysched.journal.journal import Journal

if os.geteuid() == 0:
    os.setuid(65534)  # permissions do not bind root
try:
    Journal.open(Path(sys.argv[1]))
except RayschedError as error:
    print(error.code, error)
"""


# --- locked ---------------------------------------------------------------------------------------


def test_a_journal_that_another_process_holds_is_locked_and_names_that_process(
    folder: Path, begin: Begin
) -> None:
    holder = begin(HOLDER, folder)
    assert line(holder) == "held"
    with pytest.raises(StateLocked, match=f"process {holder.pid} on ") as caught:
        Journal.open(folder, lock_wait_s=0.1)
    assert f"Stop process {holder.pid} on " in caught.value.remedy
    kill(holder)
    assert read(folder) == [event(seq) for seq in range(1, 11)]


def test_opening_waits_for_the_holder_to_end(folder: Path, begin: Begin) -> None:
    holder = begin(HOLDER, folder)
    assert line(holder) == "held"
    assert holder.stdin is not None
    holder.stdin.close()
    with Journal.open(folder, lock_wait_s=60.0) as journal:
        assert len(journal) == 10


def test_a_journal_file_that_a_database_shell_has_open_is_locked_too(
    folder: Path, begin: Begin
) -> None:
    shell = begin(FOREIGN_HOLDER, folder)
    assert line(shell) == "held"
    with pytest.raises(StateLocked, match=f"in use by process {shell.pid}"):
        Journal.open(folder, lock_wait_s=0.1)
    kill(shell)
    assert len(read(folder)) == 10


def test_one_process_cannot_open_a_journal_twice_either(folder: Path) -> None:
    with (
        Journal.open(folder),
        pytest.raises(StateLocked, match=f"process {os.getpid()} on "),
    ):
        Journal.open(folder, lock_wait_s=0.0)
    assert len(read(folder)) == 10


# --- no room, no way to write ---------------------------------------------------------------------


def check_full(begin: Begin, folder: Path, limit: int) -> None:
    filler = begin(FILLER, folder, limit)
    out, _ = filler.communicate()
    first, second = out.splitlines()
    durable = int(first.split()[0])
    assert first.startswith(f"{durable} storage_full | There is no room to write the journal")
    assert "Make room on the disk of" in first
    assert second.startswith(f"{durable} storage_failed | ")
    assert "takes no more requests: an earlier write failed (storage_full)" in second
    assert filler.returncode == 0
    assert [e.at for e in read(folder)] == [float(seq) for seq in range(1, durable + 1)]


def test_a_file_that_may_not_grow_is_a_full_disk_and_loses_nothing(
    tmp_path: Path, begin: Begin
) -> None:
    check_full(begin, tmp_path, limit=1_500_000)


@pytest.fixture
def small_disk() -> Iterator[Path]:
    """3 MB of real file system. Not under tmp_path, which other sessions may tidy away."""
    with tempfile.TemporaryDirectory(prefix="raysched-small-disk-") as name:
        mount = ["mount", "-t", "tmpfs", "-o", "size=3m", "none", name]
        try:
            done = subprocess.run(mount, capture_output=True, text=True, check=False)
        except FileNotFoundError:
            pytest.skip("no mount command to make a small disk with")
        if done.returncode:
            pytest.skip(f"a small disk cannot be mounted: {done.stderr.strip()}")
        yield Path(name)
        subprocess.run(["umount", name], check=True)


def test_a_full_disk_is_said_to_be_full_and_loses_nothing(small_disk: Path, begin: Begin) -> None:
    check_full(begin, small_disk / "state", limit=0)
    with Journal.open(small_disk / "state") as journal, pytest.raises(StorageFull):
        journal.next_epoch()
        journal.append([Entry(MppMissed(1.0, RunId("r1"), "?" * 3_000_000))])


def test_a_disk_that_is_full_from_the_start_is_said_to_be_full(small_disk: Path) -> None:
    filling = (small_disk / "filling").open("wb", buffering=0)
    with filling, pytest.raises(OSError, match="No space left"):
        while True:
            filling.write(bytes(65_536))
    with pytest.raises(StorageFull, match="There is no room"):
        Journal.open(small_disk / "state")
    (small_disk / "filling").unlink()
    assert read(small_disk / "state") == []


def test_a_folder_that_cannot_be_made_is_a_storage_failure(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    for folder in (tmp_path / "file", tmp_path / "file" / "state"):
        with pytest.raises(StorageFailed, match="cannot be used") as caught:
            Journal.open(folder)
        assert str(folder) in caught.value.remedy


def test_a_folder_without_permission_to_write_is_a_storage_failure(begin: Begin) -> None:
    with tempfile.TemporaryDirectory(prefix="raysched-not-yours-") as name:
        Path(name).chmod(0o555)
        said, _ = begin(NOBODY, name).communicate()
        Path(name).chmod(0o755)
        assert said.startswith(f"storage_failed The journal {name}/journal.duckdb cannot be used:")
        assert "Permission denied" in said
        assert list(Path(name).iterdir()) == []


def test_a_folder_in_the_place_of_the_file_is_a_storage_failure(tmp_path: Path) -> None:
    (tmp_path / "journal.duckdb").mkdir()
    with pytest.raises(StorageFailed, match="directory"):
        Journal.open(tmp_path)
