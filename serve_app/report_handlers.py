"""What each route about usage, the cluster and dry runs does."""

from __future__ import annotations

import re
from datetime import date
from enum import StrEnum
from typing import Annotated

from fastapi import Query, Request, Response
from pydantic import BeforeValidator

from raysched.cluster.dry_run import dry_run
from raysched.core.model import UserId
from serve_app.desk import At, Desk
from serve_app.estimate_models import Estimate
from serve_app.models import HttpSubmission
from serve_app.places import Places
from serve_app.report_models import Cluster, UsageReport, wanted


class ReportFormat(StrEnum):
    """How a report is answered."""

    JSON = "json"
    CSV = "csv"


def _written_out(text: object) -> object:
    if isinstance(text, str) and not re.fullmatch(r"\d{4}-\d\d-\d\d", text):
        raise ValueError("write a day as YYYY-MM-DD")  # a number would be taken for seconds
    return text


Day = Annotated[date, BeforeValidator(_written_out)]
Since = Annotated[Day | None, Query(description="first day, UTC; default: 30 days until the last")]
Until = Annotated[Day | None, Query(description="last day, UTC; default: today")]
As = Annotated[ReportFormat, Query(alias="format", description="json, or csv for spreadsheets")]


async def get_usage(
    at: At,
    request: Request,
    since: Since = None,
    until: Until = None,
    user: Annotated[str | None, Query(max_length=64, description="default: everybody")] = None,
    shape: As = ReportFormat.JSON,
) -> Response:
    """What each user used on each day: jobs and what became of them, cells, tiles, lane seconds,
    waiting times. Users that were deleted are included."""
    if user is not None:
        await at.gateway.account(UserId(user))
    return await _report(at, request, (since, until, user), shape)


async def get_my_usage(
    at: At,
    request: Request,
    since: Since = None,
    until: Until = None,
    shape: As = ReportFormat.JSON,
) -> Response:
    """What you used on each day."""
    return await _report(at, request, (since, until, at.user), shape)


async def get_cluster(
    at: At, limit: Annotated[int, Query(ge=1, le=500, description="entries of each list")] = 100
) -> Cluster:
    """Nodes, lanes and what runs in them, users, the queue, the journal, at this moment."""
    return Cluster.of(await at.gateway.cluster(limit))


async def estimate_workflow(at: At, request: Request, body: HttpSubmission) -> Estimate:
    """What a workflow would be, without submitting it: work, cost, when it would begin and end. It
    is refused as its submission would be. Up to 8 slides are looked at."""
    dry_runs: Places = request.app.state.dry_runs
    with dry_runs.taken(at.user):
        prepared = await at.checked(body)
        return Estimate.of(await dry_run(at.gateway, prepared, at.config))


async def _report(
    at: Desk,
    request: Request,
    which: tuple[date | None, date | None, str | None],
    shape: ReportFormat,
) -> Response:
    asked = wanted(*which)
    reports: Places = request.app.state.usage_reports
    with reports.taken(at.asking.caller.user):
        report = UsageReport.of(asked, await at.gateway.usage(asked))
    if shape is ReportFormat.JSON:
        return Response(report.model_dump_json(), media_type="application/json")
    name = f"usage-{asked.since}-{asked.until}.csv"
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    return Response(report.as_csv(), media_type="text/csv; charset=utf-8", headers=headers)
