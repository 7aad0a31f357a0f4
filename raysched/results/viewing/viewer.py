"""What one process keeps to show slides and cells: open slides, open results, what was decoded."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import shapely

from raysched.results.bounded import Bounded
from raysched.results.damage import damaged
from raysched.results.manifest import MANIFEST, Manifest, read_provenance
from raysched.results.schema import GEOMETRY, MEASURES, unit_of
from raysched.results.staging import PLANNED, read_receipt
from raysched.results.viewing.finished import FinishedCells
from raysched.results.viewing.running import RunningCells
from raysched.results.viewing.slides import OpenSlides
from raysched.results.viewing.sources import Caches, CellSource

MOST_SOURCES = 12


@dataclass(frozen=True, slots=True)
class CellMeasure:
    """One number of a cell."""

    name: str
    value: float
    unit: str


@dataclass(frozen=True, slots=True)
class Cell:
    """A cell as it was clicked: the numbers of its row. ``outline``: closed, level-0 px."""

    id: int
    provisional: bool
    x: float
    y: float
    tile: int
    outline: tuple[tuple[float, float], ...]
    measures: tuple[CellMeasure, ...]


class Viewer:
    """One for a process, used by all its threads."""

    def __init__(self) -> None:
        self.slides = OpenSlides()
        self.caches = Caches()
        self._sources: Bounded[tuple[str, int, int], CellSource | None] = Bounded(MOST_SOURCES)

    def source(self, folder: Path) -> CellSource | None:
        """The cells of a results folder or a staging folder as they are now; None where there are
        none yet, and of a tissue mask. Raises ``StorageFailed``."""
        for name, make in ((MANIFEST, self._finished), (PLANNED, self._running)):
            try:
                state = (folder / name).stat()
            except (FileNotFoundError, NotADirectoryError):
                continue
            key = (str(folder), state.st_ino, state.st_mtime_ns)
            source = self._sources.get(key, partial(make, folder))
            if isinstance(source, RunningCells):
                source.look()
            return source
        return None

    def cell(self, source: CellSource, cell: int) -> Cell | None:
        """A cell by its id; None where there is no such."""
        row = source.row(cell)
        return None if row is None else _cell(row, provisional=not source.complete)

    def _finished(self, folder: Path) -> CellSource | None:
        manifest = read_provenance(folder)
        if manifest is None and (folder / MANIFEST).exists():
            raise damaged(folder / MANIFEST, "this raysched cannot read it")
        if not isinstance(manifest, Manifest):
            return None
        return FinishedCells(folder, manifest, self.caches)

    def _running(self, folder: Path) -> CellSource | None:
        receipt = read_receipt(folder)
        if receipt is None or receipt.kind != "cell_segmentation":
            return None
        return RunningCells(folder, self.caches)


def _cell(row: Any, *, provisional: bool) -> Cell:
    values = row.to_pylist()[0]
    ring = shapely.get_exterior_ring(shapely.from_wkb(values[GEOMETRY]))
    return Cell(
        id=values["id"],
        provisional=provisional,
        x=values["centroid_x_px"],
        y=values["centroid_y_px"],
        tile=values["tile"],
        outline=tuple((float(x), float(y)) for x, y in shapely.get_coordinates(ring)),
        measures=tuple(CellMeasure(name, float(values[name]), unit_of(name)) for name in MEASURES),
    )
