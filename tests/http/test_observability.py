"""What the running service says about itself: logs of jobs, /metrics, its processes' own logs."""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import ray

import raysched
from raysched.cluster.accounts import KeyWish, Secret
from raysched.cluster.gateway import ACTOR_NAME
from raysched.cluster.job_log import LogPage
from raysched.core.accounts import KeyKind, Role
from raysched.core.model import LOCAL_USER, JobState
from raysched.results.logbook import Line
from serve_app.log_models import JobLog, LogLine
from serve_app.paths import machine_folders
from serve_app.web import create_app
from tests.http.conftest import Service

pytestmark = [
    pytest.mark.http,
    # Ray Serve's own models, on import
    pytest.mark.filterwarnings("ignore:Using extra keyword arguments on `Field`"),
]

SAMPLE = re.compile(r"([a-z_]+)(?:\{(.*)\})? (\S+)")


@dataclass(frozen=True)
class Shown:
    """What /metrics answered: each series as (name, labels, value)."""

    text: str
    series: list[tuple[str, dict[str, str], float]]

    @classmethod
    def of(cls, text: str) -> Shown:
        found = [SAMPLE.fullmatch(line) for line in text.splitlines() if line[:1] != "#"]
        return cls(
            text,
            [
                (each[1], dict(re.findall(r'(\w+)="([^"]*)"', each[2] or "")), float(each[3]))
                for each in found
                if each is not None
            ],
        )

    def sum(self, name: str, **labels: str) -> float:
        return sum(
            value
            for known, has, value in self.series
            if known == f"ray_raysched_{name}" and labels.items() <= has.items()
        )


def metrics(service: Service, **query: Any) -> Shown:
    url = service.http.base_url.copy_with(path="/metrics")
    answer = service.http.get(url, params=query)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    return Shown.of(answer.text)


def metrics_once(service: Service, **wanted: float) -> Shown:
    """What is shown once these are reached: Ray's agents hear of a change after a while."""
    deadline = time.monotonic() + 60
    while True:
        shown = metrics(service)
        found = {name: shown.sum(name) for name in wanted}
        if found == wanted:
            return shown
        assert time.monotonic() < deadline, (found, wanted)


@pytest.fixture(scope="module")
def done(service: Service) -> Iterator[tuple[Shown, dict[str, Any]]]:
    """What was shown before a job, and the job, which has succeeded."""
    service.http.post("/me/cancel").raise_for_status()
    while service.http.get("/jobs", params={"open": True}).json()["jobs"]:
        pass
    deadline = time.monotonic() + 60
    while not (before := metrics_or_nothing(service)):
        assert time.monotonic() < deadline
    job = service.submit("sample.svs", tile_px=512, chunk_tiles=4)
    yield before, service.until(job["id"], "succeeded")


def metrics_or_nothing(service: Service) -> Shown | None:
    """None while the actor's numbers, or an agent, are not there yet."""
    url = service.http.base_url.copy_with(path="/metrics")
    answer = service.http.get(url)
    shown = Shown.of(answer.text) if answer.status_code == 200 else None
    return shown if shown and shown.sum("lanes") == 2 and shown.sum("journal_events") else None


def test_after_a_job_the_numbers_are_those_of_the_job(
    service: Service, done: tuple[Shown, dict[str, Any]]
) -> None:
    before, job = done
    shown = metrics_once(
        service,
        tiles_total=before.sum("tiles_total") + job["tiles_total"],
        chunks_total=before.sum("chunks_total") + job["chunks_total"],
        jobs_total=before.sum("jobs_total") + 1,
        job_latency_seconds_count=before.sum("job_latency_seconds_count") + 1,
        queue_depth=0,
        worker_active_jobs=0,
        active_users=0,
        lanes_busy=0,
        lanes=2,
    )
    found = shown.sum("cells_total") - before.sum("cells_total")
    assert job["cells"] <= found < 1.1 * job["cells"]  # before seams are reconciled
    assert shown.sum("jobs_total", state="succeeded") > before.sum("jobs_total", state="succeeded")
    took = shown.sum("job_latency_seconds_total") - before.sum("job_latency_seconds_total")
    assert took > 0
    assert shown.sum("lane_seconds_total") > before.sum("lane_seconds_total")
    assert shown.sum("journal_commit_seconds_count") > 0
    assert shown.sum("nodes_silent") == 0
    assert shown.sum("branch_depth", user="local") == 0


def test_requests_are_counted_by_route_and_status(
    service: Service, done: tuple[Shown, dict[str, Any]]
) -> None:
    _, job = done
    has = {"route": "get_job", "budget": "default"}
    before = metrics(service)
    for _ in range(5):
        service.http.get(f"/jobs/{job['id']}")
    service.http.get("/jobs/job-none")
    service.http.get("/nowhere")
    deadline = time.monotonic() + 60
    while True:
        shown = metrics(service)
        more = {
            status: shown.sum("http_requests_total", status=status, **has)
            - before.sum("http_requests_total", status=status, **has)
            for status in ("200", "404")
        }
        if more["404"] >= 1 and more["200"] >= 5:
            break
        assert time.monotonic() < deadline, more
    assert shown.sum("http_requests_total", route="other", status="404") >= 1
    assert shown.sum("http_request_seconds_count", budget="default") >= 6


def test_only_our_series_are_shown_unless_all_are_asked_for(service: Service) -> None:
    ours, everything = metrics(service), metrics(service, all=1)
    assert {name.startswith("ray_raysched_") for name, _, _ in ours.series} == {True}
    assert any(not name.startswith("ray_raysched_") for name, _, _ in everything.series)
    for text in (ours.text, everything.text):
        described = re.findall(r"^# TYPE (\S+)", text, re.MULTILINE)
        assert len(described) == len(set(described)) > 0


def test_a_read_only_key_of_an_administrator_opens_the_metrics(service: Service) -> None:
    async def make() -> Secret:
        return await service.accounts.make_key(LOCAL_USER, KeyWish("scrape", Role.READ_ONLY))

    key = asyncio.run(make())
    with service.client(key.text) as client:
        assert client.get(client.base_url.copy_with(path="/metrics")).status_code == 200
        assert client.get("/users").status_code == 403


def test_the_operator_may_open_the_metrics_to_everybody(service: Service) -> None:
    serve = service.config.serve.model_copy(update={"open_metrics": True})
    config = service.config.model_copy(update={"serve": serve})

    async def statuses() -> list[int]:
        found = []
        for each in (config, service.config):
            app = create_app(each, service.session.gateway)
            transport = httpx.ASGITransport(app=app)
            async with httpx.AsyncClient(transport=transport, base_url="http://x") as client:
                found.append((await client.get("/metrics")).status_code)
        return found

    assert asyncio.run(statuses()) == [200, 401]


def test_totals_do_not_change_when_the_actor_is_restarted(
    service: Service, done: tuple[Shown, dict[str, Any]]
) -> None:
    names = (
        "tiles_total",
        "cells_total",
        "chunks_total",
        "jobs_total",
        "job_latency_seconds_total",
    )
    before = metrics(service)
    kept = {name: before.sum(name) for name in names}
    epoch = asyncio.run(service.session.gateway.health()).epoch
    ray.kill(
        ray.get_actor(ACTOR_NAME, namespace=service.config.cluster.namespace), no_restart=False
    )
    while asyncio.run(service.session.gateway.health()).epoch == epoch:
        pass
    series = [name for name, _, _ in before.series if name == "ray_raysched_tiles_total"]
    assert len(series) == 1
    deadline = time.monotonic() + 60
    while True:  # the old process's gauges leave after 20 s; the new one's are the same
        shown = metrics(service)
        told = {name: shown.sum(name) for name in names}
        workers = {has["WorkerId"] for name, has, _ in shown.series if name == series_name()}
        assert all(shown.sum(name) in (kept[name], 2 * kept[name], 0.0) for name in names), told
        old = {has["WorkerId"] for name, has, _ in before.series if name == series_name()}
        if workers and not workers & old:
            assert told == kept
            return
        assert time.monotonic() < deadline, told


def series_name() -> str:
    return "ray_raysched_tiles_total"


# --- logs of jobs ---------------------------------------------------------------------------------


def test_the_log_of_a_job_has_what_the_system_did(
    service: Service, done: tuple[Shown, dict[str, Any]]
) -> None:
    _, job = done
    log = service.http.get(f"/jobs/{job['id']}/log", params={"limit": 500}).json()
    assert log["complete"] is True
    assert log["state"] == "succeeded"
    messages = [line["message"] for line in log["lines"]]
    assert messages[0] == "Submitted on branch main."
    assert messages[-1].startswith("Published: ")
    assert "Chunk 0 is done." in messages
    assert {line["source"] for line in log["lines"]} == {"system"}
    later = service.http.get(f"/jobs/{job['id']}/log", params={"cursor": log["next"]}).json()
    assert later["lines"] == []


def test_a_log_names_no_folder_of_the_server(service: Service) -> None:
    config = service.config
    said = f"""Traceback (most recent call last):
  File "{Path(json.__file__)}", line 1, in load
  File "{Path(raysched.__file__).parent}/imaging/slide.py", line 1, in read
  File "{Path(httpx.__file__)}", line 1, in read
OSError: {config.state}/results/job-1/cells and {service.slides}/a/sample.svs"""
    page = LogPage(
        JobState.FAILED, (Line(0.0, "error", "engine", "stderr", said),), "next", complete=True
    )
    shown = JobLog.of("job-1", page, machine_folders(config)).lines[0]
    assert "results/job-1/cells and a/sample.svs" in shown.message
    assert 'File "raysched/imaging/slide.py"' in shown.message
    assert re.findall(r'["\s]/[^"\s]*', shown.message) == []
    assert said in LogLine.of(page.lines[0], ()).text()


def test_a_log_comes_as_plain_text_too(
    service: Service, done: tuple[Shown, dict[str, Any]]
) -> None:
    _, job = done
    answer = service.http.get(f"/jobs/{job['id']}/log", params={"format": "text", "limit": 500})
    assert answer.headers["content-type"].startswith("text/plain")
    log = service.http.get(f"/jobs/{job['id']}/log", params={"limit": 500}).json()
    assert answer.headers["x-next-cursor"] == log["next"]
    lines = answer.text.splitlines()
    assert len(lines) == len(log["lines"])
    assert lines[0].endswith(" INFO     raysched.scheduler: Submitted on branch main.")


def test_what_is_no_cursor_is_a_422(service: Service, done: tuple[Shown, dict[str, Any]]) -> None:
    _, job = done
    answer = service.http.get(f"/jobs/{job['id']}/log", params={"cursor": "nonsense"})
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_setting")


# --- logs of processes ----------------------------------------------------------------------------


def written_lines() -> list[dict[str, Any]]:
    """What all processes of raysched have written, as Ray keeps it."""
    session = Path(ray._private.worker._global_node.get_session_dir_path())
    lines = [
        json.loads(line)
        for path in (session / "logs").glob("**/*")
        if path.is_file() and path.suffix in {".err", ".log"}
        for line in path.read_text(errors="replace").splitlines()
        if line.startswith('{"at"')
    ]
    assert lines
    return lines


def test_processes_write_json_with_user_workflow_job_attempt_and_run(
    service: Service, done: tuple[Shown, dict[str, Any]]
) -> None:
    _, job = done
    mine = [line for line in written_lines() if line.get("job") == job["id"]]
    chunk = next(line for line in mine if line["message"] == "Chunk 0 is done.")
    assert chunk["level"] == "info"
    assert (chunk["user"], chunk["workflow"], chunk["attempt"]) == ("local", job["workflow"], 1)
    assert re.fullmatch(r"\d+-\d+", chunk["run"])
    assert any(line["logger"] == "serve_app.request_log" for line in mine)


def test_each_request_is_written_with_its_id_which_is_echoed(service: Service) -> None:
    given = service.http.get("/me", headers={"X-Request-ID": "mine-1"})
    made = service.http.get("/me")
    token = Secret.new(KeyKind.LOGIN).text
    url = service.bare.base_url.copy_with(path="/login")
    refused = service.bare.get(url, params={"token": token})
    assert given.headers.get_list("x-request-id") == ["mine-1"]
    (other,) = made.headers.get_list("x-request-id")
    ids = {"mine-1": ("get_me", 200), other: ("get_me", 200)}
    ids[refused.headers["x-request-id"]] = ("follow_login_link", 401)
    deadline = time.monotonic() + 30
    while True:
        lines = {line.get("request"): line for line in written_lines() if "status" in line}
        if ids.keys() <= lines.keys():
            break
        assert time.monotonic() < deadline, sorted(map(str, lines))
    line = lines["mine-1"]
    assert (line["method"], line["route"], line["status"]) == ("GET", "/api/v1/me", 200)
    assert line["user"] == "local"
    assert line["seconds"] > 0
    assert "user" not in lines[refused.headers["x-request-id"]]
    secrets = (token, service.http.headers["Authorization"].removeprefix("Bearer "))
    text = json.dumps(written_lines())
    assert not any(secret.rsplit("_", 1)[1] in text for secret in secrets)
