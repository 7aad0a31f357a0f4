"""Downloads: to a file that appears when it is whole, resumed after whatever interrupts them.

What has come of ``cells.csv`` lies in ``.cells.csv.TAG.part`` beside it. The tag names the version
on the server, so that parts of two versions never become one file.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from glob import escape
from pathlib import Path

import httpx

from raysched.client.wire import Call, Patience, Wire, wait_out
from raysched.errors import ClusterUnreachable, OutputNotEmpty, StorageFailed

Progress = Callable[[int, int | None], None]
"""Is told the bytes done and, where it is known, their total."""
UNNAMED = "whole"
"""The tag of what has no version to be named by, like a stream: it always begins anew."""


def download(wire: Wire, call: Call, to: Path, progress: Progress | None = None) -> Path:
    """Write the body of an answer to a new file. Raises ``OutputNotEmpty`` when there is one,
    ``StorageFailed`` when it cannot be written, and what the service answers."""
    if to.exists() or to.is_symlink():
        raise OutputNotEmpty(
            f"{to} exists already.", remedy="Choose another name, or move it away.", path=str(to)
        )
    fetch = _Fetch(wire, call, to, progress or (lambda *_: None))
    try:
        return fetch.carry_out()
    except OSError as error:
        raise StorageFailed(
            f"{to} cannot be written: {error.strerror or error}.",
            remedy="Choose a place that may be written and has room.",
            path=str(to),
        ) from error


@dataclass
class _Fetch:
    wire: Wire
    call: Call
    to: Path
    progress: Progress

    def carry_out(self) -> Path:
        patience = Patience(self.wire.patience_s)
        while True:
            had = self._had()
            try:
                done = self._try(patience)
            except ClusterUnreachable as trouble:
                if self._had() > had:
                    patience.renew()
                patience.wait(trouble)
                continue
            if done:
                return self.to

    def _had(self) -> int:
        part = self._part()
        return part.stat().st_size if part else 0

    def _try(self, patience: Patience) -> bool:
        """Ask once for what is missing; whether the file is whole."""
        part = self._part()
        had = part.stat().st_size if part else 0
        headers = {"Range": f"bytes={had}-"} if had else {}
        with self.wire.stream(replace(self.call, headers=headers)) as answer:
            goes_on = answer.status_code == httpx.codes.PARTIAL_CONTENT
            if part and had and (not goes_on or part != self._named(answer)):
                part.unlink()  # of another version, or complete but for its name
                if goes_on or answer.status_code == httpx.codes.REQUESTED_RANGE_NOT_SATISFIABLE:
                    return False
            if not answer.is_success:
                answer.read()
                wait_out(answer, patience)
                return False
            self._receive(answer, had if goes_on else 0)
        return True

    def _receive(self, answer: httpx.Response, had: int) -> None:
        part, total = self._named(answer), _total(answer)
        with part.open("ab" if had else "wb") as file:
            for piece in answer.iter_raw():  # as it comes: nothing is lost with the connection
                file.write(piece)
                had += len(piece)
                self.progress(had, total)
            file.flush()
            os.fsync(file.fileno())
        if total is not None and had != total:
            part.unlink()
            raise ClusterUnreachable(
                f"{self.wire.url} sent {had} bytes of {total}.", remedy="Try again."
            )
        part.replace(self.to)

    def _named(self, answer: httpx.Response) -> Path:
        version = answer.headers.get("etag")
        tag = hashlib.sha256(version.encode()).hexdigest()[:12] if version else UNNAMED
        return self.to.with_name(f".{self.to.name}.{tag}.part")

    def _part(self) -> Path | None:
        """What an earlier try left; of a stream nothing counts."""
        before = f".{self.to.name}."
        for found in self.to.parent.glob(f"{escape(before)}*.part"):
            tag = found.name.removeprefix(before).removesuffix(".part")
            if tag == UNNAMED:
                found.unlink()
            elif "." not in tag:  # else it is that of a file with a longer name
                return found
        return None


def _total(answer: httpx.Response) -> int | None:
    """Bytes of the whole file, if it is said."""
    if answer.status_code == httpx.codes.PARTIAL_CONTENT:
        said = answer.headers.get("content-range", "").rpartition("/")[2]
    else:
        said = answer.headers.get("content-length", "")
    return int(said) if said.isdecimal() else None
