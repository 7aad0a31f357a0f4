"""Reports over the journal, beside its writer: one at a time, in a thread of their own."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

from raysched.errors import Busy
from raysched.journal.usage import Known, Usage, Wanted
from raysched.journal.usage_reader import UsageReader

MOST_WAITING = 8
"""A report over a million events takes two seconds; so the last in line waits for a quarter of a
minute."""


class Reports:
    """The reports that one life makes."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="reports")
        self._readers: dict[UsageReader, None] = {}
        self._asked = 0

    @contextmanager
    def turn(self) -> Iterator[None]:
        """A place in the line. Raises ``Busy`` when it is long already."""
        if self._asked >= MOST_WAITING:
            raise Busy(
                f"{self._asked} usage reports are being made already.",
                remedy="Ask again in a minute.",
            )
        self._asked += 1
        try:
            yield
        finally:
            self._asked -= 1

    async def rows(self, reader: UsageReader, wanted: Wanted, known: Known) -> list[Usage]:
        """See ``UsageReader.rows``."""
        self._readers[reader] = None
        loop = asyncio.get_running_loop()
        work = loop.run_in_executor(self._thread, reader.rows, wanted, known)
        # Whoever asked may be gone; the reader is closed by its thread all the same.
        work.add_done_callback(lambda _: self._readers.pop(reader, None))
        return await asyncio.shield(work)

    async def end(self) -> None:
        """Stop all reports and wait until none reads any more: the journal can be closed then."""
        for reader in self._readers:
            reader.stop()
        await asyncio.to_thread(self._thread.shutdown)
