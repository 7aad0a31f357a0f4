"""The ASGI application: the routes, the errors, the documentation. Every asset is served by
itself: it works with the network off.
"""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from fastapi_offline import FastAPIOffline

from raysched import __version__
from raysched.cluster.gateway import Gateway
from raysched.config import Config
from serve_app import problems
from serve_app.gate import Gate
from serve_app.identity import COOKIE
from serve_app.models import Problem
from serve_app.places import Places
from serve_app.routes import AT_THE_ROOT, ROUTES, router

DESCRIPTION = """Segment every cell of whole-slide images on a shared Ray cluster.

Send a key as `Authorization: Bearer rsk_...`, or log in; `x-role` says which role an operation
needs. An administrator's key acts for another user with the header `X-User-ID`.

Times are ISO 8601 in UTC, durations are seconds. Every error is problem JSON (RFC 9457) with a
stable `code` and a `remedy`. Repeating any call is harmless; give `POST /workflows` an
`Idempotency-Key` to make it so."""

SECURITY = {
    "key": {"type": "http", "scheme": "bearer", "description": "A key: rsk_ID_SECRET."},
    "session": {
        "type": "apiKey",
        "in": "cookie",
        "name": COOKIE,
        "description": "Set by logging in; changes also need the header X-CSRF-Token.",
    },
}


def create_app(config: Config, gateway: Gateway) -> FastAPI:
    """The application of one process."""
    app: FastAPI = FastAPIOffline(title="raysched", version=__version__, description=DESCRIPTION)
    app.state.config, app.state.gateway = config, gateway
    app.state.gate = Gate(gateway, config.limits)
    app.state.downloads = Places(
        "downloads", per_user=config.limits.downloads_per_user, in_all=config.limits.downloads
    )
    app.include_router(router(ROUTES, "/api/v1"))
    app.include_router(router(AT_THE_ROOT))
    problems.install(app)
    app.openapi = lambda: _openapi(app)  # type: ignore[method-assign]
    return app


def _openapi(app: FastAPI) -> dict[str, Any]:
    """FastAPI's schema with the problem shape that every route refers to."""
    if app.openapi_schema is None:
        schema = get_openapi(
            title=app.title, version=app.version, description=app.description, routes=app.routes
        )
        schemas = schema.setdefault("components", {}).setdefault("schemas", {})
        schemas["Problem"] = Problem.model_json_schema()
        schema["components"]["securitySchemes"] = SECURITY
        schema["security"] = [{name: []} for name in SECURITY]
        app.openapi_schema = schema
    return app.openapi_schema
