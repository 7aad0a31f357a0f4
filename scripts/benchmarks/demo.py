"""The main job on the sample, from the command to its end, beside the same stages without Ray."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
from figures import Figure

from raysched.config import load_config
from raysched.imaging.engine import engine_params
from raysched.imaging.request import SegmentationRequest
from raysched.imaging.samples import sample_slide
from raysched.results.stages import assemble, plan_slide, publish, segment_chunk

SAMPLE_EVERY_S = 0.05
NOT_OURS = ("raylet", "gcs_server", "dashboard", "/ray/_private/", "ray::IDLE")
"""Ray's own processes; ``ray::IDLE`` is a spare worker that has not run anything of ours."""


def measure() -> Iterator[Figure]:
    """Wall time and peak memory of ``raysched demo``; the checksums must agree."""
    with tempfile.TemporaryDirectory() as folder:
        config = load_config()
        slide = sample_slide(config.samples, config.cache).path
        plain_s, checksum = _plainly(slide, Path(folder) / "plain")
        seconds, peak_mb, result = _command(slide, Path(folder))
        if result["checksum"] != checksum:
            raise SystemExit(f"the checksums differ: {result['checksum']} and {checksum}")
        yield Figure("from the command to its end", seconds, "s", plain_s, 60.0)
        yield Figure("of that, from submission to success", _job_s(result), "s", plain_s)
        yield Figure("peak PSS of all raysched processes", peak_mb, "MB", None, 1500.0)
        yield Figure("cells", result["cells"], "", better="more")


def _plainly(slide: Path, out: Path) -> tuple[float, str]:
    """The same stages, called one after the other in one process."""
    config = load_config()
    engine = config.segmentation.engine
    request = SegmentationRequest(
        slide=str(slide),
        out=str(out),
        engine=engine,
        params=engine_params(engine, {}).model_dump(mode="json"),
        mpp=None,
        tile_px=config.segmentation.tile_px,
        chunk_tiles=config.segmentation.chunk_tiles,
    )
    begun = time.perf_counter()
    planned = plan_slide(request, "plain")
    for chunk in range(len(planned.chunk_tiles)):
        segment_chunk(request, "plain", chunk, lambda: False)
    assemble(request, "plain", lambda: False)
    published = publish(request, "plain")
    return time.perf_counter() - begun, published.checksum


def _command(slide: Path, folder: Path) -> tuple[float, float, dict[str, object]]:
    """``raysched run`` as a process of its own: seconds, peak MB, what it said last."""
    code = "from raysched.cli.main import main; main()"
    arguments = [sys.executable, "-c", code, "run", slide, "--out", folder / "out", "--json"]
    begun = time.perf_counter()
    process = subprocess.Popen(
        list(map(str, arguments)),
        env={**os.environ, "RAYSCHED_STATE": str(folder / "state")},
        stdout=(folder / "said").open("w"),
    )
    peak = 0
    while process.poll() is None:
        peak = max(peak, _pss_bytes(process.pid))
        time.sleep(SAMPLE_EVERY_S)
    seconds = time.perf_counter() - begun
    if process.returncode:
        raise SystemExit(f"raysched run failed: {(folder / 'said').read_text()}")
    last = (folder / "said").read_text().splitlines()[-1]
    return seconds, peak / 1e6, json.loads(last)["result"]


def _pss_bytes(root: int) -> int:
    """Memory of the command, the scheduler and the workers; shared pages are counted once."""
    total = 0
    for process in [psutil.Process(root), *psutil.Process(root).children(recursive=True)]:
        try:
            line = " ".join(process.cmdline())
            if not any(mark in line for mark in NOT_OURS):
                total += process.memory_full_info().pss
        except psutil.Error:
            continue  # it ended between being listed and being asked
    return total


def _job_s(result: dict[str, object]) -> float:
    from datetime import datetime

    job = result["job"]
    assert isinstance(job, dict)
    ended, submitted = (datetime.fromisoformat(job[at]) for at in ("ended_at", "submitted_at"))
    return (ended - submitted).total_seconds()
