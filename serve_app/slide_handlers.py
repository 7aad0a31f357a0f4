"""What each route about slides does."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

from fastapi import Query, Request, Response
from fastapi.responses import FileResponse

from raysched.cluster.listing import PAGE_MOST, JobQuery, Place
from raysched.core.views import JobView
from raysched.errors import Conflict, NotFound, NotReady, UploadRefused
from serve_app.desk import At, in_use
from serve_app.downloads import PICTURE_KEPT, file_answer, zip_answer, zip_of
from serve_app.pages import PAGE_USUAL, Cursor, Limit
from serve_app.paths import slide_folders
from serve_app.places import Places
from serve_app.results import result_files
from serve_app.slide_models import (
    FolderEntry,
    ServerSlide,
    Slide,
    SlideChange,
    SlideFolder,
    SlideFolders,
    Slides,
)
from serve_app.slides.checking import ensure_checked
from serve_app.slides.folders import SLIDES, find_below, listed
from serve_app.slides.names import checked_name
from serve_app.slides.record import SlideRecord
from serve_app.slides.sample import SampleShelf
from serve_app.slides.store import CONTENT, THUMBNAIL, new_id
from serve_app.slides.uploads import Uploads


async def list_slides(at: At, limit: Limit = PAGE_USUAL, cursor: Cursor = None) -> Slides:
    """Your slides, newest first."""

    def found() -> tuple[list[SlideRecord], str | None]:
        records, after = at.slides.page(limit, cursor)
        for record in records:
            ensure_checked(at.slides, record)
        return records, after

    records, after = await asyncio.to_thread(found)
    return Slides(slides=tuple(map(Slide.of, records)), next=after)


async def get_slide(at: At, slide: str) -> Slide:
    """One slide: whether it is ready, and what is known of it."""
    record = await asyncio.to_thread(at.slides.record, slide)
    await asyncio.to_thread(ensure_checked, at.slides, record)
    return Slide.of(record)


async def register_slide(at: At, body: ServerSlide, response: Response) -> Slide:
    """Make a file in one of the service's slide folders a slide of yours. It stays where it is, is
    only read, and does not count against your quota."""
    record = await asyncio.to_thread(_registered, at, body)
    response.headers["Location"] = f"/api/v1/slides/{record.id}"
    return Slide.of(record)


def _registered(at: At, body: ServerSlide) -> SlideRecord:
    path = find_below(slide_folders(at.config), body.folder, body.path)
    name = checked_name(Path(body.path).name)
    if path.suffix.lower() not in SLIDES or not path.is_file():
        raise UploadRefused(
            f"{name!r} does not end like a slide.",
            remedy=f"Name one of {', '.join(sorted(SLIDES))}.",
        )
    record = SlideRecord(
        id=new_id(),
        name=name,
        uploaded_at=datetime.now(UTC),
        from_server=True,
        file=str(path),
        size_bytes=path.stat().st_size,
        held_bytes=0,
    )
    at.slides.add(record)
    ensure_checked(at.slides, record)
    return record


async def add_sample_slide(at: At, request: Request, response: Response) -> Slide:
    """Make the sample slide one of yours, to try things on: 201, or 200 when you have it already.
    It counts against your quota as an upload does. Where it cannot be had, it is a synthetic one.
    """
    quota = await at.quota()
    shelf = SampleShelf(at.config.samples, at.config.cache)
    uploads = Uploads(at.slides, at.config.serve.upload_hours * 3600.0)
    samples: Places = request.app.state.samples
    with samples.taken(at.user):  # all wait for the one download, each in a thread
        record, is_new = await asyncio.to_thread(shelf.give, at.slides, uploads, quota)
    await asyncio.to_thread(ensure_checked, at.slides, record)
    response.status_code = 201 if is_new else 200
    response.headers["Location"] = f"/api/v1/slides/{record.id}"
    return Slide.of(record)


async def rename_slide(at: At, slide: str, body: SlideChange) -> Slide:
    """Give a slide another name. Jobs go on showing the name of the file that was uploaded."""
    return Slide.of(await asyncio.to_thread(at.slides.rename, slide, body.name))


async def delete_slide(at: At, slide: str) -> None:
    """Delete a slide and free its room; 409 while an unfinished job of yours uses it. Of a server's
    slide only your entry goes. Results of earlier jobs stay."""
    await asyncio.to_thread(at.slides.record, slide)
    async with in_use(at.slides, shared=False):
        using = [job.job async for job in _unfinished(at) if f'"slide_id":"{slide}"' in job.request]
        if using:
            raise Conflict(
                f"{len(using)} unfinished jobs use {slide}: {', '.join(using[:3])}.",
                remedy="Wait for their end or cancel them, then delete the slide.",
                jobs=using[:100],
            )
        await asyncio.to_thread(at.slides.delete, slide)


async def _unfinished(at: At) -> AsyncIterator[JobView]:
    """All unfinished jobs of the caller, page by page."""
    after: Place | None = None
    while True:
        page = await at.gateway.jobs(at.user, JobQuery(open=True), after=after, most=PAGE_MOST)
        for job in page.items:
            yield job
        if (after := page.next) is None:
            return


async def get_thumbnail(at: At, slide: str) -> FileResponse:
    """The whole slide as a small PNG, its longer side 512 px."""
    record = await asyncio.to_thread(at.slides.record, slide)
    path = at.slides.of(slide) / THUMBNAIL
    if record.facts is None:
        await asyncio.to_thread(at.slide_file, record)  # says why there is none
        raise NotReady(f"{slide} has no thumbnail yet.", remedy="Ask again in a moment.")
    if not record.facts.thumbnail:
        raise NotFound(
            f"{slide} has no thumbnail: its smallest level is too large.",
            remedy="Convert it to a pyramid with smaller levels.",
        )
    return FileResponse(path, media_type="image/png", headers=PICTURE_KEPT)


async def get_slide_file(at: At, slide: str, request: Request) -> Response:
    """The slide's file as it was uploaded; ranges are served. A slide of several files comes as a
    zip, made while it is sent."""
    record = await asyncio.to_thread(at.slides.record, slide)
    path = await asyncio.to_thread(at.slide_file, record)
    if record.is_one_file:
        # A server's file may be replaced where it is: nothing vouches for it.
        etag = None if record.from_server else f'"{record.sha256}"'
        return file_answer(request, path, etag, record.name)
    if record.from_server:
        raise UploadRefused(
            f"{record.name!r} is several files of the server.", remedy="Ask the operator for them."
        )
    content = at.slides.of(slide) / CONTENT
    made = await asyncio.to_thread(lambda: zip_of(result_files(content), content, slide))
    return zip_answer(request, made, f"{slide}.zip", f'"{slide}"')  # its files never change


async def list_slide_folders(
    at: At,
    folder: Annotated[int | None, Query(ge=0, le=10_000)] = None,
    path: Annotated[str, Query(max_length=4096, description="below that folder")] = "",
    limit: Limit = PAGE_USUAL,
    cursor: Cursor = None,
) -> SlideFolders:
    """The service's slide folders, and with ``folder`` the folders and slides in one of them, by
    name: what may be registered."""
    allowed = slide_folders(at.config)
    entries, after = [], None
    if folder is not None:
        found, after = await asyncio.to_thread(listed, allowed, (folder, path), limit, cursor)
        entries = [FolderEntry.of(each, path) for each in found]
    return SlideFolders(
        folders=tuple(
            SlideFolder(folder=number, name=each.name) for number, each in enumerate(allowed)
        ),
        entries=tuple(entries),
        next=after,
    )
