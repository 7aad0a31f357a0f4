"""Whose job a tile is of, from memory: a viewer asks for a hundred tiles of one job at a time.

What a replica remembers is where the job's files are, for whom and for a few seconds. That the
files are there is looked at each time, and a replica that was asked to delete them remembers
nothing of that user's, so deleted results are gone at once; the key is admitted by the actor each
time as ever. That a job has ended is learnt within a second.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from raysched.core.model import JobId, JobState, UserId
from raysched.core.views import JobView
from raysched.errors import NotReady, StorageFailed
from raysched.imaging.request import read_request
from raysched.results.viewing.sources import CellSource, Moved, moved
from raysched.results.viewing.viewer import Viewer
from serve_app.desk import Desk
from serve_app.doorman import Recent
from serve_app.results import cells_of

T = TypeVar("T")

FINISHED_S, RUNNING_S = 5.0, 1.0
"""How long it is remembered."""
PAUSES_S = (0.0, 0.05, 0.2, 0.5, 1.0)
"""Between looks at what is neither in one place nor in the other: a result is renamed, and what the
job had so far is removed piece by piece, a moment before the actor knows that it has ended."""


@dataclass(frozen=True, slots=True)
class Looked:
    """A job of somebody's, as far as a viewer needs it. ``folder``: its results, or what it has so
    far; None before it has anything. ``mpp``: as the request gave it. ``is_at_work``: it has
    chunks and has not ended, so there is a folder with its plan. ``complete``: it has
    succeeded; ``version`` names what it has, where that is not cells."""

    job: JobId
    slide: Path
    mpp: float | None
    folder: Path | None
    is_at_work: bool
    complete: bool
    version: str

    @classmethod
    def of(cls, view: JobView) -> Looked:
        """Raises ``NotFound`` where its results are gone."""
        request = read_request(view.kind, view.request)
        return cls(
            job=view.job,
            slide=Path(request.slide),
            mpp=request.mpp,
            folder=_folder(view),
            is_at_work=bool(view.chunks_total) and not view.state.is_final,
            complete=view.state is JobState.SUCCEEDED,
            version=view.checksum or "0",
        )


def _folder(view: JobView) -> Path | None:
    try:
        return cells_of(view)
    except NotReady:
        return None


class Looking:
    """The viewer of one replica, and what it remembers of whose jobs are looked at. Used within one
    event loop; the work itself is done in threads."""

    def __init__(
        self,
        clock: Callable[[], float] = time.monotonic,
        pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self.viewer = Viewer()
        self._clock = clock
        self._pause = pause
        self._known: Recent[tuple[UserId, str], tuple[float, Looked]] = Recent()

    async def at(self, at: Desk, job: str, work: Callable[[Looked, CellSource | None], T]) -> T:
        """What ``work`` makes, in a thread, of a job of the caller's and its cells, if it has any.
        Raises ``NotFound``, and what ``work`` raises."""
        for pause_s in PAUSES_S:
            looked = await self._looked(at, job)
            try:
                return await self._work(looked, work, must_be_there=looked.is_at_work)
            except (Moved, StorageFailed) as error:
                was_remembered = isinstance(error, Moved) and not pause_s
                if not looked.is_at_work and not was_remembered:
                    raise
            # It has ended, or its results were deleted: the actor knows, or will in a moment.
            self._known.forget((at.user, job))
            await self._pause(pause_s)
        return await self._work(await self._looked(at, job), work, must_be_there=False)

    def forget(self, user: UserId) -> None:
        """Remember nothing of a user's, who has just deleted something: its files go a moment later
        than the answer comes."""
        self._known.forget_those(lambda name: name[0] == user)

    async def _looked(self, at: Desk, job: str) -> Looked:
        until, known = self._known.get((at.user, job)) or (0.0, None)
        if known is not None and self._clock() < until:
            return known
        view = await at.job(JobId(job))
        looked = await asyncio.to_thread(Looked.of, view)
        if looked.folder is not None:  # what has nothing yet may have something the next moment
            keep_s = FINISHED_S if view.state is JobState.SUCCEEDED else RUNNING_S
            self._known.put((at.user, job), (self._clock() + keep_s, looked))
        return looked

    async def _work(
        self,
        looked: Looked,
        work: Callable[[Looked, CellSource | None], T],
        *,
        must_be_there: bool,
    ) -> T:
        def do() -> T:
            source = None
            if looked.folder is not None:
                source = self.viewer.source(looked.folder)
                if source is None and (must_be_there or not looked.folder.is_dir()):
                    raise moved()
            return work(looked, source)

        return await asyncio.to_thread(do)
