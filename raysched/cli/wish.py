"""What somebody at the command line wants done.

It is checked before Ray is asked, so that what can be refused without it is, and again where the
service has another state folder: there it keeps results that are to go nowhere else.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from raysched.core.model import LOCAL_USER

if TYPE_CHECKING:
    from raysched.cluster.gateway import Gateway
    from raysched.cluster.submission import Prepared, Submission
    from raysched.config import Config


@dataclass(frozen=True, slots=True)
class Wish:
    """A submission of the local user that nothing speaks against so far."""

    submission: Submission
    key: str
    config: Config
    prepared: Prepared

    @classmethod
    def of(cls, submission: Submission, key: str, config: Config) -> Wish:
        """Raises as ``cluster.submission.prepare``."""
        from raysched.cluster.submission import prepare

        prepared = prepare(submission, user=LOCAL_USER, key=key, config=config)
        return cls(submission, key, config, prepared)

    async def at(self, gateway: Gateway) -> Wish:
        """As the service behind a gateway takes it."""
        state = (await gateway.health()).state
        if state == str(self.config.state):
            return self
        return Wish.of(self.submission, self.key, self.config.at(state))
