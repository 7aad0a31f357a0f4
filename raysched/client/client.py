"""``Client``: one service, asked with one key."""

from __future__ import annotations

from types import TracebackType
from typing import Self

from raysched.client.accounts import AccountVerbs
from raysched.client.cluster import ClusterVerbs
from raysched.client.jobs import JobVerbs
from raysched.client.reports import ReportVerbs
from raysched.client.results import ResultVerbs
from raysched.client.slides import SlideVerbs
from raysched.client.wire import Wire


class Client(JobVerbs, ResultVerbs, SlideVerbs, ReportVerbs, AccountVerbs, ClusterVerbs):
    """Asks a raysched service over HTTP, with the verbs of the command line.

    Args:
        url: where it is, ``https://raysched.example.org``.
        key: a key of yours, ``rsk_ID_SECRET``.
        act_for: the id of another user to act for, with an administrator's key.
        patience_s: how long a service that does not answer, or is busy, is waited for.

    Every error is the ``RayschedError`` that was raised in the service, with its message, remedy
    and facts; ``ClusterUnreachable`` when nobody answers. Answers are frozen pydantic models.
    What changes something carries an idempotency key, so that it is done once however often it had
    to be sent. Safe to share between threads; use it as a context manager, or ``close`` it.
    """

    def __init__(
        self, url: str, key: str, *, act_for: str | None = None, patience_s: float = 60.0
    ) -> None:
        self._wire = Wire(url, key, act_for=act_for, patience_s=patience_s)

    @property
    def url(self) -> str:
        """Where the service is."""
        return self._wire.url

    def close(self) -> None:
        """Close the connections."""
        self._wire.close()

    def __enter__(self) -> Self:
        """As a context manager it closes itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """See ``close``."""
        self.close()
