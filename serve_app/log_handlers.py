"""What the routes of a job's log and of the service's numbers do."""

from __future__ import annotations

import asyncio
from enum import StrEnum
from typing import Annotated, Any

from fastapi import Query, Response
from fastapi.responses import PlainTextResponse

from raysched.cluster.job_log import LogAsk, LogLevel, read_log
from raysched.cluster.scrape import gathered
from raysched.core.model import JobId
from serve_app.desk import At
from serve_app.log_models import JobLog
from serve_app.paths import machine_folders

AS_TEXT_TOO: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "A page of the log.",
        "model": JobLog,
        "content": {"text/plain": {"schema": {"type": "string"}}},
    }
}
NEXT_HEADER = "X-Next-Cursor"


METRICS_TEXT: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "Numbers in Prometheus's text format.",
        "content": {"text/plain": {"schema": {"type": "string"}}},
    }
}
METRICS_MEDIA = "text/plain; version=0.0.4; charset=utf-8"


class LogShape(StrEnum):
    """How a page is written."""

    JSON = "json"
    TEXT = "text"


async def get_job_log(
    at: At,
    job: str,
    *,
    limit: Annotated[int, Query(ge=1, le=500, description="lines of a page")] = 100,
    cursor: Annotated[str | None, Query(max_length=8000, description="next of a page")] = None,
    level: Annotated[LogLevel, Query(description="from which level on")] = LogLevel.DEBUG,
    format: Annotated[  # noqa: A002
        LogShape, Query(description="json, or text for people")
    ] = LogShape.JSON,
) -> Response:
    """What the engine said and what the system did for a job, oldest first. `next` of the last page
    gives what has come since; as text it is in the header X-Next-Cursor."""
    page = await read_log(at.gateway, at.config, at.user, JobId(job), LogAsk(limit, cursor, level))
    shown = JobLog.of(job, page, machine_folders(at.config))
    headers = {NEXT_HEADER: page.next}
    if format is LogShape.TEXT:
        text = "".join(f"{line.text()}\n" for line in shown.lines)
        headers["X-Content-Type-Options"] = "nosniff"
        return PlainTextResponse(text, headers=headers)
    return Response(shown.model_dump_json(), media_type="application/json", headers=headers)


async def get_metrics(
    *,
    all: Annotated[bool, Query(description="Ray's own as well")] = False,  # noqa: A002
) -> Response:
    """Numbers about the service for Prometheus, of all nodes; with all=1 Ray's own as well. Any key
    of an administrator opens it, also a read-only one."""
    text = await asyncio.to_thread(gathered, everything=all)
    return Response(text, media_type=METRICS_MEDIA)
