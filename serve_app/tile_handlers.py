"""What the route about failed tiles does."""

from __future__ import annotations

import uuid

from fastapi import Response

from raysched.core.model import JobId
from serve_app.desk import At
from serve_app.handlers import IdempotencyKey
from serve_app.models import Workflow


async def retry_failed_tiles(
    at: At, job: str, response: Response, idempotency_key: IdempotencyKey = None
) -> Workflow:
    """Run the tiles again that could not be read: a new workflow with one job of the same request,
    into results of its own. What the old job found is used again, so the engine is asked for the
    failed tiles alone. 201 when it is new, 200 when its Idempotency-Key is known already."""
    view, is_new = await at.again(JobId(job), idempotency_key or uuid.uuid4().hex)
    response.status_code = 201 if is_new else 200
    response.headers["Location"] = f"/api/v1/workflows/{view.workflow}"
    return Workflow.of(view)
