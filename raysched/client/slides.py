"""What a client asks of slides: send, list, look at, rename, delete, fetch."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

from raysched.client.files import Progress, download
from raysched.client.pages import pages
from raysched.client.uploads import PIECE_BYTES, TUS, Local, sha256_of, upload
from raysched.client.wire import Call, Wire, at
from raysched.errors import UploadRefused, error_of
from serve_app.slide_models import Slide, SlideFolders, Upload, UploadList
from serve_app.slides.record import SlideState

LOOK_EVERY_S = 0.5


class SlideVerbs:
    """Verbs of ``Client``."""

    _wire: Wire

    def upload(
        self,
        file: Path | str,
        *,
        name: str | None = None,
        progress: Progress | None = None,
        piece_bytes: int = PIECE_BYTES,
    ) -> Slide:
        """Send a slide, or a zip of one that is several files, and wait until the service has
        looked at it.

        What was interrupted, in this process or an earlier one, is gone on with. ``progress`` is
        told the bytes sent and in all. Raises ``UploadRefused`` and the other slide errors for what
        is no slide, ``QuotaFull``, ``StorageFull``.
        """
        path = Path(file)
        local = Local(path, name or path.name, piece_bytes)
        return self._checked(upload(self._wire, local, progress))

    def uploaded(self, file: Path | str) -> Slide | None:
        """The slide of yours that a file was uploaded as: of its name, size and content."""
        path = Path(file)
        size = path.stat().st_size
        for slide in self.slides(page=500):
            alike = (slide.name, slide.size_bytes) == (path.name, size)
            if alike and slide.state is SlideState.READY and slide.sha256 == sha256_of(path):
                return slide
        return None

    def uploads(self) -> tuple[Upload, ...]:
        """Your unfinished uploads, newest first."""
        return self._wire.ask(UploadList, Call(method="GET", path="/uploads")).uploads

    def give_up_upload(self, upload: str) -> None:
        """Delete an unfinished upload and free its room."""
        self._wire.send(Call(method="DELETE", path=at("uploads", upload), headers=TUS))

    def slides(self, *, page: int = 100) -> Iterator[Slide]:
        """Your slides, newest first, page by page as they are used."""
        yield from pages(self._wire, "/slides", "slides", Slide, {"limit": page})

    def slide(self, slide: str) -> Slide:
        """One slide. Raises ``NotFound``."""
        return self._wire.ask(Slide, Call(method="GET", path=at("slides", slide)))

    def slide_folders(
        self, folder: int | None = None, path: str = "", *, cursor: str | None = None
    ) -> SlideFolders:
        """The server's slide folders, and what is in one of them below ``path``: one page."""
        asked = {"folder": folder, "path": path, "cursor": cursor}
        params = {name: value for name, value in asked.items() if value is not None}
        return self._wire.ask(
            SlideFolders, Call(method="GET", path="/slide-folders", params=params)
        )

    def register(self, folder: int, path: str) -> Slide:
        """Make a file of the server's slide folders one of your slides."""
        body = {"folder": folder, "path": path}
        call = Call(method="POST", path="/slides", json=body, repeatable=False)
        return self._checked(self._wire.ask(Slide, call).id)

    def rename_slide(self, slide: str, name: str) -> Slide:
        """Give a slide another name, with the same extension."""
        body = {"name": name}
        return self._wire.ask(Slide, Call(method="PATCH", path=at("slides", slide), json=body))

    def delete_slide(self, slide: str) -> None:
        """Delete a slide. Raises ``Conflict`` while an unfinished job uses it."""
        self._wire.send(Call(method="DELETE", path=at("slides", slide)))

    def download_slide(self, slide: str, to: Path | str, progress: Progress | None = None) -> Path:
        """The slide's file, or a zip of its files. Goes on where it was interrupted."""
        call = Call(method="GET", path=at("slides", slide, "file"))
        return download(self._wire, call, Path(to), progress)

    def thumbnail(self, slide: str, to: Path | str) -> Path:
        """The whole slide as a small PNG."""
        call = Call(method="GET", path=at("slides", slide, "thumbnail"))
        return download(self._wire, call, Path(to))

    def _checked(self, slide: str) -> Slide:
        """A slide once it was looked at. Raises why it was refused."""
        while (found := self.slide(slide)).state is SlideState.CHECKING:
            time.sleep(LOOK_EVERY_S)
        if found.state is SlideState.REFUSED and (why := found.why):
            raise error_of(why.code, why.message, why.remedy, slide=slide) or UploadRefused(
                why.message, remedy=why.remedy, slide=slide
            )
        return found
