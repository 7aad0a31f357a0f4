"""What one event sets in motion: the commands it gives, and what has to be settled after it."""

from __future__ import annotations

from raysched.core.commands import Command
from raysched.core.model import BranchName, JobId, UserId, WorkflowId
from raysched.core.state import Job


class Step:
    """Filled by the handler of one event, emptied by the scheduling cycle that follows it."""

    __slots__ = ("branches", "commands", "crowded", "jobs", "users", "workflows")

    def __init__(self) -> None:
        self.commands: list[Command] = []
        self.branches: dict[tuple[UserId, BranchName], None] = {}
        """Branches whose head may have changed, or may now have or have lost its unit."""
        self.jobs: dict[JobId, UserId] = {}
        """Jobs that look otherwise than before to their owner."""
        self.workflows: dict[WorkflowId, UserId] = {}
        """Workflows that were deleted."""
        self.users: dict[UserId, None] = {}
        """Users who may have to get, keep or give up a slot."""
        self.crowded: dict[UserId, None] = {}
        """Users with one more ended workflow: perhaps one too many to keep in memory."""

    def touch(self, job: Job) -> None:
        """Note that a job changed in a way that scheduling has to look at."""
        self.branches[(job.user, job.spec.branch)] = None
        self.users[job.user] = None
        self.jobs[job.spec.job] = job.user

    def show(self, job: Job) -> None:
        """Note that a job looks otherwise to its owner, whether scheduling has to look or not."""
        self.jobs[job.spec.job] = job.user
