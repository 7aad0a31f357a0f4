"""One copy of the journal is damaged: it is made anew from the other, or both are left alone."""

from __future__ import annotations

import json
import random
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import duckdb
import pytest
from attack import event, files, flip, read, segments, write

from raysched.core.events import TimePassed
from raysched.errors import JournalDamaged, JournalTooNew
from raysched.journal.database import FORMAT
from raysched.journal.entries import Entry
from raysched.journal.journal import Journal
from raysched.journal.recovery import recover

TEN = [event(seq) for seq in range(1, 11)]


def only_database(folder: Path) -> Path:
    shutil.rmtree(folder / "segments")
    return folder


def tamper(folder: Path, statement: str) -> None:
    """Leaves the change in the log, where a crash would leave it."""
    with duckdb.connect(folder / "journal.duckdb") as db:
        db.execute("PRAGMA disable_checkpoint_on_shutdown")
        db.execute(statement)


NO_JOURNAL: list[tuple[str, Callable[[bytes], bytes]]] = [
    ("empty", lambda whole: b""),
    ("a text", lambda whole: b"not a database"),
    ("random bytes", lambda whole: random.Random(1).randbytes(len(whole))),
    ("only a header", lambda whole: whole[:4_096]),
    ("half", lambda whole: whole[: len(whole) // 2]),
]


@pytest.mark.parametrize(("name", "spoil"), NO_JOURNAL, ids=[name for name, _ in NO_JOURNAL])
def test_a_file_that_is_no_journal_is_put_aside_and_made_anew(
    folder: Path, name: str, spoil: Callable[[bytes], bytes]
) -> None:
    path = folder / "journal.duckdb"
    spoiled = spoil(path.read_bytes())
    path.write_bytes(spoiled)
    with Journal.open(folder) as journal:
        assert list(journal.replay()) == TEN
        (notice,) = journal.notices
    (aside,) = (folder / "quarantine").iterdir()
    assert (aside / "journal.duckdb").read_bytes() == spoiled
    assert "made anew from the 10 events of the segments, and" in notice
    assert notice.endswith(f"the old one is in {aside}.")
    with Journal.open(folder) as journal:
        assert journal.notices == []
        assert journal.next_epoch() == 2


@pytest.mark.parametrize(("name", "spoil"), NO_JOURNAL, ids=[name for name, _ in NO_JOURNAL])
def test_without_segments_it_is_damage_and_is_left_as_it_is(
    folder: Path, name: str, spoil: Callable[[bytes], bytes]
) -> None:
    path = only_database(folder) / "journal.duckdb"
    spoiled = spoil(path.read_bytes())
    path.write_bytes(spoiled)
    with pytest.raises(JournalDamaged, match=re.escape(str(path))) as caught:
        Journal.open(folder)
    assert caught.value.remedy.startswith("Nothing was changed.")
    assert "\n" not in caught.value.message
    assert files(folder) == {"journal.duckdb": spoiled}


def test_a_file_that_is_gone_is_made_anew(folder: Path) -> None:
    (folder / "journal.duckdb").unlink()
    assert read(folder) == TEN


def test_a_log_without_its_file_and_without_segments_begins_no_new_journal(folder: Path) -> None:
    only_database(folder)
    (folder / "journal.duckdb").rename(folder / "journal.duckdb.wal")
    before = files(folder)
    with pytest.raises(JournalDamaged, match="the file is gone"):
        Journal.open(folder)
    assert files(folder) == before


def test_segments_that_are_gone_are_written_anew(folder: Path) -> None:
    only_database(folder)
    with Journal.open(folder) as journal:
        assert journal.compare() == 10


def test_damage_that_shows_only_while_events_are_read_is_mended_by_recovery(folder: Path) -> None:
    path = folder / "journal.duckdb"
    flip(path, 300_000)
    with Journal.open(folder) as journal:
        assert journal.notices == []
        recover(journal)
        assert (
            "made anew from the 10 events of the segments, no event is lost" in (journal.notices[0])
        )
    assert read(folder) == TEN


def recover_anew(folder: Path) -> None:
    with Journal.open(folder) as journal:
        list(journal.history())


ROW = "INSERT INTO events SELECT {}, {}, 1.5, '{}', {}, NULL, '{}', ''"
NOT_IN_ORDER = [
    (ROW.format(12, 1, "time_passed", 1, '{"at":1.5}'), "record 11 is missing"),
    (ROW.format(10, 1, "time_passed", 1, '{"at":1.5}'), "record 10 is there again"),
    (ROW.format(11, 0, "time_passed", 1, '{"at":1.5}'), "record 11 of epoch 0 comes after"),
    (ROW.format(11, 1, "slide_eaten", 1, '{"at":1.5}'), "Record 11 .* newer raysched"),
    (ROW.format(11, 1, "time_passed", 2, '{"at":1.5}'), "Record 11 .* newer raysched"),
    (ROW.format(11, 1, "time_passed", 1, '{"at":"x"}'), "Record 11 .* cannot be read: at"),
    (
        ROW.format(11, 1, "time_passed", 1, '{"at":1.5}').replace("''", "'x'"),
        "decided after record 11",
    ),
    ("DELETE FROM events WHERE seq = 4", "record 4 is missing"),
]


@pytest.mark.parametrize(("change", "why"), NOT_IN_ORDER)
def test_records_that_are_not_in_order_or_not_understood_are_named_and_left_as_they_are(
    folder: Path, change: str, why: str
) -> None:
    tamper(only_database(folder), change)
    before = files(folder)
    with pytest.raises((JournalDamaged, JournalTooNew), match=f"(?i){why}"):
        recover_anew(folder)
    assert files(folder)["journal.duckdb"] == before["journal.duckdb"]


@pytest.mark.parametrize("change", ["DELETE FROM journal", "DROP TABLE events"])
def test_a_database_of_another_make_is_made_anew_from_the_segments(
    folder: Path, change: str
) -> None:
    tamper(folder, change)
    assert read(folder) == TEN


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ("DELETE FROM journal", "does not say how it is laid out"),
        ("DROP TABLE events", "events does not exist"),
    ],
)
def test_a_database_of_another_make_without_segments_is_left_as_it_is(
    folder: Path, change: str, why: str
) -> None:
    tamper(only_database(folder), change)
    before = files(folder)
    with pytest.raises(JournalDamaged, match=why):
        Journal.open(folder)
    assert files(folder) == before


def test_a_database_of_a_newer_raysched_is_left_as_it_is(folder: Path) -> None:
    tamper(folder, f"INSERT INTO journal VALUES ({FORMAT + 1})")
    before = files(folder)
    with pytest.raises(JournalTooNew, match=f"newer raysched: it has format {FORMAT + 1}"):
        Journal.open(folder)
    assert files(folder) == before
    assert not (folder / "quarantine").exists()


def test_what_neither_copy_has_right_is_said_and_nothing_is_made_anew(folder: Path) -> None:
    tamper(folder, ROW.format(11, 1, "time_passed", 1, '{"at":"x"}'))
    shutil.rmtree(folder / "segments")
    with Journal.open(folder) as journal:  # which copies the record as it is
        for _ in range(2):
            with pytest.raises(JournalDamaged, match=r"Record 11 .* cannot be read: at"):
                recover(journal)
    assert not (folder / "quarantine").exists()


# --- segments -------------------------------------------------------------------------------------


@pytest.fixture
def long(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Thirty groups of one event in several sealed segments."""
    monkeypatch.setattr("raysched.journal.segments.SEGMENT_BYTES", 400)
    with Journal.open(tmp_path / "long") as journal:
        journal.next_epoch()
        for seq in range(1, 31):
            journal.append([Entry(TimePassed(float(seq)))])
    assert len(segments(tmp_path / "long")) > 3
    return tmp_path / "long"


THIRTY = [TimePassed(float(seq)) for seq in range(1, 31)]


def test_sealed_segments_are_read_only_and_the_last_one_goes_on(long: Path) -> None:
    *sealed, last = segments(long)
    assert {path.stat().st_mode & 0o222 for path in sealed} == {0}
    with Journal.open(long) as journal:
        journal.next_epoch()
        journal.append([Entry(TimePassed(31.0))])
        assert journal.compare() == 31
    assert segments(long) == [*sealed, last]


def test_a_flipped_bit_within_the_last_segment_is_mended_from_the_database(long: Path) -> None:
    last = segments(long)[-1]
    flip(last, 20)
    with Journal.open(long) as journal:
        assert f"segment {last.name} was not what was written" in journal.notices[0]
        assert journal.compare() == 30
    assert read(long) == THIRTY


def test_a_flipped_bit_in_a_sealed_segment_is_found_by_comparing_and_mended_by_repair(
    long: Path,
) -> None:
    flip(segments(long)[1], 20)
    with Journal.open(long) as journal:
        with pytest.raises(JournalDamaged, match="Line 1 of the journal's segment"):
            journal.compare()
        journal.repair()
        assert "segments were not what was written" in journal.notices[0]
        assert journal.compare() == 30
    assert read(long) == THIRTY


def test_a_segment_that_is_gone_is_found_and_mended(long: Path) -> None:
    segments(long)[1].unlink()
    with Journal.open(long) as journal:
        with pytest.raises(JournalDamaged, match="do not have event"):
            journal.compare()
        journal.repair()
        assert journal.compare() == 30


def test_both_copies_damaged_is_said_and_nothing_is_changed(long: Path) -> None:
    flip(segments(long)[1], 20)
    (long / "journal.duckdb").write_bytes(b"not a database")
    before = files(long), [path.read_bytes() for path in segments(long)]
    with pytest.raises(JournalDamaged, match="The segments cannot replace it: Line 1") as caught:
        Journal.open(long)
    assert "restore a backup" in caught.value.remedy
    assert (files(long), [path.read_bytes() for path in segments(long)]) == before


def test_a_damaged_end_that_the_database_does_not_have_is_said_and_nothing_is_changed(
    tmp_path: Path,
) -> None:
    with Journal.open(tmp_path / "live") as journal:
        journal.next_epoch()
        for seq in range(1, 5):
            journal.append([Entry(event(seq))])
        crashed = shutil.copytree(tmp_path / "live", tmp_path / "crashed")
    (crashed / "journal.duckdb.wal").unlink()
    flip(segments(crashed)[0], 20)
    before = files(crashed), segments(crashed)[0].read_bytes()
    with pytest.raises(JournalDamaged, match="events 1 to 4 are damaged in it, and the database"):
        Journal.open(crashed)
    assert (files(crashed), segments(crashed)[0].read_bytes()) == before


def test_two_whole_copies_that_differ_are_not_mended(folder: Path) -> None:
    other = folder.parent / "other"
    write(other, 2, 11)
    shutil.rmtree(folder / "segments")
    shutil.copytree(other / "segments", folder / "segments")
    with (
        Journal.open(folder) as journal,
        pytest.raises(JournalDamaged, match="its record 1 is not"),
    ):
        journal.repair()


# --- the first layout -----------------------------------------------------------------------------

FORMAT_1 = """
CREATE TABLE journal (format INTEGER NOT NULL);
CREATE TABLE epochs (epoch INTEGER NOT NULL);
CREATE TABLE events (seq BIGINT NOT NULL, epoch INTEGER NOT NULL, "at" DOUBLE NOT NULL,
    kind VARCHAR NOT NULL, version INTEGER NOT NULL, job VARCHAR, body VARCHAR NOT NULL);
INSERT INTO journal VALUES (1);
INSERT INTO epochs VALUES (1), (2);
"""


@pytest.mark.parametrize("events", [0, 3])
def test_a_journal_of_the_first_layout_is_written_anew_and_goes_on(
    tmp_path: Path, events: int
) -> None:
    with duckdb.connect(tmp_path / "journal.duckdb") as db:
        db.execute(FORMAT_1)
        for seq in range(1, events + 1):
            body = json.dumps({"at": float(seq)})
            row = [seq, 2, float(seq), "time_passed", 1, None, body]
            db.execute("INSERT INTO events VALUES (?, ?, ?, ?, ?, ?, ?)", row)
    with Journal.open(tmp_path) as journal:
        assert "had the older format 1" in journal.notices[0]
        assert [event for _, event, _ in journal.history()] == THIRTY[:events]
        assert {decision for _, _, decision in journal.history()} <= {None}
        assert journal.next_epoch() == 3
        journal.append([Entry(TimePassed(9.0))])
        assert journal.compare() == events + 1
        assert recover(journal).state.now == 9.0
