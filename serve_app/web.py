"""The ASGI application: the routes, the errors, the documentation. Every asset is served by
itself: it works with the network off.
"""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from fastapi_offline import FastAPIOffline

from raysched import __version__
from raysched.cluster.gateway import Gateway
from raysched.config import Config
from raysched.results.bounded import Bounded
from raysched.results.measures import REMEMBERED
from raysched.results.tissue_preview import remembered_overviews
from serve_app import problems
from serve_app.desk import Pulse
from serve_app.doorman import Doorman
from serve_app.hub import Hub
from serve_app.methods import Methods
from serve_app.openapi import describe
from serve_app.places import Places
from serve_app.request_log import RequestLog
from serve_app.request_minutes import RequestMinutes
from serve_app.routes import AT_THE_ROOT, ROUTES, router
from serve_app.threads import Sharing
from serve_app.view_access import Looking

ALL_REQUESTS = 1000
"""Requests that Serve gives a replica at once (``max_ongoing_requests`` of ``serve_app.app``)."""
MOST_REQUESTS = 800
"""Of these so many are taken: who comes later is told so, instead of waiting behind them."""
MOST_PIECES = 12
"""In one replica: each may be in memory."""
MOST_STRANGERS = 16
"""Bodies that are read of whoever sends them, without a key."""
DESCRIPTION = """Segment every cell of whole-slide images on a shared Ray cluster.

Send a key as `Authorization: Bearer rsk_...`, or log in; `x-role` says which role an operation
needs. An administrator's key acts for another user with the header `X-User-ID`.

Times are ISO 8601 in UTC, durations are seconds. Every error is problem JSON (RFC 9457) with a
stable `code` and a `remedy`. Repeating any call is harmless; give `POST /workflows`
and a retry an `Idempotency-Key` to make it so."""


def create_app(config: Config, gateway: Gateway) -> FastAPI:
    """The application of one process."""
    app: FastAPI = FastAPIOffline(title="raysched", version=__version__, description=DESCRIPTION)
    app.state.config, app.state.gateway = config, gateway
    app.state.threads = Sharing()
    app.state.pulse = Pulse(gateway)
    app.state.doorman = Doorman(gateway, config.limits)
    app.state.requests = Places(
        "requests", per_user=config.limits.requests_per_user, in_all=MOST_REQUESTS
    )
    app.state.downloads = Places(
        "downloads", per_user=config.limits.downloads_per_user, in_all=config.limits.downloads
    )
    app.state.hub = Hub(gateway)
    app.state.request_minutes = RequestMinutes(gateway)
    app.state.streams = Places(
        "streams of events",
        per_user=config.serve.max_streams_per_user,
        in_all=config.serve.max_streams,
    )
    app.state.looking = Looking()
    app.state.dry_runs = Places("dry runs", per_user=1, in_all=4)
    app.state.previews = Places("previews of tissue", per_user=2, in_all=4)
    app.state.chunk_maps = Places("maps of chunks", per_user=2, in_all=8)
    app.state.samples = Places("requests for the sample slide", per_user=2, in_all=8)
    app.state.overviews = remembered_overviews()
    app.state.measuring = Places("looks at measurements", per_user=2, in_all=4)
    app.state.measured, app.state.measure_pairs = Bounded(REMEMBERED), Bounded(REMEMBERED)
    app.state.usage_reports = Places("usage reports", per_user=2, in_all=8)
    app.state.pieces = Places("pieces of uploads", per_user=4, in_all=MOST_PIECES)
    app.state.strangers = Places("logins", per_user=None, in_all=MOST_STRANGERS)
    tables = ("/api/v1", ROUTES), ("", AT_THE_ROOT)
    app.state.methods = Methods(
        (route.method, prefix + route.path) for prefix, routes in tables for route in routes
    )
    for prefix, routes in tables:
        app.include_router(router(routes, prefix))
    app.add_middleware(RequestLog)
    problems.install(app)
    app.openapi = lambda: _openapi(app)  # type: ignore[method-assign]
    return app


def _openapi(app: FastAPI) -> dict[str, Any]:
    """The schema, made when it is first asked for."""
    if app.openapi_schema is None:
        app.openapi_schema = describe(app, (*ROUTES, *AT_THE_ROOT))
    return app.openapi_schema
