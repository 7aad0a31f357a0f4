"""Slides of several files that come as a zip: checked before anything is written, then extracted.

A zip is believed in nothing. Its list of files is bounded before it is read; every name is checked;
what it says it holds must fit; and no file gets more bytes than it says. Archives inside are files
like others and are never opened.
"""

from __future__ import annotations

import os
import shutil
import stat
import struct
import unicodedata
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from raysched.errors import BadFileName, StorageFull, UploadRefused
from raysched.results.shelf import LEAST_FREE_BYTES
from serve_app.slides.names import BEGINNINGS, ONLY_IN_ZIP, checked_name

MOST_ENTRIES = 20_000
MOST_LISTING_BYTES = 8_000_000
"""The list of entries is read into memory."""
MOST_TIMES = 100
"""Slides are compressed already: what grows by more was made to."""
MOST_DEPTH = 8
MOST_PATH_BYTES = 1024
PIECE_BYTES = 1024 * 1024
LOOK_AT_DISK_BYTES = 64 * 1024 * 1024
END, END_64, LOCATOR_64 = b"PK\x05\x06", b"PK\x06\x06", b"PK\x06\x07"
NO_SLIDE = {"__MACOSX", ".DS_Store"}
"""What a Mac puts into each zip beside the files."""
MAIN = (".mrxs", ".vms", ".vmu", ".dcm")
"""The file that opens as a slide of several files; of DICOM any one does."""
METHODS = {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}


class SlideZip:
    """A zip whose entries were found harmless. Raises ``UploadRefused`` otherwise."""

    def __init__(self, path: Path) -> None:
        self._path = path
        _check_listing(path)
        try:
            with zipfile.ZipFile(path) as archive:
                self._entries = dict(_checked(archive.infolist()))
        except (zipfile.BadZipFile, struct.error, UnicodeError, NotImplementedError) as error:
            raise _refused(f"it is damaged ({error})") from None
        self.size_bytes = sum(entry.file_size for entry in self._entries.values())
        if self.size_bytes > MOST_TIMES * path.stat().st_size:
            raise _refused(f"what it holds grows more than {MOST_TIMES} times when it is unpacked")
        self.main = _main(list(self._entries))

    def extract(self, to: Path) -> None:
        """Write all files into a new folder, each in pieces. Raises ``UploadRefused`` where a file
        is not as long as said or damaged, ``StorageFull``."""
        to.mkdir()
        with zipfile.ZipFile(self._path) as archive:
            since = LOOK_AT_DISK_BYTES
            for name, entry in self._entries.items():
                path = to / name
                path.parent.mkdir(parents=True, exist_ok=True)
                handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o644)
                with os.fdopen(handle, "wb") as file:
                    for piece in _pieces(archive, entry):
                        since += len(piece)
                        if since >= LOOK_AT_DISK_BYTES:
                            since = 0
                            _check_room(to)
                        file.write(piece)


def _pieces(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> Iterator[bytes]:
    left = entry.file_size
    try:
        with archive.open(entry) as source:
            while piece := source.read(PIECE_BYTES):
                left -= len(piece)
                if left < 0:
                    break
                yield piece
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        raise _refused(f"{entry.filename!r} in it is damaged ({error})") from None
    if left:
        raise _refused(f"{entry.filename!r} in it is not as long as the zip says")


def _check_listing(path: Path) -> None:
    """Bound what reading the list of entries costs, from the zip's last bytes alone."""
    size = path.stat().st_size
    with path.open("rb") as file:
        file.seek(max(0, size - 65_557))
        tail = file.read()
        at = tail.rfind(END)
        if at < 0 or len(tail) - at < 22:
            raise _refused("it has no list of its files at its end: it is cut short, or no zip")
        entries, listing = struct.unpack("<HI", tail[at + 10 : at + 16])
        locator = tail[at - 20 : at] if at >= 20 else b""
        if locator[:4] == LOCATOR_64:
            # Some readers look where the locator says, others right before it: both are bounded.
            before = size - len(tail) + at - 20 - 56
            for place in (struct.unpack("<Q", locator[8:16])[0], before):
                file.seek(max(0, min(place, size)))
                large = file.read(56)
                if large[:4] == END_64 and len(large) == 56:
                    more = struct.unpack("<QQ", large[32:48])
                    entries, listing = max(entries, more[0]), max(listing, more[1])
    if entries > MOST_ENTRIES or listing > MOST_LISTING_BYTES:
        raise _refused(f"it has {entries:,} entries; a slide has up to {MOST_ENTRIES:,}")


def _checked(entries: list[zipfile.ZipInfo]) -> Iterator[tuple[str, zipfile.ZipInfo]]:
    """The files by their paths. Raises ``UploadRefused`` for the first that is not harmless."""
    if len(entries) > MOST_ENTRIES:
        raise _refused(f"it has {len(entries):,} entries; a slide has up to {MOST_ENTRIES:,}")
    files: set[str] = set()
    folders: set[str] = set()
    for entry in entries:
        name = entry.orig_filename
        parts = name.removesuffix("/").split("/")
        if NO_SLIDE & {parts[0], parts[-1]}:
            continue
        _check_entry(entry, parts)
        folded = [unicodedata.normalize("NFC", part).casefold() for part in parts]
        above = {"/".join(folded[:depth]) for depth in range(1, len(folded))}
        whole = "/".join(folded)
        if entry.is_dir():
            above.add(whole)
        elif whole in files or whole in folders:
            raise _refused(f"it holds {name[:80]!r} twice")
        else:
            files.add(whole)
        folders |= above
        if files & above:
            raise _refused(f"{name[:80]!r} in it is a file and a folder")
        if not entry.is_dir():
            yield "/".join(parts), entry


def _check_entry(entry: zipfile.ZipInfo, parts: list[str]) -> None:
    name = entry.orig_filename
    for part in parts:
        try:
            checked_name(part)
        except BadFileName as error:
            raise _refused(f"it holds {name[:80]!r}. {error.message}") from None
    if len(parts) > MOST_DEPTH or len(name.encode()) > MOST_PATH_BYTES:
        raise _refused(f"{name[:80]!r} in it lies too deep")
    kind = stat.S_IFMT(entry.external_attr >> 16)
    if kind not in (0, stat.S_IFDIR if entry.is_dir() else stat.S_IFREG):
        raise _refused(f"{name[:80]!r} in it is a link or a device")
    if entry.flag_bits & 0x1:
        raise _refused(f"{name[:80]!r} in it is encrypted")
    if entry.compress_type not in METHODS:
        raise _refused(f"{name[:80]!r} in it is compressed otherwise than by Deflate")


def _main(names: list[str]) -> str:
    """The file that opens as the slide. Raises ``UploadRefused`` unless there is one."""
    suffixes = {name: PurePosixPath(name).suffix.lower() for name in names}
    for suffix in MAIN:
        found = sorted(name for name in names if suffixes[name] == suffix)
        if len(found) > 1 and suffix != ".dcm":
            raise _refused(f"it holds {len(found)} {suffix} slides; a zip is for one")
        if found:
            return found[0]
    single = [name for name in names if suffixes[name] in BEGINNINGS and suffixes[name] != ".zip"]
    if len(single) == 1:
        return single[0]
    known = ", ".join((*ONLY_IN_ZIP, *BEGINNINGS))
    raise _refused(
        f"it holds {len(single)} slides; a zip is for one"
        if single
        else f"it holds no slide ({known})"
    )


def _check_room(folder: Path) -> None:
    if shutil.disk_usage(folder).free < LEAST_FREE_BYTES + LOOK_AT_DISK_BYTES:
        raise StorageFull(
            "The service's disk has no room for what the zip holds.",
            remedy="Ask the operator for room, then upload it again.",
        )


def _refused(why: str) -> UploadRefused:
    return UploadRefused(
        f"The zip is not taken in: {why}.",
        remedy="Zip the files of one slide anew, with plain names and folders, and upload that.",
    )
