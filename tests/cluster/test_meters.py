"""The numbers that Prometheus reads: how they are counted, and how nodes' answers become one."""

from __future__ import annotations

import pytest
from prometheus_client.parser import text_string_to_metric_families

from raysched.cluster.meters import MOST_BRANCHES, branches, meters
from raysched.cluster.scrape import merged
from raysched.config import ClusterSettings, EnginePool
from raysched.core.events import LaneOpened, LanesCounted
from raysched.core.limits import Limits
from raysched.core.model import MAIN, SOMEWHERE, LaneId, PoolCount, PoolName
from raysched.testing import FakeCluster, job

ONE = """# HELP ray_raysched_lanes Lanes.
# TYPE ray_raysched_lanes gauge
ray_raysched_lanes{NodeAddress="192.0.2.1"} 2.0
# HELP ray_raysched_wait_seconds Waits.
# TYPE ray_raysched_wait_seconds histogram
ray_raysched_wait_seconds_bucket{NodeAddress="192.0.2.1",le="1.0"} 3.0
ray_raysched_wait_seconds_bucket{NodeAddress="192.0.2.1",le="+Inf"} 4.0
ray_raysched_wait_seconds_count{NodeAddress="192.0.2.1"} 4.0
ray_raysched_wait_seconds_sum{NodeAddress="192.0.2.1"} 9.0
# HELP ray_node_cpu_count CPUs.
# TYPE ray_node_cpu_count gauge
ray_node_cpu_count{NodeAddress="192.0.2.1"} 2.0
"""
TWO = ONE.replace("192.0.2.1", "192.0.2.2")


def depths(c: FakeCluster) -> dict[tuple[str, str], int]:
    return branches(c.core.state)


def test_the_depth_of_a_branch_counts_its_unfinished_jobs_and_the_deepest_come_first() -> None:
    c = FakeCluster(Limits(max_jobs_per_user=1000), lanes=1)
    c.submit("ann", *(job(f"a{n}") for n in range(3)), job("side", "side"))
    c.submit("bob", *(job(f"b{n}", f"branch {n}") for n in range(2 * MOST_BRANCHES)))
    found = depths(c)
    assert len(found) == MOST_BRANCHES
    assert next(iter(found.items())) == (("ann", "main"), 3)
    c.run()
    assert depths(c) == {}


def test_plain_numbers_are_those_of_the_core() -> None:
    c = FakeCluster(Limits(max_active_users=1), lanes=2)
    c.submit("ann", job("a"), job("b", "b"), job("c", "b"))
    c.submit("bob", job("d"))
    found = meters()._values(c.core.state, c.now, {})
    names = ("queue_depth", "worker_active_jobs", "active_users", "waiting_users", "lanes_busy")
    assert {name: found[name] for name in names} == {
        "queue_depth": 2,
        "worker_active_jobs": 2,
        "active_users": 1,
        "waiting_users": 1,
        "lanes_busy": 2,
    }
    c.run()
    done = meters()._values(c.core.state, c.now, {})
    assert (done["queue_depth"], done["worker_active_jobs"], done["active_users"]) == (0, 0, 0)
    assert done["tiles_total"] == sum(c.view(name).tiles_done for name in "abcd") > 0
    assert done["tiles_per_second"] > 0
    assert 0 <= done["lane_busy_ratio"] <= 1


def test_a_journal_that_hangs_shows_while_it_does() -> None:
    c, shown = FakeCluster(Limits()), meters()
    name = "journal_wait_seconds"
    assert shown._values(c.core.state, c.now, {})[name] == 0.0
    with shown.committing(1):
        assert shown._values(c.core.state, c.now, {})[name] > 0.0
    with pytest.raises(OSError, match="gone"), shown.committing(1):
        raise OSError("the disk is gone")
    assert shown._values(c.core.state, c.now, {})[name] == 0.0


def test_a_pool_that_work_waits_for_and_that_has_no_lane_is_counted() -> None:
    c, gpu = FakeCluster(Limits(), lanes=1), PoolName("gpu")
    c.tell(LanesCounted(c.now, 2, 1, (PoolCount(MAIN, 1, 1), PoolCount(gpu, 1, 0, "1 GPU"))))
    assert meters()._values(c.core.state, c.now, {})["pools_without_lanes"] == 0
    c.submit("ann", job("deep", pool=gpu), job("plain", "b"))
    assert meters()._values(c.core.state, c.now, {})["pools_without_lanes"] == 1
    c.tell(LaneOpened(c.now, LaneId("gpu 0"), SOMEWHERE, gpu))
    assert meters()._values(c.core.state, c.now, {})["pools_without_lanes"] == 0


def test_lanes_that_come_and_go_are_not_among_those_that_last() -> None:
    shapes = ClusterSettings(
        lanes=2, pools=(EnginePool(name="gpu", engines=("deep",), lanes=1, most_lanes=9),)
    ).shapes()
    c = FakeCluster(Limits(), lanes=2)
    for number in range(3):
        c.tell(LaneOpened(c.now, LaneId(f"gpu {number}"), SOMEWHERE, PoolName("gpu")))
    found = meters()._values(c.core.state, c.now, shapes)
    assert (found["lanes"], found["lanes_lasting"]) == (5, 3)


def test_the_answers_of_nodes_become_one_that_prometheus_can_read() -> None:
    text = merged([ONE, TWO], "ray_raysched_")
    families = {family.name: family for family in text_string_to_metric_families(text)}
    assert families.keys() == {"ray_raysched_lanes", "ray_raysched_wait_seconds"}
    lanes = families["ray_raysched_lanes"]
    assert (lanes.documentation, lanes.type) == ("Lanes.", "gauge")
    assert {sample.labels["NodeAddress"]: sample.value for sample in lanes.samples} == {
        "192.0.2.1": 2.0,
        "192.0.2.2": 2.0,
    }
    waits = families["ray_raysched_wait_seconds"]
    assert waits.type == "histogram"
    assert len(waits.samples) == 8
    both = merged([ONE, TWO], "")
    assert {family.name for family in text_string_to_metric_families(both)} > families.keys()
    assert both.count("# TYPE ray_raysched_lanes") == 1
