"""Uploading to the store itself, as tests do again and again."""

from __future__ import annotations

from pathlib import Path

from serve_app.slides.checking import check
from serve_app.slides.record import SlideRecord
from serve_app.slides.store import SlideStore
from serve_app.slides.uploads import Piece, Uploads

DAY_S = 86_400.0
TIFF_HEAD = b"II*\0"


def uploads(store: SlideStore, keep_s: float = DAY_S) -> Uploads:
    return Uploads(store, keep_s)


def send(store: SlideStore, name: str, data: bytes, quota: int = 0, **more: str) -> str:
    """Upload in one piece; the id."""
    made = uploads(store).create(name, len(data), quota, **more)
    piece = Piece(store, made.record.id)
    piece.begin(0)
    piece.write(data)
    piece.end()
    return made.record.id


def checked(store: SlideStore, name: str, data: bytes, **more: str) -> SlideRecord:
    """Upload, look at it, and what is known of it then."""
    slide = send(store, name, data, **more)
    check(store, slide)
    return store.record(slide)


def files_below(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
