"""How a job's measurements are distributed: exact, one column in memory at a time.

The report's histograms are of one pass over all columns and know quantiles to 1/4096 of the range;
here each column is held whole (8 bytes a cell), so that every number is that of all cells.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq

from raysched.errors import NotFound
from raysched.results.damage import damaged, whole
from raysched.results.manifest import read_manifest
from raysched.results.reading import CellFolder, Contents
from raysched.results.schema import MEASURES, description_of, unit_of
from raysched.results.storage import storage

BINS, MAP_BINS = 64, 48
SHARES = (0.05, 0.25, 0.5, 0.75, 0.95)
TAIL = 0.005
"""Share of the cells at either end that lies outside of a histogram, and is counted beside it."""
REMEMBERED = 64
"""Jobs, or pairs of measurements, whose numbers one process keeps."""

F64 = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Span:
    """A measurement's name and unit, and between which values it is drawn (None: no cells)."""

    name: str
    unit: str
    low: float | None
    high: float | None


@dataclass(frozen=True, slots=True)
class Measure:
    """How one measurement is distributed. ``count``: finite values, which all else is of;
    ``quantiles``: at ``SHARES``; ``counts``: ``BINS`` bins of equal width from ``span.low`` to
    ``span.high``, both included, with ``below`` and ``above`` them. ``sd``: of the population.
    All values are None where there is none."""

    span: Span
    description: str
    count: int
    least: float | None
    most: float | None
    mean: float | None
    sd: float | None
    quantiles: tuple[float | None, ...]
    counts: tuple[int, ...]
    below: int
    above: int


@dataclass(frozen=True, slots=True)
class Measured:
    """All measurements of a job's cells. ``per_mm2``: cells for a mm2 of tissue, once complete."""

    complete: bool
    cells: int
    per_mm2: float | None
    measures: tuple[Measure, ...]


@dataclass(frozen=True, slots=True)
class Together:
    """Two measurements of the same cells. ``counts``: rows of ``y`` from the lowest, columns of
    ``x``, of the ``inside`` cells within both spans. ``correlation``: Pearson's, of all ``cells``
    with both values; None where one of them is always the same."""

    complete: bool
    x: Span
    y: Span
    counts: tuple[tuple[int, ...], ...]
    cells: int
    inside: int
    correlation: float | None


class MeasuredCells:
    """The measurements of a results folder, or of the settled cells of a running or ended job.

    Raises as ``CellFolder``.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._cells = CellFolder(folder)
        self._held: dict[str, F64] | None = None

    @property
    def contents(self) -> Contents:
        """What the folder holds."""
        return self._cells.contents

    @property
    def key(self) -> tuple[object, ...]:
        """Names the cells: equal for equal ones."""
        told = self.contents
        return str(self._folder), told.job, told.checksum, told.tiles_done, told.cells

    def all(self) -> Measured:
        """Every measurement."""
        measures = tuple(measure_of(name, self.column(name)) for name in MEASURES)
        counts = [each.count for each in measures]
        cells = self.contents.cells if self.contents.complete else len(self.column(MEASURES[0]))
        if self.contents.complete and max(counts, default=0) > cells:
            raise damaged(self._folder, f"there are {max(counts)} cells instead of {cells}")
        return Measured(self.contents.complete, cells, self._per_mm2(), measures)

    def together(self, x: str, y: str) -> Together:
        """Two of them. Raises ``NotFound`` for a name that is none."""
        for name in (x, y):
            if name not in MEASURES:
                raise NotFound(
                    f"There is no measurement {name[:60]!r}.",
                    remedy=f"Name one of {', '.join(MEASURES)}.",
                )
        across, up = self.column(x), self.column(y)
        return together((x, across), (y, up), complete=self.contents.complete)

    def column(self, name: str) -> F64:
        """All values of a measurement: (cells,) float64."""
        if not self.contents.complete:
            return self._settled()[name]
        parts = sorted((self._folder / "cells").glob("part-*.parquet"))
        pieces = [np.zeros(0)]
        with storage(self._folder):
            for path in parts:
                with whole(path), pq.ParquetFile(path) as file:
                    pieces += (_values(batch.column(0)) for batch in _batches(file, name))
        return np.concatenate(pieces)

    def _settled(self) -> dict[str, F64]:
        """All columns at once: each tile is read from the disk only once."""
        if self._held is None:
            pieces: dict[str, list[Any]] = {name: [np.zeros(0)] for name in MEASURES}
            for batch in self._cells.batches(settled=True):
                for name, held in pieces.items():
                    held.append(_values(batch.column(name)))
            self._held = {name: np.concatenate(held) for name, held in pieces.items()}
        return self._held

    def _per_mm2(self) -> float | None:
        manifest = read_manifest(self._folder) if self.contents.complete else None
        if manifest is None:
            return None
        slide = manifest.slide
        mm2 = slide.width * slide.height * slide.mpp**2 / 1e6 * manifest.counts.tissue_fraction
        return manifest.counts.cells / mm2 if mm2 > 0 else None


def _batches(file: Any, name: str) -> Iterator[Any]:
    yield from file.iter_batches(columns=[name], use_threads=False)


def _values(column: Any) -> F64:
    return np.asarray(column.to_numpy(zero_copy_only=False), np.float64)


def measure_of(name: str, values: F64) -> Measure:
    """What is said of one measurement, from all its values."""
    values = values[np.isfinite(values)]
    description = description_of(name)
    if not len(values):
        nothing = (None,) * len(SHARES)
        span = Span(name, unit_of(name), None, None)
        return Measure(span, description, 0, None, None, None, None, nothing, (0,) * BINS, 0, 0)
    span, quantiles = _span(name, values)
    counts, below, above = _histogram(values, span)
    return Measure(
        span=span,
        description=description,
        count=len(values),
        least=float(values.min()),
        most=float(values.max()),
        mean=float(values.mean()),
        sd=float(values.std()),
        quantiles=tuple(quantiles),
        counts=counts,
        below=below,
        above=above,
    )


def together(x: tuple[str, F64], y: tuple[str, F64], *, complete: bool) -> Together:
    """How two measurements, each a name and the values of the same cells, go together."""
    has_both = np.isfinite(x[1]) & np.isfinite(y[1])
    across, up = x[1][has_both], y[1][has_both]
    if not len(across):
        none_x, none_y = (Span(name, unit_of(name), None, None) for name, _ in (x, y))
        return Together(complete, none_x, none_y, ((0,) * MAP_BINS,) * MAP_BINS, 0, 0, None)
    x_span, y_span = _span(x[0], across)[0], _span(y[0], up)[0]
    edges = [np.array(_edges(span, MAP_BINS)) for span in (y_span, x_span)]
    counts, _, _ = np.histogram2d(up, across, edges)
    rows = tuple(tuple(map(int, row)) for row in counts)
    return Together(
        complete=complete,
        x=x_span,
        y=y_span,
        counts=rows,
        cells=len(across),
        inside=int(counts.sum()),
        correlation=_pearson(across, up),
    )


def _span(name: str, values: F64) -> tuple[Span, list[float]]:
    """From where to where the values are drawn, and the quantiles at ``SHARES``."""
    low, *quantiles, high = np.quantile(values, (TAIL, *SHARES, 1 - TAIL)).tolist()
    return Span(name, unit_of(name), low, high), quantiles


def _edges(span: Span, bins: int) -> F64:
    """Of bins from low to high; where all values are one, of bins around it."""
    low, high = float(span.low or 0.0), float(span.high or 0.0)
    if not high > low:
        half = max(abs(low), 1.0) * 1e-6
        low, high = low - half, high + half
    return np.linspace(low, high, bins + 1)


def _histogram(values: F64, span: Span) -> tuple[tuple[int, ...], int, int]:
    edges = _edges(span, BINS)
    counts = np.histogram(values, edges)[0].tolist()
    below, above = int((values < edges[0]).sum()), int((values > edges[-1]).sum())
    return tuple(counts), below, above


def _pearson(x: F64, y: F64) -> float | None:
    dx, dy = x - x.mean(), y - y.mean()
    spread = math.sqrt(float(dx @ dx)) * math.sqrt(float(dy @ dy))
    return float(np.clip(float(dx @ dy) / spread, -1.0, 1.0)) if spread > 0 else None
