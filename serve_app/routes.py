"""Everything that can be asked over HTTP, as one table."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from fastapi import APIRouter, Response
from fastapi.responses import JSONResponse

from raysched.cluster.limiter import Budget
from raysched.core.accounts import Role
from raysched.results.exports.formats import KINDS
from serve_app import account_handlers as accounts
from serve_app import chunk_handlers as chunks
from serve_app import download_handlers as out
from serve_app import handlers as do
from serve_app import log_handlers as logs
from serve_app import measure_handlers as measures
from serve_app import node_handlers as nodes
from serve_app import queue_handlers as queue
from serve_app import report_handlers as reports
from serve_app import review_handlers as reviews
from serve_app import site
from serve_app import slide_handlers as slides
from serve_app import tile_handlers as tiles
from serve_app import upload_handlers as uploads
from serve_app import view_handlers as view
from serve_app import work_handlers as work
from serve_app.body import MAX_BODY_BYTES, MAX_LOGIN_BYTES, MAX_PIECE_BYTES
from serve_app.chunk_models import Chunks
from serve_app.guard import Bounds, guarded
from serve_app.report_models import UsageReport
from serve_app.review_models import JobReview

ANY_ERROR: dict[int | str, dict[str, Any]] = {"default": {"description": "Any error."}}
"""Stands in for FastAPI's own 422, until `serve_app.openapi` says which errors there are."""


@dataclass(frozen=True, slots=True)
class Route:
    """A method, a path, the role that it needs (None: open to everybody), its handler, its
    documented success, the media types it streams, what it is counted as, and how large a body may
    be (None: the handler counts)."""

    method: str
    path: str
    role: Role | None
    handler: Callable[..., Any]
    status: int = 200
    tag: str = "jobs"
    also: dict[int | str, dict[str, Any]] = field(default_factory=dict)
    budget: Budget = Budget.DEFAULT
    body_bytes: int | None = MAX_BODY_BYTES
    takes: str | None = None
    """The media type of a body that is not held in memory."""
    account: Role | None = None
    """The role that the key's user needs, where that is more than the key's own; the operator may
    open such a route to everybody (``serve.open_metrics``)."""

    @property
    def bounds(self) -> Bounds:
        """What is asked of requests before the handler sees them."""
        return Bounds(self.role, self.budget, self.body_bytes, self.account)


def _streams(*media_types: str) -> dict[int | str, dict[str, Any]]:
    schema = {"schema": {"type": "string", "format": "binary"}}
    return {200: {"description": "The file.", "content": dict.fromkeys(media_types, schema)}}


EXPORT_MEDIA = ["application/gzip", *dict.fromkeys(kind.media_type for kind in KINDS.values())]
USAGE: dict[int | str, dict[str, Any]] = {
    200: {"model": UsageReport, "content": {"text/csv": {"schema": {"type": "string"}}}}
}
REVIEW: dict[int | str, dict[str, Any]] = {
    200: {"model": JobReview, "content": {"text/csv": {"schema": {"type": "string"}}}}
}
CHUNKS: dict[int | str, dict[str, Any]] = {200: {"model": Chunks}}
KNOWN_SAMPLE: dict[int | str, dict[str, Any]] = {200: {"description": "You have it already."}}
KNOWN_KEY: dict[int | str, dict[str, Any]] = {200: {"description": "The key is known already."}}

PART: dict[int | str, dict[str, Any]] = {
    206: {"description": "The ranges that were asked for."},
    304: {"description": "What If-None-Match names is still the same."},
}
SIZE_ONLY: dict[int | str, dict[str, Any]] = {
    **PART,
    200: {"description": "Size and ETag.", "content": {}},
}
NO_BODY: dict[int | str, dict[str, Any]] = {200: {"description": "In the headers.", "content": {}}}

READ, USE, ADMIN, OPEN = Role.READ_ONLY, Role.USER, Role.ADMIN, None
EXPORT, UPLOAD, TILES = Budget.EXPORT, Budget.UPLOAD, Budget.TILES

ROUTES = (
    Route("POST", "/workflows", USE, do.create_workflow, 201, "workflows", KNOWN_KEY,
          Budget.CREATE),
    Route("GET", "/workflows", READ, work.list_workflows, tag="workflows"),
    Route("GET", "/workflows/{workflow}", READ, work.get_workflow, tag="workflows"),
    Route("DELETE", "/workflows/{workflow}", USE, work.delete_workflow, 204, "workflows"),
    Route("POST", "/workflows/{workflow}/cancel", USE, work.cancel_workflow, tag="workflows"),
    Route("GET", "/jobs", READ, work.list_jobs),
    Route("POST", "/workflows/estimate", USE, reports.estimate_workflow, 200, "workflows", {},
          Budget.CREATE),
    Route("GET", "/jobs/{job}", READ, do.get_job),
    Route("GET", "/jobs/{job}/explain", READ, do.explain_job),
    Route("GET", "/jobs/{job}/log", READ, logs.get_job_log, also=logs.AS_TEXT_TOO),
    Route("POST", "/jobs/{job}/cancel", USE, do.cancel_job),
    Route("POST", "/jobs/{job}/retry", USE, do.retry_job),
    Route("POST", "/jobs/{job}/failed-tiles", USE, tiles.retry_failed_tiles, 201, "jobs",
          KNOWN_KEY, Budget.CREATE),
    Route("POST", "/jobs/{job}/answer", USE, do.answer_job),
    Route("GET", "/engines", READ, do.list_engines, tag="engines"),
    Route("GET", "/jobs/{job}/results", READ, out.list_results, tag="results"),
    Route("DELETE", "/jobs/{job}/results", USE, work.delete_results, tag="results"),
    Route("GET", "/jobs/{job}/results.zip", READ, out.get_results_zip, 200, "results",
          PART | _streams("application/zip"), EXPORT),
    Route("HEAD", "/jobs/{job}/results.zip", READ, out.head_results_zip, 200, "results",
          SIZE_ONLY),
    Route("GET", "/jobs/{job}/results/{path:path}", READ, out.get_result, 200, "results",
          PART | _streams("application/octet-stream"), EXPORT),
    Route("HEAD", "/jobs/{job}/results/{path:path}", READ, out.head_result, 200, "results",
          SIZE_ONLY),
    Route("GET", "/jobs/{job}/export", READ, out.export_job, 200, "results",
          _streams(*EXPORT_MEDIA), EXPORT),
    Route("GET", "/jobs/{job}/report", READ, do.get_report, 200, "results",
          _streams("text/html"), EXPORT),
    Route("GET", "/jobs/{job}/diff/{other}", READ, do.get_diff, tag="results", budget=EXPORT),
    Route("GET", "/jobs/{job}/diff/{other}/page", READ, do.get_diff_page, 200, "results",
          _streams("text/html"), EXPORT),
    Route("GET", "/jobs/{job}/chunks", READ, chunks.get_chunks, also=CHUNKS),
    Route("GET", "/jobs/{job}/tissue", READ, chunks.get_tissue, 200, "results",
          _streams("image/png")),
    Route("GET", "/jobs/{job}/measures", READ, measures.get_measures, tag="results",
          budget=EXPORT),
    Route("GET", "/jobs/{job}/measures/{x}/by/{y}", READ, measures.get_measure_pair,
          tag="results", budget=EXPORT),
    Route("POST", "/jobs/{job}/review", USE, reviews.begin_review, 201, "reviews", budget=EXPORT),
    Route("GET", "/jobs/{job}/review", READ, reviews.get_review, tag="reviews"),
    Route("DELETE", "/jobs/{job}/review", USE, reviews.delete_review, 204, "reviews"),
    Route("PUT", "/jobs/{job}/review/items/{number}", USE, reviews.judge_item, tag="reviews"),
    Route("GET", "/jobs/{job}/review/export", READ, reviews.export_review, 200, "reviews",
          REVIEW, EXPORT),
    Route("OPTIONS", "/uploads", READ, uploads.describe_uploads, 204, "uploads"),
    Route("GET", "/uploads", READ, uploads.list_uploads, tag="uploads"),
    Route("POST", "/uploads", USE, uploads.create_upload, 201, "uploads", budget=UPLOAD),
    Route("GET", "/uploads/{upload}", READ, uploads.get_upload, tag="uploads"),
    Route("HEAD", "/uploads/{upload}", READ, uploads.head_upload, 200, "uploads", NO_BODY),
    Route("PATCH", "/uploads/{upload}", USE, uploads.send_piece, 204, "uploads", budget=UPLOAD,
          body_bytes=MAX_PIECE_BYTES, takes=uploads.PIECE_TYPE),
    Route("DELETE", "/uploads/{upload}", USE, uploads.delete_upload, 204, "uploads"),
    Route("GET", "/slides", READ, slides.list_slides, tag="slides"),
    Route("POST", "/slides", USE, slides.register_slide, 201, "slides", budget=Budget.CREATE),
    Route("POST", "/slides/sample", USE, slides.add_sample_slide, 201, "slides", KNOWN_SAMPLE,
          Budget.CREATE),
    Route("GET", "/slides/{slide}", READ, slides.get_slide, tag="slides"),
    Route("PATCH", "/slides/{slide}", USE, slides.rename_slide, tag="slides"),
    Route("DELETE", "/slides/{slide}", USE, slides.delete_slide, 204, "slides"),
    Route("GET", "/slides/{slide}/thumbnail", READ, slides.get_thumbnail, 200, "slides",
          _streams("image/png")),
    Route("GET", "/slides/{slide}/tissue", READ, chunks.preview_slide_tissue, tag="slides",
          budget=EXPORT),
    Route("GET", "/slides/{slide}/file", READ, slides.get_slide_file, 200, "slides",
          PART | _streams("application/octet-stream", "application/zip"), EXPORT),
    Route("GET", "/slides/{slide}/view", READ, view.get_slide_view, tag="views"),
    Route("GET", "/slides/{slide}/tiles/{z}/{x}/{y}", READ, view.get_slide_tile, 200, "views",
          _streams("image/jpeg"), TILES),
    Route("GET", "/jobs/{job}/view", READ, view.get_job_view, tag="views"),
    Route("GET", "/jobs/{job}/tiles/{z}/{x}/{y}", READ, view.get_job_tile, 200, "views",
          _streams("image/jpeg"), TILES),
    Route("GET", "/jobs/{job}/overlay/{z}/{x}/{y}", READ, view.get_overlay_tile, 200, "views",
          _streams("image/png"), TILES),
    Route("GET", "/jobs/{job}/cells/at", READ, view.get_cell_at, tag="views", budget=TILES),
    Route("GET", "/jobs/{job}/cells/{cell}", READ, view.get_cell, tag="views", budget=TILES),
    Route("GET", "/jobs/{job}/picture", READ, view.get_picture, 200, "views",
          _streams("image/jpeg"), TILES),
    Route("GET", "/slide-folders", READ, slides.list_slide_folders, tag="slides"),
    Route("GET", "/events", READ, work.stream_events, 200, "events",
          _streams("text/event-stream")),
    Route("GET", "/queue", READ, queue.get_queue, tag="events"),
    Route("GET", "/info", READ, queue.get_info, tag="service"),
    Route("POST", "/me/cancel", USE, work.cancel_mine, tag="me"),
    Route("POST", "/cluster/pause", ADMIN, work.pause_cluster, tag="cluster"),
    Route("POST", "/cluster/drain", ADMIN, work.drain_cluster, tag="cluster"),
    Route("POST", "/cluster/resume", ADMIN, work.resume_cluster, tag="cluster"),
    Route("POST", "/cluster/nodes/{node}/drain", ADMIN, nodes.drain_cluster_node, tag="cluster"),
    Route("POST", "/cluster/nodes/{node}/resume", ADMIN, nodes.resume_cluster_node, tag="cluster"),
    Route("POST", "/login", OPEN, accounts.log_in, tag="sessions", body_bytes=MAX_LOGIN_BYTES),
    Route("POST", "/logout", READ, accounts.log_out, 204, "sessions"),
    Route("GET", "/me", READ, accounts.get_me, tag="me"),
    Route("GET", "/me/keys", READ, accounts.list_my_keys, tag="me"),
    Route("POST", "/me/keys", USE, accounts.make_my_key, 201, "me"),
    Route("DELETE", "/me/keys/{key}", USE, accounts.revoke_my_key, 204, "me"),
    Route("GET", "/me/usage", READ, reports.get_my_usage, 200, "me", USAGE, EXPORT),
    Route("GET", "/usage", ADMIN, reports.get_usage, 200, "cluster", USAGE, EXPORT),
    Route("GET", "/cluster", ADMIN, reports.get_cluster, tag="cluster"),
    Route("GET", "/cluster/minutes", ADMIN, queue.get_cluster_minutes, tag="cluster"),
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
    Route("GET", "/", OPEN, site.get_page, tag="ui", also=_streams("text/html")),
    Route("GET", "/assets/{name}", OPEN, site.get_asset, tag="ui",
          also=_streams("text/javascript", "text/css", "font/woff2")),
    Route("GET", "/login", OPEN, accounts.follow_login_link, 303, "sessions"),
    Route("GET", "/healthz", OPEN, do.healthz, tag="service"),
    Route("GET", "/readyz", OPEN, do.readyz, tag="service"),
    Route("GET", "/metrics", READ, logs.get_metrics, 200, "service", logs.METRICS_TEXT,
          account=ADMIN),
)  # fmt: skip

BUDGETS = {route.handler.__name__: route.budget for route in (*ROUTES, *AT_THE_ROOT)}
"""What each operation is counted as."""


def router(routes: tuple[Route, ...], prefix: str = "") -> APIRouter:
    """The routes of a table."""
    made = APIRouter(prefix=prefix, responses=ANY_ERROR)
    for route in routes:
        streams = any("content" in answer for answer in route.also.values())
        more: dict[str, Any] = {"security": []} if route.role is None else {}
        if route.takes:
            binary = {"schema": {"type": "string", "format": "binary"}}
            more["requestBody"] = {"required": True, "content": {route.takes: binary}}
        made.add_api_route(
            route.path,
            route.handler,
            methods=[route.method],
            status_code=route.status,
            tags=[route.tag],
            operation_id=route.handler.__name__,
            route_class_override=guarded(route.bounds),
            openapi_extra={"x-role": route.role, **more},
            responses=route.also,
            response_class=Response if streams or route.status in (204, 303) else JSONResponse,
        )
    return made
