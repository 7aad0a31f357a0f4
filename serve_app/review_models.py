"""What HTTP takes and shows of reviews."""

from __future__ import annotations

import csv
import io
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from serve_app.models import Shown
from serve_app.report_models import harmless

if TYPE_CHECKING:
    from raysched.results.reviews import Review

MOST_ITEMS = 2000
MOST_SEED = 2**31 - 1
SMALL_SHARE = 0.05
"""Of all there is: a larger sample tells more than the interval says."""


class ReviewAsked(BaseModel):
    """A review to begin: a random sample of cells or of tiles with tissue. The same ``seed`` draws
    the same ones."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    what: Literal["cells", "tiles"]
    size: Annotated[int, Field(ge=1, le=MOST_ITEMS, description="of fewer, all are taken")]
    seed: Annotated[int | None, Field(ge=0, le=MOST_SEED, description="default: any")] = None
    replace: Annotated[bool, Field(description="also one that has verdicts already")] = False


class VerdictGiven(BaseModel):
    """What you say of an item; null takes it back."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    verdict: Literal["yes", "no"] | None


class ReviewItem(Shown):
    """One thing to judge: a cell or a tile. ``x`` and ``y`` are the upper left corner of what is to
    be looked at, in level-0 px; around a cell there are 24 um on each side. ``at``: when it was
    judged."""

    number: int
    cell: int | None
    tile: int | None
    x: int
    y: int
    width: int
    height: int
    verdict: Literal["yes", "no"] | None
    at: datetime | None


class JobReview(Shown):
    """A review of a job. Items come in the order in which they were drawn, so those answered
    first are a random sample too. ``accuracy``: the share of ``yes`` among the ``answered``, which
    lies from ``low`` to ``high`` by the ``method``; null before the first verdict. ``population``:
    cells or tiles that the sample was drawn from."""

    job: str
    what: Literal["cells", "tiles"]
    size: int
    seed: int
    population: int
    begun_at: datetime
    answered: int
    yes: int
    accuracy: float | None
    low: float | None
    high: float | None
    method: str
    note: str | None
    checksum: str
    engine: str
    engine_version: str
    user: str
    slide: str
    items: tuple[ReviewItem, ...]

    @classmethod
    def of(cls, review: Review) -> JobReview:
        """A review as it is kept."""
        from raysched.results.reviews import wilson

        interval = wilson(review.yes, review.answered)
        same = (
            *("job", "size", "seed", "population", "begun_at", "answered", "yes"),
            *("checksum", "engine", "engine_version", "user", "slide"),
        )
        return cls(
            **{name: getattr(review, name) for name in same},
            what=review.what.value,
            accuracy=review.yes / review.answered if interval else None,
            low=interval[0] if interval else None,
            high=interval[1] if interval else None,
            method="Wilson 95 %",
            note=_note(review),
            items=tuple(map(ReviewItem.model_validate, review.items)),
        )

    def as_csv(self) -> str:
        """A table with a line for each item (RFC 4180), each with what the review is of."""
        about = {
            "job": self.job,
            "checksum": self.checksum,
            "engine": self.engine,
            "engine_version": self.engine_version,
            "slide": self.slide,
            "seed": self.seed,
            "user": self.user,
            "begun_at": self.begun_at.isoformat(),
        }
        text = io.StringIO()
        table = csv.writer(text)
        table.writerow([*ReviewItem.model_fields, *about])
        for item in self.items:
            row = [*item.model_dump(mode="json").values(), *about.values()]
            table.writerow(["" if value is None else harmless(value) for value in row])
        return text.getvalue()


def _note(review: Review) -> str | None:
    if review.answered <= SMALL_SHARE * review.population:
        return None
    if review.answered == review.population:
        return "All there is was judged: the accuracy is exact."
    return (
        f"{review.answered:,} of {review.population:,} were judged: drawn without replacement, "
        "they tell more than the interval says."
    )
