"""Stopping everything and starting again on the same state folder."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from driving import USER, open_cluster

from raysched.core.model import JobState

pytestmark = pytest.mark.ray


def test_unfinished_work_goes_on_after_a_restart_and_what_was_submitted_is_there(
    tmp_path: Path, sample_slide: Path
) -> None:
    with open_cluster(tmp_path) as first:
        job = first.submit(sample_slide, tile_px=512, chunk_tiles=1).job
        before = first.until(job, lambda view: view.chunks_done >= 2)
    with open_cluster(tmp_path, lanes=1) as second:
        after = asyncio.run(second.gateway.job(USER, job))
        assert after.chunks_done >= before.chunks_done
        ended = second.finish(job)
    with open_cluster(tmp_path) as third:
        assert asyncio.run(third.gateway.job(USER, job)).state is JobState.SUCCEEDED
        again = third.submit(sample_slide, tile_px=512, chunk_tiles=1)
        assert third.finish(again.job).checksum == ended.checksum
