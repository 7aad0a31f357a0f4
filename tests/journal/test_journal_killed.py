"""The journal's writer is killed, again and again and anywhere; what was acknowledged is there."""

from __future__ import annotations

import os
import random
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from attack import Begin, event, files, read, segments

from raysched.journal.entries import Entry
from raysched.journal.journal import Journal

ROOT = Path(__file__).parents[2]
LIVES = 250
"""In each of two folders: 500 kills."""

KILLER = """
import os, random, select, signal, sys
from pathlib import Path
from raysched.core.events import MppMissed, TimePassed
from raysched.journal import database, segments
from raysched.journal.entries import Entry
from raysched.journal.journal import Journal

folder, lives = Path(sys.argv[1]), int(sys.argv[2])
chance = random.Random(int(sys.argv[3]))
segments.SEGMENT_BYTES = 20_000  # so that kills meet the sealing of segments,
database._SETTINGS["checkpoint_threshold"] = "100KB"  # and the moving of the log into the file

def event(seq):
    return MppMissed(float(seq), "r1", "?" * 3_000) if seq % 7 == 0 else TimePassed(float(seq))

def live(acknowledged, whole, say):
    journal = Journal.open(folder)
    assert len(journal) >= acknowledged, f"{len(journal)} events of {acknowledged} are there"
    after = 0 if whole else max(0, acknowledged - 60)
    found = list(journal.replay(after))
    assert found == [event(seq) for seq in range(after + 1, len(journal) + 1)]
    if whole:
        assert journal.compare() == len(journal)
    journal.next_epoch()
    while True:
        first = len(journal) + 1
        group = [Entry(event(seq)) for seq in range(first, first + chance.randint(1, 9))]
        journal.append(group)
        os.write(say, b"%d\\n" % len(journal))

acknowledged = 0
for number in range(lives + 1):
    heard, say = os.pipe()
    wanted, pause_s = chance.randint(0, 8), chance.uniform(0, 0.004)
    child = os.fork()
    if not child:
        try:
            live(acknowledged, number % 50 == 0 or number == lives, say)
        except BaseException as error:
            os.write(2, f"life {number}: {error!r}\\n".encode())
            os._exit(1)
    os.close(say)
    with os.fdopen(heard) as said:
        for _ in range(wanted):
            acknowledged = int(said.readline() or acknowledged)
        select.select([said], [], [], pause_s)
        os.kill(child, signal.SIGKILL)
        for line in said:
            acknowledged = int(line)
    _, status = os.waitpid(child, 0)
    if os.WIFEXITED(status):
        sys.exit(f"life {number} ended by itself")
print("killed", lives + 1, "acknowledged", acknowledged, flush=True)
"""


@pytest.mark.slow
def test_killed_five_hundred_times_no_acknowledged_event_is_lost(
    tmp_path: Path, begin: Begin
) -> None:
    killers = [begin(KILLER, tmp_path / str(seed), LIVES, seed) for seed in (1, 2)]
    for seed, killer in zip((1, 2), killers, strict=True):
        said, _ = killer.communicate()
        assert (killer.returncode, said.split()[:2]) == (0, ["killed", str(LIVES + 1)])
        acknowledged = int(said.split()[-1])
        assert acknowledged > LIVES
        with Journal.open(tmp_path / str(seed)) as journal:
            assert journal.compare() >= acknowledged
            assert len(segments(tmp_path / str(seed))) > 10


@pytest.fixture
def crashed(tmp_path: Path) -> Path:
    """What a crash leaves after six groups of one event: a file, its log, one segment."""
    with Journal.open(tmp_path / "live") as journal:
        journal.next_epoch()
        for seq in range(1, 7):
            journal.append([Entry(event(seq))])
        shutil.copytree(tmp_path / "live", tmp_path / "crashed")
    return tmp_path / "crashed"


def copied(crashed: Path, name: str) -> Path:
    return shutil.copytree(crashed, crashed.parent / name)


def holds_and_goes_on(folder: Path, events: int) -> None:
    with Journal.open(folder) as journal:
        assert list(journal.replay()) == [event(seq) for seq in range(1, events + 1)]
        journal.next_epoch()
        journal.append([Entry(event(events + 1))])
        assert journal.compare() == events + 1
        shutil.copytree(folder, folder.with_suffix(".again"))  # what a crash right now would leave
    assert len(read(folder.with_suffix(".again"))) == events + 1


@pytest.mark.slow
def test_a_log_cut_at_every_byte_of_its_tail_costs_nothing(crashed: Path) -> None:
    log = (crashed / "journal.duckdb.wal").read_bytes()
    for cut in range(len(log) - 150, len(log)):
        torn = copied(crashed, f"log-{cut}")
        (torn / "journal.duckdb.wal").write_bytes(log[:cut])
        assert len(read(torn)) == 6
        if cut % 10 == 0:
            holds_and_goes_on(torn, 6)
        shutil.rmtree(torn)


@pytest.mark.slow
def test_a_segment_cut_at_every_byte_of_its_tail_costs_nothing(crashed: Path) -> None:
    (path,) = segments(crashed)
    whole = path.read_bytes()
    for cut in range(len(whole) - 150, len(whole)):
        torn = copied(crashed, f"segment-{cut}")
        segments(torn)[0].write_bytes(whole[:cut])
        assert len(read(torn)) == 6
        if cut % 10 == 0:
            holds_and_goes_on(torn, 6)
        shutil.rmtree(torn)


def test_a_group_torn_in_both_copies_was_not_acknowledged_and_is_gone_whole(crashed: Path) -> None:
    (path,) = segments(crashed)
    path.write_bytes(path.read_bytes()[:-20])
    log = crashed / "journal.duckdb.wal"
    log.write_bytes(log.read_bytes()[:-20])
    holds_and_goes_on(crashed, 5)


def test_a_deleted_log_costs_nothing(crashed: Path) -> None:
    (crashed / "journal.duckdb.wal").unlink()
    with Journal.open(crashed) as journal:
        assert journal.notices == [
            "The journal's database had 0 of 6 events; the others were restored from the segments."
        ]
    holds_and_goes_on(crashed, 6)


def test_an_epoch_is_given_once_also_when_the_log_is_deleted(crashed: Path) -> None:
    (crashed / "journal.duckdb.wal").unlink()
    with Journal.open(crashed) as journal:
        assert journal.next_epoch() == 2


def test_a_crash_while_the_journal_was_being_created_leaves_nothing_in_the_way(
    tmp_path: Path,
) -> None:
    (tmp_path / "journal.new").write_bytes(b"half a file")
    (tmp_path / "journal.new.wal").write_bytes(b"half a log")
    assert read(tmp_path) == []
    assert sorted(path.name for path in tmp_path.iterdir()) == ["journal.duckdb", "journal.lock"]


TRACED = """
import sys
from pathlib import Path
from attack import event
from raysched.journal.entries import Entry
from raysched.journal.journal import Journal

journal = Journal.open(Path(sys.argv[1]))
print(journal.next_epoch(), flush=True)
for seq in range(1, 4):
    journal.append([Entry(event(seq))])
    print(seq, flush=True)
"""
COPIES = {"wal": r"journal\.duckdb\.wal", "segment": r"segments/\d+\.log"}
FOLDERS = {"wal": "state", "segment": "state/segments"}


@pytest.mark.skipif(shutil.which("strace") is None, reason="needs strace to see the system calls")
@pytest.mark.parametrize("copy", ["wal", "segment"])
def test_each_copy_and_its_folder_entry_are_synced_before_an_append_is_acknowledged(
    tmp_path: Path, copy: str
) -> None:
    trace, name, folder = tmp_path / "trace.txt", COPIES[copy], FOLDERS[copy]
    calls = "trace=openat,write,fsync,fdatasync,unlink"
    under = ("strace", "-f", "-y", "-e", calls, "-o", str(trace))
    done = subprocess.run(
        [*under, sys.executable, "-c", TRACED, str(tmp_path / "state")],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parent)},
        capture_output=True,
        text=True,
        check=False,
    )
    if "ptrace" in done.stderr:
        pytest.skip("strace is here but may not trace")
    assert done.returncode == 0, done.stderr
    acknowledged, unsynced, folder_synced = 0, False, copy == "segment"
    for call in trace.read_text().splitlines():
        if re.search(rf" write\(\d+<.*{name}>", call):
            unsynced = True
        elif re.search(rf" f(data)?sync\(\d+<.*{name}>", call):
            unsynced = False
        elif re.search(rf" fsync\(\d+<.*/{folder}>", call):
            folder_synced = True
        elif re.search(rf' openat\(.*{name}", .*O_CREAT', call):
            folder_synced = False
        elif re.search(r' write\(1<.*>, "\d+', call):
            assert (unsynced, folder_synced) == (False, True), call
            acknowledged += 1
    assert acknowledged == 4


FAILING = """
import sys
from pathlib import Path
from attack import event
from raysched.errors import RayschedError
from raysched.journal.entries import Entry
from raysched.journal.journal import Journal

try:
    journal = Journal.open(Path(sys.argv[1]))
    journal.next_epoch()
    while len(journal) < 100:
        journal.append([Entry(event(len(journal) + 1))])
        print(len(journal), flush=True)
except RayschedError as error:
    print(error.code, "|", error.message, "|", error.remedy, flush=True)
    journal.close()
"""


@pytest.mark.skipif(shutil.which("strace") is None, reason="needs strace to make calls fail")
@pytest.mark.parametrize(
    ("call", "when"), [("fsync", 4), *(("fdatasync", when) for when in range(10, 15))]
)
def test_a_sync_that_fails_is_never_acknowledged_and_the_journal_opens_again(
    tmp_path: Path, begin: Begin, call: str, when: int
) -> None:
    fault = f"inject={call}:error=EIO:when={when}+"
    under = ("strace", "-f", "-qq", "-e", f"trace={call}", "-e", fault, "-o", "/dev/null")
    failing = begin(FAILING, tmp_path / "state", under=under)
    said, _ = failing.communicate()
    if not said:
        pytest.skip("strace is here but may not trace")
    *acknowledged, last = said.splitlines()
    assert last.startswith("storage_failed | "), said
    assert "Input/output error" in last or "fsync failed" in last
    assert "what was acknowledged is safe" in last
    events = read(tmp_path / "state")
    assert len(events) >= len(acknowledged)
    assert events == [event(seq) for seq in range(1, len(events) + 1)]
    holds_and_goes_on(tmp_path / "state", len(events))


def test_random_damage_to_one_copy_never_loses_an_event(crashed: Path) -> None:
    chance = random.Random(7)
    targets = [
        "journal.duckdb",
        "journal.duckdb.wal",
        *(f"segments/{p.name}" for p in segments(crashed)),
    ]
    for attempt in range(60):
        spoiled = copied(crashed, f"spoiled-{attempt}")
        path = spoiled / chance.choice(targets)
        content = bytearray(path.read_bytes())
        match chance.randrange(3):
            case 0:
                content[chance.randrange(len(content))] ^= 1 << chance.randrange(8)
            case 1:
                del content[chance.randrange(len(content)) :]
            case 2:
                start = chance.randrange(len(content))
                content[start : start + 500] = chance.randbytes(len(content[start : start + 500]))
        path.write_bytes(content)
        assert read_mended(spoiled) == [event(seq) for seq in range(1, 7)]
        assert files(spoiled).keys() >= {"journal.duckdb"}


def read_mended(folder: Path) -> list[object]:
    """What recovery does: read, and where the database is damaged within, make it anew."""
    with Journal.open(folder) as journal:
        journal.repair()
        return list(journal.replay())
