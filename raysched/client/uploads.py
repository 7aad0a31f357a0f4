"""Uploads by tus 1.0: piece by piece, gone on with after whatever interrupts them.

Our own loop of HEAD and PATCH: the libraries for it bring an HTTP client of their own, and none
asks the service which uploads it has begun. Nothing is remembered here: an upload of the same name
and size that the service has is gone on with, and the file's digest, sent when it began, is held
against what has arrived in the end, so that two files never become one.
"""

from __future__ import annotations

import hashlib
from base64 import b64encode
from dataclasses import dataclass
from pathlib import Path

from raysched.client.files import Progress
from raysched.client.wire import Call, Patience, Wire, at
from raysched.errors import ClusterUnreachable, Conflict, SlideForbidden, SlideMissing, UploadBusy
from serve_app.slide_models import UploadList

TUS = {"Tus-Resumable": "1.0.0"}
PIECE_TYPE = "application/offset+octet-stream"
PIECE_BYTES = 8 * 1024 * 1024
"""The most that the service takes as one piece: lost with a connection at most, and sent again."""


@dataclass(frozen=True, slots=True)
class Local:
    """A file of this machine that becomes a slide of that name, sent in pieces of that size."""

    path: Path
    name: str
    piece_bytes: int = PIECE_BYTES


def upload(wire: Wire, file: Local, progress: Progress | None = None) -> str:
    """Send a file; the id of the slide that it is from then on. Raises ``SlideMissing``,
    ``SlideForbidden`` for a file that is not there or may not be read, and what the service says.
    """
    try:
        return _Sending(wire, file, progress or (lambda *_: None)).carry_out()
    except FileNotFoundError:
        raise SlideMissing(
            f"There is no file {file.path}.", remedy="Check the path.", path=str(file.path)
        ) from None
    except OSError as error:
        raise SlideForbidden(
            f"{file.path} cannot be read: {error.strerror or error}.",
            remedy="Name a file that you may read.",
            path=str(file.path),
        ) from error


@dataclass
class _Sending:
    wire: Wire
    file: Local
    progress: Progress

    def carry_out(self) -> str:
        size = self.file.path.stat().st_size
        id_ = self._opened(size)
        where = at("uploads", id_)
        patience = Patience(self.wire.patience_s)
        with self.file.path.open("rb") as source:
            offset = self._arrived(where)
            self.progress(offset, size)
            while offset < size:
                source.seek(offset)
                piece = source.read(self.file.piece_bytes)
                if not piece:
                    raise OSError("it became shorter while it was sent")
                try:
                    offset = self._send(where, offset, piece)
                except (ClusterUnreachable, Conflict, UploadBusy) as trouble:
                    patience.wait(trouble)
                    offset = self._arrived(where)  # some of the piece may have come
                    continue
                patience.renew()
                self.progress(offset, size)
        return id_

    def _opened(self, size: int) -> str:
        """The id of an upload of the file: one that was begun already, or a new one. When the
        answer to its beginning is lost, it is found as begun."""
        patience = Patience(self.wire.patience_s)
        while True:
            try:
                return self._begun(size) or self._begin(size)
            except ClusterUnreachable as trouble:
                patience.wait(trouble)

    def _begun(self, size: int) -> str | None:
        """The newest upload of such a file that was begun after the file was last written."""
        since = self.file.path.stat().st_mtime
        found = self.wire.ask(UploadList, Call(method="GET", path="/uploads")).uploads
        fits = (
            each.id
            for each in found
            if (each.name, each.size_bytes) == (self.file.name, size)
            and each.created_at.timestamp() > since
        )
        return next(fits, None)

    def _begin(self, size: int) -> str:
        told = {"filename": self.file.name, "sha256": sha256_of(self.file.path)}
        metadata = ",".join(f"{key} {_base64(value.encode())}" for key, value in told.items())
        headers = {**TUS, "Upload-Length": str(size), "Upload-Metadata": metadata}
        call = Call(method="POST", path="/uploads", headers=headers, repeatable=False)
        return self.wire.send(call).headers["location"].rpartition("/")[2]

    def _arrived(self, where: str) -> int:
        answer = self.wire.send(Call(method="HEAD", path=where, headers=TUS))
        return int(answer.headers["upload-offset"])

    def _send(self, where: str, offset: int, piece: bytes) -> int:
        headers = {
            **TUS,
            "Content-Type": PIECE_TYPE,
            "Upload-Offset": str(offset),
            "Upload-Checksum": f"sha256 {_base64(hashlib.sha256(piece).digest())}",
        }
        call = Call(method="PATCH", path=where, headers=headers, content=piece, repeatable=False)
        return int(self.wire.send(call).headers["upload-offset"])


def sha256_of(path: Path) -> str:
    """The digest of a file, in hex."""
    with path.open("rb") as source:
        return hashlib.file_digest(source, "sha256").hexdigest()


def _base64(data: bytes) -> str:
    return b64encode(data).decode()
