"""Every error as one shape: RFC 9457 problem JSON."""

from __future__ import annotations

import json
import logging
from http import HTTPStatus
from math import ceil
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from raysched.errors import (
    Busy,
    InternalError,
    LimitReached,
    RayschedError,
    SlideMissing,
    TooManyRequests,
    Unauthorized,
)
from serve_app.models import Problem
from serve_app.paths import conceal, server_folders

log = logging.getLogger(__name__)

MEDIA_TYPE = "application/problem+json"
STATUS_OVER_HTTP: dict[type[RayschedError], int] = {SlideMissing: 404}
CODES: dict[int, str] = {413: "body_too_large"}  # its name in http.HTTPStatus has changed
RETRY_AFTER_S = 5
PATH_FACTS = {"path", "out", "state"}
MOST_FAULTS = 20
"""So many are told of: a body may have one for each of its jobs."""
BODY_REMEDY = "See /docs for what this route takes."


def install(app: FastAPI) -> None:
    """Answer every error of an application as a problem."""
    app.add_exception_handler(RayschedError, _ours)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(Exception, _unexpected)


class ProblemResponse(JSONResponse):
    """A response whose body is a problem."""

    media_type = MEDIA_TYPE

    def render(self, content: object) -> bytes:
        """In ASCII: a message may quote what was sent, and that may be half a character."""
        return json.dumps(content).encode()


def problem(
    status: int, code: str, detail: str, remedy: str, facts: dict[str, Any] | None = None
) -> ProblemResponse:
    """One problem; facts never replace the standard members."""
    known = Problem(
        type=f"urn:raysched:error:{code}",
        title=code.replace("_", " ").capitalize(),
        status=status,
        detail=detail,
        code=code,
        remedy=remedy,
    )
    return ProblemResponse({**(facts or {}), **known.model_dump()}, status_code=status)


async def _ours(request: Request, error: Exception) -> ProblemResponse:
    if not isinstance(error, RayschedError):
        raise error
    status = STATUS_OVER_HTTP.get(type(error), error.status)
    if isinstance(error, Busy):  # as often as there are too many: one line, and no traceback
        log.info("%s: %s", error.code, error.message)
    elif status >= 500:
        log.error("%s: %s", error.code, error.message, exc_info=error)
    if isinstance(error, InternalError):
        return _internal()
    folders = server_folders(request.app.state.config)
    facts = {name: value for name, value in error.facts.items() if name not in PATH_FACTS}
    message, remedy = (conceal(text, folders) for text in (error.message, error.remedy))
    answer = problem(status, error.code, message, remedy, facts)
    if isinstance(error, Unauthorized):
        answer.headers["WWW-Authenticate"] = 'Bearer realm="raysched"'
    if status == 503 or isinstance(error, LimitReached):
        wait_s: float = RETRY_AFTER_S
        if isinstance(error, TooManyRequests | Busy):
            wait_s = error.retry_after_s
        answer.headers["Retry-After"] = str(ceil(wait_s))
    return answer


async def _invalid(_: Request, error: Exception) -> ProblemResponse:
    if not isinstance(error, RequestValidationError):
        raise error
    found = error.errors()
    faults = [
        {"where": ".".join(map(str, fault["loc"])), "what": _what(fault)}
        for fault in found[:MOST_FAULTS]
    ]
    first = faults[0]
    detail = f"{first['where']}: {first['what']}."
    facts = {"faults": faults, "faults_in_all": len(found)}
    return problem(422, "invalid_request", detail, BODY_REMEDY, facts)


def _what(fault: dict[str, Any]) -> str:
    """The message, and of a body that is no JSON also why."""
    why = fault["ctx"]["error"] if fault["type"] == "json_invalid" else ""
    return f"{fault['msg']}: {why}" if why else str(fault["msg"])


async def _http(request: Request, error: Exception) -> ProblemResponse:
    if not isinstance(error, HTTPException):
        raise error
    status = HTTPStatus(error.status_code)
    detail = f"{request.method} {request.url.path[:200]}: {status.phrase}."
    code = CODES.get(status, status.name.lower())
    answer = problem(status, code, detail, BODY_REMEDY)
    answer.headers.update(error.headers or {})
    if status == HTTPStatus.METHOD_NOT_ALLOWED:  # each route knows of its own method alone
        answer.headers["Allow"] = ", ".join(request.app.state.methods.of(request.url.path))
    return answer


async def _unexpected(_: Request, error: Exception) -> ProblemResponse:
    log.error("A handler failed unexpectedly.", exc_info=error)
    return _internal()


def _internal() -> ProblemResponse:
    return problem(
        500,
        InternalError.code,
        "The service failed unexpectedly.",
        "Try again; if it lasts, tell the operator, whose log has the cause.",
    )
