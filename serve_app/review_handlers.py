"""What each route about reviews does."""

from __future__ import annotations

import asyncio
import secrets
from enum import StrEnum
from typing import Annotated

from fastapi import Path, Query, Response

from raysched.core.model import JobId
from raysched.errors import NotFound
from raysched.results.reviews import Judgement, Review, ReviewStore, What, Wish, draw, utc_now
from serve_app.desk import At, Desk
from serve_app.downloads import KEPT
from serve_app.results import refuse_deleted
from serve_app.review_models import MOST_SEED, JobReview, ReviewAsked, VerdictGiven


class ReviewFormat(StrEnum):
    """How a review is exported."""

    CSV = "csv"
    JSON = "json"


ItemNumber = Annotated[int, Path(ge=1, le=2**31 - 1, description="an item's number, from 1")]
As = Annotated[ReviewFormat, Query(alias="format", description="csv for spreadsheets, or json")]


async def begin_review(at: At, job: str, body: ReviewAsked, response: Response) -> JobReview:
    """Draw a random sample of a finished job's cells or tiles, to be judged one by one. 409 where
    you have judged some of an earlier sample, unless `replace` is true."""
    folder = await at.results(JobId(job))
    seed = secrets.randbelow(MOST_SEED + 1) if body.seed is None else body.seed
    wish = Wish(What(body.what), body.size, seed)
    store = ReviewStore(at.config.reviews, job, at.user)

    def begin() -> Review:
        review = draw(folder, job, at.user, wish, utc_now())
        return store.begin(review, replace=body.replace)

    review = await asyncio.to_thread(begin)
    try:
        await at.results(JobId(job))
    except NotFound:  # the results were deleted meanwhile, and their reviews before this one
        await asyncio.to_thread(store.delete)
        raise
    response.headers["Location"] = f"/api/v1/jobs/{job}/review"
    return JobReview.of(review)


async def get_review(at: At, job: str) -> JobReview | None:
    """Your review of a job, with what it says so far; null where you have begun none."""
    store = await _store(at, job)
    found = await asyncio.to_thread(store.find)
    return None if found is None else JobReview.of(found)


async def judge_item(at: At, job: str, number: ItemNumber, body: VerdictGiven) -> JobReview:
    """Say of an item whether it is right, or take that back. Kept when this is answered."""
    store = await _store(at, job)
    verdict = Judgement(body.verdict) if body.verdict is not None else None
    return JobReview.of(await asyncio.to_thread(store.judge, number, verdict, utc_now()))


async def delete_review(at: At, job: str) -> None:
    """Delete your review of a job, with its verdicts."""
    store = await _store(at, job)
    await asyncio.to_thread(store.delete)


async def export_review(at: At, job: str, shape: As = ReviewFormat.CSV) -> Response:
    """Your review as a file: each item with its verdict, and what it is a review of."""
    store = await _store(at, job)
    review = JobReview.of(await asyncio.to_thread(store.read))
    headers = {**KEPT, "Content-Disposition": f'attachment; filename="review-{job}.{shape}"'}
    if shape is ReviewFormat.JSON:
        text, media = review.model_dump_json(indent=1), "application/json"
    else:
        text, media = review.as_csv(), "text/csv; charset=utf-8"
    return Response(text, media_type=media, headers=headers)


async def _store(at: Desk, job: str) -> ReviewStore:
    """Raises ``NotFound`` for a job that is not there or whose results were deleted."""
    refuse_deleted(await at.gateway.job(at.user, JobId(job)))
    return ReviewStore(at.config.reviews, job, at.user)
