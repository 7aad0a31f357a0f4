"""What work through an object store costs beyond folders: each stage, without Ray."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

from figures import Figure
from slides import bench_slide

from raysched.imaging.request import SegmentationRequest
from raysched.results import stages
from raysched.results.remote.bucket import Bucket
from raysched.results.remote.copies import Copies
from raysched.results.remote.door import Door
from raysched.results.remote.place import StorePlace
from raysched.results.remote.slides import keep_slide
from raysched.results.remote.units import RemoteStages
from raysched.testing import s3_server

JOB = "job-1"
TILE_PX = 512


def measure() -> Iterator[Figure]:
    """Slide M, in one process, in a folder and through a server on this machine. A minute."""
    os.environ.update(s3_server.CREDENTIALS)
    slide = bench_slide("M")
    with tempfile.TemporaryDirectory() as name, s3_server.running() as server:
        folder = Path(name)
        place = StorePlace(
            url=f"{server.bucket('bench')}/lab",
            endpoint=server.endpoint,
            region=s3_server.REGION,
            folder=folder / "node",
            slides_bytes=10**11,
            results=folder / "results",
            results_bytes=10**11,
        )
        begun = time.perf_counter()
        stored = keep_slide(slide, Bucket(place), place)
        yield Figure("the slide, sent once", time.perf_counter() - begun, "s")
        here = _request(slide, folder / "here")
        there = _request(slide, place.results / JOB).model_copy(update={"stored": stored})
        alone, through = _stages(stages, here), _stages(RemoteStages(place), there)
        for what in ("plan", "a chunk, median", "assemble"):
            yield Figure(f"{what}, through the store", through[what], "s", alone[what])
        begun = time.perf_counter()
        Door(Bucket(place), JOB).hand_over("run-1")
        published = RemoteStages(place).publish(there, JOB, "run-1")
        took = time.perf_counter() - begun
        begun = time.perf_counter()
        other = stages.publish(here, JOB)
        yield Figure("publish, through the store", took, "s", time.perf_counter() - begun)
        if published.checksum != other.checksum:
            raise SystemExit("the store has another result")
        begun = time.perf_counter()
        Copies(place).result(there, JOB)
        yield Figure("the result, fetched by the service", time.perf_counter() - begun, "s")


def _request(slide: Path, out: Path) -> SegmentationRequest:
    return SegmentationRequest(slide=str(slide), out=str(out), tile_px=TILE_PX, chunk_tiles=4)


def _stages(work: Any, request: SegmentationRequest) -> dict[str, float]:
    """Seconds of each; the first chunk, which loads what is needed, apart."""
    work.plan_slide(request, JOB, _go_on)  # loads and compiles what is needed
    plan, planned = _timed(lambda: work.plan_slide(request, JOB, _go_on))
    chunks = range(len(planned.chunk_tiles))
    took = [_timed(partial(work.segment_chunk, request, JOB, n, _go_on))[0] for n in chunks]
    assemble, _ = _timed(lambda: work.assemble(request, JOB, _go_on))
    return {"plan": plan, "a chunk, median": median(took[1:]), "assemble": assemble}


def _timed(work: Callable[[], Any]) -> tuple[float, Any]:
    begun = time.perf_counter()
    made = work()
    return time.perf_counter() - begun, made


def _go_on() -> bool:
    return False
