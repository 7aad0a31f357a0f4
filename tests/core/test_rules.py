"""The scheduling rules of ARCHITECTURE.md, one by one, in a fake cluster and virtual time."""

from __future__ import annotations

import pytest
from world import BROKEN, cluster, failing, order_of_starts, states

from raysched.core.commands import StopRun, WakeAt
from raysched.core.events import (
    ChunkFinished,
    JobCancelRequested,
    LaneOpened,
    LanesCounted,
    ResultPublished,
    RunStopped,
    TimePassed,
    WorkflowSubmitted,
)
from raysched.core.invariants import check
from raysched.core.limits import Limits
from raysched.core.model import (
    MAIN,
    BranchName,
    JobId,
    JobSpec,
    JobState,
    LaneId,
    Reason,
    UserId,
    WorkflowId,
)
from raysched.core.views import Explanation
from raysched.errors import Conflict, InvalidWorkflow, LimitReached, NotFound
from raysched.testing import FakeCluster, job

# --- life of one job -----------------------------------------------------------------------------


def test_a_job_goes_through_its_units_in_order_and_is_done() -> None:
    c = cluster(lanes=1)
    c.submit("ann", job("a"))
    c.run()
    units = [(command.unit.stage.value, command.unit.chunk) for command in c.started]
    assert units == [
        ("plan", 0),
        ("segment", 0),
        ("segment", 1),
        ("segment", 2),
        ("assemble", 0),
        ("publish", 0),
    ]
    view = c.view("a")
    assert (view.state, view.cells, view.checksum) == (JobState.SUCCEEDED, 30, "checksum of a")
    assert (view.tiles_done, view.tiles_total, view.started_at, view.ended_at) == (3, 3, 0.0, 6.0)
    assert view.explanation == Explanation(Reason.DONE, "done: 30 cells")


def test_a_plan_without_chunks_goes_straight_to_assemble() -> None:
    c = FakeCluster(chunks=lambda _: (), after_event=check)
    c.submit("ann", job("a"))
    c.run()
    assert [command.unit.stage.value for command in c.started] == ["plan", "assemble", "publish"]
    assert c.view("a").state is JobState.SUCCEEDED


def test_chunks_of_one_job_spread_over_idle_lanes_in_increasing_order() -> None:
    c = cluster(lanes=3)
    c.submit("ann", job("a"))
    c.tick()
    assert [run.unit.chunk for run in c.core.runs().values()] == [0, 1, 2]


def test_a_job_tells_which_of_its_chunks_are_in_flight() -> None:
    c = cluster(lanes=2)
    c.submit("ann", job("a"))
    seen = []
    while c.view("a").state is not JobState.SUCCEEDED:
        seen.append((c.view("a").state.value, c.view("a").chunks_running))
        c.tick()
    assert seen == [
        ("planning", ()),  # its run is no chunk's
        ("segmenting", (0, 1)),
        ("segmenting", (1, 2)),
        ("segmenting", (2,)),
        ("assembling", ()),
        ("publishing", ()),
    ]
    assert c.view("a").chunks_running == ()


# --- rule 1 and 2: branches and DAG --------------------------------------------------------------


def test_jobs_of_a_branch_run_one_at_a_time_in_order_also_across_workflows() -> None:
    c = cluster(lanes=4)
    c.submit("ann", job("a"), job("b"))
    c.submit("ann", job("c"))
    c.run()
    ends = [c.view(name).ended_at for name in "abc"]
    starts = [c.view(name).started_at for name in "abc"]
    assert order_of_starts(c) == ["a", "b", "c"]
    assert starts == [0.0, ends[0], ends[1]]


def test_a_job_waits_for_jobs_of_other_branches_that_it_depends_on() -> None:
    c = cluster(lanes=4)
    c.submit("ann", job("late", "y", after=["a", "b"]), job("a", "x"), job("b", "z"))
    assert c.view("late").explanation == Explanation(
        Reason.WAITING_FOR_DEPENDENCY, "waiting for job a (planning) and 1 more to succeed"
    )
    c.run()
    assert order_of_starts(c) == ["a", "b", "late"]
    assert c.view("late").started_at == max(c.view("a").ended_at or 0, c.view("b").ended_at or 0)


@pytest.mark.parametrize(
    ("jobs", "words"),
    [
        ([], "has no jobs"),
        ([job("a"), job("a")], "Job id a is used more than once"),
        ([job("old")], "Job id old is used more than once"),
        ([job("a", after=["nowhere"])], "Job a depends on nowhere, which is not in the workflow"),
        ([job("a", after=["old"])], "Job a depends on old, which is not in the workflow"),
        ([job("a", after=["a"])], "Job a depends on itself"),
        (
            [job("a", "x", after=["c"]), job("b", "y", after=["a"]), job("c", "z", after=["b"])],
            "has a cycle: a depends on c, c depends on b, b depends on a.",
        ),
        (
            [job("a", "x", after=["b"]), job("b", "x")],
            "has a cycle: a depends on b, b comes in branch x after a.",
        ),
        (
            [job(str(n), str(n), after=[str((n + 1) % 999)]) for n in range(999)],
            (
                "has a cycle: 0 depends on 1, .*, 4 depends on 5, and so on, 989 more, "
                "994 depends on 995, .*, 998 depends on 0.$"
            ),
        ),
    ],
)
def test_a_workflow_that_makes_no_sense_is_refused_whole(jobs: list[JobSpec], words: str) -> None:
    c = cluster()
    c.submit("ann", job("old"))
    before = repr(c.core.state)
    with pytest.raises(InvalidWorkflow, match=words):
        c.submit("ann", *jobs)
    assert repr(c.core.state) == before


def test_a_chain_of_ten_thousand_jobs_is_checked_without_recursion() -> None:
    c = FakeCluster(Limits(max_jobs_per_user=10_000))
    names = [f"j{n}" for n in range(10_000)]
    chain = [job(name, name, after=[names[n + 1]]) for n, name in enumerate(names[:-1])]
    c.submit("ann", *chain, job(names[-1], "end"))
    assert c.core.open_jobs() == 10_000


def test_limits_refuse_what_would_pass_them_and_forget_what_is_finished() -> None:
    c = cluster(max_jobs_per_user=2, max_jobs_per_workflow=3)
    with pytest.raises(LimitReached, match="A workflow may have 3 jobs, not 4"):
        c.submit("ann", *[job(name) for name in "abcd"])
    c.submit("ann", job("a"), job("b"))
    with pytest.raises(LimitReached, match="You have 2 unfinished jobs; 1 more would pass"):
        c.submit("ann", job("c"))
    c.submit("bob", job("d"))
    c.run()
    c.submit("ann", job("e"), job("f"))
    assert c.core.open_jobs() == 2


# --- rule 3: failure is local --------------------------------------------------------------------


def test_a_failure_skips_what_needs_it_and_nothing_else() -> None:
    c = cluster(lanes=4)
    failing(c, "bad")
    c.submit("ann", job("bad", "x"), job("next", "x"), job("child", "y", after=["bad"]),
             job("grandchild", "z", after=["child"]), job("free", "y2"))  # fmt: skip
    c.submit("ann", job("other workflow", "x"))
    c.submit("bob", job("stranger", "x"))
    c.run()
    assert states(c) == {
        "bad": "failed",
        "next": "skipped",
        "child": "skipped",
        "grandchild": "skipped",
        "free": "succeeded",
        "other workflow": "succeeded",
        "stranger": "succeeded",
    }
    assert c.view("grandchild").explanation == Explanation(
        Reason.SKIPPED, "skipped because job bad failed; retrying that job revives this one"
    )
    assert c.view("bad").failure == BROKEN


def test_a_retry_revives_what_was_skipped_at_its_old_place_in_the_branch() -> None:
    c = cluster(lanes=1)
    failing(c, "bad")
    c.submit("ann", job("bad", "x"), job("next", "x"), job("child", "y", after=["bad"]))
    c.submit("ann", job("later", "x"), job("last", "x"))
    while c.view("later").state is not JobState.SEGMENTING:
        c.tick()
    c.answer = None
    c.retry("bad")
    c.run()
    assert set(states(c).values()) == {"succeeded"}
    on_x = [name for name in order_of_starts(c) if name != "child"]
    assert on_x == ["bad", "later", "bad", "next", "last"]
    assert c.view("bad").attempt == 2


def test_a_job_with_two_failed_parents_is_revived_only_when_both_are_retried() -> None:
    c = cluster(lanes=4)
    failing(c, "p", "q")
    c.submit("ann", job("p", "x"), job("q", "y"), job("child", "z", after=["p", "q"]))
    c.run()
    c.answer = None
    c.retry("p")
    assert c.view("child").explanation.sentence.startswith("skipped because job q failed")
    c.run()
    assert states(c) == {"p": "succeeded", "q": "failed", "child": "skipped"}
    c.retry("q")
    c.run()
    assert states(c) == {"p": "succeeded", "q": "succeeded", "child": "succeeded"}


def test_only_a_failed_job_can_be_retried() -> None:
    c = cluster()
    failing(c, "bad")
    c.submit("ann", job("good", "x"), job("bad", "y"), job("child", "y"))
    with pytest.raises(Conflict, match="Job good is planning; only a failed job can be retried"):
        c.retry("good")
    c.run()
    with pytest.raises(Conflict, match="Job child was skipped because of job bad"):
        c.retry("child")


def test_a_retry_that_would_pass_the_limit_of_open_jobs_is_refused() -> None:
    c = cluster(max_jobs_per_user=2)
    failing(c, "bad")
    c.submit("ann", job("bad"), job("next"))
    c.run()
    c.submit("ann", job("more"))
    with pytest.raises(LimitReached, match="You have 1 unfinished jobs; 2 more"):
        c.retry("bad")


# --- rule 6: cancel ------------------------------------------------------------------------------


def test_a_cancelled_job_stops_its_runs_and_is_cancelled_when_the_last_has_ended() -> None:
    c = cluster(lanes=2)
    c.submit("ann", job("a"), job("next"))
    c.tick()
    first, second = c.core.runs()
    assert c.cancel("a") == [StopRun(first, JobId("a")), StopRun(second, JobId("a"))]
    assert c.cancel("a") == []
    assert c.view("a").explanation == Explanation(
        Reason.STOPPING, "stopping as asked: 2 runs must end"
    )
    assert c.tell(ChunkFinished(c.now, first, 1.0, 10, 0, "sum")) == []
    c.tell(RunStopped(c.now, second, 0.1))
    assert states(c) == {"a": "cancelled", "next": "skipped"}
    assert c.view("a").chunks_done == 0
    assert c.cancel("a") == []


def test_a_result_that_comes_after_the_cancel_does_not_count() -> None:
    c = cluster(lanes=1)
    c.submit("ann", job("a"))
    while c.view("a").state is not JobState.PUBLISHING:
        c.tick()
    (run,) = c.core.runs()
    assert c.cancel("a") == [StopRun(run, JobId("a"))]
    c.tell(ResultPublished(c.now, run, 1.0, 30, "sum"))
    assert (c.view("a").state, c.view("a").checksum) == (JobState.CANCELLED, None)


def test_a_job_at_rest_is_cancelled_at_once_and_its_wake_up_forgotten() -> None:
    c = cluster()
    failing(c, "retrying", retryable=True)
    c.submit("ann", job("retrying", "x"), job("waiting", "y", after=["retrying"]))
    c.tick()
    assert c.cancel("waiting") == []
    assert c.cancel("retrying") == []
    assert states(c) == {"retrying": "cancelled", "waiting": "cancelled"}
    assert c.core.state.wake_at is None


def test_a_finished_job_cannot_be_cancelled_and_anothers_cannot_be_seen() -> None:
    c = cluster()
    c.submit("ann", job("a"))
    c.run()
    with pytest.raises(Conflict, match="Job a has succeeded already"):
        c.cancel("a")
    with pytest.raises(NotFound) as of_another:
        c.tell(JobCancelRequested(c.now, UserId("bob"), JobId("a")))
    with pytest.raises(NotFound) as unknown:
        c.tell(JobCancelRequested(c.now, UserId("bob"), JobId("zzz")))
    assert str(of_another.value).replace("a.", "?") == str(unknown.value).replace("zzz.", "?")
    with pytest.raises(NotFound):
        c.core.job_view(UserId("bob"), JobId("a"), c.now)
    with pytest.raises(NotFound):
        c.core.workflow_view(UserId("bob"), WorkflowId("w1"), c.now)
    assert c.core.jobs_of(UserId("bob"), c.now) == ()


# --- rule 8: idempotency -------------------------------------------------------------------------


def test_the_same_key_gives_the_same_workflow_and_another_request_under_it_is_refused() -> None:
    c = cluster()

    def spec(name: str, branch: str, request: str, *after: str) -> JobSpec:
        return JobSpec(JobId(name), BranchName(branch), "k", request, tuple(map(JobId, after)))

    first = c.submit("ann", spec("a", "x", "A"), spec("b", "y", "B", "a"), key="k")
    before = repr(c.core.state)
    c.submit("ann", spec("a2", "x", "A"), spec("b2", "y", "B", "a2"), key="k")
    for other in (
        [spec("a2", "x", "A"), spec("b2", "y", "B")],
        [spec("a2", "x", "A"), spec("b2", "z", "B", "a2")],
        [spec("a2", "x", "A"), spec("b2", "y", "C", "a2")],
        [spec("a2", "x", "A")],
        [],
    ):
        with pytest.raises(Conflict, match="key k was used for another workflow"):
            c.submit("ann", *other, key="k")
    assert repr(c.core.state) == before
    assert c.core.workflow_for_key(UserId("ann"), "k") == first


def test_a_key_is_compared_by_what_was_asked_for_where_that_is_known() -> None:
    c = cluster()

    def asked(digest: str, request: str) -> WorkflowSubmitted:
        spec = JobSpec(JobId("a"), BranchName("x"), "k", request)
        return WorkflowSubmitted(0.0, UserId("ann"), "k", WorkflowId("w"), "n", (spec,), digest)

    c.core.handle(asked("one", "defaults of then"))
    assert c.core.handle(asked("one", "defaults of now")) == []
    with pytest.raises(Conflict, match="key k was used for another workflow"):
        c.core.handle(asked("other", "defaults of then"))
    c.core.handle(asked("", "defaults of then"))


def test_each_user_has_keys_of_their_own() -> None:
    c = cluster()
    first = c.submit("ann", job("a"), key="k")
    second = c.submit("bob", job("b"), key="k")
    assert c.core.workflow_for_key(UserId("ann"), "k") == first
    assert c.core.workflow_for_key(UserId("bob"), "k") == second
    assert c.core.workflow_for_key(UserId("bob"), "other") is None


def test_who_waits_is_told_that_the_cluster_has_no_room_for_all_lanes() -> None:
    c = cluster(lanes=0)
    c.submit("ann", job("a"))
    c.submit("bob", job("b"))
    said = [c.view("a").explanation.sentence]
    for wanted, room in ((4, 4), (4, 0), (4, 2)):
        c.tell(LanesCounted(c.now, wanted, room))
        said.append(c.view("a").explanation.sentence)
    c.tell(LaneOpened(c.now, LaneId("new")))
    said.append(c.view("b").explanation.sentence)
    assert said == [
        "waiting for a lane: none is open, the cluster is starting",
        "waiting for a lane: none is open, the cluster is starting",
        "waiting for a lane: 0 of 4 lanes are open: the cluster has room for 0",
        "waiting for a lane: 0 of 4 lanes are open: the cluster has room for 2",
        (
            "next to go: waiting for the lane to finish its chunk; "
            "1 of 4 lanes is open: the cluster has room for 2"
        ),
    ]
    assert c.tell(LanesCounted(c.now, 4, 2)) == []


def test_lanes_open_once_and_are_lost_once() -> None:
    c = cluster(lanes=0)
    lane = LaneId("new")
    for _ in range(2):
        c.tell(LaneOpened(0.0, lane))
    assert c.core.state.pools[MAIN].idle == {lane: None}
    c.lose_lane("new")
    assert c.lose_lane("new") == []


def test_a_wake_up_that_comes_early_is_asked_for_again() -> None:
    c = cluster()
    failing(c, "bad", retryable=True)
    c.submit("ann", job("bad"))
    c.tick()
    assert c.tell(TimePassed(c.now + 0.5)) == [WakeAt(3.0)]


def test_time_that_runs_backward_is_ignored() -> None:
    c = cluster()
    c.submit("ann", job("a"))
    c.run()
    late = c.now
    c.core.handle(WorkflowSubmitted(0.0, UserId("ann"), "k", WorkflowId("z"), "n", (job("b"),)))
    assert c.view("b").submitted_at == late


def test_a_new_life_asks_to_be_woken_again() -> None:
    c = cluster()
    failing(c, "bad", retryable=True)
    c.submit("ann", job("bad"))
    c.tick()
    c.restart()
    assert c.alarm == 3.0
