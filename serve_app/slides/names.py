"""Which names and beginnings of files are taken in. A name is kept as it was given, or refused."""

from __future__ import annotations

import re
import unicodedata
from pathlib import PurePosixPath

from raysched.errors import BadFileName, UploadRefused

MOST_NAME_BYTES = 255
"""What file systems take as one name."""
HEAD_BYTES = 1_000_000
"""Once this much of an upload is there, its beginning is looked at."""
RESERVED = re.compile(r"(con|prn|aux|nul|com[0-9¹²³]|lpt[0-9¹²³])(\..*)?", re.IGNORECASE)
"""What Windows takes for a device, whatever comes after the dot."""
UNSEEN = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}
"""Unicode categories of what shows nothing, turns the direction of text, or breaks a line."""

TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
ZIP = b"PK\x03\x04"
BEGINNINGS: dict[str, tuple[tuple[int, bytes], ...]] = {
    **{
        suffix: tuple((0, magic) for magic in TIFF)
        for suffix in (".svs", ".tif", ".tiff", ".ndpi", ".scn", ".bif", ".svslide")
    },
    ".czi": ((0, b"ZISRAWFILE"),),
    ".dcm": ((128, b"DICM"),),
    ".zip": ((0, ZIP),),
}
"""Of each extension that is taken in: where which bytes must be."""
ONLY_IN_ZIP = {".mrxs": "X.mrxs and the folder X", ".vms": "the .vms and its .jpg and .opt files",
               ".vmu": "the .vmu and its files"}  # fmt: skip


def checked_name(name: str) -> str:
    """The name itself. Raises ``BadFileName`` for what is no name of one file everywhere: paths,
    control and invisible characters, names that a system reserves, more than 255 bytes."""
    fault = _fault(name)
    if fault:
        raise BadFileName(
            f"The file name {name[:80]!r} {fault}.", remedy="Rename the file and send it again."
        )
    return name


def suffix_of(name: str) -> str:
    """The extension that says which sort of slide a file is. Raises ``UploadRefused``."""
    suffix = PurePosixPath(name).suffix.lower()
    if suffix in BEGINNINGS:
        return suffix
    if suffix in ONLY_IN_ZIP:
        raise UploadRefused(
            f"A {suffix} slide is several files, and {name!r} is only one of them.",
            remedy=f"Put {ONLY_IN_ZIP[suffix]} into one .zip and upload that.",
        )
    known = ", ".join(BEGINNINGS)
    raise UploadRefused(
        f"{name!r} does not end like a slide that is taken in.",
        remedy=f"Upload one of {known}; a slide of several files as one .zip.",
    )


def check_beginning(name: str, head: bytes) -> None:
    """Raises ``UploadRefused`` unless a file begins as its extension says."""
    suffix = suffix_of(name)
    if any(head[at : at + len(magic)] == magic for at, magic in BEGINNINGS[suffix]):
        return
    sort = {".zip": "zip archive", ".czi": "Zeiss slide", ".dcm": "DICOM file"}.get(suffix, "TIFF")
    raise UploadRefused(
        f"{name!r} ends in {suffix} but is no {sort}: it begins with {head[:4].hex(' ') or '-'}.",
        remedy="Check that it is the slide itself and was not renamed or damaged, and upload that.",
    )


def _fault(name: str) -> str | None:
    try:
        size = len(name.encode())
    except UnicodeEncodeError:
        return "is not text"
    if not name:
        return "is empty"
    if size > MOST_NAME_BYTES:
        return f"has {size} bytes; a file name has up to {MOST_NAME_BYTES}"
    if "/" in name or "\\" in name:
        return "holds a / or \\"
    if any(unicodedata.category(each) in UNSEEN for each in name):
        return "holds a character that cannot be seen"
    if name.startswith("."):
        return "begins with a dot"
    if name != name.strip() or name.endswith("."):
        return "begins or ends with a space, or ends with a dot"
    if RESERVED.fullmatch(name):
        return "is reserved by some systems"
    return None
