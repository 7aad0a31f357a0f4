"""Answers that are files: whole, in part, or not again. Nothing here knows jobs or users.

A result never changes, so its checksum is its ETag: who has it is told so (304), and who has the
first part of it gets the rest (``Range`` with ``If-Range``), also of a zip that is made as it goes.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import anyio.to_thread
from fastapi import Request, Response
from fastapi.responses import FileResponse, StreamingResponse
from starlette.exceptions import HTTPException
from starlette.types import Receive, Scope, Send
from zipstream import ZipStream

RANGE = re.compile(r"(\d{0,18})-(\d{0,18})")
MAX_RANGES = 16
UNKNOWN_TYPE = "application/octet-stream"
KEPT = {
    "Cache-Control": "private, no-cache",
    "X-Content-Type-Options": "nosniff",
    "Accept-Ranges": "bytes",
}
PICTURE_KEPT = {
    "Cache-Control": "private, max-age=3600",
    "X-Content-Type-Options": "nosniff",
    "Vary": "Cookie, Authorization",
}
"""Of pictures that a browser may show again without asking, unless somebody else has logged in."""

PICTURE_NOT_KEPT = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}


class Download(StreamingResponse):
    """Pieces made in a thread as they are sent. They are closed when the answer ends, however it
    does, and what made them has ended before the answer counts as ended."""

    def __init__(self, pieces: Iterator[bytes], **more: object) -> None:
        self._pieces = pieces
        super().__init__(pieces, **more)  # type: ignore[arg-type] # Starlette's own arguments

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send, then close."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            close = getattr(self._pieces, "close", None)
            if close is not None:
                with anyio.CancelScope(shield=True):
                    await anyio.to_thread.run_sync(close)


def file_answer(
    request: Request, path: Path, etag: str | None, name: str | None = None
) -> Response:
    """A file: 200, 206 of one or more ranges, 304; with a ``name`` it is one to be saved, of no
    type that a browser shows. Raises ``HTTPException`` 416."""
    headers = {**KEPT, **({"ETag": etag} if etag else {})}
    if _has_it(request, etag):
        return Response(status_code=304, headers=headers)
    wanted = ranges(request, path.stat().st_size)
    if wanted is None:  # none, or none that can be understood: the whole file, says RFC 9110
        request.scope["headers"] = [each for each in request.headers.raw if each[0] != b"range"]
    media = UNKNOWN_TYPE if name else None
    return FileResponse(path, headers=headers, filename=name, media_type=media)


def zip_answer(request: Request, made: ZipStream, name: str, etag: str | None) -> Response:
    """A zip of known length: 200, 206 of one range, 304. Raises ``HTTPException`` 416."""
    headers = {**KEPT, **({"ETag": etag} if etag else {}), "Content-Length": str(len(made))}
    headers["Content-Disposition"] = f'attachment; filename="{name}"'
    if _has_it(request, etag):
        return Response(status_code=304, headers={**KEPT, "ETag": etag or ""})
    size, status = len(made), 200
    pieces: Iterator[bytes] = iter(made)
    wanted = ranges(request, size) if _is_the_same(request, etag) else None
    if wanted is not None and len(wanted) == 1:
        ((first, end),) = wanted
        pieces, status = cut(pieces, first, end), 206
        headers["Content-Range"] = f"bytes {first}-{end - 1}/{size}"
        headers["Content-Length"] = str(end - first)
    if request.method == "HEAD":
        pieces = iter(())
    return Download(pieces, status_code=status, headers=headers, media_type="application/zip")


def ranges(request: Request, size: int) -> list[tuple[int, int]] | None:
    """The ranges that are asked for, each from and to (excluded); None: no such header, or one
    that means nothing. Raises ``HTTPException`` 416 where a range begins beyond the end."""
    unit, _, text = request.headers.get("range", "").partition("=")
    found = [RANGE.fullmatch(each.strip()) for each in text.split(",")]
    if unit.strip().lower() != "bytes" or len(found) > MAX_RANGES:
        return None
    wanted = []
    for each in found:
        if each is None or not (each[1] or each[2]):
            return None
        first = int(each[1]) if each[1] else max(size - int(each[2]), 0)
        end = min(int(each[2]) + 1, size) if each[1] and each[2] else size
        if each[1] and each[2] and int(each[2]) < first:
            return None
        if first >= size:
            raise HTTPException(416, headers={"Content-Range": f"bytes */{size}"})
        wanted.append((first, end))
    return wanted


def cut(pieces: Iterator[bytes], first: int, end: int) -> Iterator[bytes]:
    """The bytes from ``first`` to ``end`` (excluded) of a stream; what comes before is made and
    thrown away, what comes after is never made."""
    at = 0
    for piece in pieces:
        if at >= end:
            break
        if kept := piece[max(first - at, 0) : end - at]:
            yield kept
        at += len(piece)


def zip_of(files: Iterator[Path], folder: Path, name: str) -> ZipStream:
    """Files of a folder under ``name/``, stored: Parquet, Zarr and PNG are compressed already. The
    same bytes for the same files, with their own dates; nothing is read yet."""
    made = ZipStream(sized=True)
    for path in files:
        made.add_path(path, f"{name}/{path.relative_to(folder).as_posix()}", recurse=False)
    return made


def _has_it(request: Request, etag: str | None) -> bool:
    known = request.headers.get("if-none-match")
    if known is None or etag is None:
        return False
    named = {each.strip().removeprefix("W/") for each in known.split(",")}
    return etag in named or known.strip() == "*"


def _is_the_same(request: Request, etag: str | None) -> bool:
    return request.headers.get("if-range", etag) == etag
