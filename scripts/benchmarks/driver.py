"""Feeds a scheduler with jobs that all go well, and writes what it decides as the actor does."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import replace

from raysched.core.commands import Retire, RunUnit
from raysched.core.events import (
    ChunkFinished,
    Event,
    LaneOpened,
    ResultAssembled,
    ResultPublished,
    SchedulerStarted,
    SlidePlanned,
    WorkflowSubmitted,
)
from raysched.core.limits import Limits
from raysched.core.model import LaneId, PlanFacts, RunId, Stage, UserId, WorkflowId
from raysched.core.scheduler import Scheduler
from raysched.journal.entries import Entry
from raysched.journal.journal import Journal
from raysched.journal.snapshots import frozen, save_snapshot
from raysched.testing import job

LANES = 16
ROOMY = Limits(max_running_jobs=LANES, max_active_users=10, max_jobs_per_user=1_000_000)
REQUEST = '{"slide":"/slides/a/case-0001.svs","out":"/results/a/case-0001","tile_px":1024}'
GROUP = 2048
SNAPSHOT_EVENTS = 20_000
"""As often as the actor does."""


class Driver:
    """Feeds a scheduler: what it starts has ended well a second later, one event after another."""

    def __init__(self, journal: Journal | None = None) -> None:
        self.core = Scheduler(ROOMY)
        self.journal = journal
        self._entries: list[Entry] = []
        self._snapshot_at = 0
        self.handled = 0
        self._due: deque[RunUnit] = deque()
        self._workflows = 0
        self.tell(SchedulerStarted(0.0, 1, ROOMY))
        for number in range(LANES):
            self.tell(LaneOpened(0.0, LaneId(f"lane-{number}")))

    def tell(self, event: Event) -> None:
        self.handled += 1
        commands = self.core.handle(event)
        for command in commands:
            if type(command) is RunUnit:
                self._due.append(command)
        if self.journal is not None:
            retired = tuple(command for command in commands if isinstance(command, Retire))
            self._entries.append(Entry(event, None, self.core.decided(commands), retired))
            if len(self._entries) >= GROUP:
                self.write(self.journal)

    def write(self, journal: Journal) -> None:
        """Make all so far durable, and a snapshot when one is due."""
        journal.append(self._entries)
        self._entries = []
        if len(journal) - self._snapshot_at >= SNAPSHOT_EVENTS:
            self._snapshot_at = len(journal)
            save_snapshot(journal, len(journal), frozen(self.core.state))

    def submit(self, jobs: int, users: int) -> None:
        """Take in workflows of so many jobs."""
        for event in self.workflows(jobs, users):
            self.tell(event)

    def workflows(self, jobs: int, users: int, per_workflow: int = 10) -> list[Event]:
        """Workflows of ten jobs in two branches, in turn for each user."""
        made: list[Event] = []
        for _ in range(jobs // per_workflow):
            self._workflows += 1
            name = f"w{self._workflows}"
            specs = tuple(
                replace(job(f"{name}-{n}", f"b{n % 2}"), request=REQUEST)
                for n in range(per_workflow)
            )
            user = UserId(f"user-{self._workflows % users}")
            made.append(WorkflowSubmitted(1.0, user, name, WorkflowId(name), "w", specs))
        return made

    def work(self, most: float = float("inf")) -> None:
        """End what runs, until nothing does or ``most`` events were told."""
        due, until = self._due, self.handled + most
        while due and self.handled < until:
            command = due.popleft()
            self.tell(ENDS[command.unit.stage](command.run))


ENDS: dict[Stage, Callable[[RunId], Event]] = {
    Stage.PLAN: lambda run: SlidePlanned(2.0, run, 1.0, PlanFacts("f", (2,))),
    Stage.SEGMENT: lambda run: ChunkFinished(2.0, run, 1.0, 10, 0, "c"),
    Stage.ASSEMBLE: lambda run: ResultAssembled(2.0, run, 1.0, 10),
    Stage.PUBLISH: lambda run: ResultPublished(2.0, run, 1.0, 10, "c" * 64),
}
