"""Resumable uploads by tus 1.0: creation, termination, expiration, checksum.

Our own, because no library at hand keeps a file whole when its process is killed in the middle of a
piece, or lets other requests be answered while two pieces meet; ARCHITECTURE.md has the evidence.
"""

from __future__ import annotations

import asyncio
import base64
import re
from email.utils import format_datetime
from typing import Annotated

from fastapi import Header, Request, Response
from starlette.requests import ClientDisconnect

from raysched.errors import (
    BadFileName,
    PieceTooLarge,
    WrongMediaType,
    WrongProtocol,
)
from serve_app.body import MAX_PIECE_BYTES
from serve_app.desk import At, Desk
from serve_app.models import utc
from serve_app.slide_models import Upload, UploadList
from serve_app.slides.checking import ensure_checked
from serve_app.slides.uploads import Arriving, Piece, Uploads
from serve_app.writing import Writing

TUS = "1.0.0"
EXTENSIONS = "creation,termination,expiration,checksum"
PIECE_TYPE = "application/offset+octet-stream"
HOUR_S = 3600.0
MOST_BYTES = 2**60

TusVersion = Annotated[str | None, Header(alias="Tus-Resumable", examples=[TUS])]
Offset = Annotated[int, Header(alias="Upload-Offset", ge=0, le=MOST_BYTES)]
Length = Annotated[int, Header(alias="Upload-Length", ge=0, le=MOST_BYTES)]
Metadata = Annotated[
    str,
    Header(
        alias="Upload-Metadata",
        max_length=4096,
        description="`filename` and its name in base64; also `sha256` and the file's digest in "
        "hex, in base64: what arrives is compared with it",
        examples=["filename c2xpZGUuc3Zz"],
    ),
]
Checksum = Annotated[
    str | None, Header(alias="Upload-Checksum", max_length=200, examples=["sha256 YmFzZTY0"])
]


async def describe_uploads(at: At, response: Response) -> None:
    """What of the tus protocol is spoken, and how large an upload of yours may be at most. A piece
    has up to 8 MB: tus clients call it the chunk size."""
    _spoken(response)
    response.headers["Tus-Version"] = TUS
    response.headers["Tus-Extension"] = EXTENSIONS
    response.headers["Tus-Checksum-Algorithm"] = "sha256,sha1"
    if quota := await at.quota():
        response.headers["Tus-Max-Size"] = str(quota)


async def create_upload(
    at: At,
    response: Response,
    upload_length: Length,
    upload_metadata: Metadata,
    tus_resumable: TusVersion = None,
) -> Upload:
    """Announce a slide. Its extension, your quota and the disk are looked at before the first byte;
    the Location takes the pieces."""
    _speaks(tus_resumable)
    name, sha256 = _described(upload_metadata)
    quota = await at.quota()
    made = await asyncio.to_thread(_uploads(at).create, name, upload_length, quota, sha256)
    _spoken(response)
    _expires(at, response, made)
    response.headers["Location"] = f"/api/v1/uploads/{made.record.id}"
    return Upload.of(made, _uploads(at).expires_at(made))


async def list_uploads(at: At) -> UploadList:
    """Your unfinished uploads, newest first."""
    uploads = _uploads(at)
    found = await asyncio.to_thread(uploads.list)
    return UploadList(
        uploads=tuple(Upload.of(each, uploads.expires_at(each)) for each in found),
    )


async def get_upload(at: At, upload: str) -> Upload:
    """One upload and how much of it has arrived."""
    uploads = _uploads(at)
    found = await asyncio.to_thread(uploads.find, upload)
    return Upload.of(found, uploads.expires_at(found))


async def head_upload(
    at: At, upload: str, response: Response, tus_resumable: TusVersion = None
) -> None:
    """Where to go on with an upload: Upload-Offset bytes are on the disk."""
    _speaks(tus_resumable)
    found = await asyncio.to_thread(_uploads(at).find, upload)
    _spoken(response)
    response.headers["Upload-Offset"] = str(found.offset)
    response.headers["Upload-Length"] = str(found.record.size_bytes)
    name = base64.b64encode(found.record.name.encode()).decode()
    response.headers["Upload-Metadata"] = f"filename {name}"
    response.headers["Cache-Control"] = "no-store"
    _expires(at, response, found)


async def send_piece(
    at: At,
    upload: str,
    request: Request,
    upload_offset: Offset,
    upload_checksum: Checksum = None,
    tus_resumable: TusVersion = None,
) -> Response:
    """Send the next piece of an upload, up to 8 MB. After the last the slide is looked at: see
    GET /slides/ID. When a piece was cut short, what arrived of it is kept: ask with HEAD."""
    _speaks(tus_resumable)
    _check_piece(request)
    with request.app.state.pieces.taken(at.user):
        arriving = Writing(Piece(at.slides, upload, upload_checksum))
        await arriving.begin(upload_offset)
        try:
            async for some in request.stream():
                await arriving.write(some)
            offset = await arriving.end()
        except ClientDisconnect:
            return Response(status_code=400)  # nobody reads it
        finally:
            arriving.close()
    response = Response(status_code=204)
    _spoken(response)
    response.headers["Upload-Offset"] = str(offset)
    found = await asyncio.to_thread(_uploads(at).find, upload)
    _expires(at, response, found)
    if found.slide:
        await asyncio.to_thread(ensure_checked, at.slides, found.slide)
    return response


async def delete_upload(
    at: At, upload: str, response: Response, tus_resumable: TusVersion = None
) -> None:
    """Give an unfinished upload up and free its room. A whole one is deleted as a slide."""
    _speaks(tus_resumable)
    await asyncio.to_thread(_uploads(at).delete, upload)
    _spoken(response)


def _check_piece(request: Request) -> None:
    if request.headers.get("content-type") != PIECE_TYPE:
        raise WrongMediaType("A piece of an upload has another type.", remedy=f"Send {PIECE_TYPE}.")
    announced = request.headers.get("content-length", "")
    if announced.isdecimal() and int(announced) > MAX_PIECE_BYTES:
        raise PieceTooLarge(
            f"A piece of {int(announced):,} bytes is too large.",
            remedy=f"Send pieces of up to {MAX_PIECE_BYTES:,} bytes (8 MB): tus clients call it "
            "the chunk size.",
            most_bytes=MAX_PIECE_BYTES,
        )


def _uploads(at: Desk) -> Uploads:
    return Uploads(at.slides, at.config.serve.upload_hours * HOUR_S)


def _speaks(version: str | None) -> None:
    if version != TUS:
        raise WrongProtocol(
            f"The header Tus-Resumable says {version!r}; {TUS} is spoken here.",
            remedy=f"Send Tus-Resumable: {TUS}.",
            tus_version=TUS,
        )


def _spoken(response: Response) -> None:
    response.headers["Tus-Resumable"] = TUS


def _expires(at: Desk, response: Response, upload: Arriving) -> None:
    if upload.slide is None:
        until = utc(_uploads(at).expires_at(upload))
        response.headers["Upload-Expires"] = format_datetime(until, usegmt=True)


def _described(metadata: str) -> tuple[str, str | None]:
    """The file name and, where it is given, the digest. Raises ``BadFileName``."""
    told: dict[str, str] = {}
    try:
        for pair in filter(None, metadata.split(",")):
            key, _, value = pair.strip().partition(" ")
            told[key] = base64.b64decode(value, validate=True).decode()
    except ValueError:
        raise BadFileName(
            "Upload-Metadata is not understood.", remedy="Send `filename` and its name in base64."
        ) from None
    sha256 = told.get("sha256")
    if sha256 is not None and not re.fullmatch(r"[0-9a-f]{64}", sha256):
        raise BadFileName("The sha256 of Upload-Metadata is none.", remedy="Send it in hex.")
    if "filename" not in told:
        raise BadFileName("Upload-Metadata names no file.", remedy="Send `filename` in base64.")
    return told["filename"], sha256
