"""Users over HTTP: what an administrator does to them, and what becomes of their work and keys."""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import ray

from raysched.cluster.accounts import KeyWish, Secret
from raysched.cluster.gateway import Gateway
from raysched.core.accounts import Role
from raysched.errors import Unauthorized
from serve_app.identity import COOKIE
from serve_app.web import create_app
from tests.http.conftest import Service

pytestmark = [
    pytest.mark.http,
    # Ray Serve's own models, on import
    pytest.mark.filterwarnings("ignore:Using extra keyword arguments on `Field`"),
]
COUNT = itertools.count()


@pytest.fixture
def user(service: Service) -> str:
    """A new one."""
    made = service.http.post("/users", json={"id": f"user-{next(COUNT)}"})
    assert made.status_code == 201, made.text
    name: str = made.json()["id"]
    return name


@pytest.fixture
def key(service: Service, user: str) -> str:
    """Of the user."""
    made = service.http.post(f"/users/{user}/keys", json={"name": "first"})
    assert made.status_code == 201, made.text
    text: str = made.json()["key"]
    return text


@pytest.fixture
def own(service: Service, key: str) -> Iterator[httpx.Client]:
    """Asks as the user."""
    with service.client(key) as client:
        yield client


def submit(client: httpx.Client, *jobs: dict[str, Any]) -> list[str]:
    body = {"jobs": [{"slide": "sample.svs", **job} for job in jobs or ({},)]}
    made = client.post("/workflows", json=body)
    assert made.status_code == 201, made.text
    return [job["id"] for job in made.json()["jobs"]]


def refusal(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["code"]


# --- users ----------------------------------------------------------------------------------------


def test_a_user_is_created_listed_changed_and_shown(service: Service, user: str) -> None:
    change = {"name": "Ann Ω", "weight": 2.5, "max_jobs": 3, "max_bytes": 10**12}
    changed = service.http.patch(f"/users/{user}", json=change).raise_for_status().json()
    wanted = {**change, "id": user, "role": "user", "jobs_open": 0, "keys": 0, "disabled_at": None}
    assert {name: changed[name] for name in wanted} == wanted
    assert service.http.get(f"/users/{user}").json() == changed
    assert changed in service.http.get("/users").json()["users"]
    assert refusal(service.http.post("/users", json={"id": user})) == (409, "conflict")
    body, header = {"id": f"user-{next(COUNT)}"}, {"Idempotency-Key": "the same"}
    for _ in range(2):
        assert service.http.post("/users", json=body, headers=header).status_code == 201
    assert refusal(service.http.patch(f"/users/{user}", json={"weight": 0})) == (
        422,
        "invalid_request",
    )
    assert refusal(service.http.get("/users/nobody")) == (404, "not_found")


def test_a_quota_bounds_a_users_unfinished_jobs(
    service: Service, user: str, own: httpx.Client
) -> None:
    service.http.patch(f"/users/{user}", json={"max_jobs": 1}).raise_for_status()
    assert own.get("/me").json()["max_jobs"] == 1
    (job,) = submit(own)
    more = own.post("/workflows", json={"jobs": [{"slide": "sample.svs"}]})
    assert (refusal(more), more.json()["limit"]) == ((429, "limit_reached"), 1)
    own.post(f"/jobs/{job}/cancel").raise_for_status()


def test_of_a_disabled_user_no_key_opens_and_nothing_new_is_taken_in(
    service: Service, user: str, own: httpx.Client
) -> None:
    (job,) = submit(own, {"tile_px": 256, "chunk_tiles": 1})
    service.http.patch(f"/users/{user}", json={"disabled": True}).raise_for_status()
    assert refusal(own.get("/jobs")) == (401, "unauthorized")
    on_behalf = {"X-User-ID": user}
    seen = service.http.get(f"/jobs/{job}", headers=on_behalf).json()
    assert seen["state"] not in {"cancelled", "cancelling", "failed"}
    body = {"jobs": [{"slide": "sample.svs"}]}
    refused = service.http.post("/workflows", json=body, headers=on_behalf)
    assert refusal(refused) == (403, "forbidden")
    service.http.patch(f"/users/{user}", json={"disabled": False}).raise_for_status()
    own.post(f"/jobs/{job}/cancel").raise_for_status()


def test_deleting_a_user_ends_their_jobs_and_keys_and_leaves_their_results(
    service: Service, user: str, own: httpx.Client
) -> None:
    (done,) = submit(own, {"kind": "tissue_mask"})
    while own.get(f"/jobs/{done}").json()["state"] != "succeeded":
        pass
    jobs = submit(own, {"tile_px": 256, "chunk_tiles": 1}, {"branch": "b", "tile_px": 256})
    deleted = service.http.delete(f"/users/{user}").raise_for_status().json()
    assert (deleted["deleted_at"] is not None, deleted["keys"]) == (True, 0)
    assert refusal(own.get("/me")) == (401, "unauthorized")
    on_behalf = {"X-User-ID": user}
    for job in jobs:
        while True:
            state = service.http.get(f"/jobs/{job}", headers=on_behalf).json()["state"]
            if state == "cancelled":
                break
            assert state == "cancelling"
    files = service.http.get(f"/jobs/{done}/results", headers=on_behalf).json()["files"]
    folder = service.config.results / done
    assert {file["path"] for file in files} == {
        path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()
    }
    assert refusal(service.http.post("/users", json={"id": user})) == (409, "conflict")
    assert user not in {each["id"] for each in service.http.get("/users").json()["users"]}
    assert refusal(service.http.post(f"/users/{user}/keys", json={})) == (404, "not_found")


def test_the_operators_user_is_neither_disabled_nor_deleted(service: Service) -> None:
    assert refusal(service.http.patch("/users/local", json={"disabled": True})) == (409, "conflict")
    assert refusal(service.http.delete("/users/local")) == (409, "conflict")


# --- whose ----------------------------------------------------------------------------------------


def test_what_the_command_line_submits_is_the_admins_and_nobody_elses(
    service: Service, own: httpx.Client
) -> None:
    job = service.submit("sample.svs")["id"]  # as the user `local`, which is the command line's
    assert refusal(own.get(f"/jobs/{job}")) == (404, "not_found")
    assert refusal(own.post(f"/jobs/{job}/cancel")) == (404, "not_found")
    assert own.get("/jobs").json() == {"jobs": [], "next": None}
    page = asyncio.run(service.session.gateway.jobs("local"))  # type: ignore[arg-type]
    assert job in {view.job for view in page.items}
    service.http.post(f"/jobs/{job}/cancel").raise_for_status()


def test_a_user_header_counts_with_an_administrators_key_alone(
    service: Service, user: str, key: str, own: httpx.Client
) -> None:
    (job,) = submit(own, {"kind": "tissue_mask"})
    on_behalf = {"X-User-ID": user}
    assert service.http.get("/me", headers=on_behalf).json()["acts_for"] == user
    assert refusal(service.http.get(f"/jobs/{job}")) == (404, "not_found")
    assert service.http.get(f"/jobs/{job}", headers=on_behalf).json()["id"] == job
    assert own.get("/me", headers=on_behalf).status_code == 200
    assert refusal(own.get("/me", headers={"X-User-ID": "local"})) == (403, "forbidden")
    assert refusal(service.bare.get("/me", headers=on_behalf)) == (401, "unauthorized")
    nobody = service.http.get("/jobs", headers={"X-User-ID": "nobody"})
    assert refusal(nobody) == (404, "not_found")
    low = asyncio.run(service.accounts.make_key("local", KeyWish("low", Role.USER)))
    with service.client(low.text) as client:
        assert refusal(client.get("/me", headers=on_behalf)) == (403, "forbidden")
        assert refusal(client.get("/users")) == (403, "forbidden")
    own.post(f"/jobs/{job}/cancel")


# --- keys -----------------------------------------------------------------------------------------


def test_a_user_makes_sees_and_revokes_keys_and_each_is_shown_once(
    own: httpx.Client, key: str
) -> None:
    asked = {"name": "script", "role": "read-only", "days": 30}
    made = own.post("/me/keys", json=asked)
    assert (made.status_code, made.headers["cache-control"]) == (201, "no-store")
    new = made.json()
    listed = own.get("/me/keys")
    assert new["key"] not in listed.text
    assert key not in listed.text
    first, second = listed.json()["keys"]
    assert (first["name"], first["role"], second["name"], second["role"]) == (
        *("first", "user"),
        *("script", "read-only"),
    )
    assert (second["id"], second["used_at"], second["expires_at"] > second["made_at"]) == (
        *(new["id"], None),
        True,
    )
    assert own.delete(f"/me/keys/{new['id']}").status_code == 204
    assert own.delete(f"/me/keys/{new['id']}").status_code == 204
    assert own.get("/me/keys").json()["keys"][1]["revoked_at"] is not None
    assert refusal(own.delete("/me/keys/nothing")) == (404, "not_found")


def test_nobody_makes_or_ends_a_key_that_may_more(service: Service, own: httpx.Client) -> None:
    assert refusal(own.post("/me/keys", json={"role": "admin"})) == (403, "forbidden")
    low = asyncio.run(service.accounts.make_key("local", KeyWish("low", Role.USER)))
    with service.client(low.text) as client:
        assert refusal(client.post("/me/keys", json={"role": "admin"})) == (403, "forbidden")
        admin = Secret.read(service.http.headers["Authorization"].removeprefix("Bearer "))
        assert refusal(client.delete(f"/me/keys/{admin.key}")) == (403, "forbidden")
        made = client.post("/me/keys", json={}).json()["key"]
    with service.client(made) as client:
        assert client.get("/me").json()["role"] == "user"


def test_a_use_of_a_key_is_seen(service: Service, own: httpx.Client) -> None:
    own.get("/me").raise_for_status()
    while (used := own.get("/me/keys").json()["keys"][0]["used_at"]) is None:
        pass
    for _ in range(3):
        own.get("/me").raise_for_status()
    assert own.get("/me/keys").json()["keys"][0]["used_at"] == used  # the minute is not over


def test_a_revoked_key_opens_nothing_from_the_next_request_on_at_any_replica(
    service: Service, user: str, key: str, own: httpx.Client
) -> None:
    """Two more replicas than the one of the service, each with its own way to the scheduler."""
    namespace = service.config.cluster.namespace
    apps = [create_app(service.config, Gateway(namespace)) for _ in range(2)]
    headers = {"Authorization": f"Bearer {key}"}

    async def at_each() -> list[int]:
        codes = []
        for app in apps:
            transport = httpx.ASGITransport(app)
            async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
                codes.append((await client.get("/api/v1/me", headers=headers)).status_code)
        return codes

    async def story() -> list[list[int]]:
        before = await at_each()
        await service.accounts.revoke(user, Secret.read(key).key)
        return [before, await at_each()]

    assert asyncio.run(story()) == [[200, 200], [401, 401]]
    assert own.get("/me").status_code == 401


def test_no_secret_is_in_the_journal_or_in_a_log(service: Service, key: str, user: str) -> None:
    logs = Path(ray._private.worker.global_worker.node.get_logs_dir_path())
    secret = key.rsplit("_", 1)[1]
    with service.client(key) as client:
        client.get("/me").raise_for_status()
    token = asyncio.run(service.accounts.login_token())
    login = service.bare.base_url.copy_with(path="/login", params={"token": token.text})
    with httpx.Client() as browser:
        assert browser.get(login).status_code == 303
        session = browser.cookies[COOKIE]
    secrets = [each.rsplit("_", 1)[1].encode() for each in (key, token.text, session)]
    with pytest.raises(Unauthorized) as refused:
        Secret.read(f"{key[:-1]}x")
    assert secret[:-1] not in f"{refused.value} {refused.value.facts} {Secret.read(key)!r}"
    written = [path for path in service.config.state.rglob("*") if path.is_file()]
    assert len(written) > 3
    assert any(logs.rglob("*"))
    texts = [path.read_bytes() for path in (*written, *logs.rglob("*")) if path.is_file()]
    assert [text for text in texts for each in secrets if each in text] == []
    digest = Secret.read(key).digest.encode()
    assert any(digest in text for text in texts)  # what is kept of it was looked through


# --- the command line -----------------------------------------------------------------------------

MANY = """
import json, sys
from raysched.cli.main import app
for arguments in json.loads(sys.argv[1]):
    print("exit", app([*arguments, "--json"], standalone_mode=False) or 0)
"""


def verbs(service: Service, *arguments: tuple[str, ...]) -> list[dict[str, Any]]:
    """What each `raysched user ...` printed and its exit code, all in one other process."""
    done = subprocess.run(
        [sys.executable, "-c", MANY, json.dumps([("user", *each) for each in arguments])],
        env={**os.environ, "RAYSCHED_STATE": str(service.config.state)},
        capture_output=True,
        text=True,
        check=True,
    )
    told: list[dict[str, Any]] = [{}]
    for line in done.stdout.splitlines():
        if line.startswith("exit "):
            told[-1]["exit"] = int(line.removeprefix("exit "))
            told.append({})
        else:
            told[-1].update(json.loads(line))
    return told[:-1]


def test_the_command_line_looks_after_users_without_a_key(service: Service) -> None:
    name = f"cli-{next(COUNT)}"
    created, twice, made, low, quota, weighted, renamed, listed = verbs(
        service,
        ("create", name, "--name", "Ann"),
        ("create", name),
        ("key", name),
        ("key", name, "--role", "read-only", "--days", "2", "--name", "look"),
        ("quota", name, "--jobs", "7", "--gb", "1.5"),
        ("weight", name, "2"),
        ("rename", name, "Anna"),
        ("list",),
    )
    assert (created["exit"], created["user"]["name"]) == (0, "Ann")
    assert (twice["exit"], twice["error"]["code"]) == (2, "conflict")
    assert (quota["user"]["max_jobs"], quota["user"]["max_bytes"]) == (7, 1_500_000_000)
    assert weighted["user"]["weight"] == 2.0
    assert renamed["user"] in listed["users"]
    key = made["key"]
    with service.client(key["key"]) as client, service.client(low["key"]["key"]) as looking:
        assert client.get("/me").json()["name"] == "Anna"
        assert looking.get("/me").json()["role"] == "read-only"
        keys, revoked, disabled = verbs(
            service, ("keys", name), ("revoke", name, low["key"]["id"]), ("disable", name)
        )
        assert [each["name"] for each in keys["keys"]] == ["key", "look"]
        assert (revoked["exit"], disabled["user"]["disabled_at"] is None) == (0, False)
        assert client.get("/me").status_code == looking.get("/me").status_code == 401
        enabled, unsure, deleted, nobody, nothing = verbs(
            service,
            ("enable", name),
            ("delete", name),
            ("delete", name, "--yes"),
            ("disable", "nobody"),
            ("quota", name),
        )
    assert enabled["user"]["disabled_at"] is None
    assert (unsure["exit"], unsure["error"]["code"]) == (2, "invalid_setting")
    assert (deleted["exit"], deleted["user"]["deleted_at"] is None) == (0, False)
    assert (nobody["exit"], nobody["error"]["code"]) == (2, "not_found")
    assert (nothing["exit"], nothing["error"]["code"]) == (2, "invalid_setting")
