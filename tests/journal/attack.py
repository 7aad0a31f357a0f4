"""What the attacks on the journal share: events that tell their place, writers to be killed."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

from raysched.core.events import Event, LaneOpened, TimePassed
from raysched.core.model import LaneId
from raysched.journal.entries import Entry
from raysched.journal.journal import Journal


def event(seq: int) -> Event:
    """The event that every writer here puts at ``seq``; every seventh is large."""
    if seq % 7 == 0:
        return LaneOpened(float(seq), LaneId(f"lane-{seq}" + "?" * 300_000))
    return TimePassed(float(seq))


Begin = Callable[..., "subprocess.Popen[str]"]


def line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def kill(process: subprocess.Popen[str]) -> list[str]:
    """SIGKILL; gives what the process had still said in whole lines."""
    process.kill()
    said, _ = process.communicate()
    return said[: said.rfind("\n") + 1].splitlines()


def write(folder: Path, first: int, last: int) -> None:
    with Journal.open(folder) as journal:
        journal.next_epoch()
        journal.append([Entry(event(seq)) for seq in range(first, last + 1)])


def read(folder: Path) -> list[Event]:
    with Journal.open(folder) as journal:
        return list(journal.replay())


def files(folder: Path) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in folder.glob("journal.duckdb*") if p.is_file()}


def segments(folder: Path) -> list[Path]:
    return sorted((folder / "segments").iterdir())


def flip(path: Path, place: int) -> None:
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.chmod(0o644)
    path.write_bytes(content)
