"""How a process of the command line ends."""

from __future__ import annotations

import atexit
import contextlib
import os
import sys
from collections.abc import Callable
from typing import NoReturn


class Ending:
    """Ends this process with ``code`` once Python has done what it does at an end, before the C
    library tears down what threads of native libraries still use.

    Threads of Ray outlive ``ray.shutdown``, more of them where Serve was used: now and then one met
    an object that was gone, and what had succeeded ended in a segmentation fault. Ray's own workers
    leave in this way, too.

    Make it early: exit functions that are registered before are not called. Without a code, where
    an error was caught by nobody, or where standard output can't be written, the process ends as
    any other.
    """

    def __init__(self) -> None:
        self.code: int | None = None
        atexit.register(self._end)

    def _end(self) -> None:
        if self.code is None or getattr(sys, "last_value", None) is not None:
            return
        _flush()
        os._exit(self.code)


def to_the_end(program: Callable[[], object]) -> None:
    """Run what this process is for; its exit code is the process's."""
    ending = Ending()
    try:
        program()
    except SystemExit as asked:
        if asked.code is None or isinstance(asked.code, int):
            ending.code = asked.code or 0
        raise
    ending.code = 0


def leave(code: int) -> NoReturn:
    """End this process at once, whatever it does, with what it has written."""
    with contextlib.suppress(OSError, ValueError):
        _flush()
    os._exit(code)


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:  # it may have been closed before this process began
            stream.flush()
