"""Threads of a replica, shared out among users: what one user lets work there never keeps another's
from beginning.

Serve gives a replica that reserves no CPU a pool of five threads, first come, first served: five
workflows of many slides, or five comparisons of results, and nobody else would be answered until
they are done. Here each user has so many at work at once, and the rest of theirs waits in a line of
its own. Whose a call is says the context that it comes from, so ``asyncio.to_thread`` is all that
handlers need. A call counts until it has ended, also when whoever asked has gone.
"""

from __future__ import annotations

import asyncio
import threading
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, ParamSpec, TypeVar

from raysched.core.model import UserId

MOST = 32
MOST_PER_USER = 4
P = ParamSpec("P")
T = TypeVar("T")

WORKING_FOR: ContextVar[UserId | None] = ContextVar("working_for", default=None)


@contextmanager
def working_for(user: UserId | None) -> Iterator[None]:
    """Whose the calls made inside are; None: of nobody in particular, who count as one user."""
    token = WORKING_FOR.set(user)
    try:
        yield
    finally:
        WORKING_FOR.reset(token)


class FairThreads(ThreadPoolExecutor):
    """A pool in which a user has at most ``per_user`` calls at work."""

    def __init__(self, most: int = MOST, per_user: int = MOST_PER_USER) -> None:
        super().__init__(most, thread_name_prefix="fair")
        self._per_user = per_user
        self._lock = threading.Lock()
        self._at_work: Counter[UserId | None] = Counter()
        self._waiting: defaultdict[UserId | None, deque[Call]] = defaultdict(deque)

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """As every executor's; whose it is says ``working_for``."""
        user, future = WORKING_FOR.get(), Future[T]()
        call = Call(future, lambda: fn(*args, **kwargs))
        with self._lock:
            if self._at_work[user] >= self._per_user:
                self._waiting[user].append(call)
                return future
            self._at_work[user] += 1
        super().submit(self._work, user, call)
        return future

    def _work(self, user: UserId | None, call: Call) -> None:
        try:
            call()
        finally:
            self._go_on(user)

    def _go_on(self, user: UserId | None) -> None:
        """The user's next call goes to the end of everybody's line."""
        with self._lock:
            following = self._waiting[user].popleft() if self._waiting[user] else None
            if following is None:
                self._at_work[user] -= 1
                del self._waiting[user]
                if not self._at_work[user]:
                    del self._at_work[user]
        if following is not None:
            try:
                super().submit(self._work, user, following)
            except RuntimeError:  # the pool is being shut down
                following.future.cancel()
                self._go_on(user)


class Call:
    """Something to do, and who hears of it."""

    def __init__(self, future: Future[Any], do: Callable[[], Any]) -> None:
        self.future = future
        self._do = do

    def __call__(self) -> None:
        """Do it, unless nobody waits for it any more."""
        if not self.future.set_running_or_notify_cancel():
            return
        try:
            done = self._do()
        except BaseException as error:  # noqa: BLE001 - carried to whoever waits
            self.future.set_exception(error)
        else:
            self.future.set_result(done)


class Sharing:
    """Sees to it that the event loop in which requests are answered shares its threads out."""

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None

    def begin(self) -> None:
        """Within the loop, as often as one likes."""
        loop = asyncio.get_running_loop()
        if loop is not self._loop:
            self._loop = loop
            loop.set_default_executor(FairThreads())
