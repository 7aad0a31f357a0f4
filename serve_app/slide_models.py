"""What HTTP shows and takes of slides and uploads."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from serve_app.account_models import Asked
from serve_app.models import Fault, Shown, utc
from serve_app.slides.names import MOST_NAME_BYTES
from serve_app.slides.record import SlideState

if TYPE_CHECKING:
    from serve_app.slides.folders import Found
    from serve_app.slides.record import SlideRecord
    from serve_app.slides.uploads import Arriving

FileName = Annotated[str, Field(min_length=1, max_length=MOST_NAME_BYTES)]


class SlideLevel(Shown):
    """One level of a slide's pyramid: its own px, and level-0 px per px."""

    width: int
    height: int
    downsample: float


class Slide(Shown):
    """One of your slides. What only a look at it tells is null until it is ``ready``; ``refused``
    says why and what to do. ``source``: uploaded, or a file of the server that you registered.
    ``mpp``: um per level-0 px, null where the file does not say."""

    id: str
    name: str
    state: SlideState
    why: Fault | None
    source: Literal["upload", "server"]
    size_bytes: int
    sha256: str | None
    uploaded_at: datetime
    vendor: str | None
    width: int | None
    height: int | None
    levels: tuple[SlideLevel, ...]
    mpp: float | None
    mpp_source: str | None
    thumbnail: bool

    @classmethod
    def of(cls, record: SlideRecord) -> Slide:
        """The owner's view."""
        facts, why = record.facts, record.trouble
        levels = facts.levels if facts else ()
        return cls(
            id=record.id,
            name=record.name,
            state=record.state,
            why=Fault(**why.model_dump()) if why else None,
            source="server" if record.from_server else "upload",
            size_bytes=record.size_bytes,
            sha256=record.sha256,
            uploaded_at=record.uploaded_at,
            vendor=facts.vendor if facts else None,
            width=levels[0].width if levels else None,
            height=levels[0].height if levels else None,
            levels=tuple(SlideLevel.model_validate(level) for level in levels),
            mpp=facts.mpp if facts else None,
            mpp_source=facts.mpp_source if facts else None,
            thumbnail=bool(facts and facts.thumbnail),
        )


class Slides(Shown):
    """Your slides, newest first. ``next``: the cursor of the page after."""

    slides: tuple[Slide, ...]
    next: str | None


class SlideChange(Asked):
    """Another name, with the same extension. Jobs go on showing the name of the file."""

    name: FileName


class ServerSlide(Asked):
    """A file in one of the service's slide folders: ``GET /slide-folders`` lists them."""

    folder: Annotated[int, Field(ge=0, le=10_000, description="number of the folder")]
    path: Annotated[str, Field(min_length=1, max_length=4096, description="below the folder")]


class SlideFolder(Shown):
    """One of the service's slide folders, by its number."""

    folder: int
    name: str


class FolderEntry(Shown):
    """A folder or a slide inside one; ``path`` is what to ask or to register."""

    name: str
    path: str
    is_folder: bool
    size_bytes: int | None

    @classmethod
    def of(cls, found: Found, within: str) -> FolderEntry:
        """An entry with the path to it."""
        path = f"{within.rstrip('/')}/{found.name}" if within.strip("/.") else found.name
        return cls(
            name=found.name, path=path, is_folder=found.is_folder, size_bytes=found.size_bytes
        )


class SlideFolders(Shown):
    """The slide folders, and what is in the one that was asked about. ``next``: the cursor of the
    page after."""

    folders: tuple[SlideFolder, ...]
    entries: tuple[FolderEntry, ...]
    next: str | None


class Upload(Shown):
    """An upload: ``offset`` of ``size_bytes`` have arrived. Unless more does it is deleted at
    ``expires_at``. Once it is whole it is the slide of the same id."""

    id: str
    name: str
    size_bytes: int
    offset: int
    created_at: datetime
    expires_at: datetime | None

    @classmethod
    def of(cls, upload: Arriving, expires_at: float) -> Upload:
        """The owner's view."""
        record = upload.record
        return cls(
            id=record.id,
            name=record.name,
            size_bytes=record.size_bytes,
            offset=upload.offset,
            created_at=record.created_at,
            expires_at=None if upload.slide else utc(expires_at),
        )


class UploadList(Shown):
    """Your unfinished uploads, newest first."""

    uploads: tuple[Upload, ...]
