"""Equal work of one user is done once on real Ray, whoever's branch asks for it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from driving import Cluster, open_cluster

from raysched.cluster.submission import JobRequest
from raysched.core.model import UserId
from raysched.core.views import JobView
from raysched.results.manifest import Manifest, TissueManifest, read_manifest, read_provenance

pytestmark = [pytest.mark.ray, pytest.mark.slow]

BOB = UserId("bob")


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Two lanes, and shelves."""
    folder = tmp_path_factory.mktemp("reuse")
    with open_cluster(folder, reuse_gb=1.0) as opened:
        yield opened


@pytest.fixture(scope="module")
def first(cluster: Cluster, sample_slide: Path) -> JobView:
    """The sample, computed."""
    return cluster.finish(cluster.submit(sample_slide, tile_px=512).job)


def manifest_of(view: JobView) -> Manifest:
    found = read_manifest(Path(json.loads(view.request)["out"]))
    assert found is not None
    return found


def test_the_second_of_two_equal_jobs_computes_nothing(
    cluster: Cluster, sample_slide: Path, first: JobView
) -> None:
    second = cluster.finish(cluster.submit(sample_slide, tile_px=512).job)
    assert (first.reused, second.reused) == (False, True)
    assert manifest_of(second).reused == (f"result of {first.job}",)
    assert (second.cells, second.checksum) == (first.cells, first.checksum)
    assert second.tiles_done == second.tiles_total == first.tiles_total


def test_nothing_is_used_of_another_user(
    cluster: Cluster, sample_slide: Path, first: JobView
) -> None:
    bobs = cluster.submit(sample_slide, user=BOB, tile_px=512)
    bobs = cluster.finish(bobs.job, BOB)
    assert not bobs.reused
    assert (manifest_of(bobs).reused, bobs.checksum) == ((), first.checksum)


def test_equal_jobs_on_two_branches_at_once_are_computed_once(
    cluster: Cluster, sample_slide: Path
) -> None:
    def job(branch: str) -> JobRequest:
        out = str(cluster.folder / f"twin-{branch}")
        return JobRequest(
            slide=str(sample_slide), out=out, branch=branch, tile_px=300, chunk_tiles=1
        )

    views = [cluster.finish(view.job) for view in cluster.submit_all(job("a"), job("b"))]
    assert sorted(view.reused for view in views) == [False, True]
    assert len({view.checksum for view in views}) == 1


def test_a_sweep_over_how_cells_are_measured_finds_them_once(
    cluster: Cluster, sample_slide: Path
) -> None:
    swept = JobRequest(
        slide=str(sample_slide),
        out=str(cluster.folder / "rings"),
        tile_px=400,
        chunk_tiles=1,
        sweep={"measure.ring_um": [1.0, 2.0, 3.0]},
    )
    views = [cluster.finish(view.job) for view in cluster.submit_all(swept)]
    assert [view.branch for view in views] == [
        "main/1 ring_um-1.0",
        "main/2 ring_um-2.0",
        "main/3 ring_um-3.0",
    ]
    manifests = [manifest_of(view) for view in views]
    assert [each.measure.ring_um for each in manifests] == [1.0, 2.0, 3.0]
    assert len({each.checksum for each in manifests}) == 3
    assert len({each.counts.cells for each in manifests}) == 1
    chunks = len(manifests[0].chunk_tiles)
    found = [f"labels of {chunks} of {chunks} chunks" in each.reused for each in manifests]
    assert sorted(found) == [False, True, True]


def test_a_mask_comes_before_the_cells_that_use_it(cluster: Cluster, sample_slide: Path) -> None:
    tissue = {"threshold": 25}
    jobs = (
        JobRequest(
            name="mask",
            kind="tissue_mask",
            slide=str(sample_slide),
            out=str(cluster.folder / "mask"),
            tissue=tissue,
        ),
        JobRequest(
            slide=str(sample_slide),
            out=str(cluster.folder / "masked"),
            branch="other",
            tissue=tissue,
            depends_on=("mask",),
        ),
    )
    mask, cells = (cluster.finish(view.job) for view in cluster.submit_all(*jobs))
    made = read_provenance(cluster.folder / "mask")
    assert isinstance(made, TissueManifest)
    assert (mask.kind, mask.cells, mask.checksum) == ("tissue_mask", 0, made.checksum)
    assert mask.ended_at is not None
    assert cells.started_at is not None
    assert mask.ended_at <= cells.started_at
    assert manifest_of(cells).reused == ("tissue",)
    assert manifest_of(cells).counts.tissue_fraction == pytest.approx(made.tissue_fraction)
