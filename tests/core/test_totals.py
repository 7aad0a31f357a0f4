"""What was done since the journal began: the same after any restart, and never less."""

from __future__ import annotations

from world import cluster, failing

from raysched.core.commands import RunUnit
from raysched.core.events import ChunkFinished, Event
from raysched.core.model import JobState, Stage
from raysched.testing import FakeCluster, job


def planned(c: FakeCluster) -> int:
    return sum(view.tiles_total or 0 for view in c.core.jobs_of(None, c.now))


def test_totals_count_what_was_done_and_how_jobs_ended() -> None:
    c = cluster()
    failing(c, "bad")
    c.submit("ann", job("good"), job("bad", "b"), job("after", "b"))
    c.run()
    totals, view = c.core.state.totals, c.view("good")
    assert totals.tiles == view.tiles_done == planned(c) > 0
    assert totals.chunks == view.chunks_done
    assert totals.ended == {JobState.SUCCEEDED: 1, JobState.FAILED: 1, JobState.SKIPPED: 1}
    assert totals.latency_s == (view.ended_at or 0) - view.submitted_at > 0


def test_work_of_a_job_that_was_cancelled_was_done_all_the_same() -> None:
    c = cluster(lanes=1)
    c.submit("ann", job("gone"))
    while c.core.state.totals.chunks == 0:
        c.tick()
    before = c.core.state.totals.tiles
    c.cancel("gone")
    c.run()
    totals = c.core.state.totals
    assert totals.tiles >= before > 0
    assert totals.ended == {JobState.CANCELLED: 1}
    assert totals.latency_s == 0


def test_cells_and_failed_tiles_are_those_that_chunks_report() -> None:
    c = cluster(lanes=1)
    reported = []

    def answer(command: RunUnit, now: float) -> tuple[float, Event]:
        if command.unit.stage is not Stage.SEGMENT:
            return c.succeed(command, now)
        reported.append(ChunkFinished(now + 2, command.run, 2.0, 7, 1, "x"))
        return 2.0, reported[-1]

    c.answer = answer
    c.submit("ann", job("a"))
    c.run()
    totals = c.core.state.totals
    assert (totals.cells, totals.tiles_failed) == (7 * len(reported), len(reported))
    assert totals.lane_s >= 2.0 * len(reported) > 0


def test_totals_are_the_same_after_a_restart() -> None:
    c = cluster()
    c.submit("ann", job("a"), job("b", "b"))
    c.run()
    totals = c.core.state.totals
    c.restart()
    assert c.core.state.totals == totals
    assert totals.chunks > 0
