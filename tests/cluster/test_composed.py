"""A head and two workers as configs/compose.yaml starts them: who gets in, where work runs, and
what Ray's dashboard shows of it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from composed import BIN, SERVICES, WAIT_S, Composed, composed, stopped_in_order, until

from raysched.testing.ray_processes import title_of

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.timeout(900)]

SLIDE = "CMU-1-Small-Region"
RAYSCHED = [sys.executable, "-c", "from raysched.cli.main import main; main()"]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory, sample_slide: Path) -> Iterator[Composed]:
    with composed(tmp_path_factory.mktemp("composed"), sample_slide.parent) as made:
        yield made


@pytest.fixture(scope="module")
def job(cluster: Composed) -> dict[str, Any]:
    """The sample slide, done in many chunks, and the titles of processes seen meanwhile."""
    id_ = cluster.submit(f"{SLIDE}.svs", tile_px=128, chunk_tiles=1)

    def titles() -> set[str]:
        return {title for each in cluster.processes() if "segment" in (title := title_of(each))}

    seen = until(titles, lambda: str(cluster.api("GET", f"/api/v1/jobs/{id_}")))
    view = cluster.until_ended(id_)
    assert view["state"] == "succeeded", view
    return {**view, "titles": seen}


def test_three_nodes_have_joined_each_with_an_id_of_its_own(cluster: Composed) -> None:
    nodes = cluster.rows("nodes")
    assert len({node["node_id"] for node in nodes}) == 3
    assert [node["state"] for node in nodes] == ["ALIVE"] * 3
    heads = [node for node in nodes if "raysched_state" in node["resources_total"]]
    assert [node["is_head_node"] for node in heads] == [True]


def test_each_worker_does_chunks_and_the_head_none(cluster: Composed, job: dict[str, Any]) -> None:
    nodes = cluster.rows("nodes")
    workers = {node["node_id"] for node in nodes if not node["is_head_node"]}
    tasks = [task for task in cluster.rows("tasks") if task["name"].startswith("segment ")]
    assert {task["node_id"] for task in tasks} == workers
    lanes = cluster.api("GET", "/api/v1/cluster")["lanes"]
    assert {lane["node"] for lane in lanes} == {node[:8] for node in workers}


def test_tasks_and_processes_say_which_chunk_of_which_slide_they_are(
    cluster: Composed, job: dict[str, Any]
) -> None:
    total = job["chunks_total"]
    assert total > 20
    names = {f"segment {SLIDE} chunk {number}/{total}" for number in range(total)}
    whole = {f"{stage} {SLIDE}" for stage in ("plan", "assemble", "publish")}

    def shown() -> set[str]:
        return {task["name"] for task in cluster.rows("tasks") if task["type"] == "NORMAL_TASK"}

    # Processes tell Ray of their tasks once a second.
    until(lambda: names | whole <= shown(), lambda: str((names | whole) - shown()))
    assert shown() - names - whole <= {"start", "warm up", "spare"}
    assert {title.removeprefix("ray::") for title in job["titles"]} <= names


def test_actors_and_the_application_have_names(cluster: Composed) -> None:
    actors = {actor["class_name"]: actor for actor in cluster.rows("actors")}
    scheduler = actors["SchedulerActor"]
    assert (scheduler["name"], scheduler["state"]) == ("scheduler", "ALIVE")
    assert "ServeReplica:raysched:Http" in actors
    applications = cluster.ray("/api/serve/applications/").json()["applications"]
    assert {name: each["status"] for name, each in applications.items()} == {"raysched": "RUNNING"}
    deployments = applications["raysched"]["deployments"]
    assert {name: each["status"] for name, each in deployments.items()} == {"Http": "HEALTHY"}


def test_raysched_says_where_the_dashboard_is_and_how_to_get_in(cluster: Composed) -> None:
    assert cluster.where["dashboard"].endswith(f":{cluster.ports['dashboard']}")
    assert httpx.get(cluster.where["dashboard"], timeout=60).status_code == 200
    assert cluster.where["dashboard_token"] == "ray get-auth-token"
    env = cluster.environment("head")
    said = subprocess.run(
        [BIN / "ray", "get-auth-token"], env=env, check=True, capture_output=True, text=True
    )
    assert said.stdout == cluster.token


def test_a_ray_job_is_listed_with_what_it_ran(cluster: Composed, sample_slide: Path) -> None:
    env = {**cluster.environment("worker"), "RAY_ADDRESS": cluster.dashboard}
    entry = ["raysched", "run", str(sample_slide), "--kind", "tissue_mask"]
    submit = [BIN / "ray", "job", "submit", "--submission-id", "tissue", "--", *entry]
    done = subprocess.run(submit, env=env, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    jobs = {each["submission_id"]: each for each in cluster.ray("/api/jobs/").json()}
    shown = jobs["tissue"]
    assert (shown["status"], shown["entrypoint"]) == ("SUCCEEDED", " ".join(entry))


def verb(cluster: Composed, *words: str) -> list[dict[str, Any]]:
    """What a verb says on the head, as `docker compose exec head raysched ...` runs it."""
    done = subprocess.run(
        ["raysched", *words, "--json"],
        env=cluster.environment("head"),
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_the_operator_finds_everything_well_on_the_head(cluster: Composed) -> None:
    assert verb(cluster, "cluster")[0]["cluster"]["nodes_alive"] == 3
    verb(cluster, "doctor")


def test_prometheus_gets_own_numbers_and_those_of_ray_with_a_key_that_may_only_read(
    cluster: Composed,
) -> None:
    (made,) = verb(cluster, "user", "key", "local", "--role", "read-only", "--name", "prometheus")

    def metrics() -> str:
        headers = {"Authorization": f"Bearer {made['key']['key']}"}
        url = f"{cluster.where['url']}/metrics?all=1"
        return httpx.get(url, headers=headers, timeout=60).raise_for_status().text

    until(lambda: "ray_raysched_lanes{" in metrics() or None, metrics)
    until(lambda: "ray_node_mem_used{" in metrics() or None, metrics)


# --- who gets in ----------------------------------------------------------------------------------

STRANGERS = {
    "no token": {"RAY_AUTH_MODE": "disabled"},
    "another token": {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "0" * 64},
}
DRIVER = "import ray, sys; ray.init(sys.argv[1]); print('it is in')"


@pytest.fixture(scope="module")
def refusals(
    cluster: Composed, tmp_path_factory: pytest.TempPathFactory
) -> dict[tuple[str, str], tuple[int, str]]:
    """The exit code and all output of what somebody on the same network tries, by who and what; all
    at once, since Ray tries for 20 s."""
    tries: dict[str, list[object]] = {
        "verb": [*RAYSCHED, "cluster", "--address", cluster.address],
        "driver": [sys.executable, "-c", DRIVER, cluster.address],
        "job": [BIN / "ray", "job", "submit", "--address", cluster.dashboard, "--", "true"],
    }
    started = {}
    for who, settings in STRANGERS.items():
        home = tmp_path_factory.mktemp("stranger")
        env = {name: value for name, value in os.environ.items() if not name.startswith("RAY")}
        env |= {"HOME": str(home), "RAYSCHED_STATE": str(home / "state"), **settings}
        for what, command in tries.items():
            started[who, what] = subprocess.Popen(
                [str(part) for part in command],
                env=env,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
    said = {name: process.communicate(timeout=WAIT_S)[0] for name, process in started.items()}
    return {name: (started[name].returncode, said[name]) for name in started}


BY_STRANGERS = pytest.mark.parametrize("who", STRANGERS)
Refusals = dict[tuple[str, str], tuple[int, str]]


@BY_STRANGERS
def test_raysched_tells_a_stranger_that_the_token_is_missing(
    cluster: Composed, refusals: Refusals, who: str
) -> None:
    code, said = refusals[who, "verb"]
    assert code == 4, said
    what, remedy = said.splitlines()[-2:]  # Ray has said each time that it tried
    where = f"The Ray cluster at '{cluster.address}'"
    assert what == f"error: {where} lets nobody in without its token."
    assert remedy == (
        "  do: Set RAY_AUTH_MODE=token, and put the token into ~/.ray/auth_token: "
        "`ray get-auth-token` prints it on the head."
    )


@BY_STRANGERS
def test_a_driver_of_a_stranger_is_refused(refusals: Refusals, who: str) -> None:
    code, said = refusals[who, "driver"]
    assert code != 0
    assert "InvalidAuthToken" in said
    assert "it is in" not in said


@BY_STRANGERS
def test_a_ray_job_of_a_stranger_is_refused(
    cluster: Composed, refusals: Refusals, who: str
) -> None:
    code, said = refusals[who, "job"]
    assert code != 0
    assert "AuthenticationError" in said
    entries = [each["entrypoint"] for each in cluster.ray("/api/jobs/").json()]
    assert "true" not in entries


@pytest.mark.parametrize(
    ("headers", "status"), [({}, 401), ({"Authorization": f"Bearer {'0' * 64}"}, 403)]
)
@pytest.mark.parametrize(
    "path", ["/api/v0/tasks", "/api/v0/actors", "/api/jobs/", "/api/serve/applications/"]
)
def test_the_dashboard_tells_a_stranger_nothing(
    cluster: Composed, path: str, headers: dict[str, str], status: int
) -> None:
    assert cluster.ray(path, headers=headers).status_code == status
    assert cluster.ray(path).status_code == 200


def test_health_is_told_without_a_token(cluster: Composed) -> None:
    """As the file's own health checks ask, and the probes on Kubernetes."""
    service = int(cluster.where["url"].rpartition(":")[2])
    checks = [("head", 8000, service)]
    agents = [port for name, port in cluster.ports.items() if name.startswith("agent")]
    checks += [("worker", 52365, port) for port in agents]
    for name, there, here in checks:
        _, *command = SERVICES[name]["healthcheck"]["test"]
        assert f":{there}/" in command[-1]
        command[-1] = command[-1].replace(f":{there}/", f":{here}/")
        done = subprocess.run(command, env=cluster.environment(name), check=False)
        assert done.returncode == 0, command
    assert cluster.ray("/api/gcs_healthz", headers={}).status_code == 200
    assert httpx.get(f"{cluster.where['url']}/-/healthz", timeout=60).status_code == 200


# --- last: it is ended ----------------------------------------------------------------------------


def test_the_head_ends_in_order_as_docker_ends_it(cluster: Composed) -> None:
    """What runs is finished by the tile and kept; nothing of the head is left."""
    cluster.submit(f"{SLIDE}.svs", tile_px=64, chunk_tiles=1)
    assert stopped_in_order(cluster) == 0
    assert cluster.lines("stopped") == [{"jobs_open": 1}]
