"""The journal in fair weather: what is appended is there, in order, and tells each job's story."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from raysched.core.events import (
    ChunkFinished,
    Event,
    JobCancelRequested,
    LaneOpened,
    MppMissed,
    TimePassed,
    WorkflowSubmitted,
)
from raysched.core.model import (
    BranchName,
    JobId,
    JobSpec,
    LaneId,
    RunId,
    UserId,
    WorkflowId,
)
from raysched.errors import InternalError, StorageFailed
from raysched.journal.database import REPLAY_ROWS
from raysched.journal.entries import Entry, StoryLine
from raysched.journal.journal import Journal

EVENT_TYPES: tuple[type[Any], ...] = get_args(Event)
OPENED = LaneOpened(1.0, LaneId("lane-0"))


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    with Journal.open(tmp_path / "state") as journal:
        journal.next_epoch()
        yield journal


def ticks(first: int, last: int) -> list[Event]:
    return [TimePassed(float(at)) for at in range(first, last + 1)]


def entries(events: list[Event]) -> list[Entry]:
    return [Entry(event) for event in events]


def test_a_new_journal_makes_its_folder_and_is_empty(tmp_path: Path) -> None:
    with Journal.open(tmp_path / "a" / "b") as journal:
        assert (len(journal), list(journal.replay())) == (0, [])
    assert sorted(path.name for path in (tmp_path / "a" / "b").iterdir()) == [
        "journal.duckdb",
        "journal.lock",
    ]


def test_groups_are_replayed_in_the_order_of_appending_now_and_after_opening_again(
    tmp_path: Path,
) -> None:
    with Journal.open(tmp_path) as journal:
        journal.next_epoch()
        journal.append(entries(ticks(1, 3)))
        journal.append([])
        journal.append([Entry(OPENED)])
        assert list(journal.replay()) == [*ticks(1, 3), OPENED]
    with Journal.open(tmp_path) as journal:
        assert len(journal) == 4
        journal.next_epoch()
        journal.append(entries(ticks(5, 6)))
        assert list(journal.replay()) == [*ticks(1, 3), OPENED, *ticks(5, 6)]


def test_epochs_grow_by_one_also_across_lives(tmp_path: Path) -> None:
    with Journal.open(tmp_path) as journal:
        assert [journal.next_epoch(), journal.next_epoch()] == [1, 2]
    with Journal.open(tmp_path) as journal:
        assert journal.next_epoch() == 3


def test_nothing_is_appended_by_a_life_that_has_no_epoch(tmp_path: Path) -> None:
    with Journal.open(tmp_path) as journal:
        with pytest.raises(InternalError, match="had an epoch"):
            journal.append([Entry(OPENED)])
        assert list(journal.replay()) == []


def test_a_group_with_one_event_that_cannot_be_written_is_refused_whole(journal: Journal) -> None:
    wrong: Any = "soon"
    with pytest.raises(InternalError, match="TimePassed cannot be written"):
        journal.append([Entry(OPENED), Entry(TimePassed(wrong))])
    journal.append([Entry(OPENED)])
    assert list(journal.replay()) == [OPENED]


def test_a_replay_longer_than_one_reading_is_whole(journal: Journal) -> None:
    events = ticks(1, 2 * REPLAY_ROWS + 1)
    journal.append(entries(events))
    assert list(journal.replay()) == events


def test_a_replay_shows_what_was_there_when_it_began(journal: Journal) -> None:
    journal.append(entries(ticks(1, REPLAY_ROWS + 1)))
    replay = journal.replay()
    first = next(replay)
    journal.append(entries(ticks(REPLAY_ROWS + 2, REPLAY_ROWS + 9)))
    assert [first, *replay] == ticks(1, REPLAY_ROWS + 1)
    assert len(journal) == REPLAY_ROWS + 9


def test_two_replays_at_once_do_not_disturb_each_other(journal: Journal) -> None:
    events = ticks(1, REPLAY_ROWS + 5)
    journal.append(entries(events))
    assert list(zip(journal.replay(), journal.replay(), strict=True)) == [(e, e) for e in events]


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    group=st.lists(
        st.builds(
            Entry, st.one_of([st.from_type(kind) for kind in EVENT_TYPES]), st.none() | st.text()
        ),
        max_size=20,
    )
)
def test_any_group_of_events_comes_back_as_it_went_in(journal: Journal, group: list[Entry]) -> None:
    before = len(journal)
    journal.append(group)
    assert repr(list(journal.replay())[before:]) == repr([entry.event for entry in group])


def submission(*jobs: str) -> WorkflowSubmitted:
    specs = tuple(
        JobSpec(JobId(job), BranchName("main"), "tissue_mask", '{"job":"j3"}') for job in jobs
    )
    return WorkflowSubmitted(1.0, UserId("ann"), "k1", WorkflowId("w1"), "Lung", specs)


def test_a_story_is_the_submission_of_the_job_and_all_that_was_noted_for_it(
    journal: Journal,
) -> None:
    cancel = JobCancelRequested(4.0, UserId("ann"), JobId("j1"))
    missed = MppMissed(2.0, RunId("r1"), "What is the pixel size?")
    other = ChunkFinished(3.0, RunId("r2"), 0.5, 9, 0, "ab")
    journal.append([Entry(submission("j1", "j2")), Entry(missed, "j1")])
    journal.append([Entry(other, "j2"), Entry(OPENED), Entry(cancel, "j1")])
    story = journal.story("j1")
    assert [(line.seq, line.at, line.kind) for line in story] == [
        (1, 1.0, "workflow_submitted"),
        (2, 2.0, "mpp_missed"),
        (5, 4.0, "job_cancel_requested"),
    ]
    assert story[1:] == [
        StoryLine(
            2, 2.0, "mpp_missed", {"at": 2.0, "run": "r1", "question": "What is the pixel size?"}
        ),
        StoryLine(5, 4.0, "job_cancel_requested", {"at": 4.0, "user": "ann", "job": "j1"}),
    ]
    assert [line.seq for line in journal.story("j2")] == [1, 3]


def test_a_job_that_is_only_mentioned_inside_a_request_has_no_story(journal: Journal) -> None:
    journal.append([Entry(submission("j1"))])
    assert journal.story("j3") == []
    assert journal.story('j1"') == []
    assert journal.story("%") == []


@pytest.mark.parametrize(
    "job", ['quo"te', "back\\slash", "ümlaut", "new\nline", "nul\0", "%_'", "half\udce9"]
)
def test_a_job_with_an_odd_id_has_its_story(journal: Journal, job: str) -> None:
    journal.append([Entry(submission(job)), Entry(OPENED, job)])
    assert [line.seq for line in journal.story(job)] == [1, 2]


def test_a_closed_journal_refuses_everything_and_closing_again_is_harmless(tmp_path: Path) -> None:
    journal = Journal.open(tmp_path)
    journal.next_epoch()
    journal.append(entries(ticks(1, REPLAY_ROWS + 1)))
    under_way = journal.replay()
    head = [next(under_way) for _ in range(REPLAY_ROWS)]
    journal.close()
    journal.close()
    assert head == ticks(1, REPLAY_ROWS)
    with pytest.raises(StorageFailed, match="it was closed"):
        next(under_way)
    with pytest.raises(StorageFailed, match="it was closed"):
        next(journal.replay())
    with pytest.raises(StorageFailed, match="it was closed"):
        journal.append([Entry(OPENED)])
    with pytest.raises(StorageFailed, match="it was closed"):
        journal.next_epoch()
    with pytest.raises(StorageFailed, match="it was closed"):
        journal.story("j1")


@dataclass(frozen=True, slots=True)
class Stranger:
    """Not an event."""

    at: float


def test_what_is_not_an_event_is_refused_and_the_journal_goes_on(journal: Journal) -> None:
    stranger: Any = Stranger(1.0)
    with pytest.raises(InternalError, match="Stranger"):
        journal.append([Entry(stranger)])
    journal.append([Entry(OPENED)])
    assert len(journal) == 1
