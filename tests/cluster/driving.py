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
        self,
        slide: Path,
        *,
        key: str | None = None,
        name: str | None = None,
        user: UserId = USER,
        **options: Any,
    ) -> JobView:
        """Submit one job and return it."""
        name = name or uuid4().hex[:8]
        request = JobRequest(slide=str(slide), out=str(self.folder / f"out-{name}"), **options)
        return self.submit_all(request, key=key or name, user=user)[0]

    def submit_all(
        self, *jobs: JobRequest, key: str | None = None, user: UserId = USER
    ) -> tuple[JobView, ...]:
        """Submit a workflow and return its jobs."""
        key = key or uuid4().hex[:8]
        prepared = prepare(Submission(jobs=jobs), user=user, key=key, config=self.config)
        return asyncio.run(self.gateway.submit(prepared)).jobs

    def until(
        self,
        job: JobId,
        reached: Callable[[JobView], bool],
        wait_s: float = 120.0,
        user: UserId = USER,
    ) -> JobView:
        """Watch a job until something holds of it; fails with the job's story if it ends else."""
        return asyncio.run(self._until(job, reached, wait_s, user))

    async def _until(
        self, job: JobId, reached: Callable[[JobView], bool], wait_s: float, user: UserId
    ) -> JobView:
        async with asyncio.timeout(wait_s):
            seen, view = await self.gateway.watch(user, job, -1, 0.0)
            while not reached(view):
                assert not view.state.is_final, f"the job ended as {view}"
                seen, view = await self.gateway.watch(user, job, seen)
            return view

    def finish(self, job: JobId, user: UserId = USER) -> JobView:
        """Watch a job until it has succeeded."""
        return self.until(job, lambda view: view.state is JobState.SUCCEEDED, user=user)

    def wait_for_lanes(self, number: int) -> None:
        """Return when so many lanes are open."""

        async def look() -> None:
            async with asyncio.timeout(120):
                while (await self.gateway.health()).lanes < number:
                    await asyncio.sleep(0.05)

        asyncio.run(look())


@contextmanager
def open_cluster(
    folder: Path,
    *,
    scheduling: dict[str, Any] | None = None,
    reuse_gb: float = 0.0,
    **cluster_settings: Any,
) -> Iterator[Cluster]:
    """A real Ray cluster with the real actor, on a state folder of its own. Unless told otherwise
    each job computes everything: tests submit the same slide again and again."""
    config = load_config(
        state=folder / "state",
        cluster={"lanes": 2, "address": None, **cluster_settings},
        scheduling=scheduling or {},
        reuse={"most_gb_per_user": reuse_gb},
    )
    with connect(config) as session:
        yield Cluster(config, session.gateway, folder)
