"""What every handler works with: the settings, the way to the scheduler, and who is asking."""

from __future__ import annotations

import asyncio
import base64
import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from fastapi import Depends, Request

from raysched.cluster.gateway import Gateway
from raysched.cluster.health import Health
from raysched.cluster.submission import Prepared, prepare
from raysched.config import Config
from raysched.core.model import JobId, UserId, WorkflowId
from raysched.core.views import JobView, WorkflowView
from raysched.errors import ClusterError, Conflict, NotFound
from raysched.imaging.request import SegmentationRequest
from serve_app.identity import caller
from serve_app.models import HttpJob, HttpSubmission
from serve_app.paths import find_slide
from serve_app.results import results_of

HEALTH_WAIT_S = 3.0


@dataclass(frozen=True, slots=True)
class Desk:
    """One caller's way into the service."""

    config: Config
    gateway: Gateway
    user: UserId

    async def submit(self, body: HttpSubmission, key: str) -> tuple[WorkflowView, bool]:
        """The workflow, and whether it is new. A key that is known is not checked against the
        disk again: its slide may be gone by now and its results folder is taken by itself.
        """
        try:
            known = await self.gateway.workflow(self.user, workflow_of(self.user, key))
        except NotFound:
            prepared = await asyncio.to_thread(self._prepare, body, key)
            return await self.gateway.submit(prepared), True
        if not _same(known, body):
            raise Conflict(
                "This Idempotency-Key was used for another workflow already.",
                remedy="Use a new key for a new workflow.",
                workflow=known.workflow,
            )
        return known, False

    def _prepare(self, body: HttpSubmission, key: str) -> Prepared:
        """Find and open the slides; runs in a thread."""
        slides = tuple(find_slide(job.slide, self.config) for job in body.jobs)
        return prepare(body.on(slides), user=self.user, key=key, config=self.config)

    async def results(self, job: JobId) -> Path:
        """The results folder of a job. Raises ``NotFound``, ``NotReady``."""
        return results_of(await self.gateway.job(self.user, job))

    async def health(self) -> Health:
        """How the scheduler is. Raises ``ClusterError`` unless it can take work right now."""
        try:
            health = await asyncio.wait_for(self.gateway.health(), HEALTH_WAIT_S)
        except TimeoutError:
            raise ClusterError(
                "The scheduler does not answer.", remedy="Ask again in a moment."
            ) from None
        if not health.ready:
            raise ClusterError(
                f"The scheduler is not ready: {health.trouble or 'it is closing'}",
                remedy="Ask again in a moment; see its log if this lasts.",
            )
        return health


def desk(request: Request, user: Annotated[UserId, Depends(caller)]) -> Desk:
    """The desk that a request comes to."""
    return Desk(request.app.state.config, request.app.state.gateway, user)


At = Annotated[Desk, Depends(desk)]


def workflow_of(user: UserId, key: str) -> WorkflowId:
    """The id that ``prepare`` gives the workflow of this key (a test holds the two together)."""
    digest = hashlib.sha256(f"{user}\0{key}".encode()).digest()
    return WorkflowId(f"wf-{base64.b32encode(digest).decode().lower()[:10]}")


def _same(known: WorkflowView, body: HttpSubmission) -> bool:
    """Whether a request repeats the one that made a workflow, as far as can be seen."""
    if known.name != body.name or len(known.jobs) != len(body.jobs):
        return False
    return all(_same_job(view, job) for view, job in zip(known.jobs, body.jobs, strict=True))


def _same_job(view: JobView, job: HttpJob) -> bool:
    had = SegmentationRequest.model_validate_json(view.request)
    given = job.model_dump(include={"engine", "mpp", "tile_px", "chunk_tiles"}, exclude_none=True)
    return (
        (view.branch, view.kind) == (job.branch, job.kind)
        and Path(had.slide).name == Path(job.slide).name
        and all(getattr(had, name) == value for name, value in given.items())
        and job.params.items() <= had.params.items()
    )
