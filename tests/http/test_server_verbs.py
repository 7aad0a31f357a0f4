"""The command line with a server: the same verbs, over HTTP and with a key."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from raysched import Client
from raysched.cli.main import app
from tests.http.conftest import Service

pytestmark = [
    pytest.mark.http,
    pytest.mark.slow,
    # Ray Serve's own models, on import
    pytest.mark.filterwarnings("ignore:Using extra keyword arguments on `Field`"),
]
RAYSCHED = "from raysched.cli.main import main; main()"


class Vera:
    """A person at a terminal with a key of hers."""

    def __init__(self, url: str, key: str, home: Path) -> None:
        self.url, self.home = url, home
        self.environment = {
            "RAYSCHED_SERVER": url,
            "RAYSCHED_KEY": key,
            "RAYSCHED_KEYS": str(home / "keys.json"),
            "RAYSCHED_STATE": str(home / "state"),
        }

    def says(self, *arguments: object, stdin: str = "", **environment: str | None) -> Result:
        given = [str(each) for each in arguments]
        around = {**self.environment, **environment}
        return CliRunner().invoke(app, given, input=stdin, env=around)

    def asks(self, *arguments: object) -> dict[str, Any]:
        """The last line of what is answered in JSON."""
        result = self.says(*arguments, "--json")
        assert result.exit_code == 0, result.output
        return dict(json.loads(result.stdout.splitlines()[-1]))


@pytest.fixture(scope="module")
def admin(service: Service) -> Iterator[Client]:
    key = service.http.headers["Authorization"].removeprefix("Bearer ")
    with Client(str(service.bare.base_url), key) as client:
        yield client


@pytest.fixture(scope="module")
def vera(admin: Client, tmp_path_factory: pytest.TempPathFactory) -> Vera:
    admin.create_user("vera")
    key = admin.make_user_key("vera", "terminal").key
    return Vera(admin.url, key, tmp_path_factory.mktemp("vera"))


@pytest.fixture(scope="module")
def done(vera: Vera) -> str:
    """A job of hers that was submitted and watched to its end."""
    job = vera.asks("submit", "sample.svs", "--key", "verbs")["workflow"]["jobs"][0]["id"]
    ended = vera.asks("watch", job)["job"]
    assert (ended["id"], ended["state"]) == (job, "succeeded")
    return str(job)


def test_jobs_are_shown_as_without_a_server(vera: Vera, done: str) -> None:
    (line,) = vera.says("status").stdout.splitlines()
    assert line.startswith(f"{done}  succeeded")
    assert line.endswith("main  sample.svs")
    shown = vera.says("status", done).stdout
    assert f"get its results with: raysched download {done}" in shown
    assert vera.asks("explain", done)["explanation"]["state"] == "succeeded"
    assert vera.says("status", "--open").stdout == "no jobs\n"


def test_a_cluster_and_a_server_say_the_same_of_a_job(service: Service, tmp_path: Path) -> None:
    key = service.http.headers["Authorization"].removeprefix("Bearer ")
    local = Vera(str(service.bare.base_url), key, tmp_path)
    submitted = local.asks("submit", "sample.svs", "--name", "one of the operator's")
    job = submitted["workflow"]["jobs"][0]["id"]
    local.asks("cancel", job)
    assert local.asks("watch", job)["job"]["state"] == "cancelled"
    environment = {"RAYSCHED_STATE": str(service.config.state), "RAYSCHED_SERVER": ""}
    for verb in ("status", "explain"):
        here = subprocess.run(
            [sys.executable, "-c", RAYSCHED, verb, job, "--json"],
            env={**os.environ, **environment},
            capture_output=True,
            text=True,
            check=True,
        )
        assert json.loads(here.stdout) == local.asks(verb, job)


def test_exports_are_named_and_written_as_without_a_server(
    vera: Vera, done: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    made = vera.asks("export", done, "-f", "csv")["export"]
    beside = [tmp_path / f"{done}{end}" for end in (".polygons.csv", ".csv.manifest.json")]
    assert made["path"] == str(tmp_path / f"{done}.csv")
    assert (made["complete"], made["beside"]) == (True, [str(path) for path in beside])
    rows = (tmp_path / f"{done}.csv").read_text().splitlines()
    assert len(rows) == made["cells"] + 1
    assert all(path.exists() for path in beside)
    folder = vera.asks("export", done, "-f", "ome-zarr", "--out", "labels")["export"]
    assert (tmp_path / "labels" / "zarr.json").is_file()
    assert folder["size_bytes"] > 0
    assert vera.says("export", done, "-f", "csv").exit_code == 2  # is there already
    piped = vera.says("export", done, "-f", "csv", "--out", "-")
    assert piped.stdout.splitlines()[0] == rows[0]


def test_reports_and_differences_come_from_the_server(
    vera: Vera, done: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    made = vera.asks("report", done)["report"]
    assert Path(made["path"]).read_text().startswith("<!DOCTYPE html>")
    difference = vera.asks("diff", done, done, "-o", "same")["diff"]
    assert (difference["lost"], difference["gained"]) == (0, 0)
    assert {path.name for path in (tmp_path / "same").iterdir()} == {"diff.html", "diff.json"}
    vera.asks("diff", done, done, "-o", "same.json")
    assert json.loads((tmp_path / "same.json").read_text())["lost"] == 0
    refused = vera.says("diff", done, done, "-o", "same.parquet")
    assert refused.exit_code == 2
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        f"{done}.report.html",
        "same",
        "same.json",
    ]


def test_errors_and_exit_codes_are_those_of_the_service(vera: Vera, done: str) -> None:
    missing = vera.says("submit", "none.svs")
    assert missing.exit_code == 2
    assert missing.stderr.startswith("error: There is no slide 'none.svs'")
    assert vera.says("retry", done).exit_code == 2
    assert vera.says("status", "job-of-nobody").exit_code == 2
    assert vera.says("user", "list").exit_code == 2  # she is no administrator


def test_a_workflow_file_is_sent_as_it_is_written(vera: Vera, tmp_path: Path) -> None:
    file = tmp_path / "workflow.json"
    file.write_text(json.dumps({"name": "two", "jobs": [{"slide": "sample.svs", "branch": "b"}]}))
    made = vera.asks("submit", "--file", file)["workflow"]
    assert (made["name"], made["jobs"][0]["branch"]) == ("two", "b")
    vera.asks("cancel", made["jobs"][0]["id"])


def test_engines_are_those_of_the_server(vera: Vera) -> None:
    assert "classical" in {each["name"] for each in vera.asks("engines")["engines"]}


def test_logging_in_keeps_a_key_that_works_and_no_other(vera: Vera) -> None:
    keys, without = vera.home / "keys.json", {"RAYSCHED_KEY": None, "RAYSCHED_SERVER": None}
    key = vera.environment["RAYSCHED_KEY"]
    refused = vera.says("login", vera.url, stdin="rsk_wrong\n", **without)
    assert (refused.exit_code, keys.exists()) == (2, False)
    said = vera.says("login", vera.url, stdin=f"{key}\n", **without)
    assert said.exit_code == 0, said.output
    assert key not in said.output
    assert stat.S_IMODE(keys.stat().st_mode) == 0o600
    assert vera.says("status", "--server", vera.url, **without).exit_code == 0
    assert vera.says("logout", vera.url, **without).exit_code == 0
    assert vera.says("status", "--server", vera.url, **without).exit_code == 2


def test_an_administrator_looks_after_users_from_afar(service: Service, tmp_path: Path) -> None:
    key = service.http.headers["Authorization"].removeprefix("Bearer ")
    operator = Vera(str(service.bare.base_url), key, tmp_path)
    assert operator.asks("user", "create", "wes", "--name", "Wes")["user"]["name"] == "Wes"
    assert operator.asks("user", "quota", "wes", "--jobs", "7")["user"]["max_jobs"] == 7
    made = operator.asks("user", "key", "wes")["key"]
    assert operator.asks("user", "revoke", "wes", made["id"])["revoked"]["id"] == made["id"]
    assert [each["id"] for each in operator.asks("user", "keys", "wes")["keys"]] == [made["id"]]
    assert operator.asks("user", "delete", "wes", "--yes")["user"]["deleted_at"]
    assert "wes" not in {each["id"] for each in operator.asks("user", "list")["users"]}


def test_slides_of_this_machine_are_uploaded_when_they_are_submitted(
    vera: Vera, service: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    sample = (service.slides / "sample.svs").read_bytes()
    Path("mine.svs").write_bytes(sample)
    first = vera.asks("submit", "mine.svs", "--key", "mine")["workflow"]
    again = vera.asks("submit", "mine.svs", "--key", "mine")["workflow"]
    assert again["id"] == first["id"]
    (slide,) = vera.asks("slide", "list")["slides"]
    assert first["jobs"][0]["slide_id"] == slide["id"]
    assert vera.asks("upload", "mine.svs", "--name", "b.svs")["slide"]["name"] == "b.svs"
    assert vera.asks("slide", "rename", slide["id"], "c.svs")["slide"]["name"] == "c.svs"
    assert vera.asks("slide", "get", slide["id"])["download"]["path"] == str(tmp_path / "c.svs")
    assert Path("c.svs").read_bytes() == sample
    assert vera.says("cancel", first["jobs"][0]["id"]).exit_code in {0, 2}  # or has succeeded
    vera.asks("watch", first["jobs"][0]["id"])
    assert vera.asks("slide", "delete", slide["id"])["deleted"] == {"slide": slide["id"]}
    assert vera.says("slide", "show", slide["id"]).exit_code == 2
    there = vera.asks("submit", service.slides / "sample.svs")["workflow"]["jobs"][0]
    assert there["slide_id"] is None  # the server sees it by its path
    assert vera.says("cancel", there["id"]).exit_code in {0, 2}


def test_results_are_fetched_as_a_folder_a_zip_or_one_file(
    vera: Vera, done: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    vera.asks("download", done)
    assert json.loads((tmp_path / done / "manifest.json").read_text())["job"] == done
    assert (tmp_path / done / "labels.zarr" / "zarr.json").is_file()
    assert vera.says("export", tmp_path / done, "-f", "csv", "--out", "c.csv").exit_code == 0
    assert vera.asks("download", done, "--out", "all.zip")["download"]["size_bytes"] > 0
    vera.asks("download", done, "--file", "manifest.json")
    assert vera.says("download", done).exit_code == 2  # is there already
    here = {path.name for path in tmp_path.iterdir()}
    assert here == {
        done,
        "all.zip",
        "manifest.json",
        "c.csv",
        "c.polygons.csv",
        "c.csv.manifest.json",
    }


def test_what_only_a_server_has_is_not_asked_of_a_cluster(vera: Vera, tmp_path: Path) -> None:
    for arguments in (("slide", "list"), ("upload", tmp_path), ("download", "job-1")):
        refused = vera.says(*arguments, RAYSCHED_SERVER=None)
        assert refused.exit_code == 2
        assert "--server URL" in refused.stderr


def test_logs_usage_and_the_cluster_are_shown(
    vera: Vera, done: str, service: Service, tmp_path: Path
) -> None:
    said = vera.says("logs", done)
    assert said.exit_code == 0, said.output
    assert len(said.stdout.splitlines()) == len(
        vera.says("logs", done, "--json").stdout.splitlines()
    )
    assert vera.says("logs", done, "--follow", "--level", "info").exit_code == 0
    assert vera.says("logs", done, "--level", "loud").exit_code == 2
    assert [day["user"] for day in vera.asks("usage")["usage"]["days"]] == ["vera"]
    assert vera.says("usage", "--user", "local").exit_code == 2  # she is no administrator
    assert vera.says("cluster").exit_code == 2
    key = service.http.headers["Authorization"].removeprefix("Bearer ")
    operator = Vera(str(service.bare.base_url), key, tmp_path)
    assert operator.asks("cluster")["cluster"]["lanes_open"] > 0
    everybody = operator.asks("usage")["usage"]["days"]
    assert "vera" in {day["user"] for day in everybody}
