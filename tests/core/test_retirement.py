"""What ended long ago leaves memory; its key is known for ever; nobody else notices."""

from __future__ import annotations

import pytest
from world import cluster, failing, states

from raysched.core.commands import Retire
from raysched.core.model import JobId
from raysched.errors import NotFound
from raysched.testing import FakeCluster, job


def retired(c: FakeCluster) -> list[list[str]]:
    return [[each.id for each in command.jobs] for command in c.retired]


def test_the_oldest_ended_workflows_leave_memory_once_a_user_has_more_ended_jobs_than_kept() -> (
    None
):
    c = cluster(max_ended_jobs_per_user=2)
    for number in range(4):
        c.submit("ann", job(f"a{number}"))
        c.run()
    assert states(c) == {"a2": "succeeded", "a3": "succeeded"}
    assert retired(c) == [["a0"], ["a1"]]
    assert (c.core.state.users["ann"].jobs_retired, len(c.core.state.jobs)) == (2, 2)


def test_a_workflow_leaves_whole_and_not_before_its_last_job_has_ended() -> None:
    c = cluster(lanes=1, max_ended_jobs_per_user=1)
    c.submit("ann", job("a", "x"), job("b", "x"))
    c.submit("ann", job("c", "y"))
    c.run()
    assert retired(c) == [["c"]]
    assert states(c) == {"a": "succeeded", "b": "succeeded"}


def test_the_newest_ended_workflow_stays_however_large() -> None:
    c = cluster(max_ended_jobs_per_user=1)
    c.submit("ann", *(job(f"a{number}") for number in range(5)))
    c.run()
    assert len(states(c)) == 5
    assert retired(c) == []


def test_one_users_work_never_drives_out_anothers() -> None:
    c = cluster(max_ended_jobs_per_user=1)
    c.submit("bob", job("b"))
    c.run()
    for number in range(3):
        c.submit("ann", job(f"a{number}"))
        c.run()
    assert states(c) == {"b": "succeeded", "a2": "succeeded"}


def test_the_key_of_a_retired_workflow_never_starts_work_again() -> None:
    c = cluster(max_ended_jobs_per_user=1)
    for number in range(3):
        c.submit("ann", job(f"a{number}"), key=f"key-of-a{number}")
        c.run()
    before, started = c.core.revision, len(c.started)
    c.submit("ann", job("again"), key="key-of-a0")
    assert (c.core.revision, len(c.started)) == (before, started)
    c.submit("bob", job("bobs"), key="key-of-a0")
    assert states(c)["bobs"] == "planning"


def test_a_retried_workflow_stands_behind_those_that_ended_meanwhile() -> None:
    c = cluster(max_ended_jobs_per_user=3, max_retries=0)
    failing(c, "a0")
    c.submit("ann", job("a0"), job("a1"))
    c.run()
    assert states(c) == {"a0": "failed", "a1": "skipped"}
    c.submit("ann", job("a2", "y"))
    c.run()
    c.answer = None
    c.retry("a0")
    c.run()
    assert retired(c) == []
    c.submit("ann", job("a3", "y"))
    c.run()
    assert retired(c) == [["a2"]]
    assert states(c) == {"a0": "succeeded", "a1": "succeeded", "a3": "succeeded"}


def test_a_retired_job_is_not_found_and_what_is_handed_over_is_as_it_ended() -> None:
    c = cluster(max_ended_jobs_per_user=1)
    for number in range(2):
        c.submit("ann", job(f"a{number}"))
        c.run()
    with pytest.raises(NotFound):
        c.view("a0")
    (kept,) = c.retired
    assert isinstance(kept, Retire)
    (only,) = kept.jobs
    assert (only.id, only.state, only.checksum) == (JobId("a0"), "succeeded", "checksum of a0")


def test_a_lower_limit_after_a_restart_holds_at_once() -> None:
    c = cluster(max_ended_jobs_per_user=9)
    for number in range(4):
        c.submit("ann", job(f"a{number}"))
        c.run()
    assert len(states(c)) == 4
    c.restart(max_ended_jobs_per_user=1)
    assert list(states(c)) == ["a3"]
