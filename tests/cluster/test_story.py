"""What the journal's events say of one job."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from raysched.cluster.story import told
from raysched.core.decision import Decision
from raysched.core.events import (
    ChunkFinished,
    Event,
    JobCancelRequested,
    LaneLost,
    RunFailed,
    RunLost,
    SlidePlanned,
    TimePassed,
    WorkflowSubmitted,
)
from raysched.core.model import (
    BranchName,
    Failure,
    JobId,
    JobSpec,
    LaneId,
    PlanFacts,
    RunId,
    Stage,
    UserId,
    WorkflowId,
)
from raysched.journal.entries import Entry
from raysched.journal.journal import Journal

A, B, ANN, BOB = JobId("job-a"), JobId("job-b"), UserId("ann"), UserId("bob")
LANE, OTHER = LaneId("lane-0"), LaneId("lane-1")
RUN = RunId("1-1")


def submitted(at: float, user: UserId, *jobs: JobId) -> Event:
    specs = tuple(JobSpec(job, BranchName("main"), "k", "{}") for job in jobs)
    return WorkflowSubmitted(at, user, f"key-{at}", WorkflowId(f"wf-{at}"), "name", specs)


def lines(folder: Path, entries: list[Entry], job: JobId, **asked: Any) -> list[str]:
    """What is told of a job, read back from a real journal."""
    with Journal.open(folder) as journal:
        journal.next_epoch()
        journal.append(entries)
        found = journal.chapter(
            job, **({"after": 0, "since": 0.0, "until": math.inf, "most": 100} | asked)
        )
    said, parked = [], 0
    for event in found:
        said += [line.message for line in told(event, job, parked)]
        if event.decision is not None and job in event.decision.parking:
            parked = event.seq
    return said


def sent(*units: tuple[JobId, Stage, int, LaneId], parking: tuple[JobId, ...] = ()) -> Decision:
    return Decision(units, parking)


def test_a_job_s_story_has_its_own_events_and_nobody_else_s(tmp_path: Path) -> None:
    entries = [
        Entry(submitted(1.0, ANN, A), decision=sent((A, Stage.PLAN, 0, LANE))),
        Entry(submitted(2.0, BOB, B), decision=sent((B, Stage.PLAN, 0, OTHER))),
        Entry(SlidePlanned(3.0, RUN, 0.5, PlanFacts("f", (4, 2))), A,
              sent((A, Stage.SEGMENT, 0, LANE), (A, Stage.SEGMENT, 1, OTHER))),
        Entry(LaneLost(4.0, OTHER, "its node is gone"), A,
              sent((B, Stage.SEGMENT, 0, LANE))),
        Entry(RunLost(5.0, RunId("1-2"), "WorkerCrashedError: it died"), B,
              sent((A, Stage.SEGMENT, 1, LANE))),
        Entry(RunFailed(6.0, RUN, 1.0, Failure("c", "It broke.", "Mend it."), retryable=True), A),
        Entry(JobCancelRequested(7.0, BOB, B), B),
    ]  # fmt: skip
    assert lines(tmp_path, entries, A) == [
        "Submitted on branch main.",
        "Sent plan to lane-0.",
        "Planned in 0.50 s: 6 tiles in 2 chunks.",
        "Sent chunk 0 to lane-0, chunk 1 to lane-1.",
        "Lane lane-1 was lost with the unit in it (its node is gone).",
        "Sent chunk 1 to lane-0.",
        "Failed (it may be tried again): It broke. Mend it.",
    ]


def test_a_job_is_said_to_be_parked_once_for_each_time(tmp_path: Path) -> None:
    parked = Decision(parking=(A,))
    entries = [
        Entry(submitted(1.0, ANN, A, B)),
        Entry(ChunkFinished(2.0, RUN, 1.0, 5, 0, "x"), A, parked),
        Entry(TimePassed(3.0), None, parked),
        Entry(TimePassed(4.0), None, parked),
        Entry(TimePassed(5.0)),
        Entry(TimePassed(6.0), None, parked),
    ]
    said = lines(tmp_path, entries, A)
    assert said[:2] == [
        "Submitted with 1 other job on branch main.",
        "A chunk is finished in 1.00 s: 5 cells.",
    ]
    assert [line[:6] for line in said[2:]] == ["Parked", "Parked"]


def test_a_chapter_is_what_comes_after_an_event_and_no_more_than_asked_for(tmp_path: Path) -> None:
    entries = [Entry(submitted(1.0, ANN, A))] + [
        Entry(ChunkFinished(2.0 + n, RUN, 1.0, n, 0, "x"), A) for n in range(5)
    ]
    assert lines(tmp_path, entries, A, after=2, most=2) == [
        "A chunk is finished in 1.00 s: 1 cells.",
        "A chunk is finished in 1.00 s: 2 cells.",
    ]
