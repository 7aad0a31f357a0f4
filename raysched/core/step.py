"""What one event sets in motion: the commands it gives, and what has to be settled after it."""

from __future__ import annotations

from dataclasses import dataclass, field

from raysched.core.commands import Command
from raysched.core.model import BranchName, UserId
from raysched.core.state import Job


@dataclass(slots=True)
class Step:
    """Filled by the handler of one event, emptied by the scheduling cycle that follows it."""

    commands: list[Command] = field(default_factory=list)
    branches: dict[tuple[UserId, BranchName], None] = field(default_factory=dict)
    """Branches whose head may have changed, or may now have or have lost its unit."""
    users: dict[UserId, None] = field(default_factory=dict)
    """Users who may have to get, keep or give up a slot."""

    crowded: dict[UserId, None] = field(default_factory=dict)
    """Users with one more ended workflow: perhaps one too many to keep in memory."""

    def touch(self, job: Job) -> None:
        """Note that a job changed in a way that scheduling has to look at."""
        self.branches[(job.user, job.spec.branch)] = None
        self.users[job.user] = None
