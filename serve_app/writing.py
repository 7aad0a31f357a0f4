"""From a request's body to the disk, never more than a part of it in memory here."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from serve_app.slides.uploads import Piece

WRITE_BYTES = 1024 * 1024
T = TypeVar("T")


class Writing:
    """A piece written by a thread of its own, so that the disk holds up nobody else, in the order
    of the calls, and to its end also when the request is cancelled in between."""

    def __init__(self, piece: Piece) -> None:
        self._piece = piece
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="piece")
        self._waiting = bytearray()
        self._is_open = False

    async def begin(self, offset: int) -> None:
        """As ``Piece.begin``; also when that is cancelled, ``close`` has to follow."""
        self._is_open = True
        try:
            await self._do(lambda: self._piece.begin(offset))
        except BaseException as error:
            self._is_open = isinstance(error, asyncio.CancelledError)
            self.close()
            raise

    async def write(self, some: bytes) -> None:
        """Take bytes; the disk gets them in larger parts."""
        self._waiting += some
        if len(self._waiting) >= WRITE_BYTES:
            part, self._waiting = bytes(self._waiting), bytearray()
            await self._do(lambda: self._piece.write(part))

    async def end(self) -> int:
        """As ``Piece.end``."""
        part, self._waiting = bytes(self._waiting), bytearray()
        if part:
            await self._do(lambda: self._piece.write(part))
        self._is_open = False
        return await self._do(self._piece.end)

    def close(self) -> None:
        """Keep what has arrived of a piece that did not come to its end. Does not wait."""
        if self._is_open:
            self._is_open = False
            self._thread.submit(self._give_up, bytes(self._waiting))
        self._thread.shutdown(wait=False)

    def _give_up(self, part: bytes) -> None:
        try:
            self._piece.write(part)
        finally:
            self._piece.give_up()

    async def _do(self, call: Callable[[], T]) -> T:
        return await asyncio.wrap_future(self._thread.submit(call))
