"""Who may give a result its final name: one run of publish, until it is told otherwise.

A process that was cut off, or stopped by the system, may do its next step at any later time: after
its job was cancelled, or after another attempt of it. So no run of publish renames ``result``. The
scheduler hands the result over, by giving it a name that carries the run's id (epoch and number,
never used twice), and takes it back by giving it its old name again. The source of the run's rename
is that name: each of the renames is atomic, and whoever comes second finds nothing to rename.
Nothing is looked at first, so there is no moment between looking and doing.

Only the scheduler calls what is in here, one call after another for a job. It is enough that what
does the other steps never makes a name of this kind.
"""

from __future__ import annotations

import errno
from pathlib import Path

from raysched.results.folders import HANDED, RESULT, handed_name
from raysched.results.storage import DISK, Disk, is_not_empty, storage, unique


def hand_over(staging: Path, run: str, disk: Disk = DISK) -> None:
    """Give the complete result in a staging folder to one run of publish, and to no other.

    Where there is none (it is published already, or was removed) nothing is done, and the run says
    so. Raises ``StorageFailed``, ``StorageFull``.
    """
    take_back(staging, disk)
    with storage(staging):
        _rename(staging / RESULT, staging / handed_name(run), disk)


def take_back(staging: Path, disk: Disk = DISK) -> None:
    """Have no run publish any more; durable on return. A result that has its final name keeps it.

    Raises ``StorageFailed``, ``StorageFull``.
    """
    with storage(staging):
        for handed in _handed(staging):
            try:
                _rename(handed, staging / RESULT, disk)
            except OSError as error:
                # A stale twin has assembled one meanwhile, perhaps of chunks as they were once.
                if not is_not_empty(error):
                    raise
                old = staging / f"{RESULT}.{unique()}"
                _rename(staging / RESULT, old, disk)
                _rename(handed, staging / RESULT, disk)
                disk.remove_tree(old)


def _handed(staging: Path) -> list[Path]:
    try:
        return [path for path in staging.iterdir() if path.name.startswith(HANDED)]
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return []
    except OSError as error:
        if error.errno != errno.ENAMETOOLONG:  # nothing can be under such a name, as above
            raise
        return []


def _rename(old: Path, new: Path, disk: Disk) -> None:
    """Rename what is there; where nothing is, another was faster."""
    try:
        disk.rename(old, new)
    except FileNotFoundError:
        return
