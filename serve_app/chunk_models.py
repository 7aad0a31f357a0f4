"""What HTTP shows of a job's chunks and of tissue."""

from __future__ import annotations

from base64 import b64encode
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from serve_app.models import Shown

if TYPE_CHECKING:
    from raysched.results.chunk_map import Chunk, ChunkMap
    from raysched.results.tissue_preview import TissuePreview

HowFar = Literal["waiting", "running", "done", "failed"]


class FailedTile(Shown):
    """A tile that could not be read: the result has no cells there."""

    tile: int
    reason: str


class JobChunk(Shown):
    """Some neighbouring tiles of the grid, by their index. ``failed`` as a state: it is done, and
    none of its tiles could be read. ``cells``: as its tiles reported them."""

    chunk: int
    state: HowFar
    tiles: tuple[int, ...]
    cells: int
    failed: tuple[FailedTile, ...]

    @classmethod
    def of(cls, chunk: Chunk) -> JobChunk:
        """A chunk of a map."""
        failed = tuple(FailedTile(tile=tile, reason=reason) for tile, reason in chunk.failed)
        return cls(
            chunk=chunk.number,
            state=chunk.state.value,
            tiles=chunk.tiles,
            cells=chunk.cells,
            failed=failed,
        )


class Chunks(Shown):
    """Where a job's chunks lie and how far they are. Tile ``i`` of the grid is in row
    ``i // columns`` and column ``i % columns``; ``tile_width``: level-0 px across a tile, which is
    ragged at the right and bottom; ``width`` and ``height``: of the slide, level-0 px. Tiles in no
    chunk were skipped: they have no tissue."""

    job: str
    complete: bool
    columns: int
    rows: int
    tile_width: float
    width: int
    height: int
    chunks: tuple[JobChunk, ...]

    @classmethod
    def of(cls, job: str, found: ChunkMap) -> Chunks:
        """A job's map."""
        return cls(
            job=job,
            complete=found.complete,
            columns=found.columns,
            rows=found.rows,
            tile_width=found.l0_tile_px,
            width=found.width,
            height=found.height,
            chunks=tuple(map(JobChunk.of, found.chunks)),
        )


class SlideTissue(Shown):
    """What would count as tissue of a slide. A px of the mask, of which there are ``width`` by
    ``height``, is ``l0_per_px`` level-0 px wide and begins at the slide's corner. ``warnings``: why
    it is probably not what is wanted. With a ``question`` (what is the pixel size?) there is no
    mask: ask again with ``mpp``."""

    mpp: float | None
    mpp_source: str | None
    question: str | None
    tissue_mm2: float
    fraction: float
    pieces: int
    warnings: tuple[str, ...]
    width: int | None
    height: int | None
    l0_per_px: float | None
    png: Annotated[str | None, Field(description="data URI; glass is clear")]

    @classmethod
    def of(cls, seen: TissuePreview) -> SlideTissue:
        """A look at a slide."""
        picture = seen.picture
        return cls(
            mpp=seen.mpp,
            mpp_source=seen.mpp_source,
            question=seen.question,
            tissue_mm2=seen.tissue_mm2,
            fraction=seen.fraction,
            pieces=seen.pieces,
            warnings=seen.warnings,
            width=picture.width if picture else None,
            height=picture.height if picture else None,
            l0_per_px=picture.l0_per_px if picture else None,
            png=f"data:image/png;base64,{b64encode(picture.png).decode()}" if picture else None,
        )
