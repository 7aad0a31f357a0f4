"""A cancel is acknowledged once nothing can be published any more; without Ray: no lane is open."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from ray.util.placement_group import PlacementGroup

from raysched.cluster import actor as actor_module
from raysched.cluster import tasks
from raysched.cluster.actor import SchedulerActor
from raysched.cluster.deadlines import Extent
from raysched.cluster.fences import LAST_S, THREADS_OF_USER, Fences, stopped_last, to_shut
from raysched.cluster.lanes import Lanes
from raysched.cluster.life import Life
from raysched.cluster.mailbox import Letter
from raysched.cluster.runs import LiveRun, Runs
from raysched.config import Config, load_config
from raysched.core.commands import Retire, RunUnit
from raysched.core.events import (
    AllCancelRequested,
    Event,
    JobCancelRequested,
    SchedulerStarted,
    WorkflowCancelRequested,
    WorkflowSubmitted,
)
from raysched.core.model import (
    BranchName,
    JobId,
    JobSpec,
    JobState,
    LaneId,
    RunId,
    Stage,
    Unit,
    UserId,
    WorkflowId,
)
from raysched.core.state import State
from raysched.errors import ClusterError
from raysched.imaging.request import SegmentationRequest
from raysched.journal.entries import Entry
from raysched.journal.journal import Journal
from raysched.results.folders import staging_folder
from raysched.results.storage import Disk
from raysched.testing import FakeCluster, job

ANN, A, W = UserId("ann"), JobId("a"), WorkflowId("w1")
BOB = UserId("bob")


def spec_of(name: JobId, out: Path) -> JobSpec:
    request = SegmentationRequest(slide="/slides/a.svs", out=str(out))
    return JobSpec(name, BranchName("main"), "cell_segmentation", request.model_dump_json())


@pytest.fixture
def config(tmp_path: Path) -> Config:
    """A state folder whose one job is being published, by a run that nobody hears of any more."""
    config = load_config(state=tmp_path / "state")
    spec = spec_of(A, tmp_path / "out")
    with Journal.open(config.state) as journal:
        journal.next_epoch()
        world = FakeCluster()
        world.submit("ann", spec)
        while world.view("a").state is not JobState.PUBLISHING or not world.in_flight:
            world.tick()
        entries = zip(world.history, world.decisions, strict=True)
        journal.append([Entry(event, None, decision) for event, decision in entries])
    handed = staging_folder(tmp_path / "out", A) / "publish.1-5"
    handed.mkdir(parents=True)
    (handed / "manifest.json").write_text("all of the result")
    return config


async def in_a_life(config: Config, work: Callable[[Life], Awaitable[None]]) -> None:
    life = await Life.begin(config, lambda *_: None)
    pump = asyncio.create_task(life._pump())
    try:
        await work(life)
    finally:
        await life._end([pump], remove_lanes=False)


def names(tmp_path: Path) -> list[str]:
    return sorted(path.name for path in staging_folder(tmp_path / "out", A).iterdir())


@pytest.mark.parametrize(
    "cancel",
    [
        JobCancelRequested(0.0, ANN, A),
        WorkflowCancelRequested(0.0, ANN, W),
        AllCancelRequested(0.0, ANN),
    ],
    ids=lambda event: type(event).__name__,
)
def test_what_was_handed_over_is_taken_back_before_a_cancel_is_acknowledged(
    config: Config, tmp_path: Path, cancel: Event
) -> None:
    async def work(life: Life) -> None:
        assert names(tmp_path) == ["publish.1-5"]
        await life.post(cancel)
        assert names(tmp_path) == ["result"]
        assert life.core.state.jobs[A].state is JobState.CANCELLED

    asyncio.run(in_a_life(config, work))


def test_a_cancel_that_is_asked_for_again_takes_back_what_the_first_could_not(
    config: Config, tmp_path: Path
) -> None:
    async def work(life: Life) -> None:
        await life.post(JobCancelRequested(life.now(), ANN, A))
        handed = staging_folder(tmp_path / "out", A) / "publish.1-5"
        handed.with_name("result").rename(handed)
        await life.post(JobCancelRequested(life.now(), ANN, A))
        assert names(tmp_path) == ["result"]

    asyncio.run(in_a_life(config, work))


def test_a_new_life_takes_back_what_the_one_before_did_not_come_to(
    config: Config, tmp_path: Path
) -> None:
    """It was killed after it had written down that the job has stopped."""
    handed = staging_folder(tmp_path / "out", A) / "publish.1-5"

    async def cancels(life: Life) -> None:
        await life.post(JobCancelRequested(life.now(), ANN, A))

    async def goes_on(life: Life) -> None:
        while not life._small:
            await asyncio.sleep(0)
        await asyncio.gather(*life._small)
        assert names(tmp_path) == ["result"]

    asyncio.run(in_a_life(config, cancels))
    handed.with_name("result").rename(handed)
    asyncio.run(in_a_life(config, goes_on))


def test_what_had_stopped_long_before_a_life_began_is_left_alone() -> None:
    world = FakeCluster()
    world.submit("ann", job("old"))
    world.run()
    world.submit("ann", job("new"), job("goes on", "b"))
    begins = SchedulerStarted(world.now, 2)
    known = {JobId("new"), JobId("goes on")}
    assert {*stopped_last(world.core.state, begins)} == {*known, JobId("old")}
    world.now += LAST_S + 1
    world.cancel("new")
    assert {*stopped_last(world.core.state, begins)} == known
    assert stopped_last(world.core.state, JobCancelRequested(world.now, ANN, A)) == []


def test_a_cancel_of_which_the_disk_does_not_tell_is_written_down_and_says_so(
    config: Config, tmp_path: Path
) -> None:
    staging = staging_folder(tmp_path / "out", A)
    aside = staging.rename(tmp_path / "aside")
    staging.symlink_to(staging)  # the system refuses to look at what lies there

    async def work(life: Life) -> None:
        with pytest.raises(ClusterError, match="a result may still appear"):
            await life.post(JobCancelRequested(life.now(), ANN, A))
        assert life.core.state.jobs[A].state is JobState.CANCELLED
        staging.unlink()
        aside.rename(staging)
        await life.post(JobCancelRequested(life.now(), ANN, A))
        assert names(tmp_path) == ["result"]

    asyncio.run(in_a_life(config, work))


def test_jobs_that_leave_memory_with_their_cancel_are_among_those_it_waits_for(
    config: Config,
) -> None:
    async def work(life: Life) -> None:
        await life.post(JobCancelRequested(life.now(), ANN, A))
        job = life.core.state.jobs[A]
        retired = [Retire(life.core.state.workflows[W], (job,))]
        assert to_shut(State(), {A}, retired) == [job]
        assert to_shut(State(), set(), retired) == [], "it ended long before this event"

    asyncio.run(in_a_life(config, work))


def test_a_cancel_that_is_asked_for_again_is_as_true_when_its_job_is_in_the_archive(
    config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Lanes, "keep", _no_lanes)
    monkeypatch.setattr(actor_module, "wake", lambda _: None)
    few = replace(config.scheduling, max_ended_jobs_per_user=1)

    async def live() -> None:
        actor = SchedulerActor.__new__(SchedulerActor)
        await actor.__init__(config.model_copy(update={"scheduling": few}))  # type: ignore[misc]
        try:
            life = await actor._current()
            await actor.cancel_all(ANN)
            again = (spec_of(JobId("b"), tmp_path / "b"),)
            w2 = WorkflowSubmitted(life.now(), ANN, "k", WorkflowId("w2"), "again", again)
            await life.post(w2)
            await actor.cancel_all(ANN)
            assert A not in life.core.state.jobs
            for ask in (lambda: actor.cancel(ANN, A), lambda: actor.cancel_workflow(ANN, W)):
                handed = staging_folder(tmp_path / "out", A) / "publish.1-5"
                handed.with_name("result").rename(handed)
                await ask()
                assert names(tmp_path) == ["result"]
        finally:
            await actor.close()

    asyncio.run(live())


async def _no_lanes(_: Lanes) -> None:
    await asyncio.Event().wait()


def test_a_life_that_ends_before_an_acknowledgement_has_begun_leaves_nobody_waiting(
    config: Config,
) -> None:
    async def ending() -> None:
        life = await Life.begin(config, lambda *_: None)
        cancel = JobCancelRequested(life.now(), ANN, A)
        letter = Letter(cancel, asyncio.get_running_loop().create_future())
        started = await life._mail.take(1, most_jobs=1)
        await life._settle([*started, letter])
        await life._end([], remove_lanes=False)
        with pytest.raises(ClusterError):
            await asyncio.wait_for(letter.done, 60)

    asyncio.run(ending())


class Hanging(Disk):
    """One on which what is below some folders does not come to its end."""

    def __init__(self, *folders: Path) -> None:
        self.folders = folders
        self.goes_on = threading.Event()
        self.asked = 0

    def rename(self, old: Path, new: Path) -> None:
        if any(old.is_relative_to(folder) for folder in self.folders):
            self.asked += 1
            assert self.goes_on.wait(120)
        super().rename(old, new)


@pytest.fixture
def hanging(tmp_path: Path) -> Iterator[Hanging]:
    disk = Hanging(tmp_path / "slow")
    yield disk
    disk.goes_on.set()


def test_a_cancel_is_answered_with_what_is_durable(config: Config, tmp_path: Path) -> None:
    """It is acknowledged later than it is written down: more may be on its way to the disk then."""

    async def work(life: Life) -> None:
        disk = Hanging(tmp_path)
        life._fences = Fences(disk=disk)
        asked = asyncio.create_task(life.post(JobCancelRequested(life.now(), ANN, A)))
        while not disk.asked:
            await asyncio.sleep(0.001)
        life._settled.clear()  # the next group is being written
        disk.goes_on.set()
        while life._small:
            await asyncio.sleep(0.001)
        for _ in range(5):
            await asyncio.sleep(0)
        assert not asked.done()
        life._settled.set()
        await asked

    asyncio.run(in_a_life(config, work))


def complete(folder: Path, job: str, name: str = "result") -> SegmentationRequest:
    (staging_folder(folder / job, JobId(job)) / name).mkdir(parents=True)
    return SegmentationRequest(slide="/slides/a.svs", out=str(folder / job))


def test_the_storage_of_one_user_that_hangs_keeps_no_other_waiting(
    hanging: Hanging, tmp_path: Path
) -> None:
    async def live() -> None:
        fences = Fences(disk=hanging)
        stuck = [
            asyncio.create_task(
                fences.hand_over(
                    ANN, complete(tmp_path / "slow", f"j{n}"), JobId(f"j{n}"), RunId("1")
                )
            )
            for n in range(50)
        ]
        while hanging.asked < THREADS_OF_USER:
            await asyncio.sleep(0.001)
        well = complete(tmp_path / "well", "b")
        await asyncio.wait_for(fences.hand_over(BOB, well, JobId("b"), RunId("1-2")), 60)
        assert [path.name for path in staging_folder(Path(well.out), JobId("b")).iterdir()] == [
            "publish.1-2"
        ]
        assert hanging.asked == THREADS_OF_USER
        hanging.goes_on.set()
        await asyncio.gather(*stuck)
        fences.end()

    asyncio.run(live())


def test_however_many_ask_while_a_disk_hangs_one_taking_back_waits_for_it(
    hanging: Hanging, tmp_path: Path
) -> None:
    async def live() -> None:
        fences = Fences(disk=hanging)
        request = complete(tmp_path / "slow", "a", "publish.1-1")
        asked = [asyncio.create_task(fences.take_back(ANN, request, A)) for _ in range(100)]
        while not hanging.asked:
            await asyncio.sleep(0.001)
        asked += [asyncio.create_task(fences.take_back(ANN, request, A)) for _ in range(100)]
        await asyncio.sleep(0)
        turns = {task for task in asyncio.all_tasks() if "Fences._after" in repr(task)}
        assert len(turns) == 1
        hanging.goes_on.set()
        await asyncio.gather(*asked)
        assert hanging.asked == 1
        fences.end()

    asyncio.run(live())


def test_a_run_that_is_told_to_stop_does_not_hold_its_lane_for_a_disk_that_hangs(
    hanging: Hanging, config: Config, tmp_path: Path
) -> None:
    async def live() -> None:
        fences = Fences(disk=hanging)
        runs = Runs(config, Lanes(config, _no_report), fences, _no_report)
        request = complete(tmp_path / "slow", "a")
        unit = Unit(A, 1, Stage.PUBLISH)
        asked = request.model_dump_json()
        run, kind = RunId("1-1"), "cell_segmentation"
        command = RunUnit(run, LaneId("lane"), unit, kind, ANN, asked, None)
        live = LiveRun(command, Extent())
        ending = asyncio.create_task(runs._before(command, live, request))
        while not hanging.asked:
            await asyncio.sleep(0.001)
        live.told.set()
        assert await asyncio.wait_for(ending, 60) == tasks.Halted()
        hanging.goes_on.set()
        await fences.take_back(ANN, request, A)
        assert names_in(request) == ["result"]
        fences.end()

    def names_in(request: SegmentationRequest) -> list[str]:
        return [path.name for path in staging_folder(Path(request.out), A).iterdir()]

    asyncio.run(live())


def test_a_run_that_is_told_to_stop_before_it_has_a_process_gets_none(config: Config) -> None:
    """Nobody would interrupt that one, and an engine may never look whether it is to stop."""

    async def live() -> None:
        lanes = Lanes(config, _no_report)
        lanes._groups[LaneId("lane")] = PlacementGroup.empty()
        runs = Runs(config, lanes, Fences(), _no_report)
        request = SegmentationRequest(slide="/slides/a.svs", out="/out").model_dump_json()
        unit, run, kind = Unit(A, 1, Stage.SEGMENT), RunId("1-1"), "cell_segmentation"
        command = RunUnit(run, LaneId("lane"), unit, kind, ANN, request, None)
        live = LiveRun(command, Extent())
        live.told.set()
        assert await runs._outcome(command, live) == tasks.Halted()

    asyncio.run(live())


async def _no_report(*_: Any) -> None:
    pytest.fail("nothing is reported")


def test_a_lane_that_was_given_up_and_whose_node_went_first_is_reported_once(
    config: Config,
) -> None:
    async def live() -> None:
        lanes = Lanes(config, _no_report)
        lanes._given_up[LaneId("lane")] = "its work did not end"
        await lanes.bury(LaneId("lane"))
        assert not lanes._given_up

    asyncio.run(live())
