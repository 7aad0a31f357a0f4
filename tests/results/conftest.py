"""A small real slide, an attempt that can be run step by step, and a disk that dies on demand."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import tifffile

from raysched.imaging.request import SegmentationRequest, SlideRequest
from raysched.imaging.slide import open_slide
from raysched.results import stages
from raysched.results.folders import staging_folder
from raysched.results.shelf import NO_SHELF, Shelf
from raysched.results.storage import Disk
from raysched.testing.engines import NUCLEUS, PAPER, STROMA

CROP_X, CROP_Y, CROP_PX = 760, 1800, 480
MPP = 0.499


class Died(Exception):
    """The process was killed, as far as the disk can tell."""


class DyingDisk(Disk):
    """Refuses every change after the first ``alive_for``, also those of tidying up."""

    def __init__(self, alive_for: int | None = None) -> None:
        self.steps = 0
        self._alive_for = alive_for

    def step(self, what: str, path: Path) -> None:
        if self._alive_for is not None and self.steps >= self._alive_for:
            raise Died(f"{what} {path}")
        self.steps += 1


@dataclass(frozen=True)
class Attempt:
    """The four stages of one request."""

    request: SlideRequest
    job: str = "job-1"
    shelf: Shelf = NO_SHELF

    @property
    def out(self) -> Path:
        return Path(self.request.out)

    @property
    def staging(self) -> Path:
        return staging_folder(self.out, self.job)

    def plan(self, disk: Disk | None = None) -> stages.Planned:
        return stages.plan_slide(self.request, self.job, disk=disk or Disk(), shelf=self.shelf)

    def segment(self, chunk: int, disk: Disk | None = None) -> stages.Receipt:
        return stages.segment_chunk(
            self.request, self.job, chunk, never, disk=disk or Disk(), shelf=self.shelf
        )

    def assemble(self, disk: Disk | None = None) -> stages.Assembled:
        return stages.assemble(self.request, self.job, never, disk=disk or Disk(), shelf=self.shelf)

    def publish(self, disk: Disk | None = None) -> stages.Published:
        return stages.publish(self.request, self.job, disk=disk or Disk(), shelf=self.shelf)

    def run(self, disk: Disk | None = None) -> stages.Published:
        planned = self.plan(disk)
        if not planned.reused:
            for chunk in range(len(planned.chunk_tiles)):
                self.segment(chunk, disk)
        self.assemble(disk)
        return self.publish(disk)


def killed_anywhere(*stages: Callable[[Disk], object]) -> int:
    """Do the stages in turn, each killed at its first change, then at its second and so on, until
    it lives. Returns how many were killed."""
    killed = 0
    for stage in stages:
        for alive_for in count():
            try:
                stage(DyingDisk(alive_for))
                break
            except Died:
                killed += 1
    return killed


def never() -> bool:
    return False


@pytest.fixture(scope="session")
def crop(sample_slide: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """480 x 480 px of the sample as a tiled TIFF without a pixel size."""
    path = tmp_path_factory.mktemp("crop") / "crop.tif"
    with open_slide(sample_slide) as slide:
        rgb = slide.read_level(0, CROP_X, CROP_Y, CROP_PX, CROP_PX)
    tifffile.imwrite(path, rgb, tile=(256, 256), photometric="rgb", metadata=None)
    return path


def crop_attempt(crop: Path, out: Path, chunk_tiles: int = 4, job: str = "job-1") -> Attempt:
    request = SegmentationRequest(
        slide=str(crop), out=str(out), mpp=MPP, tile_px=160, chunk_tiles=chunk_tiles
    )
    return Attempt(request, job)


@pytest.fixture
def attempt(crop: Path, tmp_path: Path) -> Attempt:
    return crop_attempt(crop, tmp_path / "out")


LEICA_SIZE, LEICA_AT, LEICA_NM = (1000, 900), (301, 207), 500
LEICA_XML = """<?xml version="1.0"?>
<scn xmlns="http://www.leica-microsystems.com/scn/2010/10/01">
 <collection sizeX="{whole_x}" sizeY="{whole_y}">
  <image>
   <pixels sizeX="{px}" sizeY="{px}"><dimension sizeX="{px}" sizeY="{px}" r="0" ifd="0"/></pixels>
   <view sizeX="{side}" sizeY="{side}" offsetX="{x}" offsetY="{y}"/>
   <scanSettings>
    <objectiveSettings><objective>20</objective></objectiveSettings>
    <illuminationSettings>
     <illuminationSource>brightfield</illuminationSource>
    </illuminationSettings>
   </scanSettings>
  </image>
 </collection>
</scn>"""


@pytest.fixture(scope="session")
def bounded_slide(crop: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The crop as a Leica slide of 1000 x 900 px of which it fills the middle: OpenSlide's bounds
    begin at ``LEICA_AT``, outside of them is nothing."""
    path = tmp_path_factory.mktemp("leica") / "bounded.scn"
    sizes = {"whole_x": LEICA_SIZE[0], "whole_y": LEICA_SIZE[1], "side": CROP_PX}
    places = {**sizes, "x": LEICA_AT[0], "y": LEICA_AT[1]}
    xml = LEICA_XML.format(px=CROP_PX, **{name: n * LEICA_NM for name, n in places.items()})
    per_cm = 1e7 / LEICA_NM
    tifffile.imwrite(
        path, tifffile.imread(crop), tile=(256, 256), photometric="rgb", metadata=None,
        description=xml, resolution=(per_cm, per_cm), resolutionunit="CENTIMETER", bigtiff=True,
    )  # fmt: skip
    return path


@pytest.fixture(scope="session")
def done(crop: Path, tmp_path_factory: pytest.TempPathFactory) -> Attempt:
    """A published result of the crop, for reading only."""
    attempt = crop_attempt(crop, tmp_path_factory.mktemp("done") / "out")
    attempt.run()
    return attempt


DISC_PITCH, LARGE_PX, SMALL_PX = 85, 10, 6


@pytest.fixture(scope="session")
def discs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A slide of 12 large and 13 small nuclei, far apart."""
    rgb = np.full((480, 480, 3), PAPER, np.uint8)
    rgb[20:460, 20:460] = STROMA
    for place in range(25):
        row, column = divmod(place, 5)
        centre = 70 + DISC_PITCH * column, 70 + DISC_PITCH * row
        cv2.circle(rgb, centre, LARGE_PX if (row + column) % 2 else SMALL_PX, NUCLEUS, -1)
    path = tmp_path_factory.mktemp("discs") / "discs.tif"
    soft = cv2.GaussianBlur(rgb, (0, 0), 0.8)
    tifffile.imwrite(path, soft, tile=(256, 256), photometric="rgb", metadata=None)
    return path


@pytest.fixture(scope="session")
def found(discs: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Results of that slide: of all nuclei, of the large ones, on another grid, of none."""
    folder = tmp_path_factory.mktemp("found")
    wanted: dict[str, dict[str, Any]] = {
        "all": {},
        "large": {"tile_px": 200, "params": {"min_area_um2": 50}},
        "scaled": {"mpp": 0.4},
        "none": {"params": {"min_area_um2": 100}},
    }
    for name, given in wanted.items():
        request = {"mpp": MPP, "tile_px": 160, "chunk_tiles": 9, **given}
        request |= {"slide": str(discs), "out": str(folder / name)}
        Attempt(SegmentationRequest(**request), f"job-{name}").run()
    return {name: folder / name for name in wanted}
