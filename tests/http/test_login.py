"""Browsers: the one-time link, the session's cookie, and what another site cannot do with it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from http.cookies import SimpleCookie
from typing import Any

import httpx
import pytest

from raysched.cluster.accounts import DAY_S, KeyWish, Secret
from raysched.core.accounts import Caller, KeyKind, Role
from raysched.core.events import LoggedIn
from raysched.core.model import LOCAL_USER
from serve_app.account_handlers import AFTER_LOGIN
from serve_app.identity import COOKIE, CSRF_HEADER, MARK
from serve_app.web import create_app
from tests.http.conftest import Service

pytestmark = [
    pytest.mark.http,
    # Ray Serve's own models, on import
    pytest.mark.filterwarnings("ignore:Using extra keyword arguments on `Field`"),
]


@pytest.fixture
def browser(service: Service) -> Iterator[httpx.Client]:
    """Keeps cookies, as a browser does, and has none yet."""
    with httpx.Client(base_url=service.bare.base_url, timeout=60) as client:
        yield client


@pytest.fixture(scope="module")
def key(service: Service) -> Secret:
    """Of a user who may submit."""
    asyncio.run(service.accounts.create("eve", "Eve", Role.USER))
    return asyncio.run(service.accounts.make_key("eve", KeyWish("browser")))


def log_in(browser: httpx.Client, key: Secret) -> str:
    """The token that goes with changes."""
    answer = browser.post("/login", json={"key": key.text})
    assert answer.status_code == 200, answer.text
    csrf: str = answer.json()["csrf"]
    return csrf


def link(service: Service) -> httpx.URL:
    token = asyncio.run(service.accounts.login_token())
    return service.bare.base_url.copy_with(path="/login", params={"token": token.text})


def cookie_of(answer: httpx.Response) -> dict[str, Any]:
    headers = answer.headers.get_list("set-cookie")
    morsel = next(each for each in map(SimpleCookie, headers) if COOKIE in each)[COOKIE]
    return {"value": morsel.value, **{name: value for name, value in morsel.items() if value}}


def test_the_link_logs_in_once_and_leads_on(service: Service, browser: httpx.Client) -> None:
    url = link(service)
    first = browser.get(url)
    assert (first.status_code, first.headers["location"]) == (303, AFTER_LOGIN)
    assert first.headers["referrer-policy"] == "no-referrer"
    me = browser.get("/me").json()
    assert (me["id"], me["role"], len(me["csrf"])) == (LOCAL_USER, "admin", 64)
    assert browser.cookies[MARK] == "yes"
    with httpx.Client() as stranger:
        again = stranger.get(url)
    assert (again.status_code, "set-cookie" in again.headers) == (401, False)
    assert browser.get("/me").status_code == 200


def test_the_cookie_is_out_of_reach_for_scripts_and_other_sites(
    service: Service, browser: httpx.Client, key: Secret
) -> None:
    answer = browser.post("/login", json={"key": key.text})
    cookie = cookie_of(answer)
    value = cookie.pop("value")
    lasts_s = str(round(service.config.serve.session_hours * 3600))
    assert cookie == {"httponly": True, "samesite": "strict", "path": "/", "max-age": lasts_s}
    assert Secret.read(value).kind is KeyKind.SESSION
    assert value not in answer.text
    assert answer.headers["cache-control"] == "no-store"


@pytest.mark.parametrize(("scheme", "setting"), [("https", False), ("http", True)])
def test_over_https_the_cookie_is_sent_over_https_only(
    service: Service, key: Secret, scheme: str, setting: bool
) -> None:
    serve = service.config.serve.model_copy(update={"secure_cookie": setting})
    config = service.config.model_copy(update={"serve": serve})
    app = create_app(config, service.session.gateway)

    async def asked() -> httpx.Response:
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url=f"{scheme}://test") as client:
            return await client.post("/api/v1/login", json={"key": key.text})

    assert cookie_of(asyncio.run(asked()))["secure"] is True


def test_a_session_reads_at_once_and_changes_only_with_its_own_token(
    service: Service, browser: httpx.Client, key: Secret
) -> None:
    csrf = log_in(browser, key)
    with httpx.Client(base_url=service.bare.base_url) as second:
        others = log_in(second, key)
    assert browser.get("/jobs").json() == {"jobs": [], "next": None}
    for headers in ({}, {CSRF_HEADER: ""}, {CSRF_HEADER: "x" * 64}, {CSRF_HEADER: others}):
        refused = browser.post("/me/keys", json={}, headers=headers)
        assert (refused.status_code, refused.json()["code"]) == (403, "forbidden")
        assert browser.post("/logout", headers=headers).status_code == 403
    made = browser.post("/me/keys", json={}, headers={CSRF_HEADER: csrf})
    assert made.status_code == 201
    assert browser.get("/me").json()["csrf"] == csrf


def test_a_form_of_another_site_cannot_log_a_browser_in(browser: httpx.Client, key: Secret) -> None:
    sent = {"content": f'{{"key": "{key.text}"}}', "headers": {"content-type": "text/plain"}}
    answer = browser.post("/login", **sent)  # type: ignore[arg-type]
    assert (answer.status_code, "set-cookie" in answer.headers) == (422, False)


def test_logging_out_ends_the_session_and_nothing_else(
    service: Service, browser: httpx.Client, key: Secret
) -> None:
    csrf = log_in(browser, key)
    value = browser.cookies[COOKIE]
    out = browser.post("/logout", headers={CSRF_HEADER: csrf})
    assert (out.status_code, COOKIE in browser.cookies) == (204, False)
    assert MARK not in browser.cookies
    assert service.bare.get("/me", headers={"Cookie": f"{COOKIE}={value}"}).status_code == 401
    with service.client(key.text) as client:
        assert client.post("/logout").status_code == 204  # a key has no session to end
        assert client.get("/me").status_code == 200


def test_a_session_ends_with_the_key_that_began_it(
    service: Service, browser: httpx.Client, key: Secret
) -> None:
    own = asyncio.run(service.accounts.make_key("eve", KeyWish("short", Role.READ_ONLY)))
    csrf = log_in(browser, own)
    refused = browser.post("/me/keys", json={}, headers={CSRF_HEADER: csrf})
    assert (refused.status_code, refused.json()["code"]) == (403, "forbidden")
    asyncio.run(service.accounts.revoke("eve", own.key))
    assert browser.get("/me").status_code == 401


def test_a_login_whose_answer_was_lost_is_asked_once_more(service: Service) -> None:
    async def twice() -> list[Caller]:
        token = await service.accounts.login_token()
        session = Secret.new(KeyKind.SESSION)
        until = time.time() + DAY_S
        event = LoggedIn(0.0, token.key, session.key, session.digest, until)
        gateway = service.session.gateway
        return [await gateway.log_in(token.digest, event) for _ in range(2)]

    first, second = asyncio.run(twice())
    assert first == second
    assert first.user == LOCAL_USER


def test_a_session_is_over_when_its_time_is(service: Service) -> None:
    async def log_in() -> Secret:
        token = await service.accounts.login_token()
        session, _ = await service.accounts.log_in(token.text, lasts_s=1.0)
        return session

    cookie = {"Cookie": f"{COOKIE}={asyncio.run(log_in()).text}"}
    answer = service.bare.get("/me", headers=cookie)
    while answer.status_code == 200:
        answer = service.bare.get("/me", headers=cookie)
    assert (answer.status_code, answer.json()["code"]) == (401, "unauthorized")


@pytest.mark.parametrize("kind", KeyKind)
def test_each_kind_of_key_opens_in_its_own_place_only(service: Service, kind: KeyKind) -> None:
    async def keys() -> dict[KeyKind, str]:
        token = await service.accounts.login_token()
        session, _ = await service.accounts.log_in(token.text, DAY_S)
        again = await service.accounts.login_token()
        api = await service.accounts.make_key("local", KeyWish("kinds"))
        return {KeyKind.API: api.text, KeyKind.SESSION: session.text, KeyKind.LOGIN: again.text}

    text = asyncio.run(keys())[kind]
    bearer = service.bare.get("/me", headers={"Authorization": f"Bearer {text}"}).status_code
    cookie = service.bare.get("/me", headers={"Cookie": f"{COOKIE}={text}"}).status_code
    login = httpx.post(f"{service.bare.base_url}login", json={"key": text}).status_code
    assert (bearer, cookie, login) == {
        KeyKind.API: (200, 401, 200),
        KeyKind.SESSION: (401, 200, 401),
        KeyKind.LOGIN: (401, 401, 200),
    }[kind]


@pytest.mark.parametrize(
    "header", ["", "Bearer", "Basic bG9jYWw6bG9jYWw=", "Bearer rsk_", "Bearer ä", "rsk_1_2"]
)
def test_a_header_that_is_no_key_is_refused_and_the_cookie_not_looked_at(
    service: Service, browser: httpx.Client, key: Secret, header: str
) -> None:
    log_in(browser, key)
    answer = browser.get("/me", headers=httpx.Headers([(b"authorization", header.encode())]))
    assert (answer.status_code, answer.json()["code"]) == (401, "unauthorized")
    assert answer.headers["www-authenticate"] == 'Bearer realm="raysched"'
