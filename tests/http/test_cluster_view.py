"""The administrator's view of the running service, over HTTP and on the command line."""

from __future__ import annotations

import json

import pytest

from raysched import __version__
from tests.http.command_line import say
from tests.http.conftest import Service

pytestmark = [
    pytest.mark.http,
    # Ray Serve's own models, on import
    pytest.mark.filterwarnings("ignore:Using extra keyword arguments on `Field`"),
]


def test_the_view_shows_the_node_the_lanes_and_the_journal(service: Service) -> None:
    service.submit("sample.svs", branch="seen")
    shown = service.http.get("/cluster").raise_for_status().json()
    assert shown["scheduler"]["version"] == __version__
    assert (shown["nodes_alive"], shown["lanes_open"]) == (1, 2)
    (node,) = shown["nodes"]
    assert (node["is_alive"], node["holds_state"], len(node["id"])) == (True, True, 8)
    assert {lane["node"] for lane in shown["lanes"]} == {node["id"]}
    assert shown["journal"]["events"] > 3
    assert shown["journal"]["size_bytes"] > 0


def test_work_in_progress_is_in_its_lane_branch_and_user(service: Service) -> None:
    jobs = [service.submit("sample.svs", branch="long line")["id"] for _ in range(3)]
    service.until(jobs[0], "planning", "segmenting", "assembling", "publishing")
    shown = service.http.get("/cluster").json()
    works = [lane["work"] for lane in shown["lanes"] if lane["work"]]
    assert {work["user"] for work in works} <= {"local"}
    assert len(works) == shown["lanes_busy"]
    depths = {(each["user"], each["branch"]): each["jobs_open"] for each in shown["branches"]}
    assert 2 <= depths["local", "long line"] <= 3
    (user,) = [each for each in shown["users"] if each["user"] == "local"]
    assert user["slot_since"] is not None
    assert (user["weight"], user["share"], user["queue_rank"]) == (1.0, 1.0, None)
    assert shown["queue"]["jobs_open"] >= len(jobs) - 1
    for job in jobs:
        service.http.post(f"/jobs/{job}/cancel")


def test_lists_hold_no_more_than_was_asked_for(service: Service) -> None:
    shown = service.http.get("/cluster", params={"limit": 1}).json()
    assert (len(shown["lanes"]), shown["lanes_open"]) == (1, 2)
    assert service.http.get("/cluster", params={"limit": 0}).status_code == 422


def test_the_command_line_shows_the_same(service: Service) -> None:
    service.submit("sample.svs", branch="told")
    verbs = (["cluster", "--json"], ["cluster"], ["usage", "--csv"], ["usage"])
    as_json, cluster, table, usage, wrong = say(service, *verbs, ["usage", "--since", "monday"])
    assert json.loads(as_json.text)["cluster"]["lanes_open"] == 2
    assert "nodes: 1 alive" in cluster.text
    assert "raysched-lane-0" in cluster.text
    assert table.text.startswith("day,user,submitted,")
    assert "local" in usage.text
    assert [each.exit for each in (as_json, cluster, table, usage, wrong)] == [0, 0, 0, 0, 2]
