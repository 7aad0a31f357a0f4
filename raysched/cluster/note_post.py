"""Notes of a process that has to end, from a node that does not see the service's folders.

They go through the object store, at once: the process may be gone the next moment.
"""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from raysched.core.model import RunId
from raysched.errors import ClusterError
from raysched.results.remote.place import StorePlace

if TYPE_CHECKING:
    from raysched.results.remote.bucket import Bucket

log = logging.getLogger(__name__)

NOTES = "notes"
PATIENCE_S = 5.0
"""A process that holds too much is not kept alive for longer."""


@dataclass(frozen=True, slots=True)
class NotePost:
    """Sends notes of one node. What cannot be sent stays on it: then the run is just lost."""

    place: StorePlace

    def leave(self, note: Path) -> None:
        """Send a note as it is on the disk."""
        send = partial(_bucket(self.place).send, note, f"{NOTES}/{note.name}")
        # What it holds it only says now and then: it goes on watching meanwhile.
        self._try(send, 0.0 if note.suffix == ".held" else PATIENCE_S)

    def drop(self, note: Path) -> None:
        """It is not needed any more."""
        self._try(partial(_bucket(self.place).drop, [f"{NOTES}/{note.name}"]), PATIENCE_S)

    def _try(self, work: Callable[[], None], patience_s: float) -> None:
        def tried() -> None:
            try:
                work()
            except (ClusterError, OSError) as error:
                log.warning("A note stays on this node: %s", error)

        thread = threading.Thread(target=tried, name="note post", daemon=True)
        thread.start()
        thread.join(patience_s)


def notes_at_hand(place: StorePlace | None, notes: Path, run: RunId) -> None:
    """Have in ``notes`` what a run has left on whichever node; what is brought is removed there."""
    if place is None:
        return
    with contextlib.suppress(ClusterError, OSError):  # then the run is just lost
        bucket = _bucket(place)
        for ending in (".json", ".held", ".worn"):
            content = bucket.read(f"{NOTES}/{run}{ending}")
            if content is not None:
                notes.mkdir(parents=True, exist_ok=True)
                (notes / f"{run}{ending}").write_bytes(content)
                bucket.drop([f"{NOTES}/{run}{ending}"])


def _bucket(place: StorePlace) -> Bucket:
    from raysched.results.remote.bucket import Bucket

    return Bucket(place)
