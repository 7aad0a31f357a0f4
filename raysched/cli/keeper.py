"""``raysched up`` keeps its service up: this process starts it in another, and again when it ends.

The service runs Ray, the scheduler and HTTP (``raysched.cli.kept``). When it ends, or no longer
says that all is well, whatever is left of it is ended and it is started again on the same state
folder and port, after a pause that grows. Nothing here imports Ray: what keeps others up is small.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import FrameType
from typing import Any, Final

from raysched import __version__
from raysched.cli.link import Link
from raysched.cli.voice import Voice, lasting
from raysched.cluster import processes
from raysched.cluster.record import Keeper, UpLock
from raysched.config import Config
from raysched.errors import ClusterError, ClusterUnreachable

KEPT: Final = "from raysched.cli.kept import main; main()"
"""Not as a module by ``-m``: Ray would put that module's folder before all others in workers."""
POLL_S: Final = 0.2
START_S: Final = 900.0
"""Without a word while it starts; a journal that is read back says how far it has come."""
STOP_S: Final = 60.0
REAP_S: Final = 5.0
QUICK_S: Final = 60.0
MOST_QUICK: Final = 5
MOST_PAUSE_S: Final = 30.0
BROKEN_EXIT_CODE: Final = 75
"""Of the service's process: the cluster is gone."""


@dataclass(frozen=True, slots=True)
class Means:
    """What is kept up, and how patiently. ``silent_s``: without a word that all is well for so long
    the service hangs, or Ray does; ``pause_s``: before the first of several new starts."""

    command: tuple[str, ...] = (sys.executable, "-P", "-c", KEPT)
    silent_s: float = 45.0
    pause_s: float = 1.0


DEFAULT_MEANS: Final = Means()


@dataclass(slots=True)
class Running:
    """One process of the service. ``up_at``: since when it serves; monotonic seconds all."""

    process: subprocess.Popen[bytes]
    link: Link
    mark: str
    strangers: frozenset[Any]
    """What this process had started before it was a keeper: a shell may have become it."""
    started_at: float = field(default_factory=time.monotonic)
    beat_at: float = field(default_factory=time.monotonic)
    up_at: float | None = None
    why: str | None = None
    refused: str | None = None
    """It has said itself what keeps it from serving, as it was asked to: the code of the error."""
    replaced: bool = False
    """Somebody else has closed its scheduler: it is not wanted any more."""

    def left(self) -> list[Any]:
        """Its own process and all that it has started, and what became of those."""
        own = {each.pid: each for each in processes.below(os.getpid(), but=self.strangers)}
        session = processes.of_session(self.process.pid, self.mark)
        return [*own.values(), *(each for each in session if each.pid not in own)]


class UpKeeper:
    """Keeps one service up, until told to stop or until it cannot be."""

    def __init__(
        self, config: Config, voice: Voice, lock: UpLock, means: Means = DEFAULT_MEANS
    ) -> None:
        self._config = config
        self._means = means
        self._voice = voice
        self._lock = lock
        self._asked = 0
        """How often somebody has asked for the end."""
        self._is_again = False
        self._quick = 0
        self._strangers = frozenset(processes.children())

    def keep(self) -> int:
        """Returns the exit code. Raises ``ClusterError`` when the service does not stay up."""
        processes.adopt_orphans()
        with self._signals():
            while True:
                running = self._start()
                code = self._watch(running)
                self._clear(running)
                if self._is_asked():
                    return self._stopped(code)
                if running.replaced or (running.refused and not self._is_again):
                    return code
                self._pause(running, code)
                if self._is_asked():
                    self._voice.note("stopped")
                    self._voice.emit(stopped={"at_once": False})
                    return 0

    def _is_asked(self) -> bool:
        return self._asked > 0

    def _start(self) -> Running:
        ours, theirs = socket.socketpair()
        with theirs:
            process = subprocess.Popen(  # noqa: S603 - this program itself
                self._means.command, stdin=theirs.fileno(), start_new_session=True
            )
        link = Link(ours)
        order = {"json": self._voice.json, "verbose": self._voice.verbose}
        config = self._config.model_dump(mode="json")
        link.tell(keeper=os.getpid(), again=self._is_again, config=config, **order)
        running = Running(process, link, processes.mark(process.pid), self._strangers)
        self._lock.tell(self._said_of(running, None))
        return running

    def _said_of(self, running: Running | None, url: str | None) -> Keeper:
        return Keeper(
            pid=os.getpid(),
            mark=processes.mark(os.getpid()),
            version=__version__,
            cluster=self._config.cluster.address,
            session=running.process.pid if running else 0,
            session_mark=running.mark if running else "",
            url=url,
        )

    def _watch(self, running: Running) -> int:
        """Wait for the end of the service, and bring it about where that must be."""
        told, stop_by, reap_at = False, float("inf"), 0.0
        while (code := running.process.poll()) is None:
            if not self._hear(running):
                time.sleep(POLL_S)
            now = time.monotonic()
            if now > reap_at:  # it looks at all processes there are
                processes.reap(but=running.process.pid)
                reap_at = now + REAP_S
            if self._asked and not told:
                told, stop_by = True, now + STOP_S
                running.process.send_signal(signal.SIGTERM)
            if self._asked > 1 or now > stop_by:
                self._asked = max(2, self._asked)
                running.process.kill()
            elif not self._asked and self._is_silent(running, now):
                running.why = "it has not answered for a while, or Ray has not"
                running.process.kill()
        self._hear(running)
        return code

    def _hear(self, running: Running) -> bool:
        """Whether the link goes on."""
        said = running.link.heard(POLL_S)
        for each in said or ():
            running.beat_at = time.monotonic()
            if "up" in each:
                running.up_at, self._is_again = running.beat_at, True
                self._config = _at_port(self._config, each["up"]["port"])
                self._lock.tell(self._said_of(running, each["up"]["url"]))
            running.why = each.get("why", running.why)
            running.refused = each.get("refused", running.refused)
            running.replaced = running.replaced or "replaced" in each
        return said is not None

    def _is_silent(self, running: Running, now: float) -> bool:
        return now > running.beat_at + (START_S if running.up_at is None else self._means.silent_s)

    def _clear(self, running: Running) -> None:
        running.link.close()
        processes.end_all(running.left)
        processes.reap()
        self._lock.tell(self._said_of(None, None))

    def _stopped(self, code: int) -> int:
        if self._asked > 1:
            self._voice.note("stopped at once; what was submitted is kept")
            self._voice.emit(stopped={"at_once": True})
            return 0
        return max(code, 0)

    def _pause(self, running: Running, code: int) -> None:
        """Say what happened, and wait before the next start."""
        served_s = time.monotonic() - running.up_at if running.up_at else 0.0
        self._quick = 1 if served_s > QUICK_S else self._quick + 1
        why = running.why or _ending(code)
        is_away = self._config.cluster.address and running.refused == ClusterUnreachable.code
        if self._quick > MOST_QUICK and not is_away:  # others start theirs again when they can
            raise ClusterError(
                f"The service ended {self._quick} times in a row without having served for "
                f"{QUICK_S:g} s, the last time because {why}.",
                remedy="See what it said before, and `raysched doctor`; what was submitted is "
                "kept.",
            )
        pause_s = min(MOST_PAUSE_S, self._means.pause_s * 2.0 ** (self._quick - 1))
        self._voice.note(f"the service ended: {why}; it starts again in {pause_s:g} s")
        self._voice.emit(ended={"why": why, "again_in_s": pause_s})
        until = time.monotonic() + pause_s
        while not self._asked and time.monotonic() < until:
            time.sleep(POLL_S)

    @contextmanager
    def _signals(self) -> Iterator[None]:
        """The first signal stops in order, a second one at once, and so does SIGQUIT."""

        def ask(number: int, _: FrameType | None) -> None:
            self._asked += 2 if number == signal.SIGQUIT else 1

        numbers = [signal.SIGINT, signal.SIGTERM, signal.SIGQUIT]
        if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # else it is to outlive that
            numbers.append(signal.SIGHUP)
        before = {number: signal.signal(number, ask) for number in numbers}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def keep_up(config: Config, voice: Voice, lock: UpLock, means: Means = DEFAULT_MEANS) -> int:
    """Keep the service up; the exit code of the command. Raises as ``UpKeeper.keep``."""
    try:
        return UpKeeper(config, lasting(voice), lock, means).keep()
    finally:
        lock.tell(None)


def _at_port(config: Config, port: int) -> Config:
    """The same with the port that was found for 0: those who use it come back to it."""
    return config.model_copy(update={"serve": config.serve.model_copy(update={"port": port})})


def _ending(code: int) -> str:
    if code < 0:
        return f"its process was ended by {signal.Signals(-code).name}"
    return f"its process ended with code {code}"
