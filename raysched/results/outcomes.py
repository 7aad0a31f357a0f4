"""What the stages answer. The scheduler's process reads these too, and loads nothing else of what
the work needs: it is to be there again within a second (``cluster/tasks.py``).
"""

from __future__ import annotations

from dataclasses import dataclass


class Stopped(Exception):
    """``should_stop`` said so. Nobody's fault, hence outside the error tree; nothing is lost."""


@dataclass(frozen=True, slots=True)
class Receipt:
    """What a finished chunk leaves.

    ``tile_cells[i]`` is the number of cells that the chunk's ``i``-th tile reported, seams not
    yet reconciled; ``tiles_failed`` are (tile index, reason): holes in the result. ``checksum``
    is the SHA-256 of ``file``, a path relative to the staging folder. ``reused``: the labels came
    from an earlier job of the same user.
    """

    chunk: int
    fingerprint: str
    cells: int
    tiles: int
    tiles_failed: tuple[tuple[int, str], ...]
    seconds: float
    checksum: str
    file: str
    size_bytes: int
    tile_cells: tuple[int, ...]
    reused: bool = False


@dataclass(frozen=True, slots=True)
class Planned:
    """The plan is in the staging folder. ``chunk_tiles[i]``: tiles in chunk ``i``.

    ``work`` names what the chunks find: jobs of one user with the same can use each other's
    ("": none can). ``reused``: an equal result is there already. ``may_fail``: so many tiles may
    fail; None where there are none.
    """

    fingerprint: str
    chunk_tiles: tuple[int, ...]
    work: str = ""
    reused: bool = False
    may_fail: int | None = None


@dataclass(frozen=True, slots=True)
class Assembled:
    """The result is complete in the staging folder, under its checksum."""

    cells: int
    checksum: str
    tiles_failed: int


@dataclass(frozen=True, slots=True)
class Published:
    """The result is at ``out``."""

    cells: int
    checksum: str
    out: str
