"""What HTTP shows of the measurements of a job's cells."""

from __future__ import annotations

from typing import TYPE_CHECKING

from serve_app.models import Shown

if TYPE_CHECKING:
    from raysched.results.measures import Measure, Measured, Span, Together


class MeasureSummary(Shown):
    """How one measurement is distributed. ``count``: cells that have a finite value, which all else
    is of; ``sd``: of all these cells; ``counts``: cells in bins of equal width from ``low`` to
    ``high``, the 0.5th and the 99.5th percentile, with ``below`` and ``above`` them. Null where
    there are no cells."""

    name: str
    unit: str
    description: str
    count: int
    min: float | None
    max: float | None
    mean: float | None
    sd: float | None
    p05: float | None
    p25: float | None
    median: float | None
    p75: float | None
    p95: float | None
    low: float | None
    high: float | None
    counts: tuple[int, ...]
    below: int
    above: int

    @classmethod
    def of(cls, found: Measure) -> MeasureSummary:
        """A measurement of all cells."""
        p05, p25, median, p75, p95 = found.quantiles
        return cls(
            name=found.span.name,
            unit=found.span.unit,
            description=found.description,
            count=found.count,
            min=found.least,
            max=found.most,
            mean=found.mean,
            sd=found.sd,
            p05=p05,
            p25=p25,
            median=median,
            p75=p75,
            p95=p95,
            low=found.span.low,
            high=found.span.high,
            counts=found.counts,
            below=found.below,
            above=found.above,
        )


class Measures(Shown):
    """The measurements of a job's cells; of an unfinished job, of the cells that cannot change any
    more. ``density_per_mm2``: cells for a mm2 of tissue; null until the job is complete."""

    job: str
    complete: bool
    cells: int
    density_per_mm2: float | None
    measures: tuple[MeasureSummary, ...]

    @classmethod
    def of(cls, job: str, found: Measured) -> Measures:
        """A job's."""
        return cls(
            job=job,
            complete=found.complete,
            cells=found.cells,
            density_per_mm2=found.per_mm2,
            measures=tuple(map(MeasureSummary.of, found.measures)),
        )


class MeasureSpan(Shown):
    """A measurement, and from where to where it is drawn: 0.5th to 99.5th percentile."""

    name: str
    unit: str
    low: float | None
    high: float | None

    @classmethod
    def of(cls, span: Span) -> MeasureSpan:
        """A measurement's."""
        return cls.model_validate(span)


class MeasurePair(Shown):
    """Two measurements of the same cells. ``counts``: ``bins`` rows of ``y``, the lowest first, of
    ``bins`` columns of ``x`` each, of the ``inside`` cells that both spans hold. ``correlation``:
    Pearson's, of all ``cells``; null where one of them is always the same."""

    job: str
    complete: bool
    x: MeasureSpan
    y: MeasureSpan
    bins: int
    counts: tuple[tuple[int, ...], ...]
    cells: int
    inside: int
    correlation: float | None

    @classmethod
    def of(cls, job: str, found: Together) -> MeasurePair:
        """A job's."""
        return cls(
            job=job,
            complete=found.complete,
            x=MeasureSpan.of(found.x),
            y=MeasureSpan.of(found.y),
            bins=len(found.counts),
            counts=found.counts,
            cells=found.cells,
            inside=found.inside,
            correlation=found.correlation,
        )
