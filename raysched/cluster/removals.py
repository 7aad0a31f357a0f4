"""Carrying out ``RemoveFiles``: in a thread, one after another, reported once all of it is gone."""

from __future__ import annotations

import asyncio
import logging

from raysched.cluster.job_log import delete_logs
from raysched.cluster.lanes import Report
from raysched.cluster.stores import object_store, removing_stored
from raysched.config import Config
from raysched.core.commands import RemoveFiles
from raysched.core.events import FilesRemoved
from raysched.core.model import JobId
from raysched.errors import ClusterError
from raysched.results.removal import remove_job_files

log = logging.getLogger(__name__)


class Removals:
    """The removals of one life. What a life does not get done the next one is told again."""

    def __init__(self, config: Config, report: Report) -> None:
        self._config = config
        self._results = config.results.absolute()
        self._store = object_store(config)
        self._report = report
        self._tasks: set[asyncio.Task[None]] = set()
        self._one_at_a_time = asyncio.Lock()

    def start(self, command: RemoveFiles) -> None:
        """Begin a removal."""
        task = asyncio.create_task(self._remove(command.jobs))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def abandon(self) -> None:
        """The life is over. A job whose removal has begun is removed whole."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _remove_all(self, job: JobId) -> None:
        from raysched.results.reviews import delete_reviews  # needs much; not for each start

        with removing_stored(job, self._store):
            remove_job_files(self._results, job)
        delete_logs(self._config, job)
        delete_reviews(self._config.reviews, job)

    async def _remove(self, jobs: tuple[JobId, ...]) -> None:
        gone = []
        async with self._one_at_a_time:
            for job in jobs:
                try:
                    await asyncio.to_thread(self._remove_all, job)
                except ClusterError as error:  # stays to be done: tried again at the next start
                    log.warning("The files of %s stay: %s", job, error.message)
                else:
                    gone.append(job)
        if gone:
            await self._report(lambda at: FilesRemoved(at, tuple(gone)))
