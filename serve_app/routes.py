"""Everything that can be asked over HTTP, as one table."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from fastapi import APIRouter, Response
from fastapi.responses import JSONResponse

from raysched.results.exports.formats import KINDS
from serve_app import handlers as do
from serve_app.problems import MEDIA_TYPE

PROBLEM_ANSWER = {
    "description": "Any error, as problem JSON (RFC 9457).",
    "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
}


@dataclass(frozen=True, slots=True)
class Route:
    """A method, a path, its handler, its documented success and the media types it streams."""

    method: str
    path: str
    handler: Callable[..., Any]
    status: int = 200
    tag: str = "jobs"
    also: dict[int | str, dict[str, Any]] = field(default_factory=dict)


def _streams(*media_types: str) -> dict[int | str, dict[str, Any]]:
    schema = {"schema": {"type": "string", "format": "binary"}}
    return {200: {"description": "The file.", "content": dict.fromkeys(media_types, schema)}}


EXPORT_MEDIA = ["application/gzip", *dict.fromkeys(kind.media_type for kind in KINDS.values())]
KNOWN_KEY: dict[int | str, dict[str, Any]] = {200: {"description": "The key is known already."}}

ROUTES = (
    Route("POST", "/workflows", do.create_workflow, 201, "workflows", KNOWN_KEY),
    Route("GET", "/workflows/{workflow}", do.get_workflow, tag="workflows"),
    Route("GET", "/jobs", do.list_jobs),
    Route("GET", "/jobs/{job}", do.get_job),
    Route("GET", "/jobs/{job}/explain", do.explain_job),
    Route("POST", "/jobs/{job}/cancel", do.cancel_job),
    Route("POST", "/jobs/{job}/retry", do.retry_job),
    Route("POST", "/jobs/{job}/answer", do.answer_job),
    Route("GET", "/engines", do.list_engines, tag="engines"),
    Route("GET", "/jobs/{job}/results", do.list_results, tag="results"),
    Route("GET", "/jobs/{job}/results.zip", do.get_results_zip, 200, "results",
          _streams("application/zip")),
    Route("GET", "/jobs/{job}/results/{path:path}", do.get_result, 200, "results",
          _streams("application/octet-stream")),
    Route("GET", "/jobs/{job}/export", do.export_job, 200, "results",
          _streams(*EXPORT_MEDIA)),
    Route("GET", "/jobs/{job}/report", do.get_report, 200, "results",
          _streams("text/html")),
    Route("GET", "/jobs/{job}/diff/{other}", do.get_diff, tag="results"),
    Route("GET", "/jobs/{job}/diff/{other}/page", do.get_diff_page, 200, "results",
          _streams("text/html")),
)  # fmt: skip

PROBES = (
    Route("GET", "/healthz", do.healthz, tag="service"),
    Route("GET", "/readyz", do.readyz, tag="service"),
)


def router(routes: tuple[Route, ...], prefix: str = "") -> APIRouter:
    """The routes of a table."""
    made = APIRouter(prefix=prefix, responses={"default": PROBLEM_ANSWER})
    for route in routes:
        streams = any("content" in answer for answer in route.also.values())
        made.add_api_route(
            route.path,
            route.handler,
            methods=[route.method],
            status_code=route.status,
            tags=[route.tag],
            operation_id=route.handler.__name__,
            responses=route.also,
            response_class=Response if streams else JSONResponse,
        )
    return made
