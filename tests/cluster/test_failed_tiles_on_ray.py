"""A slide that cannot be read in one corner, on real Ray: how its jobs end, and one run again."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest
from driving import USER, Cluster, open_cluster

from raysched.cluster.failed_tiles import failed_tiles_again
from raysched.core.model import JobState
from raysched.core.views import JobView
from raysched.imaging.slide import open_slide
from raysched.results.manifest import Manifest, read_manifest
from tests.rotten import Rotten

pytestmark = [pytest.mark.ray, pytest.mark.slow]

CROP = (760, 1800, 480, 480)
ASKED = {"mpp": 0.499, "tile_px": 160, "chunk_tiles": 1}


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """One lane, so that chunks go one after another, and shelves."""
    folder = tmp_path_factory.mktemp("rotten")
    scheduling = {"max_retries": 1, "retry_backoff_s": 0.1}
    with open_cluster(folder, reuse_gb=1.0, lanes=1, scheduling=scheduling) as opened:
        yield opened


@pytest.fixture(scope="module")
def slide(cluster: Cluster, sample_slide: Path) -> Path:
    """A part of the sample whose last corner is spoilt for ever."""
    from tifffile import imwrite

    with open_slide(sample_slide) as whole:
        imwrite(cluster.folder / "crop.tif", whole.read_level(0, *CROP))
    rotten = Rotten.of(cluster.folder / "crop.tif", cluster.folder / "rotten.tif")
    rotten.spoil()
    return rotten.path


def manifest_of(view: JobView) -> Manifest:
    found = read_manifest(Path(json.loads(view.request)["out"]))
    assert found is not None
    return found


def test_above_its_threshold_a_job_fails_after_its_tries_and_computes_no_more(
    cluster: Cluster, slide: Path
) -> None:
    job = cluster.submit(slide, **ASKED).job
    view = cluster.until(job, lambda view: view.state is JobState.FAILED)
    assert view.failure is not None
    assert view.failure.code == "too_many_failed_tiles"
    assert (view.attempt, view.tiles_done, view.tiles_failed) == (2, 5, 1)


def test_failed_tiles_alone_are_computed_by_the_job_that_runs_them_again(
    cluster: Cluster, slide: Path
) -> None:
    old = cluster.finish(cluster.submit(slide, max_failed_share=0.5, **ASKED).job)
    assert (old.tiles_failed, old.tiles_total) == (4, 9)
    prepared = failed_tiles_again(old, key=uuid4().hex, config=cluster.config)
    (made,) = asyncio.run(cluster.gateway.submit(prepared)).jobs
    new = cluster.finish(made.job)
    # what is known is not computed again, and what cannot be read is not made up
    assert (new.user, new.tiles_failed, new.checksum) == (USER, 4, old.checksum)
    assert "labels of 5 of 9 chunks" in manifest_of(new).reused
    out = Path(json.loads(new.request)["out"])
    old_out = Path(json.loads(old.request)["out"])
    tag = new.job.removeprefix("job-")
    assert (out.parent, out.name) == (old_out.parent, f"{old_out.name}-failed-tiles-{tag}")
