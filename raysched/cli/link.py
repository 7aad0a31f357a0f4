"""What ``raysched up`` and the process of its service tell each other: a line of JSON each.

The service has the link in place of its standard input. When the link ends, the other has ended.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import socket
import threading
from collections.abc import Callable
from typing import Any, Final

PIECE: Final = 65536


class Link:
    """One end. Lines go out from any thread; one thread reads."""

    def __init__(self, end: socket.socket) -> None:
        self._end = end
        self._rest = b""
        self._one_at_a_time = threading.Lock()

    @classmethod
    def from_stdin(cls) -> Link:
        """The service's end. What it starts has an empty standard input."""
        end = socket.socket(fileno=os.dup(0))
        end.set_inheritable(False)
        empty = os.open(os.devnull, os.O_RDONLY)
        os.dup2(empty, 0)
        os.close(empty)
        return cls(end)

    def tell(self, **what: Any) -> None:
        """Send a line. Nothing happens when nobody is there any more."""
        with self._one_at_a_time, contextlib.suppress(OSError):
            self._end.sendall(json.dumps(what).encode() + b"\n")

    def heard(self, wait_s: float | None) -> list[dict[str, Any]] | None:
        """What has come, once something has or ``wait_s`` is over; None: the other has ended."""
        ready, _, _ = select.select([self._end], [], [], wait_s)
        if not ready:
            return []
        try:
            piece = self._end.recv(PIECE)
        except OSError:
            return None
        if not piece:
            return None
        *lines, self._rest = (self._rest + piece).split(b"\n")
        return [json.loads(line) for line in lines]

    def when_over(self, do: Callable[[], None]) -> None:
        """Do something once the other has ended; nothing else may be read then."""

        def wait() -> None:
            while self.heard(None) is not None:
                pass
            do()

        threading.Thread(target=wait, name="link", daemon=True).start()

    def close(self) -> None:
        """End the link."""
        self._end.close()
