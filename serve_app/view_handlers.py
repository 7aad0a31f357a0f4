"""What each route does that a viewer asks: geometry, tiles, pictures, cells."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from fastapi import Depends, Query, Request, Response
from fastapi import Path as InPath

from raysched.errors import MppMissing, NotFound, NotReady
from raysched.imaging.mpp import resolve_mpp
from raysched.results.mask_picture import mask_size
from raysched.results.viewing.drawing import overlay_pyramid, overlay_tile, region_picture
from raysched.results.viewing.slides import OVERLAP_PX, jpeg, slide_pyramid, slide_tile
from raysched.results.viewing.sources import CellSource, cell_at
from raysched.results.viewing.viewer import Viewer
from serve_app.desk import Desk, desk
from serve_app.downloads import PICTURE_KEPT, PICTURE_NOT_KEPT
from serve_app.view_access import Looked, Looking
from serve_app.view_models import (
    MOST_L0,
    Cell,
    CellHit,
    CellsView,
    LookAsked,
    MeasureRange,
    OverlayView,
    PointAsked,
    RegionAsked,
    SlideView,
    TissueView,
)

FOR_EVER = {**PICTURE_KEPT, "Cache-Control": "private, max-age=31536000, immutable"}


@dataclass(frozen=True, slots=True)
class Eye:
    """A caller, and the viewer of this replica."""

    at: Desk
    looking: Looking

    @property
    def viewer(self) -> Viewer:
        """What slides and cells are read with."""
        return self.looking.viewer


async def eye(request: Request, at: Annotated[Desk, Depends(desk)]) -> Eye:
    """Whoever asks, with what they look through."""
    return Eye(at, request.app.state.looking)


async def tile_at(
    z: Annotated[int, InPath(ge=0, le=60)],
    x: Annotated[int, InPath(ge=0, le=MOST_L0)],
    y: Annotated[int, InPath(ge=0, le=MOST_L0)],
) -> tuple[int, int, int]:
    """The tile that is asked for."""
    return z, x, y


By = Annotated[Eye, Depends(eye)]
Tile = Annotated[tuple[int, int, int], Depends(tile_at)]
CellId = Annotated[int, InPath(ge=0, lt=1 << 32)]


async def get_slide_view(by: By, slide: str) -> SlideView:
    """The slide as tiles: how many levels, how large, where they are."""

    def look() -> SlideView:
        record = by.at.slides.record(slide)
        path = by.at.slide_file(record)
        href = f"/api/v1/slides/{slide}/tiles/{{z}}/{{x}}/{{y}}"
        return _slide_view(by.viewer, path, None, href).model_copy(update={"name": record.name})

    return await asyncio.to_thread(look)


async def get_slide_tile(by: By, slide: str, tile: Tile) -> Response:
    """A tile of the slide, as JPEG."""

    def draw() -> bytes:
        path = by.at.slide_file(by.at.slides.record(slide))
        with by.viewer.slides.borrowed(path) as opened:
            return slide_tile(opened, *tile)

    return _picture(await asyncio.to_thread(draw), "image/jpeg", PICTURE_KEPT)


async def get_job_view(by: By, job: str) -> CellsView:
    """What a viewer of a job needs to know: its slide and its cells as tiles, how far it is, and
    the range of each measure."""

    def look(looked: Looked, source: CellSource | None) -> CellsView:
        base = f"/api/v1/jobs/{job}"
        href = f"{base}/tiles/{{z}}/{{x}}/{{y}}"
        tissue = mask_size(looked.folder) if looked.folder else None
        return CellsView(
            job=job,
            complete=looked.complete,
            cells=source.cells if source else 0,
            version=source.version if source else looked.version,
            slide=_slide_view(by.viewer, looked.slide, looked.mpp, href),
            overlay=_overlay_view(source, base) if source else None,
            measures=tuple(map(MeasureRange.model_validate, source.ranges() if source else ())),
            tissue=_tissue_view(tissue, base) if tissue else None,
        )

    return await by.looking.at(by.at, job, look)


async def get_job_tile(by: By, job: str, tile: Tile) -> Response:
    """A tile of the job's slide, as JPEG; also of a slide that is a file of the server."""

    def draw(looked: Looked, _: CellSource | None) -> bytes:
        with by.viewer.slides.borrowed(looked.slide) as opened:
            return slide_tile(opened, *tile)

    return _picture(await by.looking.at(by.at, job, draw), "image/jpeg", PICTURE_KEPT)


async def get_overlay_tile(
    by: By, job: str, tile: Tile, asked: Annotated[LookAsked, Query()]
) -> Response:
    """A tile with the cells, as PNG with alpha; of a running job those found so far. Where a level
    is too coarse for cells to be seen, their density is drawn whatever the style."""
    look = asked.look()

    def draw(_: Looked, source: CellSource | None) -> tuple[bytes, bool]:
        cells = _cells(source, job)
        if asked.v is not None:
            cells.reach(asked.v)
        return overlay_tile(cells, tile, look), cells.complete and asked.v == cells.version

    drawn, may_be_kept = await by.looking.at(by.at, job, draw)
    return _picture(drawn, "image/png", FOR_EVER if may_be_kept else PICTURE_NOT_KEPT)


async def get_cell_at(by: By, job: str, asked: Annotated[PointAsked, Query()]) -> CellHit:
    """The cell at a point of the slide, if there is one, with its numbers."""

    def find(_: Looked, source: CellSource | None) -> CellHit:
        cells = _cells(source, job)
        number = cell_at(cells, asked.x, asked.y)
        found = by.viewer.cell(cells, number) if number else None
        return CellHit(cell=None if found is None else Cell.of(found))

    return await by.looking.at(by.at, job, find)


async def get_cell(by: By, job: str, cell: CellId) -> Cell:
    """One cell by its id, with its numbers."""

    def find(_: Looked, source: CellSource | None) -> Cell:
        found = by.viewer.cell(_cells(source, job), cell)
        if found is None:
            raise NotFound(
                f"The job has no cell {cell}.",
                remedy="Ids are those of the overlay; provisional ones end with the job.",
            )
        return Cell.of(found)

    return await by.looking.at(by.at, job, find)


async def get_picture(by: By, job: str, asked: Annotated[RegionAsked, Query()]) -> Response:
    """A region of the slide with the outlines of its cells, as JPEG."""

    def draw(looked: Looked, source: CellSource | None) -> bytes:
        with by.viewer.slides.borrowed(looked.slide) as opened:
            shown = source if asked.outlines else None
            return jpeg(region_picture(opened, shown, asked.region, asked.most_px))

    return _picture(await by.looking.at(by.at, job, draw), "image/jpeg", PICTURE_NOT_KEPT)


def _picture(data: bytes, media: str, kept: dict[str, str]) -> Response:
    return Response(data, media_type=media, headers=kept)


def _cells(source: CellSource | None, job: str) -> CellSource:
    if source is None:
        raise NotReady(
            f"{job} has no cells yet.",
            remedy="Ask again when GET .../view has an overlay; a tissue mask never has one.",
        )
    return source


def _slide_view(viewer: Viewer, path: Path, mpp: float | None, href: str) -> SlideView:
    with viewer.slides.borrowed(path) as opened:
        try:
            found: tuple[float | None, str | None] = resolve_mpp(opened, mpp)
        except MppMissing:
            found = None, None
        pyramid = slide_pyramid(opened)
    return SlideView(
        name=path.name,
        width=pyramid.width,
        height=pyramid.height,
        mpp=found[0],
        mpp_source=found[1],
        tile_px=pyramid.tile_px,
        overlap=OVERLAP_PX,
        levels=pyramid.levels,
        href=href,
    )


def _overlay_view(source: CellSource, base: str) -> OverlayView:
    pyramid = overlay_pyramid(source.frame)
    return OverlayView(
        width=pyramid.width,
        height=pyramid.height,
        l0_per_px=source.frame.l0_per_px * source.frame.width / pyramid.width,
        tile_px=pyramid.tile_px,
        levels=pyramid.levels,
        density_high=source.density().high,
        href=f"{base}/overlay/{{z}}/{{x}}/{{y}}",
    )


def _tissue_view(tissue: tuple[int, int, float], base: str) -> TissueView:
    width, height, l0_per_px = tissue
    return TissueView(width=width, height=height, l0_per_px=l0_per_px, href=f"{base}/tissue")
