"""The sample slide as a slide of a user's own: copied in as an upload is, so that it is counted,
checked and deleted as one."""

from __future__ import annotations

from pathlib import Path

from raysched.imaging.samples import SAMPLE_SHA256, SYNTHETIC_NAME, sample_slide
from raysched.imaging.slide import slide_sha256
from raysched.results.storage import lock
from serve_app.slides.record import SlideRecord, SlideState
from serve_app.slides.store import SlideStore, storing
from serve_app.slides.uploads import Piece, Uploads

PAGE = 500
PIECE_BYTES = 2**20


class SampleShelf:
    """Gives users the sample slide. ``samples``, ``cache``: as ``sample_slide`` takes them."""

    def __init__(self, samples: Path | None, cache: Path) -> None:
        self._samples = samples
        self._cache = cache

    def give(self, store: SlideStore, uploads: Uploads, quota: int) -> tuple[SlideRecord, bool]:
        """The user's sample slide, and whether it is new. ``quota`` in bytes, 0: none.

        Who asks while another is given theirs waits: the sample is downloaded, or made up, once.
        Raises ``QuotaFull``, ``StorageFull``, ``StorageFailed``, ``LimitReached``, and
        ``SlideUnreadable`` where the operator's sample is another file.
        """
        if (known := _known(store)) is not None:
            return known, False
        with storing(store.top):
            store.top.mkdir(parents=True, exist_ok=True)
        with lock(store.top / ".sample.lock"):
            if (known := _known(store)) is not None:  # a twin was faster
                return known, False
            sample = sample_slide(self._samples, self._cache)
            return _copied(sample.path, store, uploads, quota), True


def _known(store: SlideStore) -> SlideRecord | None:
    """The newest slide of the user's that is the sample, also one that they have uploaded."""
    after: str | None = None
    while True:
        records, after = store.page(PAGE, after)
        for record in records:
            if record.state is not SlideState.REFUSED and _is_sample(record):
                return record
        if after is None:
            return None


def _is_sample(record: SlideRecord) -> bool:
    is_real = SAMPLE_SHA256 in (record.sha256, record.wanted_sha256)
    return is_real or record.name == SYNTHETIC_NAME


def _copied(path: Path, store: SlideStore, uploads: Uploads, quota: int) -> SlideRecord:
    size, sha256 = path.stat().st_size, slide_sha256(path)
    upload = uploads.create(path.name, size, quota, sha256).record.id
    piece = Piece(store, upload)
    piece.begin(0)
    try:
        with path.open("rb") as file:
            while some := file.read(PIECE_BYTES):
                piece.write(some)
    finally:
        piece.end()
    return store.record(upload)
