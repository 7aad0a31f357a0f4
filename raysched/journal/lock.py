"""One writer at a time: the lock on the state folder.

An advisory ``flock`` on ``journal.lock``, which the kernel drops when its holder dies, however it
dies. DuckDB's own lock on its file is not enough: it does not hold against a second opening within
one process, and the process loses it when it closes any other handle of that file. The lock file
is never removed, since removing it while another waits would let two in. Whoever holds the lock,
and nobody else, may create, write, move or remove files of the journal.
"""

from __future__ import annotations

import fcntl
import os
import socket
import time
from pathlib import Path
from typing import Final, TextIO

from raysched.journal.faults import locked

LOCK_NAME: Final = "journal.lock"
POLL_S: Final = 0.05


class FolderLock:
    """Held from ``take`` until ``release`` or the end of the process."""

    def __init__(self, file: TextIO) -> None:
        self._file = file

    @classmethod
    def take(cls, folder: Path, deadline: float) -> FolderLock:
        """Wait for the lock until ``deadline`` (``time.monotonic``).

        Raises ``StateLocked`` with the holder, or ``OSError`` when the folder cannot be locked.
        """
        path = folder / LOCK_NAME
        file = path.open("a+", encoding="utf-8")
        try:
            _wait(file, folder, deadline)
            file.truncate(0)
            file.write(f"process {os.getpid()} on {socket.gethostname()}\n")
            file.flush()
        except BaseException:
            file.close()
            raise
        return cls(file)

    def release(self) -> None:
        """Let the next one in. Idempotent."""
        self._file.close()


def _wait(file: TextIO, folder: Path, deadline: float) -> None:
    while not _try(file):
        if time.monotonic() >= deadline:
            file.seek(0)
            raise locked(folder, file.read().strip() or None)
        time.sleep(POLL_S)


def _try(file: TextIO) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
