"""The web UI's built files, served as they are: one page at ``/`` and its assets.

``scripts/build-ui`` makes them. They are in memory, a megabyte, also compressed; an asset's name
has its digest, so a browser asks for it once. Nothing here knows who asks: the page is the same for
all, and shows only what the API answers.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cache
from mimetypes import guess_type
from pathlib import Path

from fastapi import Request, Response

from raysched.errors import NotFound

FOLDER = Path(__file__).parent / "ui" / "dist"
PAGE = "index.html"
FOR_EVER = "public, max-age=31536000, immutable"
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; font-src 'self'; "
    "img-src 'self' data: blob:; connect-src 'self'; base-uri 'none'; form-action 'self'; "
    "frame-ancestors 'none'"
)
HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Vary": "Accept-Encoding",
}
NOT_BUILT = """<!doctype html><html lang="en"><meta charset="utf-8"><title>raysched</title>
<h1>The web UI is not built.</h1>
<p>Run <code>scripts/build-ui</code>, then start the service again. The API is described at
<a href="/docs">/docs</a>.</p></html>"""
TYPES = {".js": "text/javascript", ".css": "text/css", ".woff2": "font/woff2"}


@dataclass(frozen=True, slots=True)
class File:
    """A built file: its bytes, the same compressed if that was made, its type, its ETag."""

    content: bytes
    packed: bytes | None
    media_type: str
    etag: str


@cache
def files(folder: Path = FOLDER) -> dict[str, File]:
    """The built files by name: the page, and ``assets/NAME``. Empty where nothing was built."""
    found = {}
    for path in sorted([folder / PAGE, *folder.glob("assets/*")]):
        if path.suffix != ".gz" and path.is_file():
            content = path.read_bytes()
            packed = path.with_name(f"{path.name}.gz")
            found[path.relative_to(folder).as_posix()] = File(
                content=content,
                packed=packed.read_bytes() if packed.exists() else None,
                media_type=TYPES.get(path.suffix) or guess_type(path.name)[0] or "text/plain",
                etag=f'"{hashlib.sha256(content).hexdigest()[:32]}"',
            )
    return found


async def get_page(request: Request) -> Response:
    """The web UI."""
    page = files().get(PAGE)
    if page is None:
        return Response(NOT_BUILT, 503, media_type="text/html")
    policy = {"Content-Security-Policy": POLICY, "Cache-Control": "no-cache"}
    return _answer(request, page, policy)


async def get_asset(request: Request, name: str) -> Response:
    """One of the web UI's files."""
    found = files().get(f"assets/{name}")
    if found is None:
        raise NotFound(
            f"The web UI has no file {name[:200]!r}.",
            remedy="Reload the page: it was built anew meanwhile.",
        )
    return _answer(request, found, {"Cache-Control": FOR_EVER})


def _answer(request: Request, file: File, headers: dict[str, str]) -> Response:
    headers = {**HEADERS, **headers, "ETag": file.etag}
    if request.headers.get("if-none-match") == file.etag:
        return Response(status_code=304, headers=headers)
    content = file.content
    if file.packed is not None and "gzip" in request.headers.get("accept-encoding", ""):
        content = file.packed
        headers["Content-Encoding"] = "gzip"
    return Response(content, headers=headers, media_type=file.media_type)
