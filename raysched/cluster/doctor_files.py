"""Checks of ``raysched doctor`` that look at the state folder and at processes. They know no Ray.

Their order matters: what lies still is only known once the journal has been found free.
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from raysched.cluster import processes
from raysched.cluster.doctor import Check, Finding, Grade, Look
from raysched.cluster.record import CLUSTER, cluster_of, keeper_of, last_keeper, left_behind
from raysched.cluster.stores import check_store, object_store
from raysched.core.model import SUCCEEDED, JobId
from raysched.errors import Conflict, RayschedError
from raysched.imaging.catalogue import catalogue
from raysched.imaging.engine import load_engine
from raysched.journal.database import JOURNAL_NAME
from raysched.journal.disk import QUARANTINE
from raysched.journal.lock import LOCK_NAME
from raysched.journal.segments import FOLDER as SEGMENTS
from raysched.journal.snapshots import FOLDER as SNAPSHOTS
from raysched.journal.verifying import verified

LEAST_FREE: Final = 2e9
MOST_COPIED: Final = 5e9
SHM_LEAST: Final = 300e6
CLOCK_SLACK_S: Final = 2.0
OLD_S: Final = 3600.0
"""A file in the making is younger, or its maker hangs."""
STAGING: Final = re.compile(r"^\..+\.(?P<job>job-[\w-]+)\.partial$")
IN_THE_MAKING: Final = re.compile(r"^\..+\.[0-9a-f]{12}$")


def state_folder(look: Look) -> Iterator[Finding]:
    """There, writable, with room."""
    state = look.config.state
    if state.exists() and not state.is_dir():
        yield Finding(f"{state} is no folder", Grade.BAD, "Point RAYSCHED_STATE at a folder.")
        return
    if not state.is_dir():
        yield Finding(f"{state} does not exist", Grade.NOTE, "The first `raysched up` makes it.")
        return
    if not os.access(state, os.R_OK | os.W_OK | os.X_OK):
        yield Finding(f"{state} cannot be written", Grade.BAD, "Give it to the service's user.")
        return
    free = shutil.disk_usage(state).free
    if free < LEAST_FREE:
        remedy = "Make room: nothing new is taken in when the disk is full."
        yield Finding(f"{free / 1e9:.1f} GB are free at {state}", Grade.BAD, remedy)
    else:
        yield Finding(f"{state} can be written; {free / 1e9:,.0f} GB are free")


def quarantine(look: Look) -> Iterator[Finding]:
    """What was damaged and put aside."""
    folder = look.config.state / QUARANTINE
    if folder.is_dir() and (kept := sorted(folder.iterdir())):
        yield Finding(
            f"{len(kept)} damaged parts of the journal were put aside, the last {kept[-1].name}",
            Grade.NOTE,
            f"What counts was made anew from the other copy. Look at the disk; remove {folder} "
            "when nobody needs it.",
        )


def keeper(look: Look) -> Iterator[Finding]:
    """Who keeps the service up."""
    if look.keeper is None:
        yield Finding("no `raysched up` serves this state folder", Grade.NOTE)
    else:
        at = look.keeper.url or "not serving yet"
        yield Finding(f"`raysched up` {look.keeper.version}, process {look.keeper.pid}: {at}")


def orphans(look: Look) -> Iterator[Finding]:
    """Processes of a service whose ``up`` was killed."""
    left, last = left_behind(look.config.state), last_keeper(look.config.state)
    if left and last:

        def end() -> str:
            return f"ended {processes.end_all(lambda: left_behind(look.config.state))} processes"

        names = ", ".join(sorted({_name(each.pid) for each in left})[:4])
        says = f"{len(left)} processes of `raysched up` {last.pid} outlive it: {names}"
        yield Finding(says, Grade.BAD, "End them: `raysched down`.", end)


def cluster_record(look: Look) -> Iterator[Finding]:
    """A cluster that nobody owns any more."""
    found = cluster_of(look.config.state)
    if found is not None and not found.is_live:
        path = look.config.state / CLUSTER
        if look.keeper is not None:  # which writes it anew
            says = f"process {found.pid} of the service has ended"
            yield Finding(says, Grade.NOTE, "`raysched up` starts it again by itself.")
            return

        def forget() -> str:
            path.unlink(missing_ok=True)
            return f"removed {path}"

        says = f"{path} names process {found.pid}, which is dead"
        yield Finding(says, Grade.BAD, "Remove it; the next start does so, too.", forget)


def journal_lock(look: Look) -> Iterator[Finding]:
    """Who holds the journal."""
    try:
        with (look.config.state / LOCK_NAME).open(encoding="utf-8") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        look.stopped = look.keeper is None
    except FileNotFoundError:
        look.stopped = look.keeper is None
    except BlockingIOError:
        holder = (look.config.state / LOCK_NAME).read_text(encoding="utf-8").strip()
        yield Finding(f"the journal is held by {holder or 'another process'}")


def journal(look: Look) -> Iterator[Finding]:
    """Verified on a copy, so that looking changes nothing; a running service has verified it."""
    state = look.config.state
    parts = [state / name for name in (JOURNAL_NAME, f"{JOURNAL_NAME}.wal", SEGMENTS, SNAPSHOTS)]
    there = [part for part in parts if part.exists()]
    if not look.stopped or not there:
        return
    size = sum(_size(part) for part in there)
    temporary = Path(tempfile.gettempdir())
    if size > min(MOST_COPIED, shutil.disk_usage(temporary).free / 2):
        says = f"the journal ({size / 1e9:.1f} GB) is too large to be verified on a copy"
        yield Finding(says, Grade.NOTE, "Use `raysched journal verify`.")
        return
    with tempfile.TemporaryDirectory(prefix="raysched-doctor-") as name:
        for part in there:
            copy = shutil.copytree if part.is_dir() else shutil.copy2
            copy(part, Path(name) / part.name)
        try:
            whole = verified(Path(name))
        except RayschedError as error:  # in words about the journal itself, not about the copy
            says, remedy = (
                text.replace(name, str(state)) for text in (error.message, error.remedy)
            )
            yield Finding(says, Grade.BAD, remedy)
            return
    if whole.notices and not _is_stopped(state):
        says = "a service began to write the journal while it was looked at"
        yield Finding(says, Grade.NOTE, "Nothing: a service verifies it when it starts.")
        look.stopped = False
        return
    look.core = whole.core
    if whole.notices:
        remedy = "Mend it: `raysched journal repair`; what is replaced is kept aside."
        yield Finding(f"the journal is damaged: {whole.notices[0]}", Grade.BAD, remedy)
    else:
        yield Finding(f"the journal is whole: {whole.events:,} events")


def clock(look: Look) -> Iterator[Finding]:
    """The journal's last event is not in the future."""
    if look.core is None:
        return
    ahead_s = look.core.state.now - time.time()
    if ahead_s > CLOCK_SLACK_S:
        remedy = "Set this machine's clock: times go on at half speed until it has caught up."
        yield Finding(f"the clock is {ahead_s:,.0f} s behind the journal", Grade.BAD, remedy)


def staging(look: Look) -> Iterator[Finding]:
    """Folders of work in progress of jobs whose results are published."""
    for folder, job in _staged(look):
        known = look.core.state.jobs.get(JobId(job)) if look.core else None
        is_published = (folder.parent / job / "manifest.json").is_file()
        if known is not None and known.state is SUCCEEDED and is_published:
            yield _removable(look, folder, f"{folder} is left of {job}, which has succeeded")


def in_the_making(look: Look) -> Iterator[Finding]:
    """Files whose makers were killed. Results are whole folders, so none of these is in one."""
    folders = [folder for folder, _ in _staged(look)]
    folders += [chunks for folder in folders for chunks in folder.glob("chunks-*")]
    for folder in folders:
        for path in folder.iterdir():
            is_old = time.time() - path.stat().st_mtime > OLD_S
            if IN_THE_MAKING.match(path.name) and path.is_file() and is_old:
                yield _removable(look, path, f"{path} was never finished")


def notes(look: Look) -> Iterator[Finding]:
    """What ended processes have left for a scheduler that is gone, and what told them to stop."""
    left = list(look.config.notes.glob("*")) if look.stopped else []
    if left:
        says = f"{len(left)} notes of runs that ended before the stop"
        yield _removable(look, look.config.notes, says)


def shared_memory(look: Look) -> Iterator[Finding]:  # noqa: ARG001 - checks share one signature
    """Ray keeps objects there."""
    if sys.platform == "linux":
        place = "/dev/shm"  # noqa: S108 - Ray's choice
        total = shutil.disk_usage(place).total
        if total < SHM_LEAST:
            remedy = "Give it 0.5 GB or more (docker run --shm-size=1g): Ray uses slow files else."
            yield Finding(f"{place} has {total / 1e6:.0f} MB", Grade.BAD, remedy)


def engines(look: Look) -> Iterator[Finding]:
    """The usual engine can be loaded; others that cannot are named."""
    usual = look.config.segmentation.engine
    try:
        load_engine(usual)
        yield Finding(f"the engine {usual} is there")
    except RayschedError as error:
        yield Finding(error.message, Grade.BAD, error.remedy)
    for each in catalogue().unusable:
        if each.name != usual:
            yield Finding(f"the engine {each.name} is not usable: {each.why}", Grade.NOTE)


def store(look: Look) -> Iterator[Finding]:
    """The object store does what publication needs."""
    place = object_store(look.config)
    if place is None:
        return
    try:
        check_store(place)
        yield Finding(f"the object store {place.url} does as told")
    except RayschedError as error:
        yield Finding(error.message, Grade.BAD, error.remedy)


CHECKS: Final[dict[str, Check]] = {
    "state": state_folder,
    "quarantine": quarantine,
    "up": keeper,
    "orphans": orphans,
    "cluster.json": cluster_record,
    "lock": journal_lock,
    "journal": journal,
    "clock": clock,
    "staging": staging,
    "unfinished files": in_the_making,
    "notes": notes,
    "shared memory": shared_memory,
    "engines": engines,
    "object store": store,
}


def _staged(look: Look) -> list[tuple[Path, str]]:
    """Staging folders below the service's results, with their jobs; only of a stopped service."""
    results = look.config.results
    if not look.stopped or not results.is_dir():
        return []
    found = [(path, STAGING.match(path.name)) for path in results.iterdir() if path.is_dir()]
    return [(path, match["job"]) for path, match in found if match]


def _removable(look: Look, path: Path, says: str) -> Finding:
    def remove() -> str:
        with _while_stopped(look.config.state):
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)
        return f"removed {path}"

    return Finding(says, Grade.BAD, "Remove it: `raysched doctor --repair`.", remove)


@contextmanager
def _while_stopped(state: Path) -> Iterator[None]:
    """A service that starts meanwhile waits. Raises ``Conflict`` where one has started already."""
    with (state / LOCK_NAME).open("a", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            is_free = keeper_of(state) is None
        except BlockingIOError:
            is_free = False
        if not is_free:
            raise Conflict(
                "A service has started meanwhile: what it may use is not touched.",
                remedy="Look again: `raysched doctor`.",
            )
        yield


def _is_stopped(state: Path) -> bool:
    try:
        with _while_stopped(state):
            return True
    except Conflict:
        return False


def _size(path: Path) -> int:
    if path.is_file():
        return path.stat().st_size
    return sum(each.stat().st_size for each in path.rglob("*") if each.is_file())


def _name(pid: int) -> str:
    import psutil

    try:
        return str(psutil.Process(pid).name())
    except psutil.Error:
        return "?"
