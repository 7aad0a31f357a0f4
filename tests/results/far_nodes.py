"""Nodes that share no folder, and a store between them: for tests of what goes through it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path

import pytest

from raysched.imaging.request import SlideRequest
from raysched.results.chunks import RECEIPT
from raysched.results.manifest import read_manifest
from raysched.results.outcomes import Receipt
from raysched.results.remote.bucket import Bucket
from raysched.results.remote.copies import Copies
from raysched.results.remote.door import Door
from raysched.results.remote.place import StorePlace
from raysched.results.remote.slides import keep_slide
from raysched.results.remote.units import RemoteStages
from raysched.testing import s3_server
from tests.results.conftest import crop_attempt

JOB = "job-1"
names = count()


def go_on() -> bool:
    return False


@pytest.fixture(scope="module")
def server() -> Iterator[s3_server.S3Server]:
    with s3_server.running() as started:
        yield started


@pytest.fixture
def place(
    server: s3_server.S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> StorePlace:
    """A new bucket, and the service's own node."""
    for name, value in s3_server.CREDENTIALS.items():
        monkeypatch.setenv(name, value)
    url = f"{server.bucket(f'bucket-{next(names)}')}/lab"
    return StorePlace(
        url=url,
        endpoint=server.endpoint,
        region=s3_server.REGION,
        folder=tmp_path / "head",
        slides_bytes=10**9,
        results=tmp_path / "results",
        results_bytes=10**9,
    )


def node(place: StorePlace, name: str) -> StorePlace:
    return replace(place, folder=place.folder.with_name(name))


@dataclass
class Job:
    """A job whose slide is in the store, and nodes to run its units on."""

    place: StorePlace
    request: SlideRequest

    def on(self, name: str) -> RemoteStages:
        return RemoteStages(node(self.place, name))

    def plan(self, name: str = "a") -> int:
        return len(self.on(name).plan_slide(self.request, JOB, go_on).chunk_tiles)

    def segment(self, chunk: int, name: str = "b") -> Receipt:
        return self.on(name).segment_chunk(self.request, JOB, chunk, go_on)

    def assemble(self, name: str = "c") -> None:
        self.on(name).assemble(self.request, JOB, go_on)

    @property
    def door(self) -> Door:
        return Door(self.bucket, JOB)

    @property
    def bucket(self) -> Bucket:
        return Bucket(self.place)

    @property
    def out(self) -> Path:
        return Path(self.request.out)


@pytest.fixture
def job(place: StorePlace, crop: Path) -> Job:
    request = crop_attempt(crop, place.results / JOB, 4).request
    stored = keep_slide(crop, Bucket(place), place)
    return Job(place, request.model_copy(update={"tile_px": 96, "stored": stored}))


def finish(job: Job) -> str:
    """From the plan to the copy at the service; the result's checksum."""
    for chunk in range(job.plan()):
        job.segment(chunk, "ab"[chunk % 2])
    job.assemble()
    return publish(job)


def publish(job: Job, run: str = "run-1") -> str:
    job.door.hand_over(run)
    published = job.on("b").publish(job.request, JOB, run)
    assert Copies(job.place).result(job.request, JOB)
    manifest = read_manifest(job.out)
    assert manifest is not None
    assert manifest.checksum == published.checksum
    return published.checksum


def receipts(staging: Path) -> list[Receipt]:
    return [
        RECEIPT.validate_json(path.read_bytes()) for path in sorted(staging.glob("chunks-*/*.json"))
    ]
