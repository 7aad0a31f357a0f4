"""A newer version takes over what an older one is in the middle of, on its own cluster and on
another's; an older one refuses. The newer one is a copy of the package with another number."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import ray
from operating import WAIT_S, Up, run_verb, up
from ray.cluster_utils import Cluster as RayCluster
from ray.util.placement_group import placement_group, placement_group_table

from raysched import __version__

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(1200)]

ROOT = Path(__file__).parents[2]
NEWER = "99.0.0"


@pytest.fixture
def newer(tmp_path: Path) -> dict[str, str]:
    """Settings that have a verb run from a newer version's code."""
    top = tmp_path / "newer"
    for package in ("raysched", "serve_app"):
        left_out = shutil.ignore_patterns("node_modules", "src", "build", "__pycache__")
        shutil.copytree(ROOT / package, top / package, ignore=left_out)
    init = top / "raysched" / "__init__.py"
    text, changed = re.subn(f'"{re.escape(__version__)}"', f'"{NEWER}"', init.read_text())
    assert changed == 1
    init.write_text(text)
    return {"PYTHONPATH": str(top)}


def begun(service: Up, slide: Path) -> str:
    """A job that stays in the middle: the service is paused once it segments."""
    job = service.submit(slide, "one")
    service.until(job, "segmenting")
    service.api("POST", "/api/v1/cluster/pause")
    return job


def test_a_newer_up_stops_the_older_one_and_goes_on_with_its_work(
    tmp_path: Path, sample_slide: Path, checksum: str, newer: dict[str, str]
) -> None:
    state, slides = tmp_path / "state", sample_slide.parent
    with up(state, slides) as older:
        job = begun(older, sample_slide)
        with up(state, slides, **newer) as other:
            assert older.process.wait(WAIT_S) == 0
            assert older.until_said("stopped") == {"jobs_open": 1}
            other.where["admin_key"] = older.where["admin_key"]
            other.api("POST", "/api/v1/cluster/resume")
            assert other.until(job, "succeeded")["checksum"] == checksum
            assert other.api("GET", "/readyz")["version"] == NEWER
            code, (refused,) = run_verb(older.env, "status")
            assert (code, refused["error"]["code"]) == (4, "other_version")
            assert refused["error"]["remedy"].startswith(f"Use raysched {NEWER}")
            code, (refused,) = run_verb(older.env, "up")
            assert (code, refused["error"]["code"]) == (2, "conflict")
            assert f"version {NEWER}" in refused["error"]["message"]


@contextmanager
def somebodys_cluster() -> Iterator[RayCluster]:
    """A head that no raysched has started."""
    head = {"num_cpus": 2, "resources": {"raysched_state": 1}, "include_dashboard": False}
    cluster = RayCluster(initialize_head=True, head_node_args=head)
    try:
        yield cluster
    finally:
        ray.shutdown()
        cluster.shutdown()


def lanes() -> list[str]:
    """The placement groups of the cluster at hand."""
    rows = placement_group_table().values()
    return [row["name"] for row in rows if row["state"] != "REMOVED"]


def test_on_another_s_cluster_a_newer_up_replaces_what_an_older_one_has_left_there(
    tmp_path: Path, sample_slide: Path, checksum: str, newer: dict[str, str]
) -> None:
    state, slides = tmp_path / "state", sample_slide.parent
    with somebodys_cluster() as cluster:
        where = ("--address", cluster.address)
        with up(state, slides, *where) as older:
            job = begun(older, sample_slide)
            older.process.kill()
            older.process.wait()
        with up(state, slides, *where, **newer) as other:
            other.where["admin_key"] = older.where["admin_key"]
            other.api("POST", "/api/v1/cluster/resume")
            assert other.until(job, "succeeded")["checksum"] == checksum
            assert other.api("GET", "/readyz")["version"] == NEWER
            code, (refused,) = run_verb(older.env, "status", *where)
            assert (code, refused["error"]["code"]) == (4, "other_version")
            code, lines = run_verb(other.env, "down", *where)
            assert (code, lines) == (0, [{"down": {"stopped": ["up"]}}])
        ray.init(address=cluster.address, namespace="raysched", log_to_driver=False)
        with pytest.raises(ValueError, match="scheduler"):
            ray.get_actor("scheduler")
        assert lanes() == []
        stray = placement_group([{"CPU": 1}], name="raysched-lane-7", lifetime="detached")
        ray.get(stray.ready(), timeout=WAIT_S)
        # One that waits for room would keep an autoscaler at work.
        placement_group([{"CPU": 1000}], name="raysched-lane-8", lifetime="detached")
        code, lines = run_verb(other.env, "doctor", "--repair", *where)
        assert code == 1  # no scheduler answers there
        assert [each["repaired"] for each in lines if each.get("check") == "lanes"] == [
            "removed raysched-lane-7",
            "removed raysched-lane-8",
        ]
        assert lanes() == []
