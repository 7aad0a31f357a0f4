"""Pages over memory and archive are one listing, whatever moves between them meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TypeVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from raysched.cluster import listing
from raysched.cluster.listing import JobQuery, Place, WorkflowQuery, list_jobs, list_workflows
from raysched.core.commands import Command, Retire
from raysched.core.events import Event, WorkflowDeleted
from raysched.core.limits import Limits
from raysched.core.model import JobId, UserId, WorkflowId
from raysched.core.scheduler import Scheduler
from raysched.journal.entries import Entry
from raysched.journal.journal import Journal
from raysched.testing import FakeCluster, job

T = TypeVar("T")
ANN = UserId("ann")
ALL = JobQuery()


class Service:
    """What a listing needs of a life: the core and the journal, in virtual time."""

    def __init__(self, folder: Path, kept: int) -> None:
        self.journal = Journal.open(folder)
        self.journal.next_epoch()
        self._entries: list[Entry] = []
        limits = Limits(max_ended_jobs_per_user=kept, max_jobs_per_user=10_000)
        self.cluster = FakeCluster(limits, lanes=4, record=self._write)
        self.core: Scheduler = self.cluster.core
        self.submitted: list[list[str]] = []
        self.names: dict[str, list[str]] = {}

    def _write(self, core: Scheduler, event: Event, commands: list[Command]) -> None:
        retired = tuple(command for command in commands if isinstance(command, Retire))
        self._entries.append(Entry(event, None, core.decided(commands), retired))

    def now(self) -> float:
        return self.cluster.now

    async def settled(self) -> None:
        pass

    async def read(self, work: Callable[[Journal], T]) -> T:
        self.journal.append(self._entries)
        self._entries.clear()
        return work(self.journal)

    def submit(self, jobs: int, user: str = "ann") -> None:
        number = self.cluster.submissions
        names = [f"{user}-{number}-{each}" for each in range(jobs)]
        self.cluster.submit(user, *(job(name, "xy"[number % 2]) for name in names))
        if user == "ann":
            self.submitted.append(names)
            self.names[f"w{number + 1}"] = names

    def delete(self, number: int) -> None:
        workflow, names = WorkflowId(f"w{number + 1}"), self.submitted[number]
        key = f"key-{number + 1}"
        self.cluster.tell(
            WorkflowDeleted(self.cluster.now, ANN, workflow, key, tuple(map(JobId, names)))
        )


async def jobs_of(
    service: Service, most: int, query: JobQuery = ALL, between: Callable[[], None] = int
) -> list[str]:
    """All pages, with something happening in between."""
    found: list[str] = []
    after: Place | None = None
    for _ in range(10_000):
        page = await list_jobs(service, ANN, query, after, most)  # type: ignore[arg-type]
        assert len(page.items) <= most
        found += [view.job for view in page.items]
        if page.next is None:
            return found
        assert after is None or page.next < after
        after = page.next
        between()
    raise AssertionError("it never ends")


SIZES = st.lists(st.integers(1, 4), min_size=1, max_size=12)


@settings(max_examples=30)
@given(sizes=SIZES, kept=st.integers(1, 8), most=st.integers(1, 7), look=st.integers(1, 9))
def test_all_pages_together_are_all_jobs_newest_first_however_little_is_looked_at(
    sizes: list[int], kept: int, most: int, look: int
) -> None:
    usual, listing.LOOK_AT_MOST = listing.LOOK_AT_MOST, look  # type: ignore[misc]
    try:
        with TemporaryDirectory() as folder:
            service = Service(Path(folder), kept)
            for size in sizes:
                service.submit(size)
                service.submit(2)  # in the same moment; of w9 and w10 the second is the less
                for _ in range(2):
                    service.submit(1, "bob")
                service.cluster.run(3)
            wanted = sorted(
                (view.submitted_at, view.workflow, service.names[view.workflow])
                for view in asyncio.run(workflows_of(service, most))
            )
            names = [name for *_, each in wanted for name in each]
            found = asyncio.run(jobs_of(service, most, between=lambda: service.cluster.run(2)))
            assert found == names[::-1]
            assert sorted(found) == sorted(name for each in service.submitted for name in each)
            service.journal.close()
    finally:
        listing.LOOK_AT_MOST = usual  # type: ignore[misc]


async def workflows_of(service: Service, most: int) -> list[listing.WorkflowView]:
    found: list[listing.WorkflowView] = []
    after: Place | None = None
    while True:
        page = await list_workflows(  # type: ignore[arg-type]
            service, ANN, WorkflowQuery(), after, most
        )
        found += page.items
        if page.next is None:
            return found
        after = page.next


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    service = Service(tmp_path, kept=2)
    yield service
    service.journal.close()


def test_what_is_deleted_in_memory_or_in_the_archive_is_listed_no_more(service: Service) -> None:
    for size in (1, 2, 3, 1, 1):
        service.submit(size)
        service.cluster.run()
    assert len(service.core.state.jobs) == 2
    for number in (1, 4):
        service.delete(number)
    left = [name for number in (0, 2, 3) for name in service.submitted[number]][::-1]
    assert asyncio.run(jobs_of(service, 2)) == left
    assert [view.workflow for view in asyncio.run(workflows_of(service, 1))] == ["w4", "w3", "w1"]


def test_a_filter_finds_old_and_new_alike(service: Service) -> None:
    for size in (1, 2, 3, 1, 1):
        service.submit(size)
        service.cluster.run()
    in_x = [name for number in (0, 2, 4) for name in service.submitted[number]][::-1]
    assert asyncio.run(jobs_of(service, 2, JobQuery(branch="x"))) == in_x
    only = JobQuery(workflow=WorkflowId("w3"))
    assert asyncio.run(jobs_of(service, 2, only)) == service.submitted[2][::-1]
    assert asyncio.run(jobs_of(service, 2, JobQuery(open=True))) == []
