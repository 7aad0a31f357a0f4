"""Everything that can be asked over HTTP, as one table."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from fastapi import APIRouter, Depends, Response
from fastapi.responses import JSONResponse

from raysched.core.accounts import Role
from raysched.results.exports.formats import KINDS
from serve_app import account_handlers as accounts
from serve_app import handlers as do
from serve_app import report_handlers as reports
from serve_app.identity import needs
from serve_app.problems import MEDIA_TYPE
from serve_app.report_models import UsageReport

PROBLEM_ANSWER = {
    "description": "Any error, as problem JSON (RFC 9457).",
    "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
}


class Budget(StrEnum):
    """What a request is counted as: each user has so many of each at once."""

    DEFAULT = "default"
    CREATE = "create"
    UPLOAD = "upload"
    EXPORT = "export"


@dataclass(frozen=True, slots=True)
class Route:
    """A method, a path, the role that it needs (None: open to everybody), its handler, its
    documented success, the media types it streams, and what it is counted as."""

    method: str
    path: str
    role: Role | None
    handler: Callable[..., Any]
    status: int = 200
    tag: str = "jobs"
    also: dict[int | str, dict[str, Any]] = field(default_factory=dict)
    budget: Budget = Budget.DEFAULT


def _streams(*media_types: str) -> dict[int | str, dict[str, Any]]:
    schema = {"schema": {"type": "string", "format": "binary"}}
    return {200: {"description": "The file.", "content": dict.fromkeys(media_types, schema)}}


EXPORT_MEDIA = ["application/gzip", *dict.fromkeys(kind.media_type for kind in KINDS.values())]
USAGE: dict[int | str, dict[str, Any]] = {
    200: {"model": UsageReport, "content": {"text/csv": {"schema": {"type": "string"}}}}
}
KNOWN_KEY: dict[int | str, dict[str, Any]] = {200: {"description": "The key is known already."}}

READ, USE, ADMIN, OPEN = Role.READ_ONLY, Role.USER, Role.ADMIN, None
EXPORT = Budget.EXPORT

ROUTES = (
    Route("POST", "/workflows", USE, do.create_workflow, 201, "workflows", KNOWN_KEY,
          Budget.CREATE),
    Route("POST", "/workflows/estimate", USE, reports.estimate_workflow, 200, "workflows", {},
          Budget.CREATE),
    Route("GET", "/workflows/{workflow}", READ, do.get_workflow, tag="workflows"),
    Route("GET", "/jobs", READ, do.list_jobs),
    Route("GET", "/jobs/{job}", READ, do.get_job),
    Route("GET", "/jobs/{job}/explain", READ, do.explain_job),
    Route("POST", "/jobs/{job}/cancel", USE, do.cancel_job),
    Route("POST", "/jobs/{job}/retry", USE, do.retry_job),
    Route("POST", "/jobs/{job}/answer", USE, do.answer_job),
    Route("GET", "/engines", READ, do.list_engines, tag="engines"),
    Route("GET", "/jobs/{job}/results", READ, do.list_results, tag="results"),
    Route("GET", "/jobs/{job}/results.zip", READ, do.get_results_zip, 200, "results",
          _streams("application/zip"), EXPORT),
    Route("GET", "/jobs/{job}/results/{path:path}", READ, do.get_result, 200, "results",
          _streams("application/octet-stream"), EXPORT),
    Route("GET", "/jobs/{job}/export", READ, do.export_job, 200, "results",
          _streams(*EXPORT_MEDIA), EXPORT),
    Route("GET", "/jobs/{job}/report", READ, do.get_report, 200, "results",
          _streams("text/html"), EXPORT),
    Route("GET", "/jobs/{job}/diff/{other}", READ, do.get_diff, tag="results"),
    Route("GET", "/jobs/{job}/diff/{other}/page", READ, do.get_diff_page, 200, "results",
          _streams("text/html"), EXPORT),
    Route("POST", "/login", OPEN, accounts.log_in, tag="sessions"),
    Route("POST", "/logout", READ, accounts.log_out, 204, "sessions"),
    Route("GET", "/me", READ, accounts.get_me, tag="me"),
    Route("GET", "/me/keys", READ, accounts.list_my_keys, tag="me"),
    Route("POST", "/me/keys", USE, accounts.make_my_key, 201, "me"),
    Route("DELETE", "/me/keys/{key}", USE, accounts.revoke_my_key, 204, "me"),
    Route("GET", "/me/usage", READ, reports.get_my_usage, 200, "me", USAGE, EXPORT),
    Route("GET", "/usage", ADMIN, reports.get_usage, 200, "cluster", USAGE, EXPORT),
    Route("GET", "/cluster", ADMIN, reports.get_cluster, tag="cluster"),
    Route("GET", "/users", ADMIN, accounts.list_users, tag="users"),
    Route("POST", "/users", ADMIN, accounts.create_user, 201, "users"),
    Route("GET", "/users/{user}", ADMIN, accounts.get_user, tag="users"),
    Route("PATCH", "/users/{user}", ADMIN, accounts.change_user, tag="users"),
    Route("DELETE", "/users/{user}", ADMIN, accounts.delete_user, tag="users"),
    Route("GET", "/users/{user}/keys", ADMIN, accounts.list_user_keys, tag="users"),
    Route("POST", "/users/{user}/keys", ADMIN, accounts.make_user_key, 201, "users"),
    Route("DELETE", "/users/{user}/keys/{key}", ADMIN, accounts.revoke_user_key, 204, "users"),
)  # fmt: skip

AT_THE_ROOT = (
    Route("GET", "/login", OPEN, accounts.follow_login_link, 303, "sessions"),
    Route("GET", "/healthz", OPEN, do.healthz, tag="service"),
    Route("GET", "/readyz", OPEN, do.readyz, tag="service"),
)


def router(routes: tuple[Route, ...], prefix: str = "") -> APIRouter:
    """The routes of a table."""
    made = APIRouter(prefix=prefix, responses={"default": PROBLEM_ANSWER})
    for route in routes:
        streams = any("content" in answer for answer in route.also.values())
        opens: dict[str, Any] = {"security": []} if route.role is None else {}
        made.add_api_route(
            route.path,
            route.handler,
            methods=[route.method],
            status_code=route.status,
            tags=[route.tag],
            operation_id=route.handler.__name__,
            dependencies=[] if route.role is None else [Depends(needs(route.role))],
            openapi_extra={"x-role": route.role, **opens},
            responses=route.also,
            response_class=Response if streams or route.status in (204, 303) else JSONResponse,
        )
    return made
