"""A real Prometheus collects a real service's numbers, and every chart and alert finds its own."""

from __future__ import annotations

import json
import math
import re
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from tests.http.conftest import Service

CONFIGS = Path(__file__).parents[2] / "configs"
WAIT_S = 180.0

pytestmark = [
    pytest.mark.http,
    pytest.mark.slow,
    pytest.mark.skipif(not shutil.which("prometheus"), reason="Prometheus is not installed"),
    # Ray Serve's own models, on import
    pytest.mark.filterwarnings("ignore:Using extra keyword arguments on `Field`"),
]


def charts() -> list[str]:
    """What the dashboard asks for."""
    dashboard = json.loads((CONFIGS / "grafana-dashboard.json").read_text())
    asked = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    assert len(asked) > 10
    # What Grafana puts in: four times the pace of the scrapes, or more.
    return [at_pace(each.replace("$__rate_interval", "1m")) for each in asked]


def alerts() -> dict[str, str]:
    (group,) = yaml.safe_load((CONFIGS / "alerts.yml").read_text())["groups"]
    return {rule["alert"]: at_pace(rule["expr"]) for rule in group["rules"]}


def at_pace(expression: str) -> str:
    """With the steps of subqueries as quick as this Prometheus collects."""
    return expression.replace("15s]", "1s]")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Prometheus:
    """What its HTTP API answers."""

    def __init__(self, url: str) -> None:
        self.http = httpx.Client(base_url=f"{url}/api/v1", timeout=30)

    def ask(self, expression: str) -> list[dict[str, Any]]:
        """The series that an expression has now, with a number. Fails where it is none."""
        answer = self.http.get("/query", params={"query": expression})
        assert answer.status_code == 200, (expression, answer.text)
        found: list[dict[str, Any]] = answer.json()["data"]["result"]
        return [each for each in found if math.isfinite(float(each["value"][1]))]

    def until(self, expression: str) -> list[dict[str, Any]]:
        deadline = time.monotonic() + WAIT_S
        while not (found := self.ask(expression)):
            assert time.monotonic() < deadline, f"nothing is there of {expression}"
        return found


@pytest.fixture(scope="module")
def prometheus(service: Service, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    """With the committed configuration, but for where the service is and the pace."""
    folder = tmp_path_factory.mktemp("prometheus")
    for name in ("prometheus.yml", "alerts.yml"):
        shutil.copy(CONFIGS / name, folder)
    config = yaml.safe_load((folder / "prometheus.yml").read_text())
    config["global"]["scrape_interval"] = "1s"
    (scraped,) = config["scrape_configs"]
    scraped["static_configs"] = [{"targets": [service.http.base_url.netloc.decode()]}]
    (folder / "prometheus.yml").write_text(yaml.safe_dump(config))
    key = service.http.headers["Authorization"].removeprefix("Bearer ")
    (folder / "raysched.key").write_text(key)
    port = free_port()
    command = ["prometheus", "--config.file", folder / "prometheus.yml", "--storage.tsdb.path"]
    command += [folder / "data", "--web.listen-address", f"127.0.0.1:{port}"]
    with (folder / "log").open("w") as log, subprocess.Popen(command, stderr=log) as process:
        made = Prometheus(f"http://127.0.0.1:{port}")
        deadline = time.monotonic() + WAIT_S
        while True:
            try:
                made.http.get("/query", params={"query": "1"}).raise_for_status()
                break
            except httpx.HTTPError:
                assert process.poll() is None, (folder / "log").read_text()
                assert time.monotonic() < deadline
        yield made
        made.http.close()
        process.kill()


def test_every_chart_shows_something_once_a_job_has_run(
    service: Service, prometheus: Prometheus
) -> None:
    prometheus.until('up{job="raysched"} == 1')
    prometheus.until("ray_raysched_lanes")
    asked = charts()
    asked.sort(key=lambda each: "branch_depth" not in each)  # that one is there while a job runs
    for _ in range(2):  # of what began with the first, the growth is seen with the second
        job = service.submit("sample.svs", tile_px=256, chunk_tiles=1)
        prometheus.until(asked[0])
        service.until(job["id"], "succeeded")
        prometheus.until("max(ray_raysched_job_latency_seconds_count)")
    for expression in asked[1:]:
        prometheus.until(expression)


def test_every_alert_is_quiet_and_looks_at_something_that_is_there(prometheus: Prometheus) -> None:
    prometheus.until('up{job="raysched"} == 1')
    rules = prometheus.http.get("/rules").json()["data"]["groups"][0]["rules"]
    assert {rule["name"] for rule in rules} == alerts().keys()
    assert {rule["health"] for rule in rules} <= {"ok", "unknown"}
    for name, expression in alerts().items():
        for series in set(re.findall(r"ray_raysched_\w+", expression)):
            prometheus.until(series)
        assert prometheus.ask(expression) == [], name
