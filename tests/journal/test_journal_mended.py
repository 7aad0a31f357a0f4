"""What opening, verifying and repairing once got wrong, each with the damage that showed it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import duckdb
import pytest

from raysched.core.commands import Retire
from raysched.core.limits import Limits
from raysched.core.model import JobId, UserId
from raysched.core.scheduler import Scheduler
from raysched.errors import InternalError, JournalDamaged, JournalTooNew, StorageFailed
from raysched.journal.entries import Entry
from raysched.journal.journal import Journal
from raysched.journal.recovery import recover
from raysched.journal.segments import Segments
from raysched.testing import FakeCluster, job

LIVES = 3


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """Three lives with workflows that have ended and left memory."""
    folder = tmp_path / "state"
    cluster = FakeCluster(Limits(max_ended_jobs_per_user=1), lanes=2)
    for life in range(LIVES):
        with Journal.open(folder) as journal:
            journal.next_epoch()
            cluster.record = keeper(journal)
            if life:
                cluster.restart()
            else:
                cluster = FakeCluster(
                    Limits(max_ended_jobs_per_user=1), lanes=2, record=keeper(journal)
                )
            for number in range(4):
                cluster.submit("ann", job(f"life{life}-{number}", f"b{number}"))
            cluster.run()
    return folder


def keeper(journal: Journal) -> Any:
    """Writes what a cluster does, event by event, as the actor would."""

    def record(core: Scheduler, event: Any, commands: list[Any]) -> None:
        retired = tuple(command for command in commands if isinstance(command, Retire))
        journal.append([Entry(event, None, core.decided(commands), retired)])

    return record


def events_of(folder: Path) -> int:
    with Journal.open(folder) as journal:
        return journal.compare()


def edit(folder: Path, statement: str) -> None:
    with duckdb.connect(folder / "journal.duckdb") as db:
        db.execute(statement)


def last_segment(folder: Path) -> Path:
    return max((folder / "segments").glob("*.log"))


@pytest.mark.parametrize("first", ["00000000000000000500", "00000000000000999999"])
def test_an_empty_last_segment_is_no_reason_to_forget_where_the_journal_ends(
    state: Path, first: str
) -> None:
    events = events_of(state)
    (state / "segments" / f"{first}.log").touch()
    with Journal.open(state) as journal:
        assert (len(journal), journal.compare()) == (events, events)
        assert journal.next_epoch() == LIVES + 1


def test_a_rebuilt_database_goes_on_with_the_epochs_also_when_the_last_segment_is_empty(
    state: Path,
) -> None:
    events = events_of(state)
    (state / "segments" / f"{events + 1:020d}.log").touch()
    (state / "journal.duckdb").unlink()
    with Journal.open(state) as journal:
        assert journal.compare() == events
        assert journal.next_epoch() == LIVES + 1


def test_what_is_missing_in_the_archive_is_noticed_and_mended_from_the_segments(
    state: Path,
) -> None:
    with Journal.open(state) as journal:
        before = journal.archived(user="ann", job="life0-0")
        assert before is not None
    edit(state, "DELETE FROM archive")
    with Journal.open(state) as journal, pytest.raises(JournalDamaged, match="archive"):
        journal.compare()
    with Journal.open(state) as journal:
        journal.repair()
        assert "no event is lost" in journal.notices[-1]
        assert journal.archived(user="ann", job="life0-0") == before


def test_without_its_archive_table_a_database_is_made_anew_by_repair(state: Path) -> None:
    events = events_of(state)
    edit(state, "DROP TABLE archive")
    with Journal.open(state) as journal:
        journal.repair()
        assert journal.archived(user="ann", job="life0-0") is not None
    assert events_of(state) == events


def test_segments_stay_where_they_are_when_the_database_cannot_replace_them(state: Path) -> None:
    path = last_segment(state)
    lines = path.read_bytes().splitlines(keepends=True)
    lines[2] = lines[2][:40] + b"X" + lines[2][41:]
    path.write_bytes(b"".join(lines))
    edit(state, "DROP TABLE archive")
    before = path.read_bytes()
    with pytest.raises(JournalDamaged), Journal.open(state) as journal:
        journal.repair()
    assert last_segment(state).read_bytes() == before


def test_a_finished_line_that_is_not_what_was_written_is_kept_aside(state: Path) -> None:
    events = events_of(state)
    path = last_segment(state)
    content = bytearray(path.read_bytes())
    content[-10] ^= 1
    path.write_bytes(bytes(content))
    tail = bytes(content).splitlines(keepends=True)[-1]
    with Journal.open(state) as journal:
        (notice,) = journal.notices
        assert f"The last {len(tail):,} bytes" in notice
        assert journal.compare() == events, "the database still has it"
    (kept,) = (state / "quarantine").glob(f"*/{path.name}.tail")
    assert kept.read_bytes() == tail


def test_half_a_line_is_what_a_crash_leaves_and_needs_no_word(state: Path) -> None:
    events = events_of(state)
    with last_segment(state).open("ab") as file:
        file.write(b"0badc0de [99,3,[[")
    with Journal.open(state) as journal:
        assert journal.notices == []
        assert journal.compare() == events


def test_epochs_that_fall_in_the_segments_are_damage(state: Path) -> None:
    with Journal.open(state):
        pass
    segments = Segments(state)
    groups = list(segments.groups())
    path = last_segment(state)
    segments.close()
    path.unlink()
    again = Segments(state)
    for group in [*groups[:-1], type(groups[-1])(groups[-1].first, 1, groups[-1].rows)]:
        again.append(group)
    with pytest.raises(JournalDamaged, match="of epoch 1, but comes after one of epoch 3"):
        list(again.groups())
    again.close()


@pytest.mark.parametrize("where", ["line", "row"])
def test_segments_of_a_newer_raysched_are_said_to_be_newer_and_are_left_as_they_are(
    state: Path, where: str
) -> None:
    from zlib import crc32

    path = last_segment(state)
    group = json.loads(path.read_bytes().splitlines()[-1][9:])
    if where == "line":
        group.append("more")
    else:
        group[2][0].append("more")
    body = json.dumps(group, separators=(",", ":")).encode()
    path.write_bytes(
        b"".join(path.read_bytes().splitlines(keepends=True)[:-1])
        + b"%08x %b\n" % (crc32(body), body)
    )
    before = path.read_bytes()
    with pytest.raises(JournalTooNew, match="newer one wrote it"):
        Journal.open(state)
    assert path.read_bytes() == before


@pytest.mark.parametrize("head", ["[]", "null", "1", '{"seq": null}', '{"seq": 1e400}'])
def test_a_snapshot_with_a_head_of_the_wrong_kind_is_passed_over(state: Path, head: str) -> None:
    (state / "snapshots").mkdir(exist_ok=True)
    (state / "snapshots" / f"{5:020d}.snapshot").write_bytes(head.encode() + b"\nbody")
    with Journal.open(state) as journal:
        assert recover(journal).state.users[UserId("ann")].jobs_retired == 4 * LIVES - 1


def test_an_event_that_changes_nothing_on_replay_is_no_history(state: Path) -> None:
    with Journal.open(state) as journal:
        journal.next_epoch()
        repeated = next(iter(journal.replay()))
        journal.append([Entry(repeated)])
    with Journal.open(state) as journal, pytest.raises(InternalError, match="cannot have happened"):
        recover(journal)


def test_what_the_operating_system_says_while_mending_is_said_in_our_words(state: Path) -> None:
    with Journal.open(state) as journal:
        (state / "quarantine").write_text("a file where a folder should be")
        with pytest.raises(StorageFailed, match="cannot be used"):
            journal.rebuild("as a test")


def test_a_database_that_is_known_to_have_more_than_the_segments_is_not_replaced_by_them(
    state: Path,
) -> None:
    with Journal.open(state) as journal:
        (job_id,) = [JobId("life2-3")]
        assert journal.archived(user="ann", job=job_id) is None
        journal._segments.end -= 1
        with pytest.raises(JournalDamaged):
            journal.rebuild("as a test")
    assert not (state / "quarantine").exists()
