"""What a client asks of usage, dry runs and what jobs said."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Any

from raysched.client.wire import Call, Wire, at
from serve_app.log_models import JobLog
from serve_app.report_models import UsageReport


class ReportVerbs:
    """Verbs of ``Client``."""

    _wire: Wire

    def log(
        self, job: str, *, cursor: str | None = None, level: str = "debug", page: int = 500
    ) -> JobLog:
        """A page of what the engine said and what the system did for a job, oldest first; ``next``
        of the last page goes on, also later. Raises ``NotFound``."""
        params = given(cursor=cursor, level=level, limit=page)
        return self._wire.ask(
            JobLog, Call(method="GET", path=at("jobs", job, "log"), params=params)
        )

    def my_usage(self, *, since: date | None = None, until: date | None = None) -> UsageReport:
        """What you used on each day (UTC); 30 days, up to today, unless you say otherwise."""
        params = given(since=since, until=until)
        return self._wire.ask(UsageReport, Call(method="GET", path="/me/usage", params=params))

    def usage(
        self, *, since: date | None = None, until: date | None = None, user: str | None = None
    ) -> UsageReport:
        """What each user used on each day. For administrators."""
        params = given(since=since, until=until, user=user)
        return self._wire.ask(UsageReport, Call(method="GET", path="/usage", params=params))


def given(**params: Any) -> Mapping[str, str]:
    """The parameters that have a value."""
    return {name: str(value) for name, value in params.items() if value is not None}
