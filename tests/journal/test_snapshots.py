"""Snapshots: a quick way back to the state that all the events give, and never another one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from raysched.core.commands import Command, Retire
from raysched.core.events import Event, LaneOpened
from raysched.core.invariants import check
from raysched.core.limits import Limits
from raysched.core.model import LaneId
from raysched.core.scheduler import Scheduler
from raysched.errors import InternalError, JournalDamaged
from raysched.journal import snapshots
from raysched.journal.entries import Entry
from raysched.journal.journal import Journal
from raysched.journal.recovery import recover
from raysched.journal.snapshots import frozen, save_snapshot, thawed
from raysched.testing import FakeCluster, job

LIMITS = Limits(max_active_users=2, max_running_jobs=2, slot_tenure_s=8, max_ended_jobs_per_user=2)


class Written:
    """A busy cluster whose every change goes into a journal; a snapshot wherever one is asked."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.journal = Journal.open(folder)
        self.journal.next_epoch()
        self.cluster = FakeCluster(LIMITS, lanes=3, record=self.write)

    def write(self, core: Scheduler, event: Event, commands: list[Command]) -> None:
        retired = tuple(command for command in commands if isinstance(command, Retire))
        self.journal.append([Entry(event, None, core.decided(commands), retired)])

    def live(self, first: int) -> None:
        for number in range(first, first + 4):
            self.cluster.submit("ann", job(f"a{number}", "x"), job(f"b{number}", "y"))
            self.cluster.submit("bob", job(f"c{number}", "x"))
            self.cluster.submit("cyd", job(f"d{number}", "x"), job(f"e{number}", "x"))
            self.cluster.run(7)

    def snapshot(self) -> None:
        save_snapshot(self.journal, len(self.journal), frozen(self.cluster.core.state))


@pytest.fixture
def written(tmp_path: Path) -> Written:
    """Two snapshots on the way, events before, between and after."""
    written = Written(tmp_path / "state")
    for first in (0, 10, 20):
        written.live(first)
        if first < 20:
            written.snapshot()
    written.journal.close()
    return written


def recovered(written: Written) -> tuple[Scheduler, list[str]]:
    with Journal.open(written.folder) as journal:
        return recover(journal), journal.notices


def test_a_thawed_state_is_equal_and_goes_on_in_the_same_way(tmp_path: Path) -> None:
    written = Written(tmp_path)
    written.live(0)
    goes_on_in_the_same_way(written)


def test_a_state_in_which_jobs_wait_for_equal_work_is_thawed_and_goes_on(tmp_path: Path) -> None:
    written = Written(tmp_path)
    written.cluster.work = lambda _: "slide"
    written.cluster.submit("ann", job("a", "x"), job("b", "y"), job("c", "z"))
    while written.cluster.view("c").awaits is None:
        assert written.cluster.tick()
    goes_on_in_the_same_way(written)


def test_a_state_in_which_work_is_done_is_thawed_and_goes_on(tmp_path: Path) -> None:
    written = Written(tmp_path)
    written.cluster.work = lambda name: f"slide {name[0]}"
    for name in ("b", "a", "c"):
        written.cluster.submit("ann", job(f"{name}0"))
        written.cluster.run()
    written.cluster.submit("ann", job("b1", "x"), job("b2", "y"), job("b3", "z"))
    known = thawed(frozen(written.cluster.core.state)).users["ann"].done_work
    assert list(known) == ["slide b", "slide a", "slide c"]
    goes_on_in_the_same_way(written)


def goes_on_in_the_same_way(written: Written) -> None:
    again = Scheduler.of(thawed(frozen(written.cluster.core.state)))

    def follow(core: Scheduler, event: Event, commands: list[Command]) -> None:
        assert again.handle(event) == commands
        assert again.state == core.state
        check(again)

    written.cluster.record = follow
    while written.cluster.tick():
        pass
    written.journal.close()


def test_recovery_reads_the_newest_snapshot_and_only_the_events_after_it(
    written: Written, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []
    history = Journal.history

    def noting(journal: Journal, after: int = 0) -> object:
        asked.append(after)
        return history(journal, after)

    monkeypatch.setattr(Journal, "history", noting)
    core, notices = recovered(written)
    assert core.state == written.cluster.core.state
    newest, _ = snapshots.paths(written.folder)
    assert (asked, notices) == ([int(newest.stem)], [])


def test_only_the_two_newest_snapshots_are_kept(written: Written) -> None:
    with Journal.open(written.folder) as journal:
        state = frozen(recover(journal).state)
        save_snapshot(journal, len(journal), state)
    assert len(snapshots.paths(written.folder)) == 2


def spoil(path: Path, place: int) -> None:
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize("place", [3, 40, 90, 200, -5])
@pytest.mark.parametrize("damaged", [1, 2])
def test_a_damaged_snapshot_is_passed_over(written: Written, place: int, damaged: int) -> None:
    for path in snapshots.paths(written.folder)[:damaged]:
        spoil(path, place)
    core, _ = recovered(written)
    assert core.state == written.cluster.core.state


@pytest.mark.parametrize("cut", [0, 10, 300])
def test_a_torn_snapshot_is_passed_over(written: Written, cut: int) -> None:
    newest = snapshots.paths(written.folder)[0]
    newest.write_bytes(newest.read_bytes()[:cut])
    core, _ = recovered(written)
    assert core.state == written.cluster.core.state


def test_a_snapshot_of_another_shape_is_passed_over(
    written: Written, monkeypatch: pytest.MonkeyPatch
) -> None:
    snapshots.shape.cache_clear()
    monkeypatch.setattr(snapshots, "RULES", snapshots.RULES + 1)
    core, _ = recovered(written)
    monkeypatch.undo()
    snapshots.shape.cache_clear()
    assert core.state == written.cluster.core.state


def test_a_snapshot_of_another_journal_is_passed_over(written: Written, tmp_path: Path) -> None:
    other = Written(tmp_path / "other")
    other.cluster.submit("eve", job("z"))
    for _ in range(300):
        other.cluster.tell(LaneOpened(other.cluster.now, LaneId(f"more-{len(other.journal)}")))
    other.journal.close()
    for path in snapshots.paths(written.folder)[1:]:
        (tmp_path / "other" / "snapshots").mkdir()
        path.rename(tmp_path / "other" / "snapshots" / path.name)
    core, _ = recovered(other)
    assert core.state == other.cluster.core.state


def test_a_snapshot_that_the_events_do_not_follow_is_left_aside_and_said_so(
    written: Written,
) -> None:
    with Journal.open(written.folder) as journal:
        newest, older = snapshots.paths(written.folder)
        newest.unlink()
        seq = int(older.stem)
        wrong = Scheduler(LIMITS)
        save_snapshot(journal, seq, frozen(wrong.state))
    core, notices = recovered(written)
    assert core.state == written.cluster.core.state
    assert notices[0].startswith(f"The snapshot after event {seq} was left aside: Event ")


def test_a_snapshot_that_is_ahead_of_the_journal_says_that_events_are_gone(
    written: Written,
) -> None:
    for name in ("journal.duckdb", "journal.duckdb.wal", "segments/00000000000000000001.log"):
        (written.folder / name).unlink(missing_ok=True)
    with Journal.open(written.folder) as journal, pytest.raises(JournalDamaged) as caught:
        recover(journal)
    assert caught.value.message.startswith("The journal ends with event 0, but ")
    assert "Restore a backup" in caught.value.remedy


def test_events_that_cannot_have_happened_are_named(tmp_path: Path) -> None:
    with Journal.open(tmp_path) as journal:
        journal.next_epoch()
        cluster = FakeCluster()
        cluster.submit("ann", job("a"))
        for event, decision in zip(cluster.history, cluster.decisions, strict=True):
            journal.append([Entry(event, None, decision)])
        journal.append([Entry(cluster.history[0])])
        with pytest.raises(InternalError, match=f"Event {len(journal)} of the journal cannot have"):
            recover(journal)


# --- the archive ----------------------------------------------------------------------------------


def test_what_has_left_memory_is_in_the_archive_as_it_ended(written: Written) -> None:
    with Journal.open(written.folder) as journal:
        found = journal.archived(user="ann", job="a0")
        assert found is not None
        past = Scheduler.of_retired(found, {})
        workflow = past.workflow_view(None, found.workflow.workflow, 0.0)
        assert [view.job for view in workflow.jobs] == ["a0", "b0"]
        assert workflow.jobs[0].explanation.sentence == "done: 30 cells"
        assert journal.archived(user="ann", key=found.workflow.key) == found
        assert journal.archived(user="ann", workflow=found.workflow.workflow) == found
        assert journal.archived(user="bob", job="a0") is None
        assert journal.archived(job="nothing") is None
        assert found.workflow.workflow not in written.cluster.core.state.workflows


def archived(journal: Journal, user: str, **wanted: Any) -> list[Retire]:
    """All that a user has in the archive, in the order in which it is read."""
    batches = journal.archived_index(user, **wanted)
    return [each for batch in batches for row in batch for each in journal.archived_rows([row])]


def test_the_archive_is_read_the_latest_first(written: Written) -> None:
    with Journal.open(written.folder) as journal:
        seen = [each.workflow.jobs[0] for each in archived(journal, "bob")]
    numbers = [int(name[1:]) for name in seen]
    assert len(numbers) == written.cluster.core.state.users["bob"].jobs_retired > 5
    assert numbers == sorted(numbers, reverse=True)


def test_the_archive_is_read_from_a_place_on_without_what_is_deleted(written: Written) -> None:
    with Journal.open(written.folder) as journal:
        everything = archived(journal, "bob")
        (at,) = journal.archived_index("bob")
        assert list(journal.archived_rows(at[1:4])) == everything[1:4]
        third = everything[2].workflow
        place = (third.submitted_at, third.workflow)
        assert archived(journal, "bob", until=place) == everything[2:]
        assert archived(journal, "bob", without=[third.workflow]) == (
            everything[:2] + everything[3:]
        )
        assert archived(journal, "bob", only=third.workflow) == [everything[2]]
        assert archived(journal, "nobody") == []


def test_the_archive_survives_the_loss_of_the_database(written: Written) -> None:
    with Journal.open(written.folder) as journal:
        before = archived(journal, "bob")
    (written.folder / "journal.duckdb").write_bytes(b"")
    with Journal.open(written.folder) as journal:
        assert archived(journal, "bob") == before


def test_the_archive_reaches_segments_that_are_made_anew(written: Written) -> None:
    for segment in (written.folder / "segments").iterdir():
        segment.unlink()
    with Journal.open(written.folder) as journal:
        before = archived(journal, "bob")
    (written.folder / "journal.duckdb").unlink()
    with Journal.open(written.folder) as journal:
        assert archived(journal, "bob") == before
