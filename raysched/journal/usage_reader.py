"""Asks the journal who used how much, on a connection of its own beside the writer's."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Final

import duckdb

from raysched.errors import ClusterError, LimitReached, RayschedError
from raysched.journal.codec import whole
from raysched.journal.statements import Statement, sql
from raysched.journal.usage import Known, Usage, Wanted

MOST_ROWS: Final = 20_000
"""Users times days of one report: more would be an answer that nobody reads."""


class UsageReader:
    """Reads beside the journal's own thread, which goes on writing meanwhile. Used once."""

    def __init__(
        self, cursor: duckdb.DuckDBPyConnection, fault: Callable[[duckdb.Error], RayschedError]
    ) -> None:
        self._cursor = cursor
        self._fault = fault
        self._is_stopped = False

    def rows(self, wanted: Wanted, known: Known) -> list[Usage]:
        """By day, then user. Raises ``LimitReached``, ``StorageFailed``, ``JournalDamaged``, and
        ``ClusterError`` when it was stopped."""
        names = {
            "since": wanted.since,
            "until": wanted.until,
            "user": wanted.user and whole(wanted.user),
            "end": known.end,
            "runs": known.runs,
            "most": MOST_ROWS + 1,
            **known.columns,
        }
        try:
            if self._is_stopped:  # before its turn came
                raise _stopped()
            found = self._cursor.execute(sql(Statement.USAGE), names).fetchall()
        except duckdb.InterruptException:
            raise _stopped() from None
        except duckdb.Error as error:
            raise self._fault(error) from error
        finally:
            self.close()
        if len(found) > MOST_ROWS:
            raise LimitReached(
                f"That is more than {MOST_ROWS:,} users and days at once.",
                remedy="Ask for fewer days, or for one user.",
                limit=MOST_ROWS,
            )
        return [Usage(*row) for row in found]

    def close(self) -> None:
        """Let the journal go; ``rows`` does so itself. Idempotent."""
        self._cursor.close()

    def stop(self) -> None:
        """End what ``rows`` does in another thread, at once, or will do once its turn comes."""
        self._is_stopped = True
        with suppress(duckdb.ConnectionException):  # it has just been closed there
            self._cursor.interrupt()


def _stopped() -> ClusterError:
    return ClusterError(
        "The report was stopped, because the scheduler is pausing.",
        remedy="Ask again in a moment.",
    )
