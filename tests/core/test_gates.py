"""The operator's gates: a pause lets nothing start, a drain lets nothing in; restarts keep both."""

from __future__ import annotations

import pytest
from world import cluster, failing, states

from raysched.core.events import ClusterDrained, ClusterPaused, ClusterResumed
from raysched.core.model import LOCAL_USER, Reason
from raysched.errors import Draining
from raysched.testing import FakeCluster, job


def pause(c: FakeCluster) -> None:
    c.tell(ClusterPaused(c.now, LOCAL_USER))


def drain(c: FakeCluster) -> None:
    c.tell(ClusterDrained(c.now, LOCAL_USER))


def resume(c: FakeCluster) -> None:
    c.tell(ClusterResumed(c.now, LOCAL_USER))


def test_while_paused_what_runs_ends_and_nothing_starts_until_the_operator_resumes() -> None:
    c = cluster(lanes=1)
    c.submit("ann", job("a"))
    c.run(1.5)
    pause(c)
    before = len(c.started)
    c.submit("bob", job("b"))
    c.run()
    assert (len(c.started), c.core.runs()) == (before, {})
    assert states(c) == {"a": "segmenting", "b": "waiting"}
    resume(c)
    c.run()
    assert states(c) == {"a": "succeeded", "b": "succeeded"}


def test_every_job_that_waits_says_that_the_operator_paused_and_since_when() -> None:
    c = cluster(lanes=1, retry_backoff_s=500)
    failing(c, "a", retryable=True)
    c.submit("ann", job("a"), job("behind a"), job("c", "y", after=["a"]))
    c.run(1.5)
    assert states(c)["a"] == "retry_waiting"
    pause(c)
    c.now += 180
    for name in ("a", "behind a", "c"):
        told = c.view(name).explanation
        assert told.reason is Reason.WAITING_FOR_OPERATOR
        assert told.sentence.startswith("paused by the operator 3 min ago")
    resume(c)
    assert c.view("a").explanation.reason is Reason.WAITING_FOR_RETRY


def test_a_pause_outlives_restarts() -> None:
    c = cluster()
    c.submit("ann", job("a"))
    c.run(1.5)
    pause(c)
    c.restart()
    before = len(c.started)
    c.run()
    assert len(c.started) == before
    resume(c)
    c.run()
    assert states(c) == {"a": "succeeded"}


def test_a_job_can_be_cancelled_while_paused() -> None:
    c = cluster(lanes=1)
    c.submit("ann", job("a"), job("b", "y"))
    c.run(1.5)
    pause(c)
    c.cancel("a")
    c.cancel("b")
    c.run()
    assert states(c) == {"a": "cancelled", "b": "cancelled"}


def test_while_drained_new_work_is_refused_and_what_was_taken_in_runs_to_its_end() -> None:
    c = cluster(max_retries=0)
    failing(c, "bad")
    c.submit("ann", job("a"), job("bad", "y"), key="known")
    c.run(1.5)
    drain(c)
    with pytest.raises(Draining):
        c.submit("bob", job("b"))
    c.run()
    assert states(c) == {"a": "succeeded", "bad": "failed"}
    with pytest.raises(Draining):
        c.retry("bad")
    before = c.core.revision
    c.submit("ann", job("a"), job("bad", "y"), key="known")  # the same request again
    assert c.core.revision == before
    resume(c)
    c.submit("bob", job("b"))
    c.run()
    assert states(c)["b"] == "succeeded"


def test_a_drain_outlives_restarts() -> None:
    c = cluster()
    drain(c)
    c.restart()
    with pytest.raises(Draining):
        c.submit("bob", job("b"))


def test_asking_twice_is_harmless_and_the_first_time_counts() -> None:
    c = cluster()
    pause(c)
    drain(c)
    c.now += 5
    before = c.core.revision
    pause(c)
    drain(c)
    assert c.core.revision == before
    assert (c.core.state.paused_at, c.core.state.drained_at) == (0.0, 0.0)
    resume(c)
    assert (c.core.state.paused_at, c.core.state.drained_at) == (None, None)
    before = c.core.revision
    resume(c)
    assert c.core.revision == before


def test_a_pause_and_its_end_make_every_open_job_look_otherwise() -> None:
    c = cluster(lanes=1)
    c.submit("ann", job("a"), job("b"))
    c.submit("bob", job("c"))
    pause(c)
    assert dict(c.core.shown.jobs) == {"a": "ann", "b": "ann", "c": "bob"}
    resume(c)
    assert dict(c.core.shown.jobs) == {"a": "ann", "b": "ann", "c": "bob"}
