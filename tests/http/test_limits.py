"""How often a user may ask, by a real service of two replicas and small limits."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

pytestmark = [pytest.mark.http, pytest.mark.slow]

ENTRY = "from raysched.cli.main import main; main()"
BURST, LOGINS, HARDLY = 20, 3, 0.001
"""Tokens come back so slowly that none does during a test."""
LIMITS = {
    "DEFAULT_BURST": BURST,
    "DEFAULT_PER_S": HARDLY,
    "CREATE_BURST": LOGINS,
    "CREATE_PER_S": HARDLY,
    "STRANGERS_BURST": 40,
    "STRANGERS_PER_S": HARDLY,
}


@dataclass
class Strict:
    """The service, the operator's key, and the keys of two users, whose buckets are full."""

    url: str
    admin: str
    eve: str
    bob: str


@pytest.fixture(scope="module")
def strict(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Strict]:
    """In a process of its own, because a process has one Ray."""
    folder = tmp_path_factory.mktemp("strict")
    settings = {
        "RAYSCHED_STATE": str(folder / "state"),
        "RAYSCHED_SERVE__REPLICAS": "2",
        "RAYSCHED_CLUSTER__LANES": "1",
        **{f"RAYSCHED_LIMITS__{name}": str(value) for name, value in LIMITS.items()},
    }
    with subprocess.Popen(
        [sys.executable, "-c", ENTRY, "up", "--json", "--port", "0"],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, **settings},
    ) as process:
        assert process.stdout is not None
        said = json.loads(process.stdout.readline())["up"]
        key = said["admin_key"]
        url = f"{said['url']}/api/v1"
        keys = [_user(url, key, name) for name in ("eve", "bob")]
        yield Strict(url, key, *keys)
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)


def _user(url: str, admin: str, name: str) -> str:
    headers = {"Authorization": f"Bearer {admin}"}
    httpx.post(f"{url}/users", json={"id": name}, headers=headers, timeout=60).raise_for_status()
    made = httpx.post(f"{url}/users/{name}/keys", json={}, headers=headers, timeout=60)
    text: str = made.raise_for_status().json()["key"]
    return text


def flood(url: str, count: int, **headers: str) -> list[httpx.Response]:
    """So many requests, ten at a time on connections of their own: all replicas see some."""

    async def story() -> list[httpx.Response]:
        async with httpx.AsyncClient(timeout=60, headers=headers) as client:
            gate = asyncio.Semaphore(10)

            async def one() -> httpx.Response:
                async with gate:
                    return await client.get(url)

            return list(await asyncio.gather(*(one() for _ in range(count))))

    return asyncio.run(story())


def bearer(key: str) -> dict[str, Any]:
    return {"Authorization": f"Bearer {key}"}


def statuses(answers: list[httpx.Response]) -> dict[int, int]:
    return dict(Counter(each.status_code for each in answers))


def test_a_flood_gets_its_burst_from_all_replicas_together_and_hurts_nobody_else(
    strict: Strict,
) -> None:
    answers = flood(f"{strict.url}/me", 5 * BURST, **bearer(strict.eve))
    assert statuses(answers) == {200: BURST, 429: 4 * BURST}
    refused = next(each for each in answers if each.status_code == 429)
    assert refused.headers["content-type"] == "application/problem+json"
    assert refused.json()["code"] == "too_many_requests"
    assert int(refused.headers["retry-after"]) > refused.json()["retry_after_s"] - 1 > 0
    assert httpx.get(f"{strict.url}/me", headers=bearer(strict.bob), timeout=60).status_code == 200
    root = strict.url.removesuffix("/api/v1")
    assert statuses(flood(f"{root}/healthz", 3 * BURST)) == {200: 3 * BURST}
    # An administrator who acts for the user that has no tokens left pays with their own.
    on_behalf = {**bearer(strict.admin), "X-User-ID": "eve"}
    assert statuses(flood(f"{strict.url}/me", 2 * BURST, **on_behalf))[200] == BURST - 4
    assert httpx.get(f"{strict.url}/me", headers=bearer(strict.bob), timeout=60).status_code == 200


def test_logging_in_is_counted_too(strict: Strict) -> None:
    answers = [
        httpx.post(f"{strict.url}/login", json={"key": strict.bob}, timeout=60)
        for _ in range(2 * LOGINS)
    ]
    assert statuses(answers) == {200: LOGINS, 429: LOGINS}


def test_guessing_keys_is_slow_and_users_at_work_do_not_notice(strict: Strict) -> None:
    before = httpx.get(f"{strict.url}/me", headers=bearer(strict.bob), timeout=60)
    guesses = [f"rsk_{each:012x}_{each:064x}" for each in range(150)]
    with httpx.Client(timeout=60) as client:
        answers = [client.get(f"{strict.url}/me", headers=bearer(each)) for each in guesses]
    found = statuses(answers)
    assert set(found) == {401, 429}
    assert found[401] <= 2 * 40  # of two replicas
    assert before.status_code == 200


def test_a_bad_key_is_answered_before_the_body_is_sent(strict: Strict) -> None:
    url = httpx.URL(strict.url)
    head = (
        f"POST {url.path}/workflows HTTP/1.1",
        f"Host: {url.host}",
        "Authorization: Bearer rsk_no",
        "Content-Type: application/json",
        "Content-Length: 1000000",
    )
    with socket.create_connection((url.host, url.port or 80), timeout=60) as link:
        link.sendall("\r\n".join((*head, "", '{"jobs": ')).encode())
        assert link.recv(12) == b"HTTP/1.1 401"
