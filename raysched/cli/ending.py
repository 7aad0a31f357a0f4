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

    Make it before anything else registers exit functions, since the last one is called first.
    Without a code, or where standard output can't be written, the process ends as any other.
    """

    def __init__(self) -> None:
        self.code: int | None = None
        atexit.register(self._end)

    def _end(self) -> None:
        if self.code is not None:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(self.code)


def to_the_end(program: Callable[[], object]) -> None:
    """Run what this process is for; its exit code is the process's."""
    ending = Ending()
    try:
        program()
    except SystemExit as asked:
        if not isinstance(asked.code, str):
            ending.code = int(asked.code or 0)
        raise
    ending.code = 0


def leave(code: int) -> NoReturn:
    """End this process at once, whatever it does, with what it has written."""
    with contextlib.suppress(OSError):
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(code)
