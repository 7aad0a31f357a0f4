"""Who may ask what: every route, with every sort of key.

The matrix is made from the route table, so a route without a row fails. A row says how the route
is asked for something of the owner's, and what the owner or, where that is needed, the
administrator is answered; what everybody else is answered follows from the role in the table.
"""

from __future__ import annotations

import asyncio
import functools
import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest

from raysched.cluster.accounts import DAY_S, KeyWish, Secret
from raysched.cluster.gateway import Gateway
from raysched.config import load_config
from raysched.core.accounts import KeyKind, Role
from raysched.core.events import ClusterResumed
from raysched.core.model import LOCAL_USER
from serve_app import site
from serve_app.routes import AT_THE_ROOT, ROUTES, Route
from serve_app.web import create_app
from tests.http.conftest import Service

pytestmark = [
    pytest.mark.http,
    # Ray Serve's own models, on import
    pytest.mark.filterwarnings("ignore:Using extra keyword arguments on `Field`"),
]

READS = {"GET", "HEAD", "OPTIONS"}
WHO = ("no key", "bad key", "revoked", "expired", "read-only", "other user", "owner", "admin")
STRANGERS = WHO[:4]
NOT_EVEN = {"jobs": [{"slide": "sample.svs", "params": {"no_such_parameter": 1}}]}
COUNT = itertools.count()
TUS = {"Tus-Resumable": "1.0.0"}
FIRST_TILE = {"z": "0", "x": "0", "y": "0"}
PIECE = {"Upload-Offset": "0", "Content-Type": "application/offset+octet-stream"}


@dataclass(frozen=True)
class World:
    """The service with an owner whose job has succeeded, and a key of each sort."""

    service: Service
    keys: dict[str, str]
    workflow: str
    job: str
    slide: str

    def headers(self, who: str) -> dict[str, str]:
        if who == "no key":
            return {}
        named = {"X-User-ID": "owner"} if who == "admin" else {}
        return {"Authorization": f"Bearer {self.keys[who]}", **named}

    def new_user(self) -> str:
        user = f"spare-{next(COUNT)}"
        asyncio.run(self.service.accounts.create(user, user, Role.USER))
        return user

    def new_upload(self) -> str:
        meta = {"Upload-Length": "9", "Upload-Metadata": "filename YS5zdnM=", **TUS}
        headers = {**self.headers("owner"), **meta}
        made = self.service.bare.post("/uploads", headers=headers).raise_for_status()
        return str(made.json()["id"])

    def new_slide(self) -> str:
        return new_slide(self.service, self.headers("owner"))

    def new_workflow(self) -> str:
        """One of the owner's that has ended, with a job that has done nothing."""
        owner = {"Authorization": f"Bearer {self.keys['owner']}"}
        post, get = self.service.bare.post, self.service.bare.get
        body = {"jobs": [{"slide": "sample.svs", "kind": "tissue_mask"}]}
        made = post("/workflows", json=body, headers=owner).raise_for_status().json()
        post(f"/workflows/{made['id']}/cancel", headers=owner).raise_for_status()
        while get(f"/workflows/{made['id']}", headers=owner).json()["open"]:
            pass
        return str(made["id"])

    def new_job(self) -> str:
        """Its job."""
        owner = {"Authorization": f"Bearer {self.keys['owner']}"}
        path = f"/workflows/{self.new_workflow()}"
        return str(self.service.bare.get(path, headers=owner).json()["jobs"][0]["id"])

    def new_key(self, user: str = "owner") -> Secret:
        return asyncio.run(self.service.accounts.make_key(user, KeyWish("spare")))


@pytest.fixture(scope="module")
def world(service: Service) -> World:
    accounts = service.accounts

    async def keys() -> dict[str, str]:
        for user in ("owner", "other"):
            await accounts.create(user, user.title(), Role.USER)
        made = {
            "owner": await accounts.make_key("owner", KeyWish("mine")),
            "other user": await accounts.make_key("other", KeyWish("mine")),
            "read-only": await accounts.make_key("owner", KeyWish("look", Role.READ_ONLY)),
            "revoked": await accounts.make_key("owner", KeyWish("old")),
            "expired": await accounts.make_key("owner", KeyWish("short", days=1.0 / DAY_S)),
        }
        await accounts.revoke("owner", made["revoked"].key)
        unknown = Secret.new(KeyKind.API).text
        return {"bad key": unknown, **{who: key.text for who, key in made.items()}}

    found = asyncio.run(keys())
    found["admin"] = service.http.headers["Authorization"].removeprefix("Bearer ")
    owner = {"Authorization": f"Bearer {found['owner']}"}
    body = {"jobs": [{"slide": "sample.svs"}]}
    made = service.bare.post("/workflows", json=body, headers=owner).raise_for_status().json()
    job = made["jobs"][0]["id"]
    while service.bare.get(f"/jobs/{job}", headers=owner).json()["state"] != "succeeded":
        pass
    expired = {"Authorization": f"Bearer {found['expired']}"}
    while service.bare.get("/me", headers=expired).status_code != 401:
        pass
    slide = new_slide(service, owner)
    while service.bare.get(f"/slides/{slide}", headers=owner).json()["state"] != "ready":
        pass
    return World(service, found, made["id"], job, slide)


def new_slide(service: Service, headers: dict[str, str]) -> str:
    body = {"folder": 0, "path": "sample.svs"}
    made = service.bare.post("/slides", json=body, headers=headers).raise_for_status().json()
    return str(made["id"])


# --- the matrix -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Row:
    """How a route is asked, and how it answers who may. ``names`` fills its path; ``owned``: what
    it names is the owner's, so that another user is told that there is no such thing."""

    status: int = 200
    names: Callable[[World], dict[str, str]] = lambda world: {"job": world.job, "other": world.job}
    body: Callable[[World], dict[str, Any] | None] = lambda _: None
    query: Callable[[World], dict[str, str]] = lambda _: {}
    owned: bool = True
    headers: Mapping[str, str] = field(default_factory=dict)


def mine(status: int = 200, **more: Any) -> Row:
    """A row of a route that names nothing of anybody's."""
    return Row(status, names=lambda _: {}, owned=False, **more)


def an_asset() -> dict[str, str]:
    name = next(name for name in site.files() if name != site.PAGE)
    return {"name": name.removeprefix("assets/")}


def a_node(_: World) -> dict[str, str]:
    return {"node": "nowhere"}


def of_slide(world: World) -> dict[str, str]:
    return {"slide": world.slide}


def with_review(world: World) -> dict[str, str]:
    body = {"what": "tiles", "size": 2, "seed": 1, "replace": True}
    path, headers = f"/jobs/{world.job}/review", world.headers("owner")
    world.service.bare.post(path, json=body, headers=headers).raise_for_status()
    return {"job": world.job, "number": "1"}


def with_samples(world: World) -> dict[str, str]:
    """Everybody has the sample already."""
    for who in ("owner", "other user"):
        world.service.bare.post("/slides/sample", headers=world.headers(who)).raise_for_status()
    return {}


def of_upload(world: World) -> dict[str, str]:
    return {"upload": world.new_upload()}


def with_spare_key(world: World) -> dict[str, str]:
    return {"user": "owner", "key": world.new_key().key}


def of_owner(_: World) -> dict[str, str]:
    return {"user": "owner"}


def login_token(world: World) -> dict[str, str]:
    return {"token": asyncio.run(world.service.accounts.login_token()).text}


ROWS: dict[str, Row] = {
    "create_workflow": mine(422, body=lambda _: NOT_EVEN),  # let in, and made nothing
    "estimate_workflow": mine(422, body=lambda _: NOT_EVEN),
    "get_workflow": Row(names=lambda world: {"workflow": world.workflow}),
    "list_jobs": mine(),
    "list_workflows": mine(),
    "delete_workflow": Row(204, names=lambda world: {"workflow": world.new_workflow()}),
    "cancel_workflow": Row(409, names=lambda world: {"workflow": world.workflow}),
    "delete_results": Row(names=lambda world: {"job": world.new_job()}),
    "stream_events": mine(),
    "cancel_mine": mine(),
    "pause_cluster": mine(),
    "drain_cluster": mine(),
    "resume_cluster": mine(),
    "drain_cluster_node": Row(404, names=a_node, owned=False),  # let in, and there is no such node
    "resume_cluster_node": Row(404, names=a_node, owned=False),
    "get_job": Row(),
    "explain_job": Row(),
    "get_job_log": Row(),
    "cancel_job": Row(409),  # it has succeeded
    "retry_job": Row(409),
    "retry_failed_tiles": Row(409),  # it has none
    "answer_job": Row(409, body=lambda _: {"mpp": 0.5}),
    "list_engines": mine(),
    "list_results": Row(),
    "get_results_zip": Row(),
    "head_results_zip": Row(),
    "head_result": Row(names=lambda world: {"job": world.job, "path": "manifest.json"}),
    "get_result": Row(names=lambda world: {"job": world.job, "path": "manifest.json"}),
    "export_job": Row(),
    "get_report": Row(),
    "get_diff": Row(),
    "get_diff_page": Row(),
    "get_chunks": Row(),
    "get_tissue": Row(),
    "get_measures": Row(),
    "get_measure_pair": Row(
        names=lambda world: {"job": world.job, "x": "area_um2", "y": "solidity"}
    ),
    "preview_slide_tissue": Row(names=of_slide),
    "begin_review": Row(201, body=lambda _: {"what": "cells", "size": 3, "replace": True}),
    "get_review": Row(names=with_review),
    "judge_item": Row(names=with_review, body=lambda _: {"verdict": "yes"}),
    "delete_review": Row(204, names=with_review),
    "export_review": Row(names=with_review),
    "describe_uploads": mine(204),
    "list_uploads": mine(),
    "create_upload": mine(
        201, headers={"Upload-Length": "9", "Upload-Metadata": "filename YS5zdnM=", **TUS}
    ),
    "get_upload": Row(names=of_upload),
    "head_upload": Row(names=of_upload, headers=TUS),
    "send_piece": Row(204, names=of_upload, headers={**TUS, **PIECE}),
    "delete_upload": Row(204, names=of_upload, headers=TUS),
    "list_slides": mine(),
    "register_slide": mine(201, body=lambda _: {"folder": 0, "path": "sample.svs"}),
    "add_sample_slide": Row(names=with_samples, owned=False),
    "get_slide": Row(names=of_slide),
    "rename_slide": Row(names=of_slide, body=lambda _: {"name": "renamed.svs"}),
    "delete_slide": Row(204, names=lambda world: {"slide": world.new_slide()}),
    "get_thumbnail": Row(names=of_slide),
    "get_slide_file": Row(names=of_slide),
    "list_slide_folders": mine(),
    "get_slide_view": Row(names=of_slide),
    "get_slide_tile": Row(names=lambda world: {**of_slide(world), **FIRST_TILE}),
    "get_job_view": Row(),
    "get_job_tile": Row(names=lambda world: {"job": world.job, **FIRST_TILE}),
    "get_overlay_tile": Row(names=lambda world: {"job": world.job, **FIRST_TILE}),
    "get_cell_at": Row(query=lambda _: {"x": "100", "y": "100"}),
    "get_cell": Row(names=lambda world: {"job": world.job, "cell": "1"}),
    "get_picture": Row(query=lambda _: {"x": "0", "y": "0", "width": "64", "height": "64"}),
    "log_in": mine(body=lambda world: {"key": world.keys["owner"]}),
    "log_out": mine(204),
    "get_me": mine(),
    "list_my_keys": mine(),
    "make_my_key": Row(201, names=lambda _: {}, owned=False, body=lambda _: {"role": "read-only"}),
    "revoke_my_key": Row(204, names=with_spare_key),
    "get_my_usage": mine(),
    "get_usage": mine(),
    "get_cluster": mine(),
    "get_cluster_minutes": mine(),
    "get_queue": mine(),
    "get_info": mine(),
    "list_users": mine(),
    "create_user": mine(201, body=lambda _: {"id": f"made-{next(COUNT)}"}),
    "get_user": Row(names=of_owner),
    "change_user": Row(names=of_owner, body=lambda _: {"name": f"Owner {next(COUNT)}"}),
    "delete_user": Row(names=lambda world: {"user": world.new_user()}),
    "list_user_keys": Row(names=of_owner),
    "make_user_key": Row(201, names=lambda world: {"user": world.new_user()}, body=lambda _: {}),
    "revoke_user_key": Row(204, names=with_spare_key),
    "follow_login_link": mine(303, query=login_token),
    "get_page": mine(),
    "get_asset": Row(names=lambda _: an_asset(), owned=False),
    "healthz": mine(),
    "readyz": mine(),
    "get_metrics": mine(),
}
OPEN_PAGES = {
    *("/docs", "/docs/oauth2-redirect", "/redoc", "/openapi.json", "/static-offline-docs")
}
"""What is served beside the table, to everybody: the documentation."""
TABLE = [*(("/api/v1", route) for route in ROUTES), *(("", route) for route in AT_THE_ROOT)]


def wanted(who: str, route: Route, row: Row) -> int:
    """What the role in the table promises."""
    if route.role is None:
        return row.status
    if who in STRANGERS:
        return 401
    if route.account is not None and who != "admin":
        return 403
    has = {"read-only": Role.READ_ONLY, "admin": Role.ADMIN}.get(who, Role.USER)
    if not has.covers(route.role):
        return 403
    return 404 if who == "other user" and row.owned else row.status


def ask(world: World, prefix: str, route: Route, who: str) -> httpx.Response:
    row = ROWS[route.handler.__name__]
    path = route.path.replace("{path:path}", "{path}").format(**row.names(world))
    base = world.service.bare.base_url
    with httpx.Client(timeout=60) as client:  # one of its own: no cookie of another request
        asked = client.build_request(
            route.method,
            base.copy_with(path=f"{prefix}{path}"),
            json=row.body(world),
            params=row.query(world),
            headers={**world.headers(who), **row.headers},
        )
        answer = client.send(asked, stream=True)
        if not answer.headers.get("content-type", "").startswith("text/event-stream"):
            answer.read()  # that one never ends by itself
        answer.close()
        return answer


def test_every_route_has_a_row_and_every_row_a_route(service: Service) -> None:
    handlers = [route.handler.__name__ for _, route in TABLE]
    assert sorted(handlers) == sorted(ROWS)
    app = create_app(service.config, service.session.gateway)
    served = {
        (method.upper(), path)
        for path, methods in app.openapi()["paths"].items()
        for method in methods
    }
    paths = [prefix + route.path.replace(":path}", "}") for prefix, route in TABLE]
    beside = {getattr(each, "path", None) for each in app.routes} - {None}
    assert beside == OPEN_PAGES
    assert served == {(route.method, path) for (_, route), path in zip(TABLE, paths, strict=True)}


def test_the_table_asks_for_no_less_than_it_should() -> None:
    """The matrix follows the table; this is what the table is held to."""
    without = {route.handler.__name__ for _, route in TABLE if route.role is None}
    sessions, pages = {"log_in", "follow_login_link"}, {"get_page", "get_asset"}
    assert without == {*sessions, *pages, "healthz", "readyz"}
    for _, route in TABLE:
        if route.path.startswith(("/users", "/usage", "/cluster")):
            assert route.role is Role.ADMIN, route
        elif route.method not in READS and route.handler.__name__ not in {"log_in", "log_out"}:
            assert route.role is Role.USER, route


@functools.cache
def schema() -> dict[str, Any]:
    return create_app(load_config(), Gateway("nowhere")).openapi()


def documented(path: str, method: str) -> set[str]:
    """The answers of an operation that OpenAPI tells of."""
    operation = schema()["paths"][path.replace(":path}", "}")][method.lower()]
    return set(operation["responses"])


@pytest.mark.parametrize("who", WHO)
@pytest.mark.parametrize(
    ("prefix", "route"), TABLE, ids=[route.handler.__name__ for _, route in TABLE]
)
def test_a_route_answers_each_sort_of_key_as_the_table_says(
    prefix: str, route: Route, who: str, world: World
) -> None:
    answer = ask(world, prefix, route, who)
    if route.path.startswith("/cluster/"):  # others want to work
        asyncio.run(world.service.session.gateway.hold(ClusterResumed(0.0, LOCAL_USER)))
    status = wanted(who, route, ROWS[route.handler.__name__])
    assert answer.status_code == status, answer.text
    assert str(status) in documented(prefix + route.path, route.method)
    if status in (401, 403, 404) and route.method != "HEAD":
        assert answer.headers["content-type"] == "application/problem+json"
        code = {401: "unauthorized", 403: "forbidden", 404: "not_found"}[status]
        assert route.method == "HEAD" or answer.json()["code"] == code
    assert ("www-authenticate" in answer.headers) == (status == 401)
