"""What one event sets in motion: the commands it gives, and what has to be settled after it."""

from __future__ import annotations

from raysched.core.commands import Command
from raysched.core.model import BranchName, UserId
from raysched.core.state import Job


class Step:
    """Filled by the handler of one event, emptied by the scheduling cycle that follows it."""

    __slots__ = ("branches", "commands", "crowded", "users")

    def __init__(self) -> None:
        self.commands: list[Command] = []
        self.branches: dict[tuple[UserId, BranchName], None] = {}
        """Branches whose head may have changed, or may now have or have lost its unit."""
        self.users: dict[UserId, None] = {}
        """Users who may have to get, keep or give up a slot."""
        self.crowded: dict[UserId, None] = {}
        """Users with one more ended workflow: perhaps one too many to keep in memory."""

    def touch(self, job: Job) -> None:
        """Note that a job changed in a way that scheduling has to look at."""
        self.branches[(job.user, job.spec.branch)] = None
        self.users[job.user] = None
