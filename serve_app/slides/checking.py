"""Looking at a slide that has arrived, in a process of its own: a file that makes the reader fail
or grow then ends that process and no replica.

The process holds a lock while it looks. Whoever asks for a slide that is being checked, and finds
that lock free, begins anew; each step leaves the folder so that the next process can go on.
"""

from __future__ import annotations

import logging
import os
import shutil
import subprocess
import sys
import threading
from contextlib import suppress
from functools import cache
from pathlib import Path

import cv2
import numpy as np
from pydantic import TypeAdapter

from raysched.core.model import UserId
from raysched.errors import ClusterError, MppMissing, NotFound, RayschedError, UploadRefused
from raysched.imaging.mpp import resolve_mpp
from raysched.imaging.slide import Rgb, Slide, open_slide, slide_sha256
from raysched.results.remote.place import StorePlace
from raysched.results.storage import DISK, lock
from serve_app.slides.archives import SlideZip
from serve_app.slides.names import check_beginning, suffix_of
from serve_app.slides.record import Facts, Level, SlideRecord, SlideState, Trouble, write_record
from serve_app.slides.store import CONTENT, DATA, THUMBNAIL, SlideStore, storing
from serve_app.slides.uploads import check_disk, check_quota
from serve_app.threads import FairThreads, working_for

log = logging.getLogger(__name__)

AT_ONCE = 3
"""Checks that one replica has running."""
AT_ONCE_PER_USER = 2
"""Whoever registers a thousand slides, or uploads one that takes hours, leaves room for others."""
MOST_TRIES = 5
MOST_S = 6 * 3600.0
"""Reading 200 GB from slow storage takes hours."""
CORNER_PX = 256
THUMBNAIL_PX = 512
STRIP_PX = 16_000_000
"""Pixels that are held of a level while it is made small."""
THUMBNAIL_FROM_PX = 1_000_000_000
"""A slide whose smallest fitting level is larger gets no thumbnail."""
CHECK = "check.lock"
PLACE = TypeAdapter(StorePlace)

_begun: set[Path] = set()
"""The checks that this process has begun and not seen the end of."""
_beginning = threading.Lock()
_sends_to: StorePlace | None = None


def send_ahead_to(place: StorePlace | None) -> None:
    """From now on this process has slides that are ready sent to the object store, if there is one:
    so that nobody waits for it who submits a job."""
    global _sends_to  # noqa: PLW0603 - of the whole process, as the checks are
    _sends_to = place


def ensure_checked(store: SlideStore, record: SlideRecord) -> None:
    """See to it that somebody looks at a slide that is not looked at yet. Does not wait."""
    folder = store.of(record.id)
    if record.state is not SlideState.CHECKING:
        return
    with _beginning, suppress(FileNotFoundError):
        if folder in _begun:
            return
        with lock(folder / CHECK, wait=False) as is_free:
            if is_free:
                _begun.add(folder)
                with working_for(UserId(folder.parent.name)):
                    _threads().submit(_in_a_process, folder)


@cache
def _threads() -> FairThreads:
    return FairThreads(AT_ONCE, AT_ONCE_PER_USER)


def _in_a_process(folder: Path) -> None:
    told = [] if _sends_to is None else [PLACE.dump_json(_sends_to).decode()]
    command = [sys.executable, "-m", "serve_app.slides.checking", str(folder), *told]
    try:
        done = subprocess.run(  # noqa: S603 - our own module
            command, capture_output=True, text=True, timeout=MOST_S, check=False
        )
        if done.returncode:
            log.error("The check of %s ended with %d: %s", folder, done.returncode, done.stderr)
    except subprocess.TimeoutExpired:
        log.exception("The check of %s took more than %g s and was ended.", folder, MOST_S)
    finally:
        with _beginning:
            _begun.discard(folder)


def check(store: SlideStore, slide: str) -> None:
    """Look at a slide that is being checked, unless somebody does: then it is ready or refused."""
    folder = store.of(slide)
    with suppress(FileNotFoundError, NotFound), lock(folder / CHECK, wait=False) as is_free:
        if not is_free or store.record(slide).state is not SlideState.CHECKING:
            return
        record = store.change(slide, lambda r: r.model_copy(update={"tries": r.tries + 1}))
        try:
            if record.tries > MOST_TRIES:
                raise _ends_the_check(record)
            _look(store, record)
        except RayschedError as error:
            mine = (folder / CONTENT, folder, store.path(record).parent)
            trouble = Trouble.of(error, mine)
            store.change(slide, lambda r: r.refused(trouble))
            _remove_content(folder)


def send_ahead(store: SlideStore, slide: str, place: StorePlace) -> None:
    """Have a slide that is ready in the object store. What fails here is done, or fails, when a job
    is submitted."""
    from raysched.results.remote.bucket import Bucket
    from raysched.results.remote.slides import keep_slide

    with suppress(FileNotFoundError, NotFound, ClusterError):
        record = store.record(slide)
        if record.state is SlideState.READY:
            keep_slide(store.path(record), Bucket(place), place)


def _look(store: SlideStore, record: SlideRecord) -> None:
    """From bytes to a slide, in steps that a later process need not do again."""
    if record.sha256 is None:
        record = _hashed(store, record)
    if not record.from_server:
        record = _laid_out(store, record)
    with open_slide(store.path(record)) as slide:
        facts = examine(slide, store.of(record.id) / THUMBNAIL)
    store.change(
        record.id, lambda r: r.model_copy(update={"state": SlideState.READY, "facts": facts})
    )


def examine(slide: Slide, thumbnail: Path) -> Facts:
    """Read the corners of every level and make the thumbnail. Raises ``SlideUnreadable``."""
    for level, (width, height) in enumerate(slide.level_sizes):
        w, h = min(width, CORNER_PX), min(height, CORNER_PX)
        for x, y in {(0, 0), (width - w, 0), (0, height - h), (width - w, height - h)}:
            slide.read_level(level, x, y, w, h)
    try:
        mpp, source = resolve_mpp(slide, None)
    except MppMissing:
        mpp, source = None, None
    levels = tuple(
        Level(width=width, height=height, downsample=downsample)
        for (width, height), downsample in zip(slide.level_sizes, slide.downsamples, strict=True)
    )
    small = _thumbnail(slide)
    if small is not None:
        _, png = cv2.imencode(".png", cv2.cvtColor(small, cv2.COLOR_RGB2BGR))
        DISK.write(thumbnail, png.tobytes())
    return Facts(
        vendor=slide.vendor,
        levels=levels,
        mpp=mpp,
        mpp_source=source,
        thumbnail=small is not None,
    )


def _thumbnail(slide: Slide) -> Rgb | None:
    """The whole slide, its longer side ``THUMBNAIL_PX``, from the smallest level that has as much;
    read in strips. None where that level is too large to be read whole."""
    fitting = [at for at, size in enumerate(slide.level_sizes) if max(size) >= THUMBNAIL_PX] or [0]
    level = fitting[-1]
    width, height = slide.level_sizes[level]
    if width * height > THUMBNAIL_FROM_PX:
        return None
    scale = min(1.0, THUMBNAIL_PX / max(width, height))
    w, h = max(1, round(width * scale)), max(1, round(height * scale))
    strips = max(1, min(h, -(-width * height // STRIP_PX)))
    made = []
    for strip in range(strips):
        top, bottom = h * strip // strips, h * (strip + 1) // strips
        y0, y1 = height * top // h, height * bottom // h
        pixels = slide.read_level(level, 0, y0, width, y1 - y0)
        made.append(cv2.resize(pixels, (w, bottom - top), interpolation=cv2.INTER_AREA))
    return np.asarray(np.concatenate(made), np.uint8)


def _hashed(store: SlideStore, record: SlideRecord) -> SlideRecord:
    found = slide_sha256(record.file or "" if record.from_server else store.of(record.id) / DATA)
    if record.wanted_sha256 not in (None, found):
        raise UploadRefused(
            f"What arrived has the SHA-256 {found}, not {record.wanted_sha256}.",
            remedy="Check the file at its source and upload it again.",
        )
    return store.change(record.id, lambda r: r.model_copy(update={"sha256": found}))


def _laid_out(store: SlideStore, record: SlideRecord) -> SlideRecord:
    """Move the file, or what a zip holds, to where it stays."""
    folder = store.of(record.id)
    data, content = folder / DATA, folder / CONTENT
    if not data.exists():
        return record
    with data.open("rb") as file:
        check_beginning(record.name, file.read(256))
    if suffix_of(record.name) == ".zip":
        archive = SlideZip(data)
        _reserve(store, record, archive.size_bytes)
        fresh = folder / f"{CONTENT}.partial"
        for left in (fresh, content):
            shutil.rmtree(left, ignore_errors=True)
        archive.extract(fresh)
        DISK.sync_tree(fresh)
        DISK.rename(fresh, content)
        update = {"file": archive.main, "held_bytes": archive.size_bytes}
        record = store.change(record.id, lambda r: r.model_copy(update=update))
        data.unlink()
        return record
    record = store.change(record.id, lambda r: r.model_copy(update={"file": r.name}))
    content.mkdir(exist_ok=True)
    DISK.rename(data, content / record.name)
    return record


def _reserve(store: SlideStore, record: SlideRecord, size: int) -> None:
    """See that what a zip holds has room, and keep that room."""
    with store.locked(), storing(store.folder):  # until it is kept: zips come side by side
        now = store.record(record.id)
        check_quota(
            "Unpacked, the zip has", size, store.used() - now.held_bytes, record.quota_bytes
        )
        with lock(store.top / ".lock"):
            check_disk(store.top, size)
        held = max(size, record.size_bytes)
        write_record(store.of(record.id), now.model_copy(update={"held_bytes": held}))


def _remove_content(folder: Path) -> None:
    for name in (CONTENT, f"{CONTENT}.partial"):
        shutil.rmtree(folder / name, ignore_errors=True)
    (folder / DATA).unlink(missing_ok=True)


def _ends_the_check(record: SlideRecord) -> UploadRefused:
    return UploadRefused(
        f"Looking at {record.name!r} has not come to an end {MOST_TRIES} times.",
        remedy="Upload it again; if that is no better, convert it to a tiled TIFF.",
    )


if __name__ == "__main__":
    os.nice(10)  # nobody waits for it as for an answer
    slide = Path(sys.argv[1])
    slides = SlideStore(slide.parent)
    check(slides, slide.name)
    for told in sys.argv[2:]:
        send_ahead(slides, slide.name, PLACE.validate_json(told))
