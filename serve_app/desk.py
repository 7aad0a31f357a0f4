"""What every handler works with: the settings, the way to the scheduler, and who is asking."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

from fastapi import Depends, Request

from raysched.cluster.accounts import Accounts
from raysched.cluster.failed_tiles import digest_of_again, failed_tiles_again, refuse_without
from raysched.cluster.gateway import Gateway
from raysched.cluster.health import Health
from raysched.cluster.stores import at_hand, object_store
from raysched.cluster.submission import Prepared, digest_of, prepare, workflow_id
from raysched.config import Config
from raysched.core.model import LOCAL_USER, JobId, UserId
from raysched.core.views import JobView, WorkflowView
from raysched.errors import ClusterError, Conflict, NotFound, SlideMissing
from raysched.imaging.engine import load_engine
from raysched.imaging.request import read_request
from serve_app.identity import Asking, caller
from serve_app.models import HttpSubmission
from serve_app.paths import find_slide, refuse_files, slide_folders
from serve_app.results import results_of
from serve_app.slides.checking import ensure_checked
from serve_app.slides.record import SlideRecord
from serve_app.slides.store import SLIDE_ID, SlideStore, store_of

HEALTH_WAIT_S = 3.0
PULSE_S = 0.05
GB = 10**9
LOOK_AGAIN_S = 0.02


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

    @property
    def slides(self) -> SlideStore:
        """The slides of whom things are asked for."""
        return store_of(self.config.uploads, self.user)

    async def quota(self) -> int:
        """Bytes that the user may keep; 0: any."""
        usual = round(self.config.serve.max_gb_per_user * GB)
        try:
            return (await self.gateway.account(self.user)).max_bytes or usual
        except NotFound:
            return usual

    def slide_file(self, record: SlideRecord) -> Path:
        """The file of a slide of the user's, once it is ready. Raises ``NotReady``,
        ``UploadRefused``; ``SlideMissing`` for a server's slide that may not be read any more."""
        ensure_checked(self.slides, record)
        path = self.slides.file(record)
        if record.from_server:
            allowed = [folder.resolve() for folder in slide_folders(self.config)]
            if not any(path.resolve().is_relative_to(folder) for folder in allowed):
                raise SlideMissing(
                    f"The server's file of {record.id} may not be read any more.",
                    remedy="Ask the operator, who sets serve.slide_folders.",
                )
        return path

    async def submit(self, body: HttpSubmission, key: str) -> tuple[WorkflowView, bool]:
        """The workflow, and whether it is new. A key that is known is not checked against the
        disk again: its slide may be gone by now and its results folder is taken by itself.
        """
        return await self._submit(key, digest_of(body), lambda: self._prepare(body, key))

    async def again(self, job: JobId, key: str) -> tuple[WorkflowView, bool]:
        """As ``submit``, of the failed tiles of a job. Raises ``NotFound``, ``Conflict``."""
        digest = digest_of_again(job)
        try:
            view = await self.gateway.job(self.user, job)
            refuse_without(view)
        except (NotFound, Conflict) as error:
            refusal = error  # unless it was asked before: the job may be deleted by now

            def refuse() -> Prepared:
                raise refusal

            return await self._submit(key, digest, refuse)
        return await self._submit(key, digest, lambda: self._again(view, key))

    async def _submit(
        self, key: str, digest: str, prepare: Callable[[], Prepared]
    ) -> tuple[WorkflowView, bool]:
        try:
            known = await self.gateway.workflow(self.user, workflow_id(self.user, key))
        except NotFound:
            async with in_use(self.slides, shared=True):
                prepared = await asyncio.to_thread(prepare)
                return await self.gateway.submit(prepared), True
        if known.digest != digest:
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
        found = {name: self._find(name) for name in {job.slide for job in body.jobs}}
        slides = tuple(found[job.slide] for job in body.jobs)
        prepared = prepare(body.on(slides), user=self.user, key=key, config=self.config)
        self._refuse_files(prepared)
        return replace(prepared, digest=digest_of(body))

    def _again(self, view: JobView, key: str) -> Prepared:
        """What the user may not read any more is not read again; the operator's command line has
        named slides that nobody else may name. Runs in a thread."""
        request = read_request(view.kind, view.request)
        if request.slide_id is not None or self.user != LOCAL_USER:
            self._find(request.slide_id or request.slide)
        prepared = failed_tiles_again(view, key=key, config=self.config)
        self._refuse_files(prepared)
        return prepared

    def _refuse_files(self, prepared: Prepared) -> None:
        for job in prepared.jobs:
            request = json.loads(job.request)
            if "engine" in request:
                kind = load_engine(request["engine"]).Params
                refuse_files(kind, request["params"], self.config)

    def _find(self, name: str) -> tuple[Path, str | None]:
        """The file of a slide that a job names, and its id if it has one."""
        if not SLIDE_ID.fullmatch(name):
            return find_slide(name, self.config), None
        return self.slide_file(self.slides.record(name)), name

    async def job(self, job: JobId) -> JobView:
        """A job of the caller's, whose cells can be read here. Raises ``NotFound``,
        ``StorageFailed``."""
        return await at_hand(await self.gateway.job(self.user, job), object_store(self.config))

    async def results(self, job: JobId) -> Path:
        """The results folder of a job. Raises ``NotFound``, ``NotReady``."""
        return results_of(await self.job(job))


@asynccontextmanager
async def in_use(slides: SlideStore, *, shared: bool) -> AsyncIterator[None]:
    """``SlideStore.in_use`` once it is so. No thread waits: whoever holds it needs one to go on."""
    while True:
        with slides.in_use(shared=shared) as is_held:
            if is_held:
                yield
                return
        await asyncio.sleep(LOOK_AGAIN_S)


class Pulse:
    """How the scheduler is, for everybody who asks this replica, with a key or without: they share
    one question, which is put after the last of them came. So however many ask, the actor hears
    ``1 / PULSE_S`` questions a second."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._next: asyncio.Task[Health] | None = None
        self._asked_at = -PULSE_S

    async def health(self) -> Health:
        """As ``Gateway.health``, no older than the question. Raises ``TimeoutError``."""
        if self._next is None:
            self._next = asyncio.create_task(self._ask(), name="asking how the scheduler is")
        return await asyncio.shield(self._next)

    async def _ask(self) -> Health:
        clock = asyncio.get_running_loop().time
        await asyncio.sleep(max(0.0, self._asked_at + PULSE_S - clock()))
        self._next, self._asked_at = None, clock()  # who comes from now on asks anew
        return await asyncio.wait_for(self._gateway.health(), HEALTH_WAIT_S)


async def ready(pulse: Pulse) -> Health:
    """How the scheduler is. Raises ``ClusterError`` unless it can take work right now."""
    try:
        health = await pulse.health()
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


async def desk(request: Request, asking: Annotated[Asking, Depends(caller)]) -> Desk:
    """The desk that a request comes to."""
    return Desk(request.app.state.config, request.app.state.gateway, asking)


At = Annotated[Desk, Depends(desk)]
