"""What each route about the measurements of cells does."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Annotated, TypeVar

from fastapi import Path, Request

from raysched.core.model import JobId
from raysched.results.bounded import Bounded
from raysched.results.measures import Measured, MeasuredCells, Together
from serve_app.desk import At
from serve_app.measure_models import MeasurePair, Measures
from serve_app.places import Places
from serve_app.results import cells_of

T = TypeVar("T")
Cells = tuple[object, ...]
"""What names the cells that numbers are of: ``MeasuredCells.key``, and which numbers."""
Across = Annotated[str, Path(max_length=60, description="measurement along the columns")]
Up = Annotated[str, Path(max_length=60, description="measurement along the rows")]


async def get_measures(at: At, job: str, request: Request) -> Measures:
    """How the measurements of a job's cells are distributed: exact numbers and a histogram of
    each. Of an unfinished job: of the cells that cannot change any more."""
    known: Bounded[Cells, Measured] = request.app.state.measured

    def work_out(cells: MeasuredCells) -> Measured:
        return known.get(cells.key, cells.all)

    return Measures.of(job, await _of_cells(at, job, request, work_out))


async def get_measure_pair(at: At, job: str, x: Across, y: Up, request: Request) -> MeasurePair:
    """How two measurements go together: cells by both of them, and their correlation."""
    known: Bounded[Cells, Together] = request.app.state.measure_pairs

    def work_out(cells: MeasuredCells) -> Together:
        return known.get((*cells.key, x, y), lambda: cells.together(x, y))

    return MeasurePair.of(job, await _of_cells(at, job, request, work_out))


async def _of_cells(
    at: At, job: str, request: Request, work_out: Callable[[MeasuredCells], T]
) -> T:
    view = await at.job(JobId(job))
    places: Places = request.app.state.measuring
    with places.taken(at.user):
        return await asyncio.to_thread(lambda: work_out(MeasuredCells(cells_of(view))))
