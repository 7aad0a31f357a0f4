"""Threads that a process keeps for its side work.

A thread of its own for each chunk would leave its buffers in another of the allocator's arenas
each time: 300 MB more for every worker in the end.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import cache


@cache
def thread(purpose: str) -> ThreadPoolExecutor:
    """The one thread of this process for a purpose."""
    return ThreadPoolExecutor(1, thread_name_prefix=purpose)
