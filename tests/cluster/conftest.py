"""One real cluster for the tests that do not break it, and what is to come out without any."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from driving import Cluster, open_cluster

from raysched.imaging.request import SegmentationRequest
from raysched.results import stages


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Two lanes on this machine, shared by the tests that do not break it."""
    folder = tmp_path_factory.mktemp("cluster")
    with open_cluster(folder) as opened:
        yield opened


@pytest.fixture(scope="session")
def checksum(sample_slide: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Of the sample in tiles of 512 px, segmented in this process in one chunk."""
    request = SegmentationRequest(
        slide=str(sample_slide),
        out=str(tmp_path_factory.mktemp("alone") / "out"),
        tile_px=512,
        chunk_tiles=256,
    )
    assert len(stages.plan_slide(request, "alone").chunk_tiles) == 1
    stages.segment_chunk(request, "alone", 0, lambda: False)
    stages.assemble(request, "alone", lambda: False)
    return stages.publish(request, "alone").checksum
