"""What each route does, in a few lines: ask the desk, shape the answer."""

from __future__ import annotations

import asyncio
import uuid
from dataclasses import replace
from typing import Annotated

from fastapi import Header, Request, Response
from fastapi.responses import StreamingResponse

from raysched.core.model import JobId
from raysched.imaging.catalogue import catalogue
from raysched.results.difference.difference import Difference
from raysched.results.report.page import POLICY
from raysched.results.report.report import Report
from serve_app.desk import At, ready
from serve_app.models import (
    Alive,
    Diff,
    Engines,
    Gates,
    HttpSubmission,
    Job,
    MppAnswer,
    Ready,
    Why,
    Workflow,
)
from serve_app.pages import PAGE_USUAL

IdempotencyKey = Annotated[
    str | None,
    Header(min_length=1, max_length=200, description="The same key does it only once."),
]
PAGE_POLICY = f"{POLICY}; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; sandbox"
PAGE_HEADERS = {"X-Content-Type-Options": "nosniff", "Content-Security-Policy": PAGE_POLICY}


async def create_workflow(
    at: At, body: HttpSubmission, response: Response, idempotency_key: IdempotencyKey = None
) -> Workflow:
    """Submit a workflow. 201 when it is new, 200 when its Idempotency-Key is known already."""
    view, is_new = await at.submit(body, idempotency_key or uuid.uuid4().hex)
    response.status_code = 201 if is_new else 200
    response.headers["Location"] = f"/api/v1/workflows/{view.workflow}"
    return Workflow.of(replace(view, jobs=view.jobs[:PAGE_USUAL]))


async def get_job(at: At, job: str) -> Job:
    """One job: state, progress, why it waits, how it failed."""
    return Job.of(await at.gateway.job(at.user, JobId(job)))


async def explain_job(at: At, job: str) -> Why:
    """Why a job is where it is, its position and the expected time."""
    return Job.of(await at.gateway.job(at.user, JobId(job))).why


async def cancel_job(at: At, job: str) -> Job:
    """Cancel a job. Once this is answered no new work of it starts."""
    return Job.of(await at.gateway.cancel(at.user, JobId(job)))


async def retry_job(at: At, job: str, idempotency_key: IdempotencyKey = None) -> Job:
    """Try a failed job again, and what was skipped because of it."""
    return Job.of(await at.gateway.retry(at.user, JobId(job), key=idempotency_key or ""))


async def answer_job(at: At, job: str, body: MppAnswer) -> Job:
    """Tell a job that asks for it the pixel size of its slide."""
    return Job.of(await at.gateway.answer_mpp(at.user, JobId(job), body.mpp))


async def list_engines() -> Engines:
    """The engines that a job may name, with the JSON schema of their parameters."""
    return Engines.of(await asyncio.to_thread(catalogue), in_full=False)


async def get_report(at: At, job: str) -> StreamingResponse:
    """The result as one self-contained page of HTML: picture, counts, plots, provenance."""
    folder = await at.results(JobId(job))
    report = await asyncio.to_thread(Report, folder)
    return StreamingResponse(report.pieces(), media_type="text/html", headers=PAGE_HEADERS)


async def get_diff(at: At, job: str, other: str) -> Diff:
    """What two results of one slide have in common: matched, lost and gained cells, and how the
    measurements of the matched changed."""
    first, second = await at.results(JobId(job)), await at.results(JobId(other))
    numbers = await asyncio.to_thread(lambda: Difference(first, second).numbers())
    return Diff.model_validate(numbers)


async def get_diff_page(at: At, job: str, other: str) -> Response:
    """The same as one self-contained page of HTML, with a map and the outlines that differ."""
    first, second = await at.results(JobId(job)), await at.results(JobId(other))
    page = await asyncio.to_thread(lambda: b"".join(Difference(first, second).pieces()))
    return Response(page, media_type="text/html", headers=PAGE_HEADERS)


async def healthz() -> Alive:
    """This process answers."""
    return Alive()


async def readyz(request: Request) -> Ready:
    """The scheduler can take work; 503 otherwise."""
    health = await ready(request.app.state.pulse)
    return Ready(
        ready=health.ready,
        version=health.version,
        lanes=health.lanes,
        lanes_busy=health.lanes_busy,
        lanes_wanted=health.lanes_wanted,
        lanes_room=health.lanes_room,
        jobs_open=health.jobs_open,
        **Gates.of(health).model_dump(),
    )
