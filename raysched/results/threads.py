"""Threads that a process keeps for its side work.

A thread of its own for each chunk would leave its buffers in another of the allocator's arenas
each time: 300 MB more for every worker in the end.
"""

from __future__ import annotations

import os
import threading
from concurrent.futures import ThreadPoolExecutor

_lock = threading.Lock()
_threads: dict[str, ThreadPoolExecutor] = {}
os.register_at_fork(after_in_child=_threads.clear)  # threads do not survive a fork


def thread(purpose: str) -> ThreadPoolExecutor:
    """The one thread of this process for a purpose."""
    with _lock:
        if purpose not in _threads:
            _threads[purpose] = ThreadPoolExecutor(1, thread_name_prefix=purpose)
        return _threads[purpose]
