"""What a report says, as numbers: one pass over the columns it needs, in bounded memory."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq

from raysched.errors import NotReady, StorageFailed
from raysched.results.cells import GROUP_CELLS
from raysched.results.chunk_map import published_receipts
from raysched.results.damage import damaged, whole, without_result
from raysched.results.manifest import (
    PREVIEW,
    Manifest,
    SlideNote,
    read_manifest,
)
from raysched.results.outcomes import Receipt
from raysched.results.report.units import round_step
from raysched.results.schema import MEASURES
from raysched.results.storage import storage

F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]

FINE_BINS = 4096
"""Quantiles are read off these, so they are exact to 1/4096 of the range."""
MAP_SQUARES = 100
"""Most squares along the longer side of the density map."""
SMALLEST_SQUARE_UM = 50.0
"""Smaller ones hold too few cells to say how dense they lie."""


class Histogram:
    """How one measurement is distributed: from ``low`` to ``high`` in bins of equal width."""

    def __init__(self, low: float, high: float) -> None:
        self.low, self.high = low, high
        self.bins: I64 = np.zeros(FINE_BINS, np.int64)
        self.total = 0.0

    @property
    def count(self) -> int:
        """Finite values seen."""
        return int(self.bins.sum())

    @property
    def mean(self) -> float:
        """The mean of them."""
        return self.total / self.count if self.count else math.nan

    def add(self, values: F64) -> None:
        """Take some values; what is not finite is left out."""
        values = values[np.isfinite(values)]
        self.total += float(values.sum())
        place = self._places(values).astype(np.int64).clip(0, FINE_BINS - 1)
        self.bins += np.bincount(place, minlength=FINE_BINS)

    def add_all(self, values: Sequence[float]) -> None:
        """Take plain numbers."""
        self.add(np.array(values, np.float64))

    def _places(self, values: F64) -> F64:
        if self.high <= self.low:
            return np.zeros(len(values))
        return (values - self.low) * (FINE_BINS / (self.high - self.low))

    def quantile(self, share: float) -> float:
        """The value that this share of all lies below."""
        if not self.count:
            return math.nan
        summed = self.bins.cumsum()
        place = int(np.searchsorted(summed, max(share * self.count, 0.5)))
        return self.low + (place + 0.5) / FINE_BINS * (self.high - self.low)

    def shown(self, bars: int) -> tuple[float, float, list[int]]:
        """(from, to, counts of ``bars`` bars) without the utmost 0.5 % at either end."""
        if not self.count or self.high <= self.low:
            return self.low, self.high, [self.count]
        summed = self.bins.cumsum()
        first, last = np.searchsorted(summed, [0.005 * self.count + 0.5, 0.995 * self.count])
        width = max(1, math.ceil((int(last) + 1 - int(first)) / bars))
        first = max(0, min(int(first), FINE_BINS - width * bars))
        kept = self.bins[first : first + width * bars]
        counts = np.add.reduceat(kept, np.arange(0, len(kept), width))
        step = (self.high - self.low) / FINE_BINS
        end = first + width * len(counts)
        return self.low + first * step, self.low + end * step, counts.tolist()


@dataclass(frozen=True, slots=True)
class Density:
    """Cells by square of ``side_um``, rows from the top; the last may reach beyond the slide."""

    counts: I64
    side_um: float
    width_um: float
    height_um: float

    @classmethod
    def of(cls, slide: SlideNote) -> Density:
        """Of no cells yet."""
        width, height = slide.width * slide.mpp, slide.height * slide.mpp
        side = max(SMALLEST_SQUARE_UM, round_step(max(width, height) / MAP_SQUARES))
        shape = math.ceil(height / side - 1e-9), math.ceil(width / side - 1e-9)
        return cls(np.zeros(shape, np.int64), side, width, height)

    def add(self, x_um: F64, y_um: F64) -> None:
        """Take the centroids of some cells."""
        rows, columns = self.counts.shape
        row = (y_um / self.side_um).astype(np.int64).clip(0, rows - 1)
        column = (x_um / self.side_um).astype(np.int64).clip(0, columns - 1)
        np.add.at(self.counts, (row, column), 1)

    def per_mm2(self) -> F64:
        """Cells per mm2 of the part of each square that is slide."""
        return self.counts / self._areas_mm2()

    def top(self) -> float:
        """The largest of these, of squares of which at least half is slide."""
        areas = self._areas_mm2()
        whole = self.per_mm2()[areas >= 0.5 * areas.max()]
        return float(whole.max()) if whole.max() > 0 else float(self.per_mm2().max())

    def _areas_mm2(self) -> F64:
        rows, columns = self.counts.shape
        across = np.minimum(self.side_um, self.width_um - np.arange(columns) * self.side_um)
        down = np.minimum(self.side_um, self.height_um - np.arange(rows) * self.side_um)
        areas: F64 = down[:, None] * across[None, :] / 1e6
        return areas


@dataclass(frozen=True, slots=True)
class Facts:
    """All that a report says. ``preview``: the path of the picture, which is there."""

    manifest: Manifest
    receipts: tuple[Receipt, ...]
    measures: dict[str, Histogram]
    density: Density
    preview: Path

    @property
    def tissue_mm2(self) -> float:
        """The area that was taken for tissue."""
        whole = self.density.width_um * self.density.height_um / 1e6
        return whole * self.manifest.counts.tissue_fraction


def gather(folder: Path) -> Facts:
    """Read what a report of a results folder says.

    Raises ``NotReady`` when there is no finished result, ``StorageFailed`` when it is damaged.
    """
    with storage(folder):
        manifest = read_manifest(folder)
        if manifest is None:
            raise _without(folder)
        parts = sorted((folder / "cells").glob("part-*.parquet"))
        preview = folder / PREVIEW
        with preview.open("rb"):
            receipts = published_receipts(folder)
        ranges = _ranges(parts)
        measures = {name: Histogram(*ranges.get(name, (0.0, 0.0))) for name in MEASURES}
        density = Density.of(manifest.slide)
        seen = 0
        for batch in _batches(parts):
            seen += batch.num_rows
            for name, histogram in measures.items():
                histogram.add(batch.column(name).to_numpy().astype(np.float64, copy=False))
            x, y = (batch.column(f"centroid_{axis}_px").to_numpy() for axis in "xy")
            density.add(x * manifest.slide.mpp, y * manifest.slide.mpp)
    if seen != manifest.counts.cells:
        what = f"there are {seen} cells instead of {manifest.counts.cells}"
        raise damaged(folder, what)
    return Facts(manifest, receipts, measures, density, preview)


def _batches(parts: list[Path]) -> Iterator[Any]:
    columns = ["centroid_x_px", "centroid_y_px", *MEASURES]
    for path in parts:
        with whole(path), pq.ParquetFile(path) as file:
            yield from file.iter_batches(GROUP_CELLS, columns=columns, use_threads=False)


def _ranges(parts: list[Path]) -> dict[str, tuple[float, float]]:
    """Least and largest value of each measurement, as the parts' own statistics have it."""
    found: dict[str, list[float]] = {}
    for path in parts:
        with whole(path), pq.ParquetFile(path) as file:
            for group in range(file.metadata.num_row_groups):
                row_group = file.metadata.row_group(group)
                for place in range(row_group.num_columns):
                    column = row_group.column(place)
                    told = column.statistics
                    if column.path_in_schema in MEASURES and told and told.has_min_max:
                        ends = [end for end in (told.min, told.max) if math.isfinite(end)]
                        found.setdefault(column.path_in_schema, []).extend(ends)
    return {name: (min(ends), max(ends)) for name, ends in found.items() if ends}


def _without(folder: Path) -> NotReady | StorageFailed:
    return without_result(
        folder,
        f"There is no report of {folder} yet: it holds no finished result.",
        "Wait until the job has succeeded (`raysched watch JOB`), then ask again; "
        "`raysched export` has the cells found so far.",
    )
