"""The journal in foul weather: killed, locked out, out of room, damaged; all of it for real."""

from __future__ import annotations

import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import duckdb
import pytest

from raysched.core.events import Event, MppMissed, TimePassed
from raysched.core.model import RunId
from raysched.errors import JournalDamaged, StateLocked, StorageFailed, StorageFull
from raysched.journal.journal import Entry, Journal

ROOT = Path(__file__).parents[2]

WRITER = """
import random, sys
from pathlib import Path
from raysched.core.events import MppMissed, TimePassed
from raysched.journal.journal import Entry, Journal

def event(seq):
    return MppMissed(float(seq), "r1", "?" * 300_000) if seq % 7 == 0 else TimePassed(float(seq))

journal = Journal.open(Path(sys.argv[1]))
chance = random.Random(int(sys.argv[2]))
print(journal.next_epoch(), flush=True)
while True:
    first = len(journal) + 1
    journal.append([Entry(event(seq)) for seq in range(first, first + chance.randint(1, 9))])
    print(len(journal), flush=True)
"""

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
from raysched.journal.journal import Entry, Journal

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


def event(seq: int) -> Event:
    """The event that every writer here puts at ``seq``; every seventh is large."""
    if seq % 7 == 0:
        return MppMissed(float(seq), RunId("r1"), "?" * 300_000)
    return TimePassed(float(seq))


Begin = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def begin() -> Iterator[Begin]:
    """Starts a program in a process of its own; none outlives the test."""
    begun: list[subprocess.Popen[str]] = []

    def start(program: str, *arguments: object) -> subprocess.Popen[str]:
        command = [sys.executable, "-c", program, *map(str, arguments)]
        pipe = subprocess.PIPE
        begun.append(subprocess.Popen(command, cwd=ROOT, stdin=pipe, stdout=pipe, text=True))
        return begun[-1]

    yield start
    for process in begun:
        with process:  # closes the pipes and waits
            process.kill()


def line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def kill(process: subprocess.Popen[str]) -> list[str]:
    """SIGKILL; gives what the process had still said in whole lines."""
    process.kill()
    said, _ = process.communicate()
    return said[: said.rfind("\n") + 1].splitlines()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A state folder with ten events, closed properly."""
    folder = tmp_path / "state"
    write(folder, 1, 10)
    return folder


def write(folder: Path, first: int, last: int) -> None:
    with Journal.open(folder) as journal:
        journal.next_epoch()
        journal.append([Entry(event(seq)) for seq in range(first, last + 1)])


def read(folder: Path) -> list[Event]:
    with Journal.open(folder) as journal:
        return list(journal.replay())


def files(folder: Path) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in folder.glob("journal.duckdb*") if p.is_file()}


# --- killed ---------------------------------------------------------------------------------------


def test_killed_while_writing_again_and_again_no_acknowledged_event_is_lost(
    tmp_path: Path, begin: Begin
) -> None:
    chance = random.Random(20)
    acknowledged = 0
    for life in range(1, 7):
        writer = begin(WRITER, tmp_path, life)
        assert line(writer) == str(life)
        for _ in range(chance.randint(1, 40)):
            acknowledged = int(line(writer))
        for said in kill(writer):
            acknowledged = int(said)
        events = read(tmp_path)
        assert len(events) >= acknowledged
        assert events == [event(seq) for seq in range(1, len(events) + 1)]


def test_a_torn_tail_costs_nothing_but_what_was_torn_and_later_groups_hold(tmp_path: Path) -> None:
    with Journal.open(tmp_path / "live") as journal:
        journal.next_epoch()
        for seq in range(1, 7):
            journal.append([Entry(event(seq))])
        whole = files(tmp_path / "live")
    log = whole["journal.duckdb.wal"]
    for cut in range(len(log) - 40, len(log), 13):
        torn = tmp_path / f"torn-{cut}"
        torn.mkdir()
        (torn / "journal.duckdb").write_bytes(whole["journal.duckdb"])
        (torn / "journal.duckdb.wal").write_bytes(log[:cut])
        with Journal.open(torn) as journal:
            assert list(journal.replay()) == [event(seq) for seq in range(1, 6)]
            journal.next_epoch()
            journal.append([Entry(event(6)), Entry(event(7))])
            again = tmp_path / f"again-{cut}"
            shutil.copytree(torn, again)  # what a crash right now would leave
        assert read(again) == [event(seq) for seq in range(1, 8)]


def test_a_crash_while_the_journal_was_being_created_leaves_nothing_in_the_way(
    tmp_path: Path,
) -> None:
    (tmp_path / "journal.new").write_bytes(b"half a file")
    (tmp_path / "journal.new.wal").write_bytes(b"half a log")
    assert read(tmp_path) == []
    assert sorted(path.name for path in tmp_path.iterdir()) == ["journal.duckdb", "journal.lock"]


@pytest.mark.skipif(shutil.which("strace") is None, reason="needs strace to see the system calls")
def test_the_log_and_its_folder_entry_are_synced_before_an_append_is_acknowledged(
    tmp_path: Path,
) -> None:
    trace = tmp_path / "trace.txt"
    calls = "trace=openat,write,fsync,fdatasync,unlink"
    program = "import itertools\n" + WRITER.replace("while True", "for _ in itertools.repeat(0, 3)")
    command = ["strace", "-f", "-y", "-e", calls, "-o", str(trace)]
    done = subprocess.run(
        [*command, sys.executable, "-c", program, str(tmp_path / "state"), "1"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if "ptrace" in done.stderr:
        pytest.skip("strace is here but may not trace")
    assert done.returncode == 0, done.stderr
    acknowledged, unsynced, folder_synced = 0, False, False
    for call in trace.read_text().splitlines():
        if re.search(r" write\(\d+<.*journal\.duckdb\.wal>", call):
            unsynced = True
        elif re.search(r" f(data)?sync\(\d+<.*journal\.duckdb\.wal>", call):
            unsynced = False
        elif re.search(r" fsync\(\d+<.*/state>", call):
            folder_synced = True
        elif re.search(r' openat\(.*journal\.duckdb\.wal", .*O_CREAT', call):
            folder_synced = False
        elif re.search(r' write\(1<.*>, "\d+', call):
            assert (unsynced, folder_synced) == (False, True), call
            acknowledged += 1
    assert acknowledged == 4


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


# --- damaged --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "spoil",
    [
        lambda whole: b"",
        lambda whole: b"not a database",
        lambda whole: random.Random(1).randbytes(len(whole)),
        lambda whole: whole[:4_096],
        lambda whole: whole[: len(whole) // 2],
    ],
    ids=["empty", "a text", "random bytes", "only a header", "half"],
)
def test_a_file_that_is_no_journal_is_damage_and_is_left_as_it_is(
    folder: Path, spoil: Callable[[bytes], bytes]
) -> None:
    path = folder / "journal.duckdb"
    spoiled = spoil(path.read_bytes())
    path.write_bytes(spoiled)
    with pytest.raises(JournalDamaged, match=re.escape(str(path))) as caught:
        Journal.open(folder)
    assert caught.value.remedy.startswith("Nothing was changed.")
    assert "\n" not in caught.value.message
    assert files(folder) == {"journal.duckdb": spoiled}


def test_a_flipped_byte_in_the_file_is_damage_when_it_is_read(folder: Path) -> None:
    path = folder / "journal.duckdb"
    content = bytearray(path.read_bytes())
    place = content.index(b"?" * 20) if b"?" * 20 in content else 300_000
    content[place] ^= 1
    path.write_bytes(content)
    with pytest.raises(JournalDamaged, match=r"checksum"):
        read(folder)
    assert files(folder) == {"journal.duckdb": bytes(content)}


def test_a_flipped_byte_inside_the_log_is_damage_and_is_left_as_it_is(tmp_path: Path) -> None:
    with Journal.open(tmp_path / "live") as journal:
        journal.next_epoch()
        for seq in range(1, 20):
            journal.append([Entry(event(seq))])
        shutil.copytree(tmp_path / "live", tmp_path / "crashed")
    path = tmp_path / "crashed" / "journal.duckdb.wal"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    before = files(tmp_path / "crashed")
    with pytest.raises(JournalDamaged, match=r"WAL"):
        Journal.open(tmp_path / "crashed")
    assert files(tmp_path / "crashed") == before


def test_a_log_without_its_file_is_damage_and_no_new_journal_is_begun(folder: Path) -> None:
    (folder / "journal.duckdb").rename(folder / "journal.duckdb.wal")
    before = files(folder)
    with pytest.raises(JournalDamaged, match="the file is gone, but its log"):
        Journal.open(folder)
    assert files(folder) == before


ROW = "INSERT INTO events SELECT {}, {}, 1.5, '{}', {}, NULL, '{}'"


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (ROW.format(12, 1, "time_passed", 1, '{"at":1.5}'), "record 11 is missing"),
        (ROW.format(10, 1, "time_passed", 1, '{"at":1.5}'), "record 10 is there again"),
        (ROW.format(11, 0, "time_passed", 1, '{"at":1.5}'), "record 11 of epoch 0 comes after"),
        (ROW.format(11, 1, "slide_eaten", 1, '{"at":1.5}'), "Record 11 .* newer raysched"),
        (ROW.format(11, 1, "time_passed", 2, '{"at":1.5}'), "Record 11 .* newer raysched"),
        (ROW.format(11, 1, "time_passed", 1, '{"at":"x"}'), "Record 11 .* cannot be read: at"),
        ("DELETE FROM events WHERE seq = 4", "record 4 is missing"),
    ],
)
def test_records_that_are_not_in_order_or_not_understood_are_named_and_left_as_they_are(
    folder: Path, change: str, why: str
) -> None:
    tamper(folder, change)
    before = files(folder)
    with pytest.raises(JournalDamaged, match=why):
        read(folder)
    assert files(folder) == before


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ("INSERT INTO journal VALUES (2)", "newer raysched: it has format 2"),
        ("DELETE FROM journal", "does not say how it is laid out"),
        ("DROP TABLE events", "events does not exist"),
    ],
)
def test_a_database_of_another_make_is_not_opened_and_left_as_it_is(
    folder: Path, change: str, why: str
) -> None:
    tamper(folder, change)
    before = files(folder)
    with pytest.raises(JournalDamaged, match=why):
        Journal.open(folder)
    assert files(folder) == before


def tamper(folder: Path, statement: str) -> None:
    """Leaves the change in the log, where a crash would leave it."""
    with duckdb.connect(folder / "journal.duckdb") as db:
        db.execute("PRAGMA disable_checkpoint_on_shutdown")
        db.execute(statement)
