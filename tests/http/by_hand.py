"""The units of the service of ``tests.http.here``, done one by one when a test says so: the real
stages, in this process, without Ray."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
import tifffile

from raysched.cluster import tasks
from raysched.cluster.life import Life
from raysched.cluster.orders import shelf_of
from raysched.cluster.run_endings import event_of
from raysched.cluster.runs import Runs
from raysched.core.commands import RunUnit
from raysched.core.events import LaneOpened
from raysched.core.model import Failure, LaneId, Stage, UserId
from raysched.errors import MppMissing, RayschedError
from raysched.imaging.request import read_request
from raysched.imaging.slide import open_slide
from raysched.results import stages
from raysched.results.shelf import NO_SHELF, Shelf
from tests.http.here import Here

CROP_X, CROP_Y, CROP_PX, MPP = 760, 1800, 480, 0.499
JOB = {"slide": "crop.tif", "mpp": MPP, "tile_px": 160, "chunk_tiles": 2}
"""Nine tiles at most, in chunks of two."""


def cut_slide(sample_slide: Path, folder: Path) -> None:
    """480 x 480 px of the sample as a slide of the service, without a pixel size."""
    with open_slide(sample_slide) as slide:
        rgb = slide.read_level(0, CROP_X, CROP_Y, CROP_PX, CROP_PX)
    folder.mkdir(exist_ok=True)
    tifffile.imwrite(folder / "crop.tif", rgb, tile=(256, 256), photometric="rgb", metadata=None)


class Units:
    """What the scheduler has sent to its lanes and is not done."""

    def __init__(
        self, here: Here, monkeypatch: pytest.MonkeyPatch, *, shelves: bool = False
    ) -> None:
        self.sent: list[RunUnit] = []
        self.done: list[RunUnit] = []
        self._here = here
        self._shelves = shelves

        def start(_: Runs, command: RunUnit, workflow: str | None = None) -> None:
            self.sent.append(command)

        monkeypatch.setattr(Runs, "start", start)

    @property
    def _life(self) -> Life:
        actor = self._here.gateway.actor
        assert actor is not None
        assert actor._life is not None
        return actor._life

    async def open(self, lanes: int) -> None:
        """Open lanes: the scheduler sends what it has."""
        for number in range(lanes):
            await self._life.post(LaneOpened(self._life.now(), LaneId(f"lane-{number}")))

    async def do(self, stage: Stage) -> RunUnit:
        """Do the first unit that was sent, which is of that stage, and report it."""
        command = self.sent.pop(0)
        assert command.unit.stage is stage
        outcome = await asyncio.to_thread(_outcome, command, self._shelf_of(command.user))
        self.done.append(command)
        await self._life.post(event_of(self._life.now(), command.run, 0.1, outcome))
        return command

    def _shelf_of(self, user: UserId) -> Shelf:
        place = shelf_of(user, self._here.config)
        return Shelf(place.folder, place.most_bytes) if self._shelves else NO_SHELF

    async def do_all(self) -> None:
        """Until nothing is sent any more."""
        while self.sent:
            await self.do(self.sent[0].unit.stage)


def _outcome(command: RunUnit, shelf: Shelf) -> tasks.Outcome:
    """As ``cluster.tasks`` makes it of what a stage says."""
    try:
        return _done(command, shelf)
    except MppMissing as error:
        return tasks.Asked(error.message)
    except RayschedError as error:
        failure = Failure(error.code, error.message, error.remedy)
        return tasks.Failed(failure, tasks._may_pass(error, command.unit.stage))


def _done(command: RunUnit, shelf: Shelf) -> tasks.Outcome:
    request, unit = read_request(command.kind, command.request), command.unit
    if command.mpp is not None:
        request = request.model_copy(update={"mpp": command.mpp})
    match unit.stage:
        case Stage.PLAN:
            return stages.plan_slide(request, unit.job, shelf=shelf)
        case Stage.SEGMENT:
            return stages.segment_chunk(request, unit.job, unit.chunk, lambda: False, shelf=shelf)
        case Stage.ASSEMBLE:
            return stages.assemble(request, unit.job, lambda: False, shelf=shelf)
        case Stage.PUBLISH:
            return stages.publish(request, unit.job, shelf=shelf)
