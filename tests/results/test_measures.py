"""Measurements of all cells: equal to NumPy's over the table, whole and while a job runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from raysched.errors import NotFound, NotReady
from raysched.results.manifest import read_manifest
from raysched.results.measures import (
    BINS,
    MAP_BINS,
    SHARES,
    Measure,
    MeasuredCells,
    measure_of,
    together,
)
from raysched.results.reading import CellFolder
from raysched.results.schema import MEASURES
from tests.results.conftest import Attempt


def values_of(table: Any, name: str) -> Any:
    return table.column(name).to_numpy().astype(np.float64)


def is_of(measure: Measure, values: Any) -> None:
    """Every number is NumPy's of these values."""
    assert measure.count == len(values)
    told = (measure.least, measure.most, measure.mean, measure.sd, *measure.quantiles)
    wanted = (
        *(values.min(), values.max(), values.mean(), values.std()),
        *np.quantile(values, SHARES),
    )
    assert told == pytest.approx(wanted)
    low, high = np.quantile(values, (0.005, 0.995))
    assert (measure.span.low, measure.span.high) == pytest.approx((low, high))
    assert len(measure.counts) == BINS
    assert measure.below == (values < low).sum()
    assert measure.above == (values > high).sum()
    assert sum(measure.counts) + measure.below + measure.above == len(values)
    inside = np.histogram(values, BINS, (low, high))[0]
    assert measure.counts == tuple(inside)


def test_every_number_is_that_of_the_table(done: Attempt) -> None:
    table = pq.read_table(done.out / "cells")
    manifest = read_manifest(done.out)
    assert manifest is not None
    found = MeasuredCells(done.out).all()
    assert (found.complete, found.cells) == (True, len(table))
    assert [each.span.name for each in found.measures] == list(MEASURES)
    for each in found.measures:
        is_of(each, values_of(table, each.span.name))
    area = found.measures[0]
    assert (area.span.unit, area.description) == (
        "um2",
        "pixels of the mask times the pixel's area",
    )
    slide_mm2 = (480 * manifest.slide.mpp / 1000) ** 2
    assert found.per_mm2 == pytest.approx(
        len(table) / (slide_mm2 * manifest.counts.tissue_fraction)
    )


def test_two_measurements_go_together_as_in_the_table(done: Attempt) -> None:
    table = pq.read_table(done.out / "cells")
    x, y = values_of(table, "area_um2"), values_of(table, "perimeter_um")
    found = MeasuredCells(done.out).together("area_um2", "perimeter_um")
    assert found.correlation == pytest.approx(np.corrcoef(x, y)[0, 1])
    assert found.correlation is not None
    assert found.correlation > 0.8
    x_in, y_in = (np.quantile(each, (0.005, 0.995)) for each in (x, y))
    wanted = np.histogram2d(y, x, MAP_BINS, (y_in, x_in))[0]
    assert np.array(found.counts).tolist() == wanted.tolist()
    assert found.inside == wanted.sum() < found.cells == len(x)
    other = MeasuredCells(done.out).together("perimeter_um", "area_um2")
    assert np.array_equal(np.array(other.counts).T, np.array(found.counts))


def test_the_cells_of_a_running_job_are_those_that_cannot_change(attempt: Attempt) -> None:
    with pytest.raises(NotReady):
        MeasuredCells(attempt.staging)
    attempt.plan()
    assert MeasuredCells(attempt.staging).all().cells == 0
    attempt.segment(0)
    folder = MeasuredCells(attempt.staging)
    found = folder.all()
    settled = [*CellFolder(attempt.staging).batches(settled=True)]
    areas = np.concatenate([batch.column("area_um2").to_numpy() for batch in settled])
    assert 0 < len(areas) < folder.contents.cells
    assert (found.complete, found.cells, found.per_mm2) == (False, len(areas), None)
    is_of(found.measures[0], areas)
    early = folder.key
    attempt.segment(1)
    assert MeasuredCells(attempt.staging).key != early
    pair = folder.together("area_um2", "solidity")
    assert (pair.complete, pair.cells) == (False, len(areas))


def test_no_cells_have_no_numbers(found: dict[str, Path]) -> None:
    cells = MeasuredCells(found["none"])
    for each in cells.all().measures:
        numbers = (each.least, each.most, each.mean, each.sd, each.span.low, each.span.high)
        assert {*numbers, *each.quantiles} == {None}
        assert (each.count, sum(each.counts), len(each.counts)) == (0, 0, BINS)
    pair = cells.together("area_um2", "solidity")
    assert (pair.correlation, pair.cells, np.sum(pair.counts)) == (None, 0, 0)


def test_values_that_are_all_one_or_not_finite_are_counted_right() -> None:
    same = measure_of("area_um2", np.full(7, 3.5))
    assert (same.least, same.most, same.sd, same.span.low, same.span.high) == (
        *(3.5, 3.5, 0.0),
        *(3.5, 3.5),
    )
    assert (sum(same.counts), same.below, same.above) == (7, 0, 0)
    holed = np.array([1.0, np.nan, 3.0, np.inf])
    assert measure_of("area_um2", holed).count == 2
    pair = together(("area_um2", holed), ("solidity", np.full(4, 0.5)), complete=True)
    assert (pair.cells, pair.inside, pair.correlation) == (2, 0, None)  # both lie in a tail


@pytest.mark.parametrize(("x", "y"), [("id", "area_um2"), ("area_um2", "x; DROP"), ("", "tile")])
def test_a_name_that_is_no_measurement_is_not_found(x: str, y: str, done: Attempt) -> None:
    with pytest.raises(NotFound, match="no measurement"):
        MeasuredCells(done.out).together(x, y)
