"""Which of two versions is the newer one, and what is said where they differ."""

from __future__ import annotations

from packaging.version import InvalidVersion, Version

from raysched import __version__
from raysched.errors import OtherVersion


def is_newer(one: str, other: str) -> bool:
    """Whether ``one`` comes after ``other``. What is no version comes before all others."""
    return _read(one) > _read(other)


def other_version(running: str) -> OtherVersion:
    """The scheduler that runs is of another version than this program."""
    remedy = (
        f"Use raysched {running}, which is newer; to go back to an older one see "
        "docs/operating.md, Upgrading."
        if is_newer(running, __version__)
        else f"Use raysched {running}, or start this version with `raysched up`: it takes the work "
        "over, and nothing is lost."
    )
    return OtherVersion(
        f"The running scheduler is raysched {running}, this is {__version__}.",
        remedy=remedy,
        running=running,
        this=__version__,
    )


def _read(text: str) -> Version:
    try:
        return Version(text)
    except InvalidVersion:
        return Version("0.dev0")
