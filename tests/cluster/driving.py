"""What tests do with a real cluster again and again."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

from raysched.cluster.gateway import Gateway
from raysched.cluster.session import connect
from raysched.cluster.submission import JobRequest, Submission, prepare
from raysched.config import Config, load_config
from raysched.core.model import JobId, JobState, UserId
from raysched.core.views import JobView

USER = UserId("ann")


@dataclass
class Cluster:
    """The gateway, and what tests do with it again and again."""

    config: Config
    gateway: Gateway
    folder: Path

    def submit(
        self, slide: Path, *, key: str | None = None, name: str | None = None, **options: Any
    ) -> JobView:
        """Submit one job and return it."""
        name = name or uuid4().hex[:8]
        request = JobRequest(slide=str(slide), out=str(self.folder / f"out-{name}"), **options)
        prepared = prepare(
            Submission(jobs=(request,)),
            user=USER,
            key=key or name,
            config=self.config,
        )
        return asyncio.run(self.gateway.submit(prepared)).jobs[0]

    def until(
        self, job: JobId, reached: Callable[[JobView], bool], wait_s: float = 120.0
    ) -> JobView:
        """Watch a job until something holds of it; fails with the job's story if it ends else."""
        return asyncio.run(self._until(job, reached, wait_s))

    async def _until(
        self, job: JobId, reached: Callable[[JobView], bool], wait_s: float
    ) -> JobView:
        async with asyncio.timeout(wait_s):
            seen, view = await self.gateway.watch(USER, job, -1, 0.0)
            while not reached(view):
                assert not view.state.is_final, f"the job ended as {view}"
                seen, view = await self.gateway.watch(USER, job, seen)
            return view

    def finish(self, job: JobId) -> JobView:
        """Watch a job until it has succeeded."""
        return self.until(job, lambda view: view.state is JobState.SUCCEEDED)

    def wait_for_lanes(self, number: int) -> None:
        """Return when so many lanes are open."""

        async def look() -> None:
            async with asyncio.timeout(120):
                while (await self.gateway.health()).lanes < number:
                    await asyncio.sleep(0.05)

        asyncio.run(look())


@contextmanager
def open_cluster(
    folder: Path, *, scheduling: dict[str, Any] | None = None, **cluster_settings: Any
) -> Iterator[Cluster]:
    """A real Ray cluster with the real actor, on a state folder of its own."""
    settings = {"lanes": 2, "address": None, **cluster_settings}
    config = load_config(state=folder / "state", cluster=settings, scheduling=scheduling or {})
    with connect(config) as session:
        yield Cluster(config, session.gateway, folder)
