"""What every handler works with: the settings, the way to the scheduler, and who is asking."""

from __future__ import annotations

import asyncio
import json
import uuid
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

from fastapi import Depends, Request

from raysched.cluster.accounts import Accounts
from raysched.cluster.gateway import Gateway
from raysched.cluster.health import Health
from raysched.cluster.submission import Prepared, digest_of, prepare, workflow_id
from raysched.config import Config
from raysched.core.model import JobId, UserId
from raysched.core.views import WorkflowView
from raysched.errors import ClusterError, Conflict, NotFound
from raysched.imaging.engine import load_engine
from serve_app.identity import Asking, caller
from serve_app.models import HttpSubmission
from serve_app.paths import find_slide, refuse_files
from serve_app.results import results_of

HEALTH_WAIT_S = 3.0


@dataclass(frozen=True, slots=True)
class Desk:
    """One caller's way into the service."""

    config: Config
    gateway: Gateway
    asking: Asking

    @property
    def user(self) -> UserId:
        """Whose things are asked for."""
        return self.asking.user

    @property
    def accounts(self) -> Accounts:
        """Users and keys."""
        return Accounts(self.gateway)

    async def submit(self, body: HttpSubmission, key: str) -> tuple[WorkflowView, bool]:
        """The workflow, and whether it is new. A key that is known is not checked against the
        disk again: its slide may be gone by now and its results folder is taken by itself.
        """
        try:
            known = await self.gateway.workflow(self.user, workflow_id(self.user, key))
        except NotFound:
            prepared = await asyncio.to_thread(self._prepare, body, key)
            return await self.gateway.submit(prepared), True
        if known.digest != digest_of(body):
            raise Conflict(
                "This Idempotency-Key was used for another workflow already.",
                remedy="Use a new key for a new workflow.",
                workflow=known.workflow,
            )
        return known, False

    async def checked(self, body: HttpSubmission) -> Prepared:
        """A workflow as far as it can be checked without submitting it, under a key that nobody
        has."""
        return await asyncio.to_thread(self._prepare, body, uuid.uuid4().hex)

    def _prepare(self, body: HttpSubmission, key: str) -> Prepared:
        """Find and open the slides; runs in a thread."""
        found = {name: find_slide(name, self.config) for name in {job.slide for job in body.jobs}}
        slides = tuple(found[job.slide] for job in body.jobs)
        prepared = prepare(body.on(slides), user=self.user, key=key, config=self.config)
        for job in prepared.jobs:
            request = json.loads(job.request)
            if "engine" in request:
                kind = load_engine(request["engine"]).Params
                refuse_files(kind, request["params"], self.config)
        return replace(prepared, digest=digest_of(body))

    async def results(self, job: JobId) -> Path:
        """The results folder of a job. Raises ``NotFound``, ``NotReady``."""
        return results_of(await self.gateway.job(self.user, job))


async def ready(gateway: Gateway) -> Health:
    """How the scheduler is. Raises ``ClusterError`` unless it can take work right now."""
    try:
        health = await asyncio.wait_for(gateway.health(), HEALTH_WAIT_S)
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


def desk(request: Request, asking: Annotated[Asking, Depends(caller)]) -> Desk:
    """The desk that a request comes to."""
    return Desk(request.app.state.config, request.app.state.gateway, asking)


At = Annotated[Desk, Depends(desk)]
