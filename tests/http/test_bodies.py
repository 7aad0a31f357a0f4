"""Bodies: not read before it is known who sends them, nor beyond a limit; only as plain JSON."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import AsyncIterator
from contextlib import ExitStack, nullcontext
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from raysched.cluster.accounts import Secret
from raysched.cluster.gateway import Gateway
from raysched.cluster.limiter import Admission, Budget, Taken
from raysched.config import Config, LimitSettings, load_config
from raysched.core.accounts import Caller, KeyKind, Role
from raysched.core.model import KeyId, UserId, WorkflowId
from raysched.core.views import WorkflowView
from raysched.errors import LimitReached, NotFound, Unauthorized
from serve_app.body import DEEPEST, MAX_BODY_BYTES, MAX_LOGIN_BYTES, read_json
from serve_app.routes import ROUTES
from serve_app.web import MOST_STRANGERS, create_app

KEYS = {who: Secret.new(KeyKind.API) for who in ("admin", "user", "read-only", "spent", "nobody")}
MB = 1 << 20


class Actor(Gateway):
    """Knows who has which key, and nothing else."""

    async def admit(self, key: KeyId, digest: str, budget: Budget) -> Admission:
        who = next(who for who, secret in KEYS.items() if secret.digest == digest)
        if who == "nobody":
            raise Unauthorized("This key is not known.", remedy="Check it.", for_ever=True)
        role = Role.READ_ONLY if who == "read-only" else Role.ADMIN
        taken = Taken(0, 2.3) if who == "spent" else Taken(7)
        return Admission(Caller(UserId(who), who, role, key, KeyKind.API, 50), taken)

    async def workflow(self, user: UserId, workflow: WorkflowId) -> WorkflowView:
        raise NotFound(f"{user} has no {workflow}.", remedy="Look.")


@pytest.fixture
def config(tmp_path: Path) -> Config:
    return load_config(
        state=tmp_path / "state", serve={"slide_folders": [tmp_path]}, limits={"stall_s": 0.05}
    )


def ask(config: Config, who: str, path: str, content: Any, method: str = "POST") -> httpx.Response:
    app = create_app(config, Actor("nowhere", patience_s=0))
    headers = {"Authorization": f"Bearer {KEYS[who].text}", "Content-Type": "application/json"}

    async def asked() -> httpx.Response:
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://test/api/v1") as client:
            return await client.request(method, path, content=content, headers=headers)

    return asyncio.run(asked())


def code_of(answer: httpx.Response) -> tuple[int, str]:
    assert answer.headers["content-type"] == "application/problem+json", answer.text[:500]
    return answer.status_code, answer.json()["code"]


async def unread() -> AsyncIterator[bytes]:
    yield b"{"
    raise AssertionError("it was read")


@pytest.mark.parametrize(
    ("who", "wanted"),
    [
        ("nobody", (401, "unauthorized")),
        ("read-only", (403, "forbidden")),
        ("spent", (429, "too_many_requests")),
    ],
)
def test_who_is_not_let_in_sends_in_vain(who: str, wanted: tuple[int, str], config: Config) -> None:
    assert code_of(ask(config, who, "/workflows", unread())) == wanted


def test_who_asks_too_often_is_told_when_to_come_again(config: Config) -> None:
    answer = ask(config, "spent", "/jobs", None, "GET")
    assert (answer.status_code, answer.headers["retry-after"]) == (429, "3")
    assert (answer.json()["budget"], answer.json()["retry_after_s"]) == ("default", 2.3)
    assert "Retry-After" in answer.json()["remedy"]


def test_every_answer_says_how_many_requests_are_left(config: Config) -> None:
    answer = ask(config, "admin", "/engines", None, "GET")
    assert answer.headers["ratelimit"] == '"default";r=7;t=1'
    assert answer.headers["ratelimit-policy"] == '"default";q=30;w=3'


@pytest.mark.parametrize("path", ["/healthz", "/api/v1/nothing"])
def test_what_needs_no_key_costs_nothing(path: str, config: Config) -> None:
    answer = ask(config, "nobody", f"http://test{path}", None, "GET")
    assert (answer.status_code in {200, 404}, "ratelimit" in answer.headers) == (True, False)


def test_a_body_that_stops_in_the_middle_is_given_up(config: Config) -> None:
    async def stopping() -> AsyncIterator[bytes]:
        yield b"{"
        await asyncio.Event().wait()

    answer = ask(config, "admin", "/workflows", stopping())
    assert code_of(answer) == (408, "request_timeout")


def test_a_body_that_comes_drop_by_drop_is_given_up(config: Config) -> None:
    async def dripping() -> AsyncIterator[bytes]:
        yield b"{"
        while True:
            await asyncio.sleep(0.01)
            yield b" "

    answer = ask(config, "admin", "/workflows", dripping())
    assert code_of(answer) == (408, "request_timeout")


def test_a_key_in_a_link_is_not_even_looked_up(config: Config) -> None:
    """Whoever followed it would be at work as the user who made it, and logs would have the key."""
    link = f"http://test/login?token={KEYS['admin'].text}"
    answer = ask(config, "nobody", link, None, "GET")
    assert code_of(answer) == (401, "unauthorized")


def test_one_user_cannot_hold_all_places_for_pieces(config: Config) -> None:
    app = create_app(config, Actor("nowhere"))
    with ExitStack() as held:
        for _ in range(4):
            held.enter_context(app.state.pieces.taken(UserId("eve")))
        with pytest.raises(LimitReached):
            held.enter_context(app.state.pieces.taken(UserId("eve")))
        held.enter_context(app.state.pieces.taken(UserId("bob")))


def test_one_user_cannot_hold_all_requests_of_a_replica(config: Config) -> None:
    """By sending bodies as slowly as may be."""
    limits = LimitSettings(stall_s=60)
    app = create_app(config.model_copy(update={"limits": limits}), Actor("no"))
    begun = 0

    async def never() -> AsyncIterator[bytes]:
        nonlocal begun
        begun += 1
        yield b"{"
        await asyncio.Event().wait()

    async def asked() -> tuple[httpx.Response, httpx.Response]:
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        eve, bob = ({"Authorization": f"Bearer {KEYS[who].text}"} for who in ("admin", "user"))
        async with httpx.AsyncClient(transport=transport, base_url="http://test/api/v1") as client:
            held = [
                asyncio.create_task(client.post("/me/keys", content=never(), headers=eve))
                for _ in range(limits.requests_per_user)
            ]
            while begun < limits.requests_per_user:
                await asyncio.sleep(0)
            one_more = await client.post("/me/keys", content=b"{", headers=eve)
            other = await client.post("/me/keys", content=b"{", headers=bob)
            for task in held:
                task.cancel()
            await asyncio.gather(*held, return_exceptions=True)
            return one_more, other

    one_more, other = asyncio.run(asked())
    assert code_of(one_more) == (429, "too_many_at_once")
    assert code_of(other)[0] == 422


def test_a_login_is_small_whoever_sends_it(config: Config) -> None:
    long = b'{"key": "' + b"x" * MAX_LOGIN_BYTES + b'"}'
    assert code_of(ask(config, "nobody", "/login", long)) == (413, "body_too_large")


def test_logins_that_do_not_come_to_their_end_hold_few_places(config: Config) -> None:
    """Anybody may begin one, without any key."""
    app = create_app(config.model_copy(update={"limits": LimitSettings(stall_s=60)}), Actor("no"))
    begun = 0

    async def never() -> AsyncIterator[bytes]:
        nonlocal begun
        begun += 1
        yield b"{"
        await asyncio.Event().wait()

    async def asked() -> httpx.Response:
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://test/api/v1") as client:
            held = [
                asyncio.create_task(client.post("/login", content=never()))
                for _ in range(MOST_STRANGERS)
            ]
            while begun < MOST_STRANGERS:
                await asyncio.sleep(0)
            answer = await client.post("/login", json={"key": "rsk_no"})
            for task in held:
                task.cancel()
            await asyncio.gather(*held, return_exceptions=True)
            return answer

    assert code_of(asyncio.run(asked())) == (503, "busy")


NASTY = {
    "deep list": b"[" * 100_000 + b"]" * 100_000,
    "deep object": b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
    "deep within reason": json.dumps(
        {"jobs": [{"slide": "a", "params": {"a": [[[]]] * 3}}]}
    ).encode(),
    "deeper than any": b'{"jobs":' + b"[" * (DEEPEST + 1) + b"]" * (DEEPEST + 1) + b"}",
    "many digits": b'{"jobs": ' + b"9" * 100_000 + b"}",
    "large number": b'{"jobs": [{"slide": "a", "mpp": ' + b"9" * 4000 + b"}]}",
    "large exponent": b'{"jobs": [{"slide": "a", "mpp": 1e999}]}',
    "large count": b'{"jobs": [{"slide": "a", "tile_px": ' + b"9" * 4000 + b"}]}",
    "large parameter": b'{"jobs": [{"slide": "a", "params": {"x": ' + b"9" * 4000 + b"}}]}",
    "nan": b'{"jobs": [{"slide": "a", "mpp": NaN}]}',
    "infinity": b'{"jobs": [{"slide": "a", "params": {"x": [-Infinity]}}]}',
    "a name twice": b'{"jobs": [{"slide": "a", "slide": "b"}]}',
    "long text": b'{"name": "' + b"x" * (MAX_BODY_BYTES - 100) + b'", "jobs": []}',
    "too long text": b'{"name": "' + b"x" * 10 * MB + b'"}',
    "half a character": b'{"jobs": [{"slide": "\\ud800"}]}',
    "half a name": b'{"jobs": [{"slide": "a", "params": {"\\udfff": 1}}]}',
    "nul": b'{"jobs": [{"slide": "\\u0000"}]}',
    "no utf-8": b'{"jobs": "\xff\xfe"}',
    "utf-16": '{"jobs": []}'.encode("utf-16"),
    "a mark first": b'\xef\xbb\xbf{"jobs": []}',
    "many empty jobs": b'{"jobs": [' + b"{}," * 100_000 + b"{}]}",
    "not json": b"<jobs/>",
    "nothing": b"",
    "null": b"null",
}
WITH_BODY = [route for route in ROUTES if route.method in {"POST", "PATCH", "PUT"}]


@pytest.mark.parametrize("name", NASTY)
def test_a_nasty_body_is_refused_as_a_problem(
    name: str, config: Config, sample_slide: Path, tmp_path: Path
) -> None:
    shutil.copy(sample_slide, tmp_path / "a")
    answer = ask(config, "admin", "/workflows", NASTY[name])
    status, _ = code_of(answer)
    assert 400 <= status < 500, answer.text[:500]
    assert len(answer.content) < 100_000


@pytest.mark.parametrize("path", ["/login", "/users", "/me/keys"])
@pytest.mark.parametrize("name", sorted(NASTY.keys() - {"nothing", "null"}))
def test_other_routes_refuse_it_too(name: str, path: str, config: Config) -> None:
    status, _ = code_of(ask(config, "admin", path, NASTY[name]))
    assert 400 <= status < 500


def test_what_is_wrong_with_a_body_is_said(config: Config) -> None:
    said = {
        name: ask(config, "admin", "/workflows", NASTY[name]).json()["detail"]
        for name in ("nan", "a name twice", "deep list", "many digits", "no utf-8")
    }
    assert "NaN is no number of JSON" in said["nan"]
    assert "a name is there twice" in said["a name twice"]
    assert f"more than {DEEPEST} levels" in said["deep list"]
    assert "too many digits" in said["many digits"]
    assert "not UTF-8" in said["no utf-8"]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
)  # fmt: skip


def test_there_is_a_deepest_level() -> None:
    for levels in (DEEPEST, DEEPEST + 1):
        text = b"[" * levels + b"]" * levels
        with nullcontext() if levels == DEEPEST else pytest.raises(RecursionError):
            read_json(text)


@given(JSON)
def test_all_other_json_is_read_as_it_is(value: Any) -> None:
    assert read_json(json.dumps(value).encode()) == value


def test_a_route_says_how_large_its_bodies_may_be() -> None:
    assert {route.body_bytes for route in WITH_BODY if route.budget is not Budget.UPLOAD} == {
        MAX_BODY_BYTES,
        MAX_LOGIN_BYTES,
    }


def test_a_parameter_that_is_there_twice_is_refused(config: Config) -> None:
    """Readers differ in which counts, as they do of names in JSON."""
    answer = ask(config, "admin", "http://test/api/v1/engines?limit=1&limit=2", None, "GET")
    assert code_of(answer) == (422, "invalid_request")
    assert answer.json()["faults"] == [
        {"where": "query.limit", "what": "it is there more than once"}
    ]
