"""What a dry run takes jobs to cost: by what was measured, the likest first; few slides are looked
at however many are named."""

from __future__ import annotations

import json

import pytest

from raysched.cluster import dry_run
from raysched.cluster.speeds import CostSource, Forecast, JobSize, forecast
from raysched.core.events import WorkflowSubmitted
from raysched.core.model import BranchName, JobId, JobSpec, UserId, WorkflowId
from raysched.imaging.request import SegmentationRequest, SlideRequest, TissueRequest
from raysched.results.shelf import NO_SHELF
from raysched.results.sizing import Sized
from raysched.testing import FakeCluster

KIND = "cell_segmentation"
SIZE = JobSize(tiles=10, chunks=5, plan_s=0.25)


def spec(name: str, engine: str = "classical", tile_px: int = 1000) -> JobSpec:
    request = json.dumps({"engine": engine, "tile_px": tile_px})
    return JobSpec(JobId(name), BranchName("main"), KIND, request)


def told(cluster: FakeCluster, job: JobSpec, size: JobSize = SIZE, user: str = "ann") -> Forecast:
    event = WorkflowSubmitted(cluster.now, UserId(user), "new", WorkflowId("new"), "new", (job,))
    return forecast(cluster.core.state, event, (size,), cluster.now)


def test_before_anything_was_measured_seconds_are_assumed_and_said_to_be() -> None:
    found = told(FakeCluster(), spec("new"))
    assert found.sources == (CostSource.ASSUMED,)
    assert found.costs[0].segment_s == 10 * 0.5
    assert found.costs[0].plan_s == 0.25


def test_ones_own_jobs_of_the_engine_tell_best_then_others_then_other_engines() -> None:
    cluster = FakeCluster(chunks=lambda _: (2, 2))
    cluster.submit("bob", spec("other", engine="slow"))
    cluster.run()
    assert told(cluster, spec("new")).sources == (CostSource.KIND,)
    assert told(cluster, spec("new", engine="slow")).sources == (CostSource.ENGINE,)
    cluster.submit("ann", spec("own", tile_px=500))
    cluster.run()
    found = told(cluster, spec("new", tile_px=1000))
    assert found.sources == (CostSource.OWN,)
    assert found.costs[0].segment_s == pytest.approx(10 * 1.0 * 4)  # tiles of four times the area
    assert told(cluster, spec("new"), user="bob").sources == (CostSource.ENGINE,)


def test_what_is_there_already_or_has_no_tiles_costs_no_segmenting() -> None:
    cluster = FakeCluster()
    for size in (JobSize(10, 5, reused=True), JobSize(0, 0)):
        found = told(cluster, spec("new"), size)
        assert (found.sources, found.costs[0].segment_s) == ((CostSource.NONE,), 0.0)
        assert found.costs[0].chunks == 0


def requests(number: int) -> list[SlideRequest]:
    return [SegmentationRequest(slide=f"/s/{at}.svs", out=f"/o/{at}") for at in range(number)]


def looked(asked: list[SlideRequest]) -> tuple[list[Sized], list[bool], list[SlideRequest]]:
    looks: list[SlideRequest] = []

    def look(request: SlideRequest, _: object) -> Sized:
        looks.append(request)
        return Sized(tiles=len(looks), chunks=1, seconds=0.5)

    return *dry_run.look(asked, NO_SHELF, look), looks


def test_no_more_slides_are_looked_at_than_allowed_and_the_others_are_like_them() -> None:
    sized, seen, looks = looked(requests(20))
    assert len(looks) == dry_run.MOST_LOOKS == 8
    assert seen == [True] * 8 + [False] * 12
    assert [each.tiles for each in sized[:8]] == [1, 2, 3, 4, 5, 6, 7, 8]
    assert {each.tiles for each in sized[8:]} == {round(4.5)}


def test_parameters_that_change_no_tile_need_no_second_look() -> None:
    (first,) = requests(1)
    sweep = [first.model_copy(update={"params": {"x": at}, "out": f"/o/{at}"}) for at in range(9)]
    mask = TissueRequest(slide=first.slide, out="/o/mask")
    sized, seen, looks = looked([*sweep, mask])
    assert looks == [sweep[0], mask]
    assert [each.tiles for each in sized] == [1] * 9 + [2]
    assert seen == [True] * 10
