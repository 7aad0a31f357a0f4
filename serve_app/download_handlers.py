"""What each route does that hands out results: the list, one file, all as a zip, an export."""

from __future__ import annotations

import asyncio
import hashlib
from mimetypes import guess_type
from pathlib import Path
from typing import Annotated
from urllib.parse import quote

from fastapi import Query, Request, Response

from raysched.core.model import JobId
from raysched.errors import NotFound
from raysched.results.exports.export import Export
from raysched.results.exports.formats import Format
from raysched.results.exports.sizes import offered
from raysched.results.manifest import MANIFEST, read_provenance
from serve_app.desk import At
from serve_app.download_models import (
    ResultExport,
    ResultFile,
    Results,
    ResultZip,
    export_name,
)
from serve_app.downloads import UNKNOWN_TYPE, Download, file_answer, zip_answer, zip_of
from serve_app.results import cells_of, find_result, pulled, result_files

WantedFormat = Annotated[
    Format, Query(description="geojson is for QuPath; formats that are folders come as a zip")
]
Gzip = Annotated[bool, Query(description="gzip what is text")]


async def list_results(at: At, job: str) -> Results:
    """The files of a job's results, and the formats that its cells can be exported in, with their
    sizes. Of an unfinished job, and of one that failed or was cancelled: formats of the cells that
    were found."""
    view = await at.job(JobId(job))
    return await asyncio.to_thread(_listed, job, cells_of(view))


async def get_result(at: At, job: str, path: str, request: Request) -> Response:
    """One file of the results. Ranges, If-Range and If-None-Match are served: it never changes."""
    folder = await at.results(JobId(job))
    found = await asyncio.to_thread(find_result, folder, path)
    return file_answer(request, found, await asyncio.to_thread(_etag, folder, found))


async def head_result(at: At, job: str, path: str, request: Request) -> Response:
    """Size, type and ETag of one file of the results."""
    return await get_result(at, job, path, request)


async def get_results_zip(at: At, job: str, request: Request) -> Response:
    """All results as one zip, made while it is sent; its length is known before, and a download
    that broke off can be resumed by a range."""
    folder = await at.results(JobId(job))
    made = await asyncio.to_thread(lambda: zip_of(result_files(folder), folder, job))
    etag = await asyncio.to_thread(_etag, folder, None)
    dated = f'"{etag}-{made.last_modified:%Y%m%d%H%M%S}"' if etag and made.last_modified else None
    return zip_answer(request, made, f"{job}.zip", dated)


async def head_results_zip(at: At, job: str, request: Request) -> Response:
    """Size and ETag of the zip."""
    return await get_results_zip(at, job, request)


async def export_job(
    at: At,
    job: str,
    format: WantedFormat = Format.CSV,  # noqa: A002
    *,
    gzip: Gzip = False,
) -> Response:
    """The cells in an exchange format, streamed; of an unfinished job what it has so far. The link
    headers name what the format cannot hold, to be asked for as formats of their own."""
    folder = cells_of(await at.job(JobId(job)))
    export = await asyncio.to_thread(Export, folder, format)
    if gzip:
        export.check_gzip()
    pieces = pulled(lambda to: export.stream(to, gzipped=gzip))
    media = "application/gzip" if gzip else export.kind.media_type
    name = export_name(job, format, complete=export.contents.complete, gzipped=gzip)
    answer = Download(pieces, media_type=media)
    answer.headers["Content-Disposition"] = f'attachment; filename="{name}"'
    if export.kind.beside:
        answer.headers["Link"] = ", ".join(map(_link, export.kind.beside))
    return answer


def _listed(job: str, folder: Path) -> Results:
    """Runs in a thread: it looks at every file."""
    provenance = read_provenance(folder)
    files: tuple[ResultFile, ...] = ()
    packed = None
    if provenance is not None:
        files = tuple(_file(job, folder, path) for path in result_files(folder))
        made = zip_of(result_files(folder), folder, job)
        packed = ResultZip(size_bytes=len(made), href=f"/api/v1/jobs/{job}/results.zip")
    try:
        exports = tuple(ResultExport.of(job, offer) for offer in offered(folder))
    except NotFound:  # a tissue mask has no cells
        exports = ()
    return Results(
        job=job,
        complete=provenance is not None,
        size_bytes=sum(file.size_bytes for file in files),
        files=files,
        zip=packed,
        exports=exports,
    )


def _file(job: str, folder: Path, path: Path) -> ResultFile:
    name = path.relative_to(folder).as_posix()
    return ResultFile(
        path=name,
        size_bytes=path.stat().st_size,
        media_type=guess_type(path.name)[0] or UNKNOWN_TYPE,
        href=f"/api/v1/jobs/{job}/results/{quote(name)}",
    )


def _etag(folder: Path, path: Path | None) -> str | None:
    """Of a file of the results, by the checksums of the manifest; of the folder, without quotes.

    None where the manifest vouches for nothing of that name.
    """
    try:
        manifest = hashlib.sha256((folder / MANIFEST).read_bytes()).hexdigest()
    except OSError:
        return None
    if path is None:
        return manifest
    name = path.relative_to(folder.resolve()).as_posix()
    provenance = read_provenance(folder)
    notes = provenance.files if provenance is not None else ()
    for note in notes:
        if note.path == name and note.sha256:
            return f'"{note.sha256}"'
        if note.sha256 and name.startswith(f"{note.path}/"):
            whole = hashlib.sha256(f"{note.sha256}/{name}".encode())
            return f'"{whole.hexdigest()}"'
    return f'"{manifest}"' if name == MANIFEST else None


def _link(other: Format) -> str:
    relation = "describedby" if other is Format.MANIFEST else "related"
    return f'<export?format={other}>; rel="{relation}"'
