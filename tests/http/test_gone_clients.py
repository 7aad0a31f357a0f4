"""Clients that go away in the middle of a request, at every route, leave nothing behind."""

from __future__ import annotations

import asyncio
import contextlib
import re
import socket

import pytest

from raysched.cluster.accounts import KeyWish
from raysched.core.accounts import Role
from serve_app.routes import AT_THE_ROOT, ROUTES, Route
from tests.http.conftest import Service

pytestmark = [
    pytest.mark.http,
    # Ray Serve's own models, on import
    pytest.mark.filterwarnings("ignore:Using extra keyword arguments on `Field`"),
]

TABLE = [*(("/api/v1", route) for route in ROUTES), *(("", route) for route in AT_THE_ROOT)]
MORE_THAN_A_REPLICA_TAKES = 1050
BODY = b'{"jobs": [{"slide": "sample.svs", "params": {"no_such_parameter": 1}}]}'


@pytest.fixture(scope="module")
def job(service: Service) -> str:
    made = service.submit("sample.svs", kind="tissue_mask")
    service.until(made["id"], "succeeded")
    return str(made["id"])


def opened(service: Service) -> socket.socket:
    url = service.bare.base_url
    return socket.create_connection((url.host, url.port or 80), timeout=30)


def request_of(service: Service, prefix: str, route: Route, job: str) -> bytes:
    """A whole request with a body, byte for byte. What its path names belongs to nobody, but for
    the job."""
    path = prefix + re.sub(r"\{job\}", job, route.path)
    path = re.sub(r"\{path:path\}", "manifest.json", path)
    path = re.sub(r"\{\w+\}", "nothing", path)
    head = [
        f"{route.method} {path} HTTP/1.1",
        f"Host: {service.bare.base_url.host}",
        f"Authorization: {service.http.headers['Authorization']}",
        "Content-Type: application/json",
        f"Content-Length: {len(BODY)}",
    ]
    return "\r\n".join([*head, "", ""]).encode() + BODY


def still_answers(service: Service) -> None:
    assert service.http.get("/me").raise_for_status().json()["id"] == "local"


@pytest.mark.parametrize(
    ("prefix", "route"), TABLE, ids=[route.handler.__name__ for _, route in TABLE]
)
def test_a_client_may_go_at_any_moment(
    prefix: str, route: Route, service: Service, job: str
) -> None:
    """In the middle of the head, of the body, before the answer, and after its first byte."""
    whole = request_of(service, prefix, route, job)
    in_the_head, in_the_body = whole.index(b"Content-Type"), len(whole) - len(BODY) // 2
    for sent in (in_the_head, in_the_body, len(whole)):
        with opened(service) as client:
            client.sendall(whole[:sent])
    with opened(service) as client:
        client.sendall(whole)
        assert client.recv(1) == b"H"
    still_answers(service)


def test_half_requests_of_one_user_keep_nobody_else_out(service: Service) -> None:
    """More than Serve gives to a replica at once: what is beyond the user's own bound is refused
    before its body is read, and so holds no place."""

    async def key() -> str:
        await service.accounts.create("slow", "Slow", Role.USER)
        return (await service.accounts.make_key("slow", KeyWish("slow"))).text

    slow = asyncio.run(key())
    create = next(route for _, route in TABLE if route.handler.__name__ == "create_workflow")
    theirs = service.http.headers["Authorization"].removeprefix("Bearer ")
    whole = request_of(service, "/api/v1", create, "none").replace(theirs.encode(), slow.encode())
    with contextlib.ExitStack() as open_ones, service.client(slow) as again:
        for _ in range(MORE_THAN_A_REPLICA_TAKES):
            open_ones.enter_context(opened(service)).sendall(whole[:-10])
        while (answer := again.get("/me")).status_code != 429:
            still_answers(service)
        assert answer.json()["code"] == "too_many_at_once"
        for _ in range(20):
            still_answers(service)
    while again_answer(service, slow) == 429:
        still_answers(service)


def again_answer(service: Service, key: str) -> int:
    with service.client(key) as client:
        return client.get("/me").status_code
