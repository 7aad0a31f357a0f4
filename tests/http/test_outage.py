"""What Serve's proxy would say of an outage, said as the service says it. No Serve."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from starlette.responses import JSONResponse, PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serve_app.outage import Plainly

ANSWER = JSONResponse({"here": "I am"}, 404, {"content-type": "application/problem+json"})


async def says_nothing(scope: Scope, receive: Receive, send: Send) -> None:
    """A proxy whose replica dies with the request in its hands."""


def asked(app: ASGIApp, path: str = "/api/v1/jobs") -> tuple[int, dict[bytes, bytes], bytes]:
    """Status, headers and body of what a client is told."""
    told: list[Message] = []

    async def send(message: Message) -> None:
        told.append(message)

    async def receive() -> Message:
        return {"type": "http.disconnect"}

    scope: dict[str, Any] = {"type": "http", "method": "GET", "path": path, "headers": []}
    asyncio.run(Plainly(app)(scope, receive, send))
    start, *rest = told
    return start["status"], dict(start["headers"]), b"".join(each["body"] for each in rest)


@pytest.mark.parametrize(
    ("app", "code"),
    [
        (says_nothing, "cluster_unreachable"),
        (PlainTextResponse("Internal Server Error", 500), "cluster_unreachable"),
        (PlainTextResponse("Path '/' not found.", 404), "cluster_unreachable"),
        (PlainTextResponse("Request dropped due to backpressure", 503), "busy"),
    ],
)
def test_an_outage_is_a_problem_that_says_when_to_come_again(app: ASGIApp, code: str) -> None:
    status, headers, body = asked(app)
    assert (status, headers[b"content-type"]) == (503, b"application/problem+json")
    assert headers[b"retry-after"] == b"1"
    told = json.loads(body)
    assert (told["code"], told["status"]) == (code, 503)
    assert told["remedy"].startswith("Ask again in a moment")


def test_the_service_s_own_answers_pass_as_they_are() -> None:
    assert asked(ANSWER)[::2] == (404, b'{"here":"I am"}')
    assert asked(PlainTextResponse("# metrics"))[::2] == (200, b"# metrics")


def test_serve_answers_for_itself_where_it_is_asked_itself() -> None:
    unwell = PlainTextResponse("unhealthy", 503)
    assert asked(unwell, "/-/healthz")[::2] == (503, b"unhealthy")
