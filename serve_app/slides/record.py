"""``slide.json`` and ``upload.json``: what is known of a slide, and of one that is arriving."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from pathlib import Path, PurePosixPath
from typing import Literal

from pydantic import BaseModel, ConfigDict

from raysched.errors import RayschedError
from raysched.results.storage import DISK
from serve_app.paths import conceal
from serve_app.slides.names import ONLY_IN_ZIP

RECORD, UPLOAD = "slide.json", "upload.json"


class SlideState(StrEnum):
    """Whether a slide can be used: it is looked at first."""

    CHECKING = "checking"
    READY = "ready"
    REFUSED = "refused"


class Part(BaseModel):
    """Base of the record's values."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Level(Part):
    """One level of the pyramid: its size in its own px, and level-0 px per px."""

    width: int
    height: int
    downsample: float


class Trouble(Part):
    """Why a slide was refused, and what to do."""

    code: str
    message: str
    remedy: str

    @classmethod
    def of(cls, error: RayschedError, folders: tuple[Path, ...]) -> Trouble:
        """From an error, without these folders of the server."""
        message, remedy = (conceal(text, folders) for text in (error.message, error.remedy))
        return cls(code=error.code, message=message, remedy=remedy)


class Facts(Part):
    """What looking at a slide found. mpp in um per level-0 px; None where the file does not say."""

    vendor: str
    levels: tuple[Level, ...]
    mpp: float | None
    mpp_source: str | None
    thumbnail: bool


class SlideRecord(Part):
    """One slide. ``file``: below the folder ``content``, or, of a server's slide, its path.
    ``held_bytes`` count against the quota. ``quota_bytes`` 0: no quota."""

    format: Literal[1] = 1
    id: str
    name: str
    uploaded_at: datetime
    state: SlideState = SlideState.CHECKING
    from_server: bool = False
    file: str | None = None
    size_bytes: int
    held_bytes: int
    quota_bytes: int = 0
    sha256: str | None = None
    wanted_sha256: str | None = None
    tries: int = 0
    facts: Facts | None = None
    trouble: Trouble | None = None

    @property
    def is_one_file(self) -> bool:
        """Whether the file that opens as the slide is all of it."""
        ending = PurePosixPath(self.file or "").suffix.lower()
        if self.from_server:
            return ending not in {*ONLY_IN_ZIP, ".dcm"}
        return not self.name.lower().endswith(".zip")

    def refused(self, trouble: Trouble) -> SlideRecord:
        """The record of a slide whose files go: it holds nothing any more."""
        return self.model_copy(
            update={"state": SlideState.REFUSED, "trouble": trouble, "held_bytes": 0}
        )


class UploadRecord(Part):
    """An upload that has not arrived in full. How much of it has says the size of its file."""

    format: Literal[1] = 1
    id: str
    name: str
    created_at: datetime
    size_bytes: int
    quota_bytes: int
    wanted_sha256: str | None = None


def read_record(folder: Path) -> SlideRecord:
    """The record in a slide's folder. Raises ``FileNotFoundError``."""
    return SlideRecord.model_validate_json((folder / RECORD).read_bytes())


def write_record(folder: Path, record: SlideRecord) -> None:
    """Replace a slide's record, atomically and durably."""
    DISK.write(folder / RECORD, record.model_dump_json(indent=1).encode())


def read_upload(folder: Path) -> UploadRecord:
    """The record in an upload's folder. Raises ``FileNotFoundError``."""
    return UploadRecord.model_validate_json((folder / UPLOAD).read_bytes())
