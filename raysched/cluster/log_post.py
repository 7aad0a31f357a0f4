"""What is said on a node that does not see the service's folders, on its way to the service.

A lane's process writes the log of a job into a file of its node, as ever, and a thread of that
process sends the file to the object store every few seconds: no unit waits for it. If the process
is killed meanwhile, the lane's next one sends what it had written.
"""

from __future__ import annotations

import logging
import threading
import time
from dataclasses import dataclass
from pathlib import Path

from raysched.cluster.capture import LogPlace
from raysched.core.model import JobId
from raysched.errors import ClusterError
from raysched.results.logbook import folder_of, prune
from raysched.results.remote.place import StorePlace

log = logging.getLogger(__name__)

EVERY_S = 5.0
KEPT_JOBS = 4
KEPT_BYTES = 200e6
"""So much of what was said is kept on a node that has sent it on."""


@dataclass(frozen=True, slots=True)
class Letter:
    """The log of one job, as far as one lane of this node has written it."""

    store: StorePlace
    job: JobId
    place: LogPlace

    def send(self, sent: dict[Path, int]) -> None:
        """What has grown since. ``sent``: bytes by file."""
        from raysched.results.remote.copies import send_log

        folder = folder_of(self.place.logs, self.job)
        sizes = {path: path.stat().st_size for path in folder.glob(f"{self.place.lane}.*.jsonl")}
        grown = [path.name for path, size in sizes.items() if sent.get(path) != size]
        if grown:
            send_log(self.store, self.job, folder, grown)
            sent.update(sizes)


class _Post:
    """The logs that this process writes, or has written lately."""

    def __init__(self) -> None:
        self._letters: dict[JobId, Letter] = {}
        self._sent: dict[Path, int] = {}
        self._some = threading.Event()
        threading.Thread(target=self._go, name="log post", daemon=True).start()

    def take(self, letter: Letter) -> None:
        """From now on, and until others have come, send what is said of a job."""
        self._letters.pop(letter.job, None)
        self._letters[letter.job] = letter
        for job in list(self._letters)[:-KEPT_JOBS]:
            del self._letters[job]
        self._some.set()

    def _go(self) -> None:
        self._some.wait()
        while True:
            time.sleep(EVERY_S)
            for letter in list(self._letters.values()):
                self._send(letter)

    def _send(self, letter: Letter) -> None:
        try:
            letter.send(self._sent)
            prune(letter.place.logs, KEPT_BYTES)
        except (ClusterError, OSError) as error:
            log.warning("The log of %s stays on this node for now: %s", letter.job, error)


_post: list[_Post] = []


def post(letter: Letter) -> None:
    """Have a log sent every few seconds from now on; what cannot be sent is tried again."""
    if not _post:
        _post.append(_Post())
    _post[0].take(letter)
