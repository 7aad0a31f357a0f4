"""What is shown of results: files, formats, sizes, addresses."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from raysched.results.exports.formats import KINDS, PACKED, Format, Shape
from serve_app.models import Shown

if TYPE_CHECKING:
    from raysched.results.exports.sizes import Offered  # heavy, and the client imports this


class ResultFile(Shown):
    """One file of a results folder; ``path`` is relative to the folder."""

    path: str
    size_bytes: int
    media_type: str
    href: str


class ResultExport(Shown):
    """An exchange format; ``exact`` is false where the size is an estimate. ``complete``: of all
    cells of the job, not of those that were found so far."""

    format: Format
    name: str
    media_type: str
    size_bytes: int
    exact: bool
    complete: bool
    href: str

    @classmethod
    def of(cls, job: str, offer: Offered) -> ResultExport:
        """An offer, with the name that the file will have."""
        kind = KINDS[offer.format]
        return cls(
            format=offer.format,
            name=export_name(job, offer.format, complete=offer.complete),
            media_type=kind.media_type,
            size_bytes=offer.size_bytes,
            exact=offer.exact,
            complete=offer.complete,
            href=f"/api/v1/jobs/{job}/export?format={offer.format}",
        )


class ResultZip(Shown):
    """All files as one zip."""

    size_bytes: int
    href: str


class Results(Shown):
    """What a job left, or has so far: then there are no files, only exports of the cells."""

    job: str
    complete: bool
    size_bytes: Annotated[int, Field(description="of all files")]
    files: tuple[ResultFile, ...]
    zip: ResultZip | None
    exports: tuple[ResultExport, ...]


def export_name(job: str, wanted: Format, *, complete: bool, gzipped: bool = False) -> str:
    """The file name of an export; ``.partial`` says that cells may be missing."""
    kind = KINDS[wanted]
    packed = PACKED[Shape.STREAM] if gzipped else ""
    if kind.shape is Shape.FOLDER:
        packed = PACKED[Shape.FOLDER]
    return f"{job}{'' if complete else '.partial'}{kind.suffix}{packed}"
