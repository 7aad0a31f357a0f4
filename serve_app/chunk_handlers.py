"""What each route about a job's chunks and about tissue does."""

from __future__ import annotations

import asyncio
from typing import Annotated

from fastapi import Query, Request, Response
from pydantic import Field

from raysched.core.model import JobId
from raysched.imaging.request import TissueParams
from raysched.results.chunk_map import Scheduled, chunk_map
from raysched.results.mask_picture import mask_picture
from raysched.results.tissue_preview import Overviews, preview_tissue
from serve_app.chunk_models import Chunks, SlideTissue
from serve_app.desk import At
from serve_app.downloads import PICTURE_KEPT, PICTURE_NOT_KEPT
from serve_app.places import Places
from serve_app.results import cells_of


class TissueAsked(TissueParams):
    """The parameters of tissue, and the pixel size where the slide does not say it."""

    mpp: float | None = Field(default=None, ge=0.08, le=2.0, description="um per level-0 px")

    @property
    def tissue(self) -> TissueParams:
        """What counts as tissue."""
        return TissueParams(**self.model_dump(exclude={"mpp"}))


async def get_chunks(at: At, job: str, request: Request) -> Response:
    """The grid of tiles over the slide, and how far each chunk of them is; 409 before there is a
    plan, or where there are more than 100,000. Of a job that has ended: how far it came."""
    view = await at.job(JobId(job))
    scheduled = Scheduled(frozenset(view.chunks_running), view.reused)
    maps: Places = request.app.state.chunk_maps

    def answer() -> str:  # in a thread: there may be many
        return Chunks.of(job, chunk_map(cells_of(view), scheduled)).model_dump_json()

    with maps.taken(at.user):
        return Response(await asyncio.to_thread(answer), media_type="application/json")


async def get_tissue(at: At, job: str) -> Response:
    """What the job took for tissue, as a PNG of the whole slide to be laid over it: glass is clear.
    Its longer side has 2048 px at most."""
    view = await at.job(JobId(job))
    picture, complete = await asyncio.to_thread(lambda: mask_picture(cells_of(view)))
    headers = PICTURE_KEPT if complete else PICTURE_NOT_KEPT
    headers = {**headers, "X-L0-Per-Px": repr(picture.l0_per_px)}
    return Response(picture.png, media_type="image/png", headers=headers)


async def preview_slide_tissue(
    at: At, slide: str, request: Request, asked: Annotated[TissueAsked, Query()]
) -> SlideTissue:
    """What would count as tissue under these parameters, before any job: the mask that a job would
    use, with what is doubtful about it."""
    record = await asyncio.to_thread(at.slides.record, slide)
    path = await asyncio.to_thread(at.slide_file, record)
    previews: Places = request.app.state.previews
    overviews: Overviews = request.app.state.overviews
    with previews.taken(at.user):
        seen = await asyncio.to_thread(preview_tissue, path, asked.mpp, asked.tissue, overviews)
    return SlideTissue.of(seen)
