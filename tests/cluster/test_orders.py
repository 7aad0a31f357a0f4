"""What a lane is told, made from what the core commands. Without Ray."""

from __future__ import annotations

import pickle
from pathlib import Path

from raysched.cluster.orders import Orders
from raysched.cluster.tasks import Order
from raysched.config import PoolSettings, load_config
from raysched.core.commands import RunUnit
from raysched.core.model import JobId, LaneId, RunId, Stage, Unit, UserId
from raysched.imaging.request import SegmentationRequest

REQUEST = SegmentationRequest(slide="/s/lung.svs", out="/r/lung", params={"min_area_um2": 20.0})


def order(tmp_path: Path, *, user: str = "ann", chunk: int = 0, mpp: float | None = None) -> Order:
    unit = Unit(JobId("job-1"), 1, Stage.SEGMENT, chunk)
    lane, text = LaneId("lane-1"), REQUEST.model_dump_json()
    command = RunUnit(
        RunId("1-1"), lane, unit, "cell_segmentation", UserId(user), text, mpp, careful=False
    )
    shape = PoolSettings(lane_cpus=1.5, lane_gb=4.0)
    return Orders(load_config(state=tmp_path)).order_of(command, shape, 1000)


def test_an_order_has_what_was_asked_for_and_the_pixel_size_that_was_answered(
    tmp_path: Path,
) -> None:
    assert order(tmp_path).request == REQUEST
    assert order(tmp_path, mpp=0.25).request == REQUEST.model_copy(update={"mpp": 0.25})
    assert order(tmp_path, chunk=3).request == REQUEST
    assert order(tmp_path, chunk=3).unit.chunk == 3
    assert (order(tmp_path).cpus, order(tmp_path).most_bytes) == (2, 4e9)


def test_each_user_has_a_shelf_of_their_own(tmp_path: Path) -> None:
    shelves = {order(tmp_path, user=user).shelf.folder for user in ("ann", "bob", "ann")}
    assert len(shelves) == 2
    assert {shelf.parent for shelf in shelves} == {tmp_path / "shelf"}


def test_an_order_arrives_as_it_was_sent(tmp_path: Path) -> None:
    sent = order(tmp_path, mpp=0.25)
    assert pickle.loads(pickle.dumps(sent)) == sent
