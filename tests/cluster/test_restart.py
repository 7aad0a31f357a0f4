"""Stopping everything and starting again on the same state folder."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from driving import USER, open_cluster

from raysched.core.model import JobState

pytestmark = [pytest.mark.ray, pytest.mark.slow]


CHUNKS = {"tile_px": 512, "chunk_tiles": 1}


def test_unfinished_work_goes_on_after_a_restart_and_any_number_of_lanes_gives_the_same(
    tmp_path: Path, sample_slide: Path, checksum: str
) -> None:
    with open_cluster(tmp_path, lanes=4, lane_cpus=0.25) as four_lanes:
        four_lanes.wait_for_lanes(4)
        done = four_lanes.finish(four_lanes.submit(sample_slide, **CHUNKS).job)
        assert done.checksum == checksum
        job = four_lanes.submit(sample_slide, **CHUNKS).job
        before = four_lanes.until(job, lambda view: view.chunks_done >= 2)
    with open_cluster(tmp_path, lanes=1) as one_lane:
        after = asyncio.run(one_lane.gateway.job(USER, job))
        assert after.chunks_done >= before.chunks_done
        assert asyncio.run(one_lane.gateway.job(USER, done.job)).state is JobState.SUCCEEDED
        assert one_lane.finish(job).checksum == checksum
        again = one_lane.submit(sample_slide, **CHUNKS)
        assert one_lane.finish(again.job).checksum == checksum
