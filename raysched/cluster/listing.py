"""Pages of jobs and workflows, newest first, over what is in memory and what is in the archive.

A place in a listing is (time of submission, workflow, position in it), which nothing ever changes:
a page begins where the one before ended, whatever has moved to the archive or was deleted
meanwhile. Of each page so many jobs are looked at, at most; where few fit, a page may be short, or
empty, and lead on all the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import PurePath
from typing import TYPE_CHECKING, Final, Generic, NamedTuple, TypeVar

from pydantic_core import from_json

from raysched.core.commands import Retire
from raysched.core.model import JobState, UserId, WorkflowId
from raysched.core.scheduler import Scheduler
from raysched.core.state import Job, Workflow
from raysched.core.views import JobView, WorkflowView
from raysched.journal.entries import Archived
from raysched.journal.journal import Journal

if TYPE_CHECKING:
    from raysched.cluster.life import Life

T = TypeVar("T")

PAGE_MOST: Final = 500
LOOK_AT_MOST: Final = 2_000
"""Jobs that are looked at for one page, in memory and in the archive each."""
NO_JOBS: Final = slice(0, 0)


class Place(NamedTuple):
    """Where something stands in a listing; the larger, the newer."""

    submitted_at: float
    workflow: WorkflowId
    job: int = 0


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """One page. ``next``: what the page after it is asked with; None when there is none."""

    items: tuple[T, ...]
    next: Place | None


@dataclass(frozen=True, slots=True)
class JobQuery:
    """Which jobs are wanted; None: all. ``slide``: part of its file's name, in any case."""

    state: JobState | None = None
    open: bool | None = None
    branch: str | None = None
    kind: str | None = None
    slide: str | None = None
    workflow: WorkflowId | None = None

    @property
    def may_be_old(self) -> bool:
        """Whether any that fits can be in the archive, where all has ended."""
        return self.open is not True and (self.state is None or self.state.is_final)

    def fits(self, job: Job) -> bool:
        """Whether a job is wanted."""
        return (
            (self.state is None or job.state is self.state)
            and (self.open is None or job.state.is_final is not self.open)
            and (self.branch is None or job.spec.branch == self.branch)
            and (self.kind is None or job.spec.kind == self.kind)
            and (self.slide is None or self.slide.lower() in _slide_name(job).lower())
        )


@dataclass(frozen=True, slots=True)
class WorkflowQuery:
    """Which workflows are wanted; None: all. ``name``: part of it, in any case."""

    open: bool | None = None
    name: str | None = None

    def fits(self, workflow: Workflow, *, is_open: bool) -> bool:
        """Whether a workflow is wanted."""
        named = self.name is None or self.name.lower() in workflow.name.lower()
        return named and self.open in (None, is_open)


def _slide_name(job: Job) -> str:
    return PurePath(from_json(job.spec.request)["slide"]).name


@dataclass(slots=True)
class _Part(Generic[T]):
    """What one of the two has. ``floor``: down to there all was looked at; None: to the end."""

    found: list[tuple[Place, T]]
    floor: Place | None = None


Steps = Iterator[tuple[Place, int, Callable[[], T | None]]]
"""Places from the newest on, with how many jobs each costs to look at, and what it gives."""


def _look(steps: Steps[T], most: int) -> _Part[T]:
    """Look until there are ``most``, or enough was looked at. The first is always looked at."""
    part: _Part[T] = _Part([])
    looked, last = 0, None
    for place, cost, look in steps:
        if len(part.found) == most or (looked and looked + cost > LOOK_AT_MOST):
            part.floor = last
            break
        looked, last = looked + cost, place
        item = look()
        if item is not None:
            part.found.append((place, item))
    return part


def _page(parts: Iterable[_Part[T]], most: int) -> Page[T]:
    """One listing of both, down to where both were looked at. What has moved is shown once."""
    parts = list(parts)
    floor = max((part.floor for part in parts if part.floor is not None), default=None)
    found = {place: item for part in parts for place, item in part.found}
    places = sorted((p for p in found if floor is None or p >= floor), reverse=True)
    shown = places[:most]
    after = shown[-1] if len(places) > most else floor
    return Page(tuple(found[place] for place in shown), after)


# --- jobs -----------------------------------------------------------------------------------------


async def list_jobs(
    life: Life, user: UserId, query: JobQuery, after: Place | None, most: int
) -> Page[JobView]:
    """A page of a user's jobs. Memory is read first: what leaves it meanwhile is in the archive
    then, and shown once."""
    await life.settled()
    steps = _jobs_in_memory(life, user, query, after)
    parts = [_look(steps, most + 1)]
    if query.may_be_old and life.core.has_retired(user):
        past = _Past(life, user, after, query.workflow)
        parts.insert(0, await life.read(lambda journal: past.jobs(journal, query, most + 1)))
    return _page(parts, most)


def _jobs_in_memory(
    life: Life, user: UserId, query: JobQuery, after: Place | None
) -> Steps[JobView]:
    for workflow in life.core.workflows_of(user):
        if query.workflow in (None, workflow.workflow):
            yield from _steps(life.core, workflow, query, after, life.now())


def _steps(
    core: Scheduler, workflow: Workflow, query: JobQuery, after: Place | None, now: float
) -> Steps[JobView]:
    jobs = core.state.jobs
    for number in reversed(range(_left(workflow, after))):
        job = jobs[workflow.jobs[number]]

        def look(job: Job = job) -> JobView | None:
            return core.job_view(None, job.id, now) if query.fits(job) else None

        yield Place(workflow.submitted_at, workflow.workflow, number), 1, look


def _left(workflow: Workflow, after: Place | None) -> int:
    """How many jobs of a workflow come after a place: the first so many."""
    here = (workflow.submitted_at, workflow.workflow)
    if after is None or here < after[:2]:
        return len(workflow.jobs)
    return after.job if here == after[:2] else 0


# --- workflows ------------------------------------------------------------------------------------


async def list_workflows(
    life: Life, user: UserId, query: WorkflowQuery, after: Place | None, most: int
) -> Page[WorkflowView]:
    """A page of a user's workflows, without their jobs. As ``list_jobs``."""
    await life.settled()
    parts = [_look(_workflows_in_memory(life, user, query, after), most + 1)]
    if query.open is not True and life.core.has_retired(user):
        past = _Past(life, user, after, None)
        parts.insert(0, await life.read(lambda journal: past.workflows(journal, query, most + 1)))
    return _page(parts, most)


def _workflows_in_memory(
    life: Life, user: UserId, query: WorkflowQuery, after: Place | None
) -> Steps[WorkflowView]:
    core, now = life.core, life.now()
    for workflow in core.workflows_of(user):
        place = Place(workflow.submitted_at, workflow.workflow)
        if after is not None and place >= after:
            continue

        def look(workflow: Workflow = workflow) -> WorkflowView | None:
            is_open = workflow.workflow in core.state.unfinished
            if not query.fits(workflow, is_open=is_open):
                return None
            return core.workflow_view(None, workflow.workflow, now, NO_JOBS)

        yield place, len(workflow.jobs), look


# --- the archive ----------------------------------------------------------------------------------


class _Past:
    """What a user has in the archive from a place on; read in the journal's thread."""

    def __init__(
        self, life: Life, user: UserId, after: Place | None, only: WorkflowId | None
    ) -> None:
        self._user, self._after, self._only = user, after, only
        self._cleared = dict(life.core.cleared_by(user))
        self._deleted = life.core.deleted_by(user)

    def jobs(self, journal: Journal, query: JobQuery, most: int) -> _Part[JobView]:
        """Those that are wanted."""

        def steps() -> Steps[JobView]:
            for retired in self._read(journal, most):
                core = Scheduler.of_retired(retired, self._cleared)
                at = retired.workflow.submitted_at
                yield from _steps(core, retired.workflow, query, self._after, at)

        return _look(steps(), most)

    def workflows(self, journal: Journal, query: WorkflowQuery, most: int) -> _Part[WorkflowView]:
        """Those that are wanted."""

        def steps() -> Steps[WorkflowView]:
            for retired in self._read(journal, most):
                workflow = retired.workflow
                place = Place(workflow.submitted_at, workflow.workflow)
                if self._after is not None and place >= self._after:
                    continue

                def look(retired: Retire = retired) -> WorkflowView | None:
                    workflow = retired.workflow
                    if not query.fits(workflow, is_open=False):
                        return None
                    core = Scheduler.of_retired(retired, self._cleared)
                    at = workflow.submitted_at
                    return core.workflow_view(None, workflow.workflow, at, NO_JOBS)

                yield place, len(workflow.jobs), look

        return _look(steps(), most)

    def _read(self, journal: Journal, most: int) -> Iterator[Retire]:
        """Workflows from the newest on. A few are read at a time, as many as may be needed: one
        body may be megabytes."""
        until = None if self._after is None else self._after[:2]
        for batch in journal.archived_index(self._user, until, self._deleted, self._only):
            few: list[Archived] = []
            for row in batch:
                few.append(row)
                if sum(each.jobs for each in few) >= most:
                    yield from journal.archived_rows(few)
                    few = []
            if few:
                yield from journal.archived_rows(few)
