"""What each route does, in a few lines: ask the desk, shape the answer."""

from __future__ import annotations

import asyncio
import uuid
from dataclasses import replace
from typing import Annotated

from fastapi import Header, Query, Request, Response
from fastapi.responses import FileResponse, StreamingResponse

from raysched.core.model import JobId
from raysched.imaging.catalogue import catalogue
from raysched.results.difference.difference import Difference
from raysched.results.exports.export import Export
from raysched.results.exports.formats import PACKED, Format, Shape
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
    ResultFile,
    Results,
    Why,
    Workflow,
)
from serve_app.pages import PAGE_USUAL
from serve_app.results import cells_of, find_result, pulled, result_files, zip_folder

IdempotencyKey = Annotated[
    str | None,
    Header(min_length=1, max_length=200, description="The same key submits only once."),
]
WantedFormat = Annotated[
    Format, Query(description="geojson is for QuPath; formats that are folders come as a zip")
]
PAGE_POLICY = f"{POLICY}; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; sandbox"
PAGE_HEADERS = {"X-Content-Type-Options": "nosniff", "Content-Security-Policy": PAGE_POLICY}
Gzip = Annotated[bool, Query(description="gzip what is text")]


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


async def retry_job(at: At, job: str) -> Job:
    """Try a failed job again, and what was skipped because of it."""
    return Job.of(await at.gateway.retry(at.user, JobId(job)))


async def answer_job(at: At, job: str, body: MppAnswer) -> Job:
    """Tell a job that asks for it the pixel size of its slide."""
    return Job.of(await at.gateway.answer_mpp(at.user, JobId(job), body.mpp))


async def list_engines() -> Engines:
    """The engines that a job may name, with the JSON schema of their parameters."""
    return Engines.of(await asyncio.to_thread(catalogue), in_full=False)


async def list_results(at: At, job: str) -> Results:
    """The files of a job's results with their sizes."""
    folder = await at.results(JobId(job))
    paths = await asyncio.to_thread(lambda: list(result_files(folder)))
    files = tuple(
        ResultFile(path=path.relative_to(folder).as_posix(), size_bytes=path.stat().st_size)
        for path in paths
    )
    return Results(job=job, size_bytes=sum(file.size_bytes for file in files), files=files)


async def get_result(at: At, job: str, path: str) -> FileResponse:
    """One file of the results; ranges are served."""
    folder = await at.results(JobId(job))
    found = await asyncio.to_thread(find_result, folder, path)
    return FileResponse(found, headers={"X-Content-Type-Options": "nosniff"})


async def get_results_zip(at: At, job: str) -> StreamingResponse:
    """All results as one zip, made while it is sent."""
    folder = await at.results(JobId(job))
    pieces = pulled(lambda to: zip_folder(folder, job, to))
    return _download(StreamingResponse(pieces, media_type="application/zip"), f"{job}.zip")


async def export_job(
    at: At,
    job: str,
    format: WantedFormat = Format.CSV,  # noqa: A002
    *,
    gzip: Gzip = False,
) -> StreamingResponse:
    """The cells in an exchange format, streamed; of an unfinished job what it has so far. The link
    headers name what the format cannot hold, to be asked for as formats of their own."""
    folder = cells_of(await at.gateway.job(at.user, JobId(job)))
    export = await asyncio.to_thread(Export, folder, format)
    if gzip:
        export.check_gzip()
    pieces = pulled(lambda to: export.stream(to, gzipped=gzip))
    media = "application/gzip" if gzip else export.kind.media_type
    name = job if export.contents.complete else f"{job}.partial"
    packed = PACKED[Shape.STREAM] if gzip else ""
    if export.kind.shape is Shape.FOLDER:
        packed = PACKED[Shape.FOLDER]
    answer = StreamingResponse(pieces, media_type=media)
    if export.kind.beside:
        answer.headers["Link"] = ", ".join(map(_link, export.kind.beside))
    return _download(answer, f"{name}{export.kind.suffix}{packed}")


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
    health = await ready(request.app.state.gateway)
    return Ready(
        ready=health.ready,
        version=health.version,
        lanes=health.lanes,
        lanes_busy=health.lanes_busy,
        jobs_open=health.jobs_open,
        **Gates.of(health).model_dump(),
    )


def _link(other: Format) -> str:
    relation = "describedby" if other is Format.MANIFEST else "related"
    return f'<export?format={other}>; rel="{relation}"'


def _download(answer: StreamingResponse, name: str) -> StreamingResponse:
    answer.headers["Content-Disposition"] = f'attachment; filename="{name}"'
    return answer
